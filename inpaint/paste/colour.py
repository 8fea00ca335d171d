"""Correct the colour cast of a painted crop, fitted on its unmasked pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BLOCK = 4
MIN_BLOCKS = 16
MAX_BLOCKS = 65_536
GAIN_RANGE = (0.8, 1.25)
OFFSET_RANGE = (-32.0, 32.0)
_FLAT = 2.0


@dataclass(frozen=True)
class ColourFit:
    """``corrected = gain * (value - pivot) + pivot + offset``, per channel, in 0 ... 255.

    The pivot is the median of the fitted pixels: bounding the offset there bounds the shift of the
    colours that occur, which bounding an intercept at black would not.
    """

    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    pivot: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Return the corrected ``(H, W, 3)`` uint8 image."""
        values = np.arange(256)
        result = np.empty_like(image)
        for channel in range(3):
            gain, offset, pivot = (part[channel] for part in (self.gain, self.offset, self.pivot))
            table = np.clip(np.rint(gain * (values - pivot) + pivot + offset), 0, 255)
            result[..., channel] = table.astype(np.uint8)[image[..., channel]]
        return result


def fit_colour(generated: np.ndarray, original: np.ndarray, known: np.ndarray) -> ColourFit:
    """Fit a gain and an offset per channel that bring `generated` to `original`.

    Least squares on the unmasked pixels, `known`, trimmed three times at 2.5 robust standard
    deviations (drifted shapes must not pull at the colours), with the gain clipped to `GAIN_RANGE`
    and the offset to `OFFSET_RANGE`. It compares means of 4 x 4 pixels, so that lost sharpness or a
    shift by a pixel does not count as lost contrast. The identity if fewer than `MIN_BLOCKS` blocks
    are wholly known; gain 1 if they are nearly flat.

    Examples
    --------
    >>> ramp = np.arange(20, 220).repeat(6).reshape(20, 20, 3).astype(np.uint8)
    >>> fit_colour(ramp, ramp + 10, np.ones((20, 20), bool)).offset
    (10.0, 10.0, 10.0)
    """
    places = np.flatnonzero(_blocks(known).all(-1))
    if places.size < MIN_BLOCKS:
        return ColourFit()
    # Every n-th block, never a random draw: the same input gives the same fit.
    places = places[:: -(-places.size // MAX_BLOCKS)]
    painted, truth = (
        np.stack([_blocks(image[..., channel])[places].mean(-1) for channel in range(3)], -1)
        for image in (generated, original)
    )
    fits = [_fit_channel(painted[:, channel], truth[:, channel]) for channel in range(3)]
    gain, offset, pivot = zip(*fits, strict=True)
    return ColourFit(gain, offset, pivot)


def _blocks(plane: np.ndarray) -> np.ndarray:
    """Cut an (H, W) array into (n, 16) blocks of 4 x 4; incomplete blocks are left out."""
    rows, columns = plane.shape[0] // BLOCK, plane.shape[1] // BLOCK
    plane = plane[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK)
    return plane.swapaxes(1, 2).reshape(rows * columns, BLOCK * BLOCK)


def _fit_channel(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    pivot = float(np.median(x))
    x, y = x - pivot, y - pivot
    gain, offset = 1.0, float(np.median(y - x))
    for _ in range(3):
        residual = np.abs(y - gain * x - offset)
        keep = residual <= max(2.5 * 1.4826 * float(np.median(residual)), 1.0)
        kept_x, kept_y = x[keep], y[keep]
        mean_x, mean_y = kept_x.mean(), kept_y.mean()
        variance = ((kept_x - mean_x) ** 2).mean()
        gain = 1.0
        if variance > _FLAT**2:
            gain = float(((kept_x - mean_x) * (kept_y - mean_y)).mean() / variance)
            gain = float(np.clip(gain, *GAIN_RANGE))
        offset = float(mean_y - gain * mean_x)
    return gain, round(float(np.clip(offset, *OFFSET_RANGE)), 9), pivot
