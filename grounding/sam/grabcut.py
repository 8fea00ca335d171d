"""GrabCut (Rother et al., 2004) in SAM's place: boxes and clicks to masks, without a model.

For photographs where no segmenter has been downloaded. It separates colours: a thing that has those
of its background is found badly, and the box or the brush must say where it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from ..errors import GroundingError
from ..localize.maps import finite_array
from ..view import fitted_size, resize_mask, resize_shares
from .segmenter import Masks

_SIDE = 512  # pixels of the copy that is segmented
_WORK = 256  # pixels of the longer side of a window; GrabCut's time grows with its area
_REACHES = (0.08, 0.16, 0.32)
"""Half sides of the windows around a click, as a share of the picture's longer side: what a click
leaves open is how much is meant, and each window gives one answer."""
_TOUCH = 0.015  # radius around a click that certainly belongs, as a share of the longer side
_ROUNDS = 5
_LEAST, _PIECE = 0.05, 0.02
"""Least share of a box that a thing takes, below which the box itself is meant; and that a piece of
the thing takes."""
_EDGE = 10.0  # levels by which a visible border changes from one pixel to the next


@dataclass(frozen=True, eq=False)
class SmallPicture:
    """A picture for GrabCut: a reduced copy, and the picture's own size."""

    pixels: NDArray[np.uint8]
    size_wh: tuple[int, int]


class GrabCut:
    """Segments by colour; has what front ends use of a `Segmenter`: `embed` and `predict`."""

    title = "GrabCut"
    before_batch: Callable[[], object] = staticmethod(lambda: None)
    """Called before each window is segmented; it may raise to stop."""

    def embed(self, image: NDArray[np.uint8]) -> SmallPicture:
        """Return a copy of at most 512 pixels of a picture, (H, W, 3) uint8 RGB."""
        size = image.shape[1], image.shape[0]
        return SmallPicture(_reduced(image, _SIDE), size)

    def predict(
        self,
        embedding: SmallPicture,
        *,
        box: ArrayLike | None = None,
        points: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        multimask: bool = True,
        size_wh: tuple[int, int] | None = None,
    ) -> Masks:
        """Masks of a box (one) or of clicks (three, by how much is meant), as `Segmenter.predict`.

        Raises GroundingError for neither, or ones that lie outside the picture.
        """
        if box is None and points is None:
            raise GroundingError("no prompt was given; expected a box or points")
        pixels = embedding.pixels
        rows, columns = pixels.shape[:2]
        scale = np.array((columns, rows)) / np.array(embedding.size_wh)
        spots = np.zeros((0, 2)) if points is None else _points(points) * scale
        kinds = np.ones(len(spots)) if labels is None else np.asarray(labels, float)
        if len(kinds) != len(spots):
            raise GroundingError(f"{len(kinds)} labels for {len(spots)} points; expected as many")
        if box is not None:
            corners = finite_array(box, "box", axes="(4,)", ndim=1, exact=True)
            windows = [np.asarray(corners, float).reshape(4) * np.tile(scale, 2)]
        else:
            windows = [_around(spots[kinds > 0], reach * max(rows, columns)) for reach in _REACHES]
        found = []
        for window in windows:
            self.before_batch()
            found.append(_segment(pixels, window, spots, kinds))
        scores = np.array([_sureness(pixels, mask) for mask in found], np.float32)
        if not multimask:
            best = int(scores.argmax())
            found, scores = found[best : best + 1], scores[best : best + 1]
        size = size_wh or embedding.size_wh
        signs = np.stack([resize_shares(_signs(mask), (64, 64)) for mask in found])
        return Masks(np.stack([resize_mask(mask, size) for mask in found]), scores, signs)


