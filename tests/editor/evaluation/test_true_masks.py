"""True masks: drawn as pycocotools draws them, and those worked by hand."""

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
)
from PIL import Image


def test_uncompressed_run_lengths_go_down_the_columns() -> None:
    truth = coco_truth({"size": [2, 3], "counts": [1, 2, 3]})
    assert isinstance(truth, RunLengths)
    assert truth.draw((3, 2)).tolist() == [[0, 1, 0], [1, 0, 0]]


def test_several_polygons_are_one_thing() -> None:
    truth = coco_truth([[0, 0, 2, 0, 2, 2, 0, 2], [1, 0, 4, 0, 4, 2, 1, 2], [3, 3, 4, 4]])
    assert isinstance(truth, Polygons)
    assert truth.draw((5, 3)).tolist() == [[1, 1, 1, 1, 0], [1, 1, 1, 1, 0], [0, 0, 0, 0, 0]]


def test_damaged_run_lengths_are_refused() -> None:
    with pytest.raises(GroundbrushError, match="run lengths"):
        RunLengths((2, 2), (1, 2)).draw((2, 2))


def test_a_mask_of_another_picture_is_refused() -> None:
    with pytest.raises(GroundbrushError, match="true mask is 3 by 2 and the picture 2 by 3"):
        RunLengths((2, 3), (6,)).draw((2, 3))


def test_a_pixel_that_the_outline_cuts_follows_cocos_rule() -> None:
    # as rleFrPoly: a column changes where the outline passes its middle
    assert Polygons(((1, 0, 3, 0, 3, 2, 1, 2),)).draw((4, 2)).tolist() == [[0, 1, 1, 0]] * 2
    triangle = Polygons(((0, 0, 4, 0, 0, 4),)).draw((4, 4))
    assert triangle.tolist() == [[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert not Polygons(((9, 9, 12, 9, 12, 12),)).draw((4, 4)).any()
    assert not Polygons(()).draw((4, 4)).any()


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
