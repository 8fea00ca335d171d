"""From a combined map to the boxes that prompt SAM, with every choice the paper leaves open.

The paper thresholds the map at its mean and boxes the largest convex hull (Kang et al., CVPR 2025,
Sec. 5 and App. B.2); it does not say whether on the grid or on the picture, nor how padding counts.
Padding is no part of the picture: it would lower the mean, and boxes on strips would grow.
The defaults are this project's reading; the others exist to measure what each is worth.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..settings import BoxSettings
from .maps import (
    Box,
    CellBox,
    cells_to_pixels,
    component_boxes,
    largest_component_box,
    pseudo_mask,
    token_map_to_image,
)

_MOST = 4  # further components are specks


def box_map(
    combined: NDArray[np.float32], region: Box, size_wh: tuple[int, int], settings: BoxSettings
) -> tuple[NDArray[np.float32], Box, NDArray[np.float32], list[Box]]:
    """Lay a combined map over the picture and box it; `region` and `size_wh` as in `maps`.

    Returns the map (P, Q) with its padding settled, the rectangle of the picture that it covers,
    the same map over the picture (H, W), and the boxes of `map_boxes`.
    """
    if not settings.undo_padding:
        region = (0.0, 0.0, float(size_wh[0]), float(size_wh[1]))
    settled = _settled(combined, region, size_wh, settings)
    heat = token_map_to_image(settled, region, size_wh)
    boxes = map_boxes(settled, heat, region, size_wh, settings)
    return settled, region, heat, boxes


def _settled(
    combined: NDArray[np.float32], region: Box, size_wh: tuple[int, int], settings: BoxSettings
) -> NDArray[np.float32]:
    """The map with padding cells set to their nearest cell on the picture, unless all take part.

    Upsampling then mixes nothing of the padding into the picture's border.
    """
    inside = cells_on_picture(combined.shape, region, size_wh)
    if settings.cells == "all" or inside.all():
        return combined
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    near_row = np.clip(np.arange(combined.shape[0]), rows[0], rows[-1])
    near_column = np.clip(np.arange(combined.shape[1]), columns[0], columns[-1])
    return combined[np.ix_(near_row, near_column)]


def map_boxes(
    combined: NDArray[np.float32],
    heat: NDArray[np.float32],
    region: Box,
    size_wh: tuple[int, int],
    settings: BoxSettings | None = None,
) -> list[Box]:
    """Boxes of the pseudo-mask, the paper's box first, in the picture's pixels.

    Parameters
    ----------
    combined : (P, Q) map, as :func:`box_map` settles it.
    heat : (H, W) the same map over the picture, from `token_map_to_image`.
    region, size_wh : As in `token_map_to_image`.

    Returns At most four; none where the map is flat or everything above its mean lies on padding.
    """
    settings = settings or BoxSettings()
    mask = map_mask(combined, heat, region, size_wh, settings)
    found_cells = _ordered(mask, settings.component)[:_MOST]
    if settings.threshold == "picture":
        return [(float(x0), float(y0), float(x1), float(y1)) for x0, y0, x1, y1 in found_cells]
    found = (cells_to_pixels(box, combined.shape, region, size_wh) for box in found_cells)
    return [box for box in found if box]


def map_mask(
    combined: NDArray[np.float32],
    heat: NDArray[np.float32],
    region: Box,
    size_wh: tuple[int, int],
    settings: BoxSettings,
) -> NDArray[np.bool_]:
    """The pseudo-mask: (P, Q) cells, or (H, W) pixels for a threshold on the picture.

    Parameters as for :func:`map_boxes`. The mean is over the cells that lie on the picture, or over
    the pixels that the grid covers, unless all cells take part.
    """
    width, height = size_wh
    if settings.threshold == "grid":
        every, inside = combined, cells_on_picture(combined.shape, region, size_wh)
    else:
        x0, y0, x1, y1 = region
        picture = (-x0, -y0, width - x0, height - y0)  # as the grid sees it
        every, inside = heat, cells_on_picture((height, width), picture, (x1 - x0, y1 - y0))
    return pseudo_mask(every, inside if settings.cells == "picture" else None)


def cells_on_picture(
    grid: tuple[int, ...], region: Box, size_wh: tuple[float, float]
) -> NDArray[np.bool_]:
    """Cells with their centre on the picture and not on its padding, (P, Q) bool."""
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


def _ordered(mask: NDArray[np.bool_], component: str) -> list[CellBox]:
    if component == "largest":
        return list(component_boxes(mask))
    if component == "all":
        whole = largest_component_box(mask, all_components=True)
        return [whole] if whole else []
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


def cells_to_mask(
    cells: NDArray[np.bool_], region: Box, size_wh: tuple[int, int]
) -> NDArray[np.bool_]:
    """Cells (P, Q) as pixels (H, W): each pixel takes the cell that its centre lies in.

    Examples
    --------
    >>> cells_to_mask(np.array([[True, False]]), (0, 0, 4, 2), (4, 1)).tolist()
    [[True, True, False, False]]
    """
    x0, y0, x1, y1 = region
    rows, columns = cells.shape
    column = np.floor((np.arange(size_wh[0]) + 0.5 - x0) * columns / (x1 - x0)).astype(int)
    row = np.floor((np.arange(size_wh[1]) + 0.5 - y0) * rows / (y1 - y0)).astype(int)
    inside = ((row >= 0) & (row < rows))[:, None] & ((column >= 0) & (column < columns))
    return cells[np.clip(row, 0, rows - 1)[:, None], np.clip(column, 0, columns - 1)] & inside
