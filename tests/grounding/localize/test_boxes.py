"""Every reading of how a box is cut out of a map, on grids small enough to do by hand."""

from __future__ import annotations

import numpy as np
import pytest
from groundbrush.grounding.errors import GroundingError
from groundbrush.grounding.localize.boxes import box_map, cells_on_picture
from groundbrush.grounding.settings import BoxSettings
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

SQUARE = (0.0, 0.0, 40.0, 40.0)
# An L of five cells with a large hull, and a block of six with a small one.
TWO = np.zeros((8, 8), np.float32)
TWO[0:4, 0] = TWO[3, 1:3] = TWO[3, 3] = 1
TWO[5:8, 5:8] = 1


def boxes(combined: np.ndarray, region=SQUARE, size=(40, 40), **choices) -> list:
    settings = BoxSettings(**choices)
    return box_map(combined.astype(np.float32), region, size, settings)[3]


def test_padding_is_not_searched() -> None:
    # A 4:2 picture padded to a square: the first and last rows of a 4x4 grid are padding.
    inside = cells_on_picture((4, 4), (0, -1, 4, 3), (4, 2))
    assert inside.tolist() == [[False] * 4, [True] * 4, [True] * 4, [False] * 4]


def test_a_sliver_keeps_the_cells_it_touches() -> None:
    assert cells_on_picture((4, 4), (-149.5, 0, 150.5, 300), (1, 300)).any()


def test_largest_component_hull_and_everything() -> None:
    # 5 pixels a cell: the block of 9 cells has more cells, the L of 7 the larger hull (9.5 > 9)
    assert boxes(TWO)[0] == (25.0, 25.0, 40.0, 40.0)
    assert boxes(TWO, component="hull")[0] == (0.0, 0.0, 20.0, 20.0)
    assert boxes(TWO, component="all") == [(0.0, 0.0, 40.0, 40.0)]


def test_threshold_on_the_picture_cuts_between_cells() -> None:
    one = np.zeros((4, 4))
    one[1, 1] = 1
    assert boxes(one) == [(10.0, 10.0, 20.0, 20.0)]
    ((x0, y0, x1, y1),) = boxes(one, threshold="picture")
    # bilinear upsampling spreads the cell to its neighbours, symmetrically about its centre
    assert x0 == y0 < 10
    assert x1 == y1 > 20
    assert (x0 + x1) / 2 == 15


def test_padding_cells_take_part_only_when_asked() -> None:
    # A 40 by 20 picture in a 40 by 40 square; the heaviest cells lie on the padding above it.
    combined = np.zeros((4, 4))
    combined[0, :] = 5
    combined[1, 1] = 2
    region = (0.0, -10.0, 40.0, 30.0)
    assert boxes(combined, region, (40, 20)) == [(10.0, 0.0, 20.0, 10.0)]
    # with the padding the mean is 22/16, the row is the largest component and takes the cell along
    assert boxes(combined, region, (40, 20), cells="all")[0] == (0.0, 0.0, 40.0, 10.0)


def test_padding_lowers_no_mean() -> None:
    # An 80 by 40 picture padded to 80 by 80: two of four rows of cells lie on it. Their mean is
    # 11.3 / 8 = 1.41, which only the 4 exceeds; with padding at 1 it would be 19.3 / 16 = 1.21.
    combined = np.ones((4, 4))
    combined[1, :2] = 4, 1.3
    region = (0.0, -20.0, 80.0, 60.0)
    assert boxes(combined, region, (80, 40)) == [(0.0, 0.0, 20.0, 20.0)]
    assert boxes(combined, region, (80, 40), cells="all") == [(0.0, 0.0, 40.0, 20.0)]


@pytest.mark.parametrize("size", [(64, 48), (48, 64), (96, 54), (94, 40), (66, 44)])
@pytest.mark.parametrize("threshold", ["grid", "picture"])
def test_padding_has_no_say_whatever_it_holds(size: tuple[int, int], threshold: str) -> None:
    rng = np.random.default_rng(sum(size))
    combined, (width, height) = rng.random((24, 24)), size
    side = max(size)
    x, y = (side - width) / 2, (side - height) / 2
    region = (-x, -y, side - x, side - y)
    found = boxes(combined, region, size, threshold=threshold, component="all")
    inside = cells_on_picture((24, 24), region, size)
    for filler in (0.0, 9.0):
        other = np.where(inside, combined, filler)
        assert boxes(other, region, size, threshold=threshold, component="all") == found


@pytest.mark.parametrize("threshold", ["grid", "picture"])
@pytest.mark.parametrize("component", ["largest", "hull", "all"])
def test_square_pictures_have_no_padding(threshold: str, component: str) -> None:
    combined = np.random.default_rng(3).random((24, 24)).astype(np.float32)
    given = {"threshold": threshold, "component": component}
    assert boxes(combined, **given) == boxes(combined, **given, cells="all")


def test_pixels_that_a_crop_cuts_off_count_in_no_mean() -> None:
    # The grid sees the middle 40 of 160 columns: a third of what it sees is above its mean.
    combined = np.ones((4, 4))
    combined[:, :2] = 1.5
    found = boxes(combined, (60.0, 0.0, 100.0, 40.0), (160, 40), threshold="picture")
    assert found == [(60.0, 0.0, 80.0, 40.0)]


def test_the_public_codes_frame_is_off_by_the_padding() -> None:
    combined = np.zeros((4, 4))
    combined[1, 1] = 1
    region = (0.0, -10.0, 40.0, 30.0)
    right = boxes(combined, region, (40, 20))
    wrong = boxes(combined, region, (40, 20), undo_padding=False, cells="all")
    assert right == [(10.0, 0.0, 20.0, 10.0)]
    assert wrong == [(10.0, 5.0, 20.0, 10.0)]


@given(arrays(np.float32, (6, 6), elements=st.integers(0, 5).map(np.float32)))
def test_the_box_of_everything_holds_all_others(combined: np.ndarray) -> None:
    whole = boxes(combined, component="all")
    for component in ("largest", "hull"):
        for x0, y0, x1, y1 in boxes(combined, component=component):
            assert whole[0][0] <= x0 < x1 <= whole[0][2]
            assert whole[0][1] <= y0 < y1 <= whole[0][3]
    assert bool(whole) == (np.ptp(combined) > 0)


def test_a_flat_map_has_no_box() -> None:
    for threshold in ("grid", "picture"):
        assert boxes(np.ones((3, 3)), threshold=threshold) == []


@pytest.mark.parametrize("wrong", [{"threshold": "both"}, {"cells": ""}, {"component": "first"}])
def test_unknown_choices_are_named(wrong: dict) -> None:
    with pytest.raises(GroundingError, match=f"boxes.{next(iter(wrong))} is .*; expected one of"):
        BoxSettings(**wrong)
