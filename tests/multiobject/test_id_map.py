"""One id for every pixel: hand-worked pictures and laws."""

from __future__ import annotations

import numpy as np
import pytest
from groundbrush.multiobject import MultiObjectError, resolve_overlaps
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp


def mask(text: str) -> np.ndarray:
    return np.array([[c == "#" for c in row] for row in text.split()])


def ids(*masks: str, scores=None, maps=None) -> list[str]:
    drawn = [mask(m) for m in masks]
    out = resolve_overlaps(drawn, scores or [0.5] * len(drawn), maps)
    assert out.dtype == np.int32
    return ["".join(map(str, row)) for row in out]


def test_masks_that_do_not_touch_keep_all_of_theirs() -> None:
    assert ids("##..", "...#") == ["1102"]


def test_a_small_thing_on_a_large_one_leaves_a_hole_whatever_the_scores() -> None:
    assert ids("#### ####", ".##. ....", scores=[0.9, 0.1]) == ["1221", "1111"]
    assert ids(".##. ....", "#### ####", scores=[0.1, 0.9]) == ["2112", "2222"]


def test_holes_in_holes() -> None:
    assert ids("#########", "..#####..", "....#....") == ["112232211"]


def test_of_two_masks_of_one_place_the_better_has_it() -> None:
    assert ids("####.", ".####", scores=[0.9, 0.4]) == ["11112"]
    assert ids("#" * 12 + ".", "." + "#" * 12, scores=[0.4, 0.9]) == ["0" + "2" * 12]
    assert ids("####", "####", scores=[0.4, 0.9]) == ["2222"]
    assert ids("####", "####", scores=[0.9, 0.9]) == ["1111"]


def test_where_two_touch_each_pixel_goes_to_the_larger_score_times_map() -> None:
    left = np.array([[1, 1, 1, 0.6, 0.2, 0, 0, 0]])
    right = np.array([[0, 0, 0, 0.3, 0.9, 1, 1, 1]])
    maps = [lambda: left, lambda: right]
    assert ids("#####...", "...#####", maps=maps) == ["11112222"]
    assert ids("#####...", "...#####", maps=maps, scores=[0.1, 0.9]) == ["11122222"]
    assert ids("#####...", "...#####", scores=[0.1, 0.9]) == ["11122222"]
    assert ids("#####...", "...#####", scores=[0.9, 0.1]) == ["11111222"]


@pytest.mark.parametrize(
    ("inside", "outside", "taken"),
    # of 10 pixels inside a larger mask: 6 lie on it, 5 merely touch it
    [(6, 4, True), (5, 5, False)],
)
def test_a_mask_lies_on_a_larger_one_from_the_share_inside(inside, outside, taken) -> None:
    large = "#" * 20 + "." * outside
    small = "." * (20 - inside) + "#" * (inside + outside)
    (row,) = ids(large, small, scores=[0.9, 0.1])
    assert row.count("2") == (inside if taken else 0) + outside


@pytest.mark.parametrize(("size", "taken"), [(8, True), (9, False)])
def test_a_mask_on_another_is_small_up_to_a_share_of_its_area(size, taken) -> None:
    inside = -(-6 * size // 10)  # just enough to lie on it, too little to be the same object
    large, small = "#" * 10 + "." * (size - inside), "." * (10 - inside) + "#" * size
    (row,) = ids(large, small, scores=[0.9, 0.1])
    assert row[10 - inside : 10] == ("2" if taken else "1") * inside


@pytest.mark.parametrize(("common", "same"), [(14, True), (13, False)])
def test_masks_are_one_object_from_an_iou(common, same) -> None:
    left, right = "#" * 17 + "." * (17 - common), "." * (17 - common) + "#" * 17
    assert common / (34 - common) >= 0.7 or not same
    maps = [lambda: np.zeros((1, len(left))), lambda: np.ones((1, len(left)))]
    (row,) = ids(left, right, scores=[0.9, 0.1], maps=maps)
    assert row[17 - common : 17] == ("1" if same else "2") * common


@pytest.mark.parametrize(("left", "kept"), [(1, True), (0.9, False)])
def test_what_is_left_of_a_mask_is_kept_from_a_share_of_it(left, kept) -> None:
    uncovered = round(left * 10)  # of 100 pixels
    below, above = "#" * 100, "#" * (100 - uncovered) + "." * uncovered
    (row,) = ids(below, above, scores=[0.1, 0.9])
    assert ("1" in row) == kept


def test_maps_of_masks_that_touch_nothing_are_never_made() -> None:
    def never() -> np.ndarray:
        raise AssertionError("made")

    assert ids("#..", "..#", maps=[never, never]) == ["102"]


def test_empty_masks_are_nothing() -> None:
    assert ids("....", "##..") == ["2200"]
    assert ids("....") == ["0000"]


pictures = st.integers(1, 4).flatmap(
    lambda n: st.tuples(
        hnp.arrays(bool, (n, 6, 7)), st.lists(st.floats(0, 1), min_size=n, max_size=n)
    )
)


@settings(max_examples=150, deadline=None)
@given(pictures)
def test_laws(picture) -> None:
    masks, scores = picture
    out = resolve_overlaps(list(masks), scores)
    assert out.shape == masks.shape[1:]
    for k, one in enumerate(masks, 1):
        assert one[out == k].all()  # no segment covers pixels outside of its mask
        share = (out == k).sum()
        assert share == 0 or share >= 0.1 * one.sum()  # no slivers
    kept = set(np.unique(out)) - {0}
    alone = masks.sum(0) == 1
    for k in kept:
        assert (out[masks[k - 1] & alone] == k).all()  # uncontested pixels are kept


@pytest.mark.parametrize(
    ("masks", "scores", "words"),
    [
        ([], [], "masks given: none"),
        ([np.zeros((2, 2))], [1], "float64 .*expected .H, W. bool"),
        ([np.zeros((2, 2), bool), np.zeros((2, 3), bool)], [1, 1], "all of one shape"),
        ([np.zeros(2, bool)], [1], "expected .H, W. bool"),
        ([np.zeros((2, 2), bool)], [1, 1], "1 masks, 2 scores and no maps"),
    ],
)
def test_what_does_not_fit_is_refused(masks, scores, words) -> None:
    with pytest.raises(MultiObjectError, match=words):
        resolve_overlaps(masks, scores)
