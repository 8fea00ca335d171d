"""Resize a crop to the model's canvas, and hide the old object under a prefill."""

from __future__ import annotations

import cv2
import numpy as np

_TELEA_SIDE = 256
_GREY = 128


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize ``(H, W, 3)`` or ``(H, W)`` uint8 to `size` (width, height); area means going down."""
    height, width = image.shape[:2]
    if (width, height) == size:
        return image.copy()
    shrinks = size[0] <= width and size[1] <= height
    image = halve(image, size)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def halve(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Average 2 x 2 pixels while the result is as large as `size` (width, height) or larger.

    It is ten times as fast as an area mean at another ratio; `resize_image` starts with it, so a
    halved picture gives every smaller size the same bytes.
    """
    while 2 * size[0] <= image.shape[1] and 2 * size[1] <= image.shape[0]:
        half = image.shape[1] // 2, image.shape[0] // 2
        image = cv2.resize(image, half, interpolation=cv2.INTER_LINEAR)
    return image


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize an ``(H, W)`` bool mask to `size` (width, height), losing nothing.

    A new pixel is True if it covers any part of a True pixel: a thin mask must not vanish.

    Examples
    --------
    >>> resize_mask(np.array([[0, 1, 0, 0]], bool), (2, 1)).astype(int)
    array([[1, 0]])
    """
    if mask.shape[::-1] == size:
        return mask.copy()
    rows = np.ascontiguousarray(_cover(mask, size[1]).T)  # gathering whole rows is fast
    return np.ascontiguousarray(_cover(rows, size[0]).T)


def prefill(image: np.ndarray, hole: np.ndarray, kind: str) -> np.ndarray:
    """Return a copy with neutral pixels in the hole, so that the old object cannot leak through.

    "blur" draws the surroundings smoothly inward at all scales, "telea" is OpenCV's inpainting on a
    small copy, "grey" is mid-grey, "none" changes nothing. With nothing left outside the hole, the
    first two give grey.
    """
    result = image.copy()
    if kind == "none" or not hole.any():
        return result
    if kind == "grey" or hole.all():
        result[hole] = _GREY
    else:
        result[hole] = (_telea if kind == "telea" else _blur)(image, hole)[hole]
    return result


def _cover(mask: np.ndarray, length: int) -> np.ndarray:
    """Resize the first axis; an entry is True if any that it covers is."""
    size = len(mask)
    ends = ((k * size // length, -(-(k + 1) * size // length)) for k in range(length))
    return np.array([mask[first:end].any(0) for first, end in ends])


def _blur(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Push-pull: average the known pixels down a pyramid, then fill the holes on the way up."""
    known = (~hole).astype(np.float32)
    colours: list[np.ndarray] = [image * known[..., None]]
    weights: list[np.ndarray] = [known]
    while max(colours[-1].shape[:2]) > 1:
        height, width = colours[-1].shape[:2]
        half = ((width + 1) // 2, (height + 1) // 2)
        colours.append(cv2.resize(colours[-1], half, interpolation=cv2.INTER_AREA))
        weights.append(cv2.resize(weights[-1], half, interpolation=cv2.INTER_AREA))
    result = (colours[-1] / weights[-1]).reshape(1, 1, 3)
    for colour, weight in zip(colours[-2::-1], weights[-2::-1], strict=True):
        coarse = cv2.resize(result, colour.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        coarse = coarse.reshape(colour.shape)
        known = colour / np.maximum(weight, 1e-6)[..., None]
        result = np.where(weight[..., None] > 0, known, coarse)
    return np.clip(np.rint(result), 0, 255).astype(np.uint8)


def _telea(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Telea's method on a small copy: at full size it takes seconds and shows streaks."""
    height, width = hole.shape
    scale = min(1, _TELEA_SIDE / max(height, width))
    small = max(1, round(width * scale)), max(1, round(height * scale))
    small_hole = resize_mask(hole, small)
    if small_hole.all():
        return _blur(image, hole)
    painted = cv2.inpaint(
        resize_image(image, small), small_hole.astype(np.uint8), 5, cv2.INPAINT_TELEA
    )
    return resize_image(painted, (width, height))
