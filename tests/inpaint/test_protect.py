"""The support gives way to what must be spared: geometry by hand, then through `fill`."""

from __future__ import annotations

import numpy as np
import pytest
from groundbrush.inpaint import InpaintError, InpaintSettings, fill
from groundbrush.inpaint.support import support, support_without
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

PLAIN = InpaintSettings(dilate=3, shape="outline")


def drawn(*rows: str) -> np.ndarray:
    return np.array([[c != "." for c in row] for row in rows])


def test_the_support_stops_a_pixel_inside_the_spared_thing():
    mask = drawn("....##......", "....##......")
    spare = drawn("......######", "......######")
    expected = drawn(".######.....", ".######.....")
    expected[:, 6] = True  # the rim, where they touch
    np.testing.assert_array_equal(support_without(mask, PLAIN, spare), expected)


def test_the_mask_stays_where_the_spared_thing_covers_it():
    mask = drawn("....##......")
    everywhere = np.ones_like(mask)
    expected = drawn("...####.....")
    np.testing.assert_array_equal(support_without(mask, PLAIN, everywhere), expected)


def test_what_the_spared_thing_cuts_off_is_left_out():
    mask = drawn("##........", "##........")
    pole = drawn("...#......", "...#......")
    expected = drawn("###.......", "###.......")
    np.testing.assert_array_equal(support_without(mask, PLAIN, pole), expected)
    short = drawn("..........", "...#......")  # the ground behind it is reached around it
    whole = support(mask, PLAIN)
    np.testing.assert_array_equal(support_without(mask, PLAIN, short), whole & ~short)


def test_the_hull_gives_way_as_well():
    ell = drawn("#.....", "#.....", "#.....", "######")
    settings = InpaintSettings(dilate=0, shape="hull")
    other = drawn("......", "......", "..###.", "......")
    assert support(ell, settings)[2, 2]
    expected = support(ell, settings) & ~other
    expected[2, 1] = True
    # a pixel's rim above the mask's foot is painted all the same
    expected |= support(ell, settings) & drawn("......", "......", ".#####", "......")
    np.testing.assert_array_equal(support_without(ell, settings, other), expected)


def test_the_rim_grows_with_the_thing():
    mask = np.zeros((300, 700), bool)
    mask[:, :300] = True
    spare = ~mask
    made = support_without(mask, InpaintSettings(dilate=50), spare)
    assert made[:, :303].all() and not made[:, 303:].any()


def test_a_closed_hole_is_painted_whatever_is_in_it():
    ring = drawn("#####", "#...#", "#...#", "#...#", "#####")
    ring = np.kron(ring, np.ones((20, 20))).astype(bool)
    inside = np.zeros_like(ring)
    inside[25:75, 25:75] = True
    filled = InpaintSettings(dilate=0, fill_holes=1.0)
    np.testing.assert_array_equal(support_without(ring, filled, inside), support(ring, filled))


def test_nothing_is_spared_where_nothing_is_named_or_it_is_not_wanted():
    mask, spare = drawn("..#......"), drawn("...######")
    np.testing.assert_array_equal(support_without(mask, PLAIN, None), support(mask, PLAIN))
    unwanted = InpaintSettings(dilate=3, spare=False)
    np.testing.assert_array_equal(support_without(mask, unwanted, spare), support(mask, PLAIN))
    far = drawn("........#")
    np.testing.assert_array_equal(support_without(mask, PLAIN, far), support(mask, PLAIN))


MASKS = arrays(bool, (12, 15))


@given(MASKS, MASKS, st.sampled_from(["outline", "hull", "box"]), st.integers(0, 4))
def test_it_always_lies_between_the_mask_and_its_support(mask, spare, shape, grow):
    settings = InpaintSettings(dilate=grow, shape=shape)
    before = spare.copy()
    made = support_without(mask, settings, spare)
    np.testing.assert_array_equal(spare, before)
    assert not (mask & ~made).any() and not (made & ~support(mask, settings)).any()


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


@pytest.fixture
def hole() -> np.ndarray:
    mask = np.zeros((48, 64), bool)
    mask[15:30, 20:40] = True
    return mask


def test_fill_paints_nothing_of_it(picture, hole, painter):
    settings = InpaintSettings(size=64, dilate=6, feather=0)
    free = fill(painter, picture, hole, "red", settings=settings)
    spare = np.zeros_like(hole)
    spare[:, 41:] = True
    spared = fill(painter, picture, hole, "red", settings=settings, spare=spare)
    assert (free.support & spare).any() and not (spared.support & spare).any()
    np.testing.assert_array_equal(spared.image[spare], picture[spare])


@pytest.mark.parametrize("bad", [np.zeros((3, 3), bool), np.zeros((48, 64), np.uint8), "all"])
def test_a_bad_spare_is_named(picture, hole, painter, bad):
    with pytest.raises(InpaintError, match=r"spare: got .*; expected bool of the image's"):
        fill(painter, picture, hole, "red", spare=bad)


def test_the_setting_is_a_flag():
    assert InpaintSettings().spare
    assert InpaintSettings.from_dict({"spare": False}).as_dict()["spare"] is False
    with pytest.raises(InpaintError, match=r"spare: got 1; expected true or false\."):
        InpaintSettings(spare=1)
