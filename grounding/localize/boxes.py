"""From a combined map to the boxes SAM is asked about, with every choice the paper leaves open.

The paper thresholds the map at its mean and boxes the largest convex hull (Kang et al., CVPR 2025,
Sec. 5 and App. B.2); it does not say whether on the grid or on the picture, nor what becomes of the
padding. The defaults are this project's reading; the others are for measuring what each is worth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..errors import GroundingError
from .maps import cells_to_pixels, component_boxes, pseudo_mask

Box = tuple[float, float, float, float]
THRESHOLDS = ("grid", "picture")
CELLS = ("picture", "all")
COMPONENTS = ("largest", "hull", "all")
_MOST = 4  # further components are specks


@dataclass(frozen=True)
class BoxSettings:
    """How boxes are cut out of a map.

    Parameters
    ----------
    threshold
        Where the map is compared with its mean: on the token ``"grid"``, or on the ``"picture"``
        after bilinear upsampling.
    cells
        Which cells take part: those on the ``"picture"``, or ``"all"``, its padding too.
    component
        ``"largest"``: the 8-connected component of most cells comes first; ``"hull"``: the one
        whose convex hull has the largest area; ``"all"``: one box around everything.
    undo_padding
        False lays the padded square straight onto the picture, as the public code does; wrong, and
        kept to measure by how much.
    """

    threshold: str = "grid"
    cells: str = "picture"
    component: str = "largest"
    undo_padding: bool = True

    def __post_init__(self) -> None:
        for name, known in (("threshold", THRESHOLDS), ("cells", CELLS), ("component", COMPONENTS)):
            if getattr(self, name) not in known:
                raise GroundingError(
                    f"boxes.{name} is {getattr(self, name)!r}; expected one of {', '.join(known)}"
                )

    def region(self, region: Box, size_wh: tuple[int, int]) -> Box:
        """The rectangle of the picture that the grid is taken to cover."""
        return region if self.undo_padding else (0.0, 0.0, float(size_wh[0]), float(size_wh[1]))


def settled_map(
    combined: NDArray[np.float32], region: Box, size_wh: tuple[int, int], settings: BoxSettings
) -> NDArray[np.float32]:
    """The map with its padding cells at the lowest value on the picture, unless all take part."""
    if settings.cells == "all":
        return combined
    inside = cells_on_picture(combined.shape, region, size_wh)
    return np.where(inside, combined, combined[inside].min()).astype(np.float32)


def map_boxes(
    combined: NDArray[np.float32],
    heat: NDArray[np.float32],
    region: Box,
    size_wh: tuple[int, int],
    settings: BoxSettings | None = None,
) -> list[Box]:
    """Boxes of the pseudo-mask, the paper's one first, in the picture's pixels.

    Parameters
    ----------
    combined
        (P, Q) map, from :func:`settled_map`.
    heat
        (H, W) the same map over the picture, from `token_map_to_image`.
    region, size_wh
        As in `token_map_to_image`.

    Returns
    -------
    At most four; none where the map is flat or everything above its mean lies on padding.
    """
    settings = settings or BoxSettings()
    if settings.threshold == "picture":
        return [_floats(box) for box in _ordered(pseudo_mask(heat), settings.component)[:_MOST]]
    mask = pseudo_mask(combined)
    if settings.cells == "picture":
        mask &= cells_on_picture(combined.shape, region, size_wh)
    cells = _ordered(mask, settings.component)[:_MOST]
    found = (cells_to_pixels(box, combined.shape, region, size_wh) for box in cells)
    return [box for box in found if box]


def cells_on_picture(grid: tuple[int, ...], region: Box, size_wh: tuple[int, int]) -> NDArray:
    """Cells whose centre lies on the picture and not on its padding, (P, Q) bool."""
    rows, columns = grid
    x0, y0, x1, y1 = region
    xs = x0 + (np.arange(columns) + 0.5) * (x1 - x0) / columns
    ys = y0 + (np.arange(rows) + 0.5) * (y1 - y0) / rows
    inside = ((ys >= 0) & (ys < size_wh[1]))[:, None] & ((xs >= 0) & (xs < size_wh[0]))
    # A sliver of a picture may hold no cell's centre; then every cell it touches counts.
    if inside.any():
        return inside
    half = (x1 - x0) / columns / 2, (y1 - y0) / rows / 2
    touches_y = (ys + half[1] > 0) & (ys - half[1] < size_wh[1])
    return touches_y[:, None] & ((xs + half[0] > 0) & (xs - half[0] < size_wh[0]))


def _ordered(
    mask: NDArray[np.bool_], component: Literal["largest", "hull", "all"] | str
) -> list[tuple[int, int, int, int]]:
    if component == "largest":
        return list(component_boxes(mask))
    if component == "all":
        xs, ys = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
        return [(int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1)] if xs.size else []
    labels, count = ndimage.label(mask, structure=np.ones((3, 3), bool))
    areas = [_hull_area(labels == label) for label in range(1, count + 1)]
    slices = ndimage.find_objects(labels)
    order = np.argsort([-area for area in areas], kind="stable")
    return [(s[1].start, s[0].start, s[1].stop, s[0].stop) for s in (slices[i] for i in order)]


def _hull_area(mask: NDArray[np.bool_]) -> float:
    """Area of the convex hull of a mask's cells, each a unit square."""
    ys, xs = np.nonzero(mask)
    corners = np.concatenate([np.stack([xs + i, ys + j], 1) for i in (0, 1) for j in (0, 1)])
    return float(cv2.contourArea(cv2.convexHull(corners.astype(np.int32))))


def _floats(box: tuple[int, int, int, int]) -> Box:
    x0, y0, x1, y1 = box
    return float(x0), float(y0), float(x1), float(y1)
