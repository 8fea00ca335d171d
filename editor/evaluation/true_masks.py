"""True masks as benchmarks write them: polygons, run lengths, labelled shapes, mask pictures.

Everything here is numpy; the results equal those of pycocotools pixel for pixel (a test compares),
so that scores can stand beside published ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import GroundbrushError

IGNORE = 255
_FINE = 5  # COCO draws polygons on a grid five times as fine
_MOST_PIXELS = 200_000_000
_FURTHEST = 1_000_000  # pixels from the corner; an outline is walked pixel by pixel
_LONGEST_RUN = 60  # bits

Labels = NDArray[np.uint8]


class Truth(Protocol):
    """A true mask that is drawn when it is needed."""

    def draw(self, size_wh: tuple[int, int]) -> Labels:
        """The mask (H, W) uint8 at a picture's size: 1 inside, 0 outside, 255 not counted."""
        ...


@dataclass(frozen=True)
class Polygons:
    """Outlines in COCO's form, each x0, y0, x1, y1, ... in pixels; their union is meant."""

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
        parts = [polygon_mask(part, size_wh) for part in self.parts]
        union: NDArray[np.bool_] = np.logical_or.reduce([np.zeros(size_wh[::-1], bool), *parts])
        return union.astype(np.uint8)


@dataclass(frozen=True)
class RunLengths:
    """COCO's run lengths: ``size`` is (H, W), ``counts`` a list or the compressed string."""

    size_hw: tuple[int, int]
    counts: tuple[int, ...] | str

    def draw(self, size_wh: tuple[int, int]) -> Labels:
        """See :class:`Truth`."""
        if self.size_hw != size_wh[::-1]:
            raise GroundbrushError(
                f"the true mask is {self.size_hw[1]} by {self.size_hw[0]} and the picture "
                f"{size_wh[0]} by {size_wh[1]}; expected one size"
            )
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
    """A picture whose pixels are not 0 where the thing is."""

    path: Path

    def draw(self, size_wh: tuple[int, int]) -> Labels:
        """See :class:`Truth`."""
        from ..pictures.picture import open_picture

        pixels = open_picture(self.path).pixels
        if pixels.shape[1::-1] != size_wh:
            raise GroundbrushError(
                f"the mask {str(self.path)!r} is {pixels.shape[1]} by {pixels.shape[0]} and the "
                f"picture {size_wh[0]} by {size_wh[1]}; expected one size"
            )
        return np.asarray(pixels.any(2), np.uint8)


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
    """Whether all are numbers that a picture's pixels may have."""
    return bool((np.abs(np.asarray(values, np.float64)) <= _FURTHEST).all())


def polygon_mask(outline: Sequence[float], size_wh: tuple[int, int]) -> NDArray[np.bool_]:
    """One polygon as a mask (H, W), with COCO's rule for pixels the outline cuts.

    The outline is walked on a grid five times as fine; where it passes the middle of a column of
    pixels, the column changes between in and out (the rule of ``rleFrPoly`` in pycocotools).

    Examples
    --------
    >>> polygon_mask([1, 0, 3, 0, 3, 2, 1, 2], (4, 2)).astype(int).tolist()
    [[0, 1, 1, 0], [0, 1, 1, 0]]
    """
    width, height = size_wh
    points = np.asarray(outline, np.float64).reshape(-1, 2)
    fine = (points * _FINE + 0.5).astype(np.int64)
    walks = [_walk(a, b) for a, b in zip(fine, np.roll(fine, -1, axis=0), strict=True)]
    u, v = np.concatenate(walks, axis=1)
    steps = np.flatnonzero(u[1:] != u[:-1])
    before, after = u[steps], u[steps + 1]
    column = np.where(after < before, after, after - 1)
    column = (column + 0.5) / _FINE - 0.5
    row = (np.minimum(v[steps], v[steps + 1]) + 0.5) / _FINE - 0.5
    kept = (np.floor(column) == column) & (column >= 0) & (column <= width - 1)
    row = np.ceil(np.clip(row[kept], 0, height)).astype(np.int64)
    flips = np.bincount(column[kept].astype(np.int64) * height + row, minlength=width * height + 1)
    inside = np.cumsum(flips)[: width * height] % 2 == 1
    return np.ascontiguousarray(inside.reshape(width, height).T)