def _points(points: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(finite_array(points, "points", axes="(k, 2)", ndim=2, exact=True), np.float64)


def _around(spots: NDArray, reach: float) -> NDArray:
    """A box that reaches so far around the clicks inside the thing."""
    if not len(spots):
        raise GroundingError("every point is labelled 0; expected at least one inside the thing")
    return np.concatenate([spots.min(0) - reach, spots.max(0) + reach])


def _segment(
    pixels: NDArray[np.uint8], box: NDArray, spots: NDArray, kinds: NDArray
) -> NDArray[np.bool_]:
    """The thing in a box that has the clicks, at the size of `pixels`."""
    height, width = pixels.shape[:2]
    left, top, right, bottom = _clipped(box, width, height)
    margin = max(4, (right - left) // 4, (bottom - top) // 4)
    x0, y0 = max(0, left - margin), max(0, top - margin)
    part = np.s_[y0 : bottom + margin, x0 : right + margin]
    window = pixels[part]
    trimap = np.full(window.shape[:2], cv2.GC_BGD, np.uint8)
    trimap[top - y0 : bottom - y0, left - x0 : right - x0] = cv2.GC_PR_FGD
    radius = max(1, round(_TOUCH * max(width, height)))
    far = max(width, height) + radius  # OpenCV takes no larger numbers than 32 bits hold
    spots = np.clip(spots - (x0, y0), -far, 2 * far)
    for (x, y), kind in zip(spots, kinds, strict=True):
        value = cv2.GC_FGD if kind > 0 else cv2.GC_BGD
        cv2.circle(trimap, (int(x), int(y)), radius, value, -1)
    mask = np.zeros((height, width), bool)
    area = (right - left) * (bottom - top)
    mask[part] = _pieces(_cut(window, trimap), spots, kinds, _PIECE * area)
    if mask.sum() < _LEAST * area and not len(spots):  # all of it has the background's colours
        mask[top:bottom, left:right] = True
    return mask


def _clipped(box: NDArray, width: int, height: int) -> tuple[int, int, int, int]:
    """Whole pixels of a box inside the picture."""
    inside = np.clip(box, 0, (width, height, width, height))
    if not np.isfinite(box).all() or (inside[2:] <= inside[:2]).any():
        raise GroundingError(f"box {box.tolist()} holds no pixel of the picture")
    left, top, right, bottom = map(int, (*np.floor(inside[:2]), *np.ceil(inside[2:])))
    return left, top, right, bottom


def _cut(window: NDArray[np.uint8], trimap: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """GrabCut on at most `_WORK` pixels; the same input gives the same mask."""
    small = _reduced(window, _WORK)
    size = small.shape[1], small.shape[0]
    kinds = np.asarray(cv2.resize(trimap, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    if not (kinds == cv2.GC_BGD).any():  # the box is the picture: its border is background
        for edge in (kinds[0], kinds[-1], kinds[:, 0], kinds[:, -1]):
            edge[:] = cv2.GC_BGD
    if not (kinds & 1).any():
        return np.zeros(trimap.shape, bool)
    # Of one flat colour all cuts are equally good, and OpenCV seeks among them for a minute.
    grain = np.random.default_rng(0).integers(-1, 2, small.shape)
    small = np.clip(small + grain, 0, 255).astype(np.uint8)
    cv2.setRNGSeed(0)  # its clusters begin at random; the seed is this thread's own
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(small, kinds, (0, 0, 1, 1), *models, _ROUNDS, cv2.GC_INIT_WITH_MASK)
    return resize_mask((kinds & 1).astype(bool), trimap.shape[::-1])


def _pieces(
    mask: NDArray[np.bool_], spots: NDArray, kinds: NDArray, least: float
) -> NDArray[np.bool_]:
    """The pieces of a mask that hold a click, or all of at least some pixels; without holes."""
    pieces, count = ndimage.label(mask)
    if not count:
        return mask
    areas = np.bincount(pieces.ravel())[1:]
    rows, columns = mask.shape
    inside = [
        int(pieces[min(max(int(y), 0), rows - 1), min(max(int(x), 0), columns - 1)])
        for (x, y), kind in zip(spots, kinds, strict=True)
        if kind > 0
    ]
    kept = {piece for piece in inside if piece} or {
        int(k) + 1 for k in np.flatnonzero(areas >= min(least, areas.max()))
    }
    filled = ndimage.binary_fill_holes(np.isin(pieces, list(kept)))
    return np.asarray(filled, bool)


def _reduced(image: NDArray[np.uint8], longest: int) -> NDArray[np.uint8]:
    """At most so many pixels on the longer side."""
    size = fitted_size((image.shape[1], image.shape[0]), longest)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _signs(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    return np.where(mask, 8, -8).astype(np.float32)


def _sureness(pixels: NDArray[np.uint8], mask: NDArray[np.bool_]) -> float:
    """The share of the mask's border where the picture has one."""
    lab = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB)
    steps = np.hypot(cv2.Sobel(lab, cv2.CV_32F, 1, 0), cv2.Sobel(lab, cv2.CV_32F, 0, 1)) / 8
    border = mask ^ ndimage.binary_erosion(mask, border_value=1)
    if not border.any():
        return 0.0
    return float((steps.max(-1)[border] >= _EDGE).mean())
