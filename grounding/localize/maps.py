"""Head maps in numpy: combine, binarise, box, and resample to the picture's own pixels.

Kang et al., CVPR 2025, Sec. 5 and App. B.2. There are two coordinate frames: token cells
of a (P, Q) grid, and pixels of the image. `region` is the rectangle of the image, in its pixels,
that the grid covers: larger than the image where a processor padded it, smaller where it cropped.
Cell (i, j) covers x0 + j w/Q to x0 + (j+1) w/Q, and so on; pixel (y, x) has its centre at
(x + 0.5, y + 0.5). Boxes are xyxy and half-open in both frames.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from ..errors import GroundingError

Box = tuple[float, float, float, float]
CellBox = tuple[int, int, int, int]

_EIGHT = np.ones((3, 3), dtype=bool)


def combine_maps(maps: ArrayLike, sigma: float = 1.0, kernel: int = 7) -> NDArray[np.float32]:
    """Smooth each map and add them up (App. B.2).

    Smoothing and adding are linear, so the sum is smoothed once. Borders reflect (half-sample),
    which keeps every map's attention sum, as the public code's scipy default does; "nearest"
    would count border cells, where attention sinks sit, more than once.

    Parameters
    ----------
    maps : (k, P, Q) maps of the k localization heads.
    sigma : standard deviation of the Gaussian in cells; 0 leaves the maps as they are.
    kernel : taps of the Gaussian, odd. The paper has 7; scipy's default at sigma 1 would be 9.

    Returns (P, Q) float32.

    Raises GroundingError for wrong shape, values that are not finite, negative sigma, or an even
    kernel.

    Examples
    --------
    >>> combine_maps(np.ones((3, 4, 4)))[0].tolist()
    [3.0, 3.0, 3.0, 3.0]
    """
    array = finite_array(maps, "head maps", axes="(k, P, Q)", ndim=3, exact=True)
    if not (np.isfinite(sigma) and sigma >= 0):
        raise GroundingError(f"sigma is {sigma}; expected 0 (no smoothing) or more, in cells.")
    if kernel != int(kernel) or kernel < 1 or kernel % 2 == 0:
        raise GroundingError(f"kernel is {kernel}; expected an odd number of taps such as 7.")
    total = array.sum(axis=0, dtype=np.float64)
    if sigma > 0 and kernel > 1:
        radius = (int(kernel) - 1) // 2
        total = ndimage.gaussian_filter(total, sigma, mode="reflect", radius=radius)
    return total.astype(np.float32)


def pseudo_mask(map: ArrayLike, within: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    """Cells strictly above the map's mean, (P, Q) bool; nothing where the map is constant.

    Works on the grid or on a map resampled to pixels; the paper does not say which. Cells that are
    not `within`, (P, Q) bool, count neither in the mean nor in the mask.

    Examples
    --------
    >>> pseudo_mask([[0.0, 0.0], [0.0, 1.0]]).tolist()
    [[False, False], [False, True]]
    """
    array = _map(map)
    counted = array if within is None or within.all() else array[within]
    # A constant map's mean can round to just below its values.
    if not counted.size or counted.min() == counted.max():
        return np.zeros(array.shape, dtype=bool)
    above = array > counted.mean(dtype=np.float64)
    return above if within is None else above & within


def largest_component(mask: ArrayLike) -> NDArray[np.bool_]:
    """The largest 8-connected component of a (P, Q) mask; of equals the first in reading order."""
    labels, order = _components(mask)
    return labels == order[0] if order.size else np.zeros(labels.shape, dtype=bool)


def largest_component_box(mask: ArrayLike, *, all_components: bool = False) -> CellBox | None:
    """Tight box of the largest 8-connected component.

    The paper's "largest convex hull" is read so: a component and its hull share their tight box.

    Parameters
    ----------
    mask : (P, Q) bool.
    all_components : box everything that is set instead (plurals; the public code's way).

    Returns (x0, y0, x1, y1) whole cells, half-open, or None for an empty mask.

    Examples
    --------
    >>> largest_component_box([[1, 1, 0, 0], [1, 0, 0, 1]])
    (0, 0, 2, 2)
    """
    if all_components:
        ys, xs = np.nonzero(_mask(mask))
        if not xs.size:
            return None
        return int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1
    boxes = component_boxes(mask)
    return boxes[0] if boxes else None


def component_boxes(mask: ArrayLike) -> tuple[CellBox, ...]:
    """Tight box of every 8-connected component of a (P, Q) mask, largest component first.

    Equal areas keep reading order of their first cells. Boxes as in `largest_component_box`.
    """
    labels, order = _components(mask)
    slices = ndimage.find_objects(labels)
    found = (slices[label - 1] for label in order)
    return tuple((xs.start, ys.start, xs.stop, ys.stop) for ys, xs in found)


def token_map_to_image(
    map: ArrayLike, region_xyxy: ArrayLike, size_wh: tuple[int, int]
) -> NDArray[np.float32]:
    """Resample a token map to the image's pixels, undoing padding or cropping exactly.

    Bilinear between cell centres at x0 + (j + 0.5) w/Q; the outer half cell keeps the border
    cell's value. Written out in numpy because cv2.warpAffine rounds positions to 1/32 cell.

    Parameters
    ----------
    map : (P, Q) token map.
    region_xyxy : rectangle of the image, in its pixels, that the grid covers; may reach outside.
    size_wh : (W, H) of the image.

    Returns (H, W) float32, 0 at pixels with their centre outside the region.

    Raises GroundingError for wrong shapes, or a region that is empty or does not meet the image.

    Examples
    --------
    A 4 by 2 picture padded to a 4 by 4 square, seen through a 2 by 2 grid:

    >>> token_map_to_image([[1.0, 1.0], [1.0, 1.0]], (0, -1, 4, 3), (4, 2)).tolist()
    [[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]]
    """
    grid = _map(map).astype(np.float32, copy=False)
    (x0, y0, x1, y1), (width, height) = _region(region_xyxy), whole_size(size_wh)
    if min(x1, width) <= max(x0, 0) or min(y1, height) <= max(y0, 0):
        raise GroundingError(
            f"region ({x0:g}, {y0:g}, {x1:g}, {y1:g}) does not meet the image of "
            f"{width} by {height} pixels; give it in the image's own pixels."
        )
    top, bottom, down, inside_y = _taps(y0, y1, grid.shape[0], height)
    left, right, across, inside_x = _taps(x0, x1, grid.shape[1], width)
    columns = grid[:, left] + (grid[:, right] - grid[:, left]) * across
    image = columns[top]
    image += (columns[bottom] - image) * down[:, None]
    image[~inside_y] = 0.0
    image[:, ~inside_x] = 0.0
    return image


def cells_to_pixels(
    box_cells: ArrayLike, grid_hw: tuple[int, int], region_xyxy: ArrayLike, size_wh: tuple[int, int]
) -> Box | None:
    """A box of cells as a box of the image's pixels, clipped to the image.

    Parameters
    ----------
    box_cells : (x0, y0, x1, y1) half-open cells; fractions of a cell are fine.
    grid_hw : (P, Q) of the grid.
    region_xyxy, size_wh : as in `token_map_to_image`.

    Returns xyxy float pixels, or None where the box lies wholly outside the image (in the padding).

    Raises GroundingError for an empty box or region, a box outside the grid, or a grid or image
    without extent.

    Examples
    --------
    >>> cells_to_pixels((0, 0, 12, 24), (24, 24), (0, -100, 600, 500), (600, 400))
    (0.0, 0.0, 300.0, 400.0)
    """
    cells = _box(box_cells, "box")
    (x0, y0, x1, y1), (width, height) = _region(region_xyxy), whole_size(size_wh)
    rows, columns = whole_size(grid_hw, "grid_hw", "(P, Q)")
    if min(cells[:2]) < 0 or cells[2] > columns or cells[3] > rows:
        raise GroundingError(
            f"the box {cells} reaches outside the grid of {rows} rows and {columns} columns; "
            "give it in cells, and the grid as (P, Q)."
        )
    step_x, step_y = (x1 - x0) / columns, (y1 - y0) / rows
    left, right = np.clip([x0 + cells[0] * step_x, x0 + cells[2] * step_x], 0, width)
    top, bottom = np.clip([y0 + cells[1] * step_y, y0 + cells[3] * step_y], 0, height)
    if right <= left or bottom <= top:
        return None
    return float(left), float(top), float(right), float(bottom)


def normalise_map(map: ArrayLike) -> NDArray[np.float32]:
    """The map stretched to [0, 1], float32; zeros where it is constant (it points nowhere).

    Examples
    --------
    >>> normalise_map([[1.0, 2.0, 3.0]]).tolist()
    [[0.0, 0.5, 1.0]]
    """
    array = _map(map).astype(np.float64, copy=False)
    low, spread = array.min(), np.ptp(array)
    if spread == 0:
        return np.zeros(array.shape, dtype=np.float32)
    return ((array - low) / spread).astype(np.float32)


def peaks(map: ArrayLike, count: int, min_distance: float = 2.0) -> NDArray[np.intp]:
    """Highest local maxima of a map, for point prompts.

    Parameters
    ----------
    map : (P, Q) map.
    count : how many at most.
    min_distance : no two peaks lie closer than this, in cells between their centres.

    Returns
    -------
    (n, 2) whole (x, y) cells, highest first, n <= count; of equals the first in reading order.
    Only cells above the mean count, so a constant map has none.

    Examples
    --------
    >>> peaks([[0, 3, 0, 0, 2], [0, 0, 0, 0, 0]], count=2).tolist()
    [[1, 0], [4, 0]]
    """
    if count < 1:
        raise GroundingError(f"count is {count}; expected at least 1 peak.")
    if not min_distance >= 0:
        raise GroundingError(f"min_distance is {min_distance}; expected 0 cells or more.")
    array = _map(map)
    tops = (array == ndimage.maximum_filter(array, size=3, mode="nearest")) & pseudo_mask(array)
    ys, xs = np.nonzero(tops)
    kept: list[NDArray] = []
    for index in np.argsort(-array[ys, xs], kind="stable"):
        point = np.array((xs[index], ys[index]))
        if all(np.hypot(*(point - other)) >= min_distance for other in kept):
            kept.append(point)
            if len(kept) == count:
                break
    return np.array(kept, dtype=np.intp).reshape(-1, 2)


def finite_array(
    value: ArrayLike,
    what: str,
    *,
    axes: str,
    ndim: int,
    exact: bool = False,
    remedy: str = "Leave them out or repair them.",
) -> NDArray:
    """`value` as a float array with enough axes and only finite entries."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise GroundingError(f"{what} do not form an array {axes}: {error}.") from error
    if array.dtype.kind not in "fiub":
        raise GroundingError(f"{what} have dtype {array.dtype}; expected real numbers {axes}.")
    if array.ndim < ndim or (exact and array.ndim != ndim) or array.size == 0:
        raise GroundingError(f"{what} have shape {array.shape}; expected a non-empty {axes}.")
    if array.dtype.kind != "f" or array.dtype == np.float16:
        array = array.astype(np.float64 if array.dtype.kind != "f" else np.float32)
    if not np.isfinite(array).all():
        bad = int(np.size(array) - np.isfinite(array).sum())
        raise GroundingError(f"{what} hold {bad} values that are not finite. {remedy}")
    return array


def whole_size(
    value: tuple[int, int], name: str = "size_wh", form: str = "(W, H)"
) -> tuple[int, int]:
    """Two whole numbers of at least 1."""
    try:
        first, second = (int(v) for v in value)
        good = (first, second) == tuple(value) and first > 0 and second > 0
    except (TypeError, ValueError):
        good = False
    if not good:
        raise GroundingError(f"{name} is {value!r}; expected {form}, whole and at least 1")
    return first, second


def _taps(
    start: float, stop: float, cells: int, pixels: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32], NDArray[np.bool_]]:
    """Per pixel of one axis: lower cell, upper cell, upper's weight, inside the region or not."""
    centres = np.arange(pixels) + 0.5
    position = np.clip((centres - start) * (cells / (stop - start)) - 0.5, 0, cells - 1)
    lower = np.floor(position).astype(np.intp)
    upper = np.minimum(lower + 1, cells - 1)
    weight = (position - lower).astype(np.float32)
    return lower, upper, weight, (centres >= start) & (centres < stop)