def _walk(start: NDArray[np.int64], stop: NDArray[np.int64]) -> NDArray[np.int64]:
    """Grid points (2, n) from one corner to the next, in order, ends included."""
    (x0, y0), (x1, y1) = start.tolist(), stop.tolist()
    dx, dy = abs(x1 - x0), abs(y1 - y0)
    along_x = dx >= dy
    turned = x0 > x1 if along_x else y0 > y1
    if turned:
        x0, y0, x1, y1 = x1, y1, x0, y0
    steps = np.arange(max(dx, dy) + 1)
    if along_x:
        slope = (y1 - y0) / dx if dx else 0.0
        walk = np.stack([x0 + steps, (y0 + slope * steps + 0.5).astype(np.int64)])
    else:
        slope = (x1 - x0) / dy
        walk = np.stack([(x0 + slope * steps + 0.5).astype(np.int64), y0 + steps])
    return walk[:, ::-1] if turned else walk


def decode_rle(rle: Mapping[str, Any]) -> NDArray[np.bool_]:
    """A mask (H, W) from COCO's ``{"size": [H, W], "counts": list or string}``.

    Raises
    ------
    GroundbrushError
        For runs that are negative or do not fill the mask.

    Examples
    --------
    >>> decode_rle({"size": [2, 2], "counts": [1, 2, 1]}).astype(int).tolist()
    [[0, 1], [1, 0]]
    """
    try:
        height, width = (int(v) for v in rle["size"])
        counts = rle["counts"]
        text = counts.decode("ascii") if isinstance(counts, bytes) else counts
        runs = np.array(_counts(text) if isinstance(text, str) else text, np.int64)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise GroundbrushError(
            f"run lengths that cannot be read given ({error!r}); expected "
            '{"size": [H, W], "counts": [...] or COCO\'s string}'
        ) from error
    if not 0 < height * width <= _MOST_PIXELS or min(height, width) < 1:
        raise GroundbrushError(f"run lengths of size {height} by {width}; expected a picture's")
    # a sum of huge runs may overflow to the right one
    if (runs < 0).any() or (runs > height * width).any() or runs.sum() != height * width:
        raise GroundbrushError(
            f"run lengths that sum to {int(runs.sum())} given; expected {height * width} for a "
            f"mask of {height} by {width}, none negative"
        )
    values = np.arange(len(runs)) % 2 == 1
    return np.ascontiguousarray(np.repeat(values, runs).reshape(width, height).T)


def encode_rle(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """A mask (H, W) as COCO's compressed run lengths, JSON-able."""
    flat = np.asarray(mask, bool).T.ravel()
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flat, [not flat[-1]]])))
    runs = np.diff(np.concatenate([[0], edges])) if len(edges) else np.array([flat.size])
    return {"size": list(mask.shape), "counts": _string(runs.tolist())}


def _counts(text: str) -> list[int]:
    """Run lengths out of COCO's string: five bits a character, deltas from the run before last."""
    counts: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64:
            raise ValueError(f"the character {character!r} is not of COCO's alphabet")
        value |= (code & 0x1F) << shift
        shift += 5
        if shift > _LONGEST_RUN:
            raise ValueError("a run has no end")
        if code & 0x20:
            continue
        if code & 0x10:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    return counts


def _string(counts: Sequence[int]) -> str:
    characters = []
    for index, count in enumerate(counts):
        value, more = count - (counts[index - 2] if index > 2 else 0), True
        while more:
            code = value & 0x1F
            value >>= 5
            more = value != (-1 if code & 0x10 else 0)
            characters.append(chr(code + (0x20 if more else 0) + 48))
    return "".join(characters)


def _fill(mask: Labels, points: Sequence[tuple[float, float]], value: int) -> Labels:
    """Outline and inside of a polygon, whole pixels, in place."""
    corners = [np.array(points, np.float64).astype(np.int32)]
    cv2.polylines(mask, corners, True, value, 1)
    cv2.fillPoly(mask, corners, value)
    return mask
