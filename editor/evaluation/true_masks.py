"""True masks as benchmarks write them: polygons, run lengths, labelled shapes, mask pictures.

pycocotools draws COCO's polygons, so that scores are comparable with published ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ...multiobject.errors import MultiObjectError
from ...multiobject.export.rle import decode_rle
from ..errors import GroundbrushError, translate

IGNORE = 255
_FURTHEST = 1_000_000  # pixels from the corner; an outline is walked pixel by pixel

Labels = NDArray[np.uint8]


class Truth(Protocol):
    """A true mask, drawn on demand."""

    def draw(self, size_wh: tuple[int, int]) -> Labels:
        """The mask (H, W) uint8 at a picture's size: 1 inside, 0 outside, 255 ignored."""
        ...


@dataclass(frozen=True)
class Polygons:
    """The union of outlines in COCO's form, each x0, y0, x1, y1, ... in pixels."""

    parts: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        for part in self.parts:
            if len(part) < 6 or len(part) % 2 or not _near(part):
                raise GroundbrushError(
                    f"a polygon of {len(part)} numbers given; expected x, y pairs of at least "
                    f"three points, all within {_FURTHEST:,} pixels"
                )

    def draw(self, size_wh: tuple[int, int]) -> Labels:
        """See :class:`Truth`."""
        from pycocotools import mask as coco

        width, height = size_wh
        if not self.parts:
            return np.zeros((height, width), np.uint8)
        parts = coco.frPyObjects([list(part) for part in self.parts], height, width)
        return np.ascontiguousarray(coco.decode(coco.merge(parts)))


@dataclass(frozen=True)
class RunLengths:
    """COCO's run lengths: ``size`` is (H, W), ``counts`` a list or the compressed string."""

    size_hw: tuple[int, int]
    counts: tuple[int, ...] | str

    def draw(self, size_wh: tuple[int, int]) -> Labels:
        """See :class:`Truth`."""
        check_size("the true mask", self.size_hw, size_wh)
        with translate(MultiObjectError):
            return decode_rle({"size": self.size_hw, "counts": self.counts}).astype(np.uint8)


@dataclass(frozen=True)
class Shapes:
    """ReasonSeg's labelled shapes: (label, points) pairs, drawn as LISA draws them.

    "flag" is skipped; large ones are drawn first; a label with "ignore" in it gives 255.
    """

    shapes: tuple[tuple[str, tuple[tuple[float, float], ...]], ...]

    def __post_init__(self) -> None:
        for label, points in self.shapes:
            if not points or not _near([v for point in points for v in point]):
                raise GroundbrushError(
                    f"a shape {label!r} of {len(points)} points given; expected at least one, all "
                    f"within {_FURTHEST:,} pixels"
                )

    def draw(self, size_wh: tuple[int, int]) -> Labels:
        """See :class:`Truth`."""
        used = [(label.lower(), p) for label, p in self.shapes if label.lower() != "flag"]
        areas = [_fill(np.zeros(size_wh[::-1], np.uint8), points, 1).sum() for _, points in used]
        mask = np.zeros(size_wh[::-1], np.uint8)
        for index in np.argsort(areas)[::-1]:
            label, points = used[index]
            _fill(mask, points, IGNORE if "ignore" in label else 1)
        return mask


@dataclass(frozen=True)
class MaskFile:
    """A picture with pixels other than 0 inside the thing."""

    path: Path

    def draw(self, size_wh: tuple[int, int]) -> Labels:
        """See :class:`Truth`."""
        from ..pictures.picture import open_picture

        pixels = open_picture(self.path).pixels
        check_size(f"the mask {str(self.path)!r}", pixels.shape[:2], size_wh)
        return np.asarray(pixels.any(2), np.uint8)


def check_size(what: str, size_hw: tuple[int, ...], size_wh: tuple[int, int]) -> None:
    """Refuse a mask that is not of its picture's size."""
    if size_hw != size_wh[::-1]:
        raise GroundbrushError(
            f"{what} is {size_hw[1]} by {size_hw[0]} and the picture {size_wh[0]} by {size_wh[1]}; "
            "expected one size"
        )


def coco_truth(segmentation: Any) -> Truth:
    """COCO's ``segmentation``: a list of polygons, or run lengths."""
    if isinstance(segmentation, Mapping):
        height, width = (int(v) for v in segmentation["size"])
        counts = segmentation["counts"]
        text = counts if isinstance(counts, str) else tuple(int(v) for v in counts)
        return RunLengths((height, width), text)
    # two points enclose no pixel
    parts = (tuple(float(v) for v in part) for part in segmentation)
    return Polygons(tuple(part for part in parts if len(part) >= 6))


def _near(values: Sequence[float]) -> bool:
    """Whether all are numbers within `_FURTHEST`."""
    return bool((np.abs(np.asarray(values, np.float64)) <= _FURTHEST).all())


def _fill(mask: Labels, points: Sequence[tuple[float, float]], value: int) -> Labels:
    """Outline and inside of a polygon, whole pixels, in place."""
    corners = [np.array(points, np.float64).astype(np.int32)]
    cv2.polylines(mask, corners, True, value, 1)
    cv2.fillPoly(mask, corners, value)
    return mask
