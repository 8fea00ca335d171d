"""Masks equal those of pycocotools pixel for pixel, and those worked by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from groundbrush.editor.errors import GroundbrushError
from groundbrush.editor.evaluation.true_masks import (
    MaskFile,
    Polygons,
    RunLengths,
    Shapes,
    coco_truth,
    decode_rle,
    encode_rle,
    polygon_mask,
)
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))
MASKS = SIZES.flatmap(lambda size: arrays(bool, size))
COORDINATES = st.one_of(
    st.integers(-4, 44).map(float), st.floats(-4, 44, width=32).map(lambda v: round(v, 2))
)
OUTLINES = st.lists(COORDINATES, min_size=6, max_size=20).map(lambda v: v[: len(v) // 2 * 2])


@given(OUTLINES, SIZES)
def test_polygons_equal_pycocotools(outline: list[float], size_wh: tuple[int, int]) -> None:
    coco = pytest.importorskip("pycocotools.mask")
    width, height = size_wh
    reference = coco.decode(coco.frPyObjects([outline], height, width))[..., 0]
    assert (polygon_mask(outline, size_wh) == reference).all()


@given(MASKS)
def test_run_lengths_equal_pycocotools_both_ways(mask: np.ndarray) -> None:
    coco = pytest.importorskip("pycocotools.mask")
    reference = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    ours = encode_rle(mask)
    assert ours["counts"] == reference["counts"].decode()
    assert ours["size"] == list(reference["size"])
    assert (decode_rle(reference) == mask).all()


@given(MASKS)
def test_run_lengths_come_back(mask: np.ndarray) -> None:
    assert (decode_rle(encode_rle(mask)) == mask).all()


def test_uncompressed_run_lengths_go_down_the_columns() -> None:
    truth = coco_truth({"size": [2, 3], "counts": [1, 2, 3]})
    assert isinstance(truth, RunLengths)
    assert truth.draw((3, 2)).tolist() == [[0, 1, 0], [1, 0, 0]]


def test_several_polygons_are_one_thing() -> None:
    truth = coco_truth([[0, 0, 2, 0, 2, 2, 0, 2], [1, 0, 4, 0, 4, 2, 1, 2], [3, 3, 4, 4]])
    assert isinstance(truth, Polygons)
    assert truth.draw((5, 3)).tolist() == [[1, 1, 1, 1, 0], [1, 1, 1, 1, 0], [0, 0, 0, 0, 0]]


@pytest.mark.parametrize(
    "rle",
    [
        {"size": [2, 2], "counts": [1, 2]},
        {"size": [2, 2], "counts": [5, -1]},
        {"size": [2, 2], "counts": "~~"},
        {"size": [2], "counts": [4]},
        {"size": [2, 2]},
        {"size": [10**6, 10**6], "counts": [10**12]},
        {"size": [-2, -2], "counts": [4]},
    ],
)
def test_damaged_run_lengths_are_refused(rle: dict) -> None:
    with pytest.raises(GroundbrushError, match="run lengths"):
        decode_rle(rle)


def test_a_mask_of_another_picture_is_refused() -> None:
    with pytest.raises(GroundbrushError, match="true mask is 3 by 2 and the picture 2 by 3"):
        RunLengths((2, 3), (6,)).draw((2, 3))


@pytest.mark.parametrize("part", [(0, 0, 1, 1), (0, 0, 1, 1, 2, 2, 3), (0, 0, 1, 1, 2, np.nan)])
def test_a_polygon_that_is_none_is_refused(part: tuple) -> None:
    with pytest.raises(GroundbrushError, match="a polygon of .* numbers given"):
        Polygons((part,))


def test_reasonseg_shapes_smallest_last() -> None:
    whole = ((0.0, 0.0), (3.0, 0.0), (3.0, 3.0), (0.0, 3.0))
    corner = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    # the small one is given first and must still win
    shapes = Shapes((("Ignore", corner), ("target", whole), ("FLAG", whole)))
    assert shapes.draw((4, 4)).tolist() == [
        [255, 255, 1, 1],
        [255, 255, 1, 1],
        [1, 1, 1, 1],
        [1, 1, 1, 1],
    ]


def test_a_mask_picture(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 255], [7, 0]], np.uint8)).save(tmp_path / "m.png")
    assert MaskFile(tmp_path / "m.png").draw((2, 2)).tolist() == [[0, 1], [1, 0]]
    with pytest.raises(GroundbrushError, match="is 2 by 2 and the picture 3 by 2"):
        MaskFile(tmp_path / "m.png").draw((3, 2))