def _components(mask: ArrayLike) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
    """8-connected labels and their numbers, largest area first."""
    labels, count = ndimage.label(_mask(mask), structure=_EIGHT)
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    return labels, np.argsort(-areas, kind="stable") + 1


def _map(value: ArrayLike) -> NDArray:
    return finite_array(value, "the map", axes="(P, Q)", ndim=2, exact=True)


def _mask(value: ArrayLike) -> NDArray[np.bool_]:
    array = finite_array(value, "the mask", axes="(P, Q)", ndim=2, exact=True)
    if not np.isin(array, (0, 1)).all():
        raise GroundingError(
            f"the mask holds values up to {array.max():g}; expected a boolean mask, "
            "as pseudo_mask returns."
        )
    return array.astype(bool)


def _box(value: ArrayLike, what: str) -> Box:
    box = np.asarray(value)
    numbers = box.shape == (4,) and box.dtype.kind in "fiu" and np.isfinite(box).all()
    if not numbers or (box[2:] <= box[:2]).any():
        raise GroundingError(
            f"the {what} is {np.asarray(value).tolist()}; "
            "expected (x0, y0, x1, y1), finite, with x1 > x0 and y1 > y0."
        )
    return tuple(float(v) for v in box)  # type: ignore[return-value]


def _region(value: ArrayLike) -> Box:
    return _box(value, "region")
