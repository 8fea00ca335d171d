from __future__ import annotations

import numpy as np
import pytest
from groundbrush.inpaint import InpaintSettings
from groundbrush.inpaint.support import (
    dilate,
    dilation_radius,
    fill_holes,
    inward_feather,
    mask_box,
    support,
    support_without,
    widen,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=14))


def test_dilation_radius_in_pixels_or_as_a_fraction():
    mask = np.ones((20, 20), bool)
    assert dilation_radius(mask, 0) == 0
    assert dilation_radius(mask, 0.06) == 2  # 1.2 px, rounded up
    assert dilation_radius(mask, 9) == 9
    one = np.zeros((9, 9), bool)
    one[4, 4] = True
    assert dilation_radius(one, 0.06) == 1


def test_dilate_is_a_disc():
    mask = np.zeros((7, 7), bool)
    mask[3, 3] = True
    rows, columns = np.mgrid[:7, :7]
    expected = np.hypot(rows - 3, columns - 3) <= 2
    np.testing.assert_array_equal(dilate(mask, 2), expected)


@given(MASKS, st.integers(0, 6))
def test_dilate_equals_the_distance_transform(mask, radius):
    expected = mask.copy()
    if mask.any():
        expected = ndimage.distance_transform_edt(~mask) <= radius
    np.testing.assert_array_equal(dilate(mask, radius), expected)


def test_fill_holes_closes_small_ones_only():
    mask = np.ones((20, 20), bool)
    mask[2, 2] = False
    mask[8:16, 8:16] = False
    closed = fill_holes(mask, 0.05)
    assert closed[2, 2]
    assert not closed[8:16, 8:16].any()
    assert fill_holes(mask, 1.0).all()
    np.testing.assert_array_equal(fill_holes(mask, 0), mask)


def test_a_bay_at_the_edge_is_no_hole():
    mask = np.ones((9, 9), bool)
    mask[:5, 4] = False
    np.testing.assert_array_equal(fill_holes(mask), mask)


def test_a_gap_between_two_rings_is_no_hole():
    rings = np.ones((3, 7), bool)
    rings[:, 3] = rings[1, 1::4] = False
    expected = np.ones((3, 7), bool)
    expected[:, 3] = False
    np.testing.assert_array_equal(fill_holes(rings), expected)


@given(MASKS)
def test_fill_holes_equals_scipys(mask):
    expected = ndimage.binary_fill_holes(mask)
    # scipy fills holes of any size, the package those no larger than the mask.
    labels, count = ndimage.label(expected & ~mask)
    for number in range(1, count + 1):
        if (labels == number).sum() > mask.sum():
            expected[labels == number] = False
    np.testing.assert_array_equal(fill_holes(mask, 1.0), expected)


@given(MASKS)
def test_support_contains_the_mask(mask):
    declared = support(mask, InpaintSettings(dilate=0.2))
    assert (declared >= mask).all()
    assert declared.any() == mask.any()
    everything = np.ones_like(mask)
    np.testing.assert_array_equal(support_without(mask, InpaintSettings(), None, everything), mask)


@pytest.mark.parametrize("shape", [(2, 6000), (9000, 3), (12, 30_000)])
def test_support_of_a_strip(shape):
    """Grown on a copy that is smaller, which keeps a pixel at least of the short side."""
    mask = np.zeros(shape, bool)
    mask[shape[0] // 4 :, shape[1] // 4 :] = True
    declared = support(mask, InpaintSettings(dilate=0.2))
    assert (declared >= mask).all()
    assert declared.sum() > mask.sum()


@given(mask=MASKS, shape=st.sampled_from(["outline", "hull", "box"]))
def test_widening_laws(mask, shape):
    """It contains the mask and lies in the box of all of it; a hull lies in its part's box."""
    wide = widen(mask, shape)
    assert (wide >= mask).all()
    left, top, right, bottom = mask_box(mask)
    inside = np.zeros_like(mask)
    inside[top:bottom, left:right] = True
    assert (wide <= inside).all()
    assert (wide >= widen(mask, "hull")).all() or shape != "box"
    if shape == "outline":
        np.testing.assert_array_equal(wide, mask)


def test_parts_are_widened_each_for_itself():
    mask = np.zeros((9, 20), bool)
    mask[1:8, 2] = mask[7, 2:8] = True  # an L
    mask[4, 15] = True
    hull, box = widen(mask, "hull"), widen(mask, "box")
    assert hull[7, 2:8].all() and hull[4, 3] and not hull[1, 6]
    assert box[1:8, 2:8].all() and box[:, 9:].sum() == 1 == hull[:, 9:].sum()


def test_feather_ramps_inward_by_hand():
    line = np.array([[0, 1, 1, 1, 1, 1, 1, 1, 0]], bool)
    third = np.float32(1 / 3)
    expected = [[0, third, 2 / 3, 1, 1, 1, 2 / 3, third, 0]]
    np.testing.assert_allclose(inward_feather(line, 2), expected, rtol=1e-6)


def test_the_image_border_is_no_edge():
    mask = np.zeros((6, 6), bool)
    mask[:, :4] = True
    alpha = inward_feather(mask, 1)
    np.testing.assert_array_equal(alpha[:, :3], 1)
    np.testing.assert_array_equal(alpha[:, 3], 0.5)
    np.testing.assert_array_equal(inward_feather(np.ones((4, 4), bool), 3), 1)


def test_no_feather_is_a_hard_edge():
    mask = np.zeros((8, 8), bool)
    mask[2:5, 3:6] = True
    np.testing.assert_array_equal(inward_feather(mask, 0), mask.astype(np.float32))


def test_the_core_is_wholly_replaced():
    core = np.zeros((1, 15), bool)
    core[0, 6:9] = True
    ring = dilate(core, 2)
    alpha = inward_feather(ring, 20, core)
    np.testing.assert_allclose(alpha[0, 4:11], [1 / 3, 2 / 3, 1, 1, 1, 2 / 3, 1 / 3], rtol=1e-6)


@given(MASKS, st.integers(0, 8), st.integers(0, 4), st.booleans())
def test_feather_laws(mask, feather, radius, with_core):
    declared = dilate(mask, radius)
    core = mask if with_core else None
    alpha = inward_feather(declared, feather, core)
    assert alpha.dtype == np.float32
    assert alpha.shape == mask.shape
    np.testing.assert_array_equal(alpha > 0, declared)
    assert alpha.max(initial=0) <= 1
    if with_core:
        assert (alpha[mask] == 1).all()
    if not declared.all():
        depth = ndimage.distance_transform_edt(declared)
        assert (alpha[depth >= feather + 1] == 1).all()


@given(MASKS, st.integers(0, 5))
@settings(max_examples=30)
def test_cropping_to_the_box_changes_nothing(mask, feather):
    placed = np.zeros((40, 40), bool)
    placed[10 : 10 + mask.shape[0], 10 : 10 + mask.shape[1]] = mask
    whole = ndimage.distance_transform_edt(placed) / (feather + 1)
    np.testing.assert_allclose(
        inward_feather(placed, feather), np.minimum(whole, 1), rtol=1e-5, atol=0
    )


@pytest.mark.parametrize("function", [lambda m: dilate(m, 3), fill_holes])
def test_inputs_are_not_changed(function):
    mask = np.ones((9, 9), bool)
    mask[4, 4] = False
    before = mask.copy()
    function(mask)
    np.testing.assert_array_equal(mask, before)


def test_nothing_stays_nothing():
    empty = np.zeros((5, 6), bool)
    assert not dilate(empty, 3).any()
    assert not fill_holes(empty).any()
    assert not inward_feather(empty, 2).any()
