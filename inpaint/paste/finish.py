"""Paste a painted canvas into its picture: resize, match colours, blend, composite.

A canvas has about a thousand pixels a side: blending it at the resolution of a large picture would
take seconds and gain nothing. A large window is therefore finished on a copy of at most `FINEST`
times the canvas; only the ramp between old and new pixels is computed at full size.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..callbacks import check_cancelled
from ..crop import Crop, Size
from ..errors import InpaintError
from ..prefill import resize_image, resize_mask
from ..settings import InpaintSettings
from ..support import fill_holes, inward_feather
from ..validation import check_image
from .blend import laplacian, poisson
from .colour import fit_colour
from .composite import composite

FINEST = 2
"""Most pixels of the finished copy for each pixel of the canvas, along a side."""


@dataclass(frozen=True, eq=False)
class Target:
    """The picture, its mask (replaced wholly) and its support (may change; contains the mask)."""

    image: np.ndarray
    mask: np.ndarray
    support: np.ndarray

    def paste(self, painted: np.ndarray, crop: Crop, settings: InpaintSettings) -> np.ndarray:
        """Return the picture with the painted canvas in the crop's window."""
        if check_image(painted).shape[1::-1] != crop.canvas:
            raise InpaintError(
                f"painted canvas: got {painted.shape[1::-1]} (width, height); expected "
                f"{crop.canvas}. A painter must return the size it was given."
            )
        window = self.image[crop.slices]
        full = window.shape[1::-1]
        size = finished_size(full, crop.canvas)
        beneath, support = resize_image(window, size), resize_mask(self.support[crop.slices], size)
        painted = resize_image(painted, size)
        check_cancelled()  # each part may take a second at 40 megapixels
        if settings.colour_match:
            painted = fit_colour(painted, beneath, ~support).apply(painted)
        check_cancelled()
        alpha = self._alpha(crop, support, settings)
        check_cancelled()
        if settings.blend == "poisson":
            painted = poisson(painted, beneath, support)
        elif settings.blend == "laplacian":
            painted = laplacian(painted, beneath, alpha)
        check_cancelled()
        if size != full:
            painted, alpha = resize_image(painted, full), self._enlarged(alpha, crop, settings)
        return composite(self.image, painted, alpha, crop.window)

    def _alpha(self, crop: Crop, support: np.ndarray, settings: InpaintSettings) -> np.ndarray:
        """Return the ramp of the finished copy; `support` is every pixel that it touches."""
        scale = support.shape[1] / (crop.window[2] - crop.window[0])
        mask = resize_mask(self.mask[crop.slices], support.shape[::-1])
        core = fill_holes(mask, settings.fill_holes) & support
        # Where the mask itself is the support, and only there, the ramp may lie on the old object.
        ramped_outside = bool((support & ~core).any())
        if scale < 1:
            # Enlarged, it then reaches 0 at the border, not beyond; a thin support would vanish.
            inner = ~resize_mask(~self.support[crop.slices], support.shape[::-1])
            support = inner if 2 * inner.sum() >= support.sum() else support
        feather = max(1, round(settings.feather * scale)) if settings.feather else 0
        # The window's border is an edge, unless it is the picture's.
        (left, top, right, bottom), (height, width) = crop.window, self.image.shape[:2]
        around = (int(top > 0), int(bottom < height)), (int(left > 0), int(right < width))
        alpha = inward_feather(
            np.pad(support, around), feather, np.pad(core, around) if ramped_outside else None
        )
        rows, columns = support.shape
        return alpha[around[0][0] :, around[1][0] :][:rows, :columns]

    def _enlarged(self, alpha: np.ndarray, crop: Crop, settings: InpaintSettings) -> np.ndarray:
        """Return the ramp at full size: 0 outside the support, and 1 where the mask is."""
        mask, support = self.mask[crop.slices], self.support[crop.slices]
        # Unblurred, the copy's pixels would show as jagged edges.
        wide = cv2.resize(
            cv2.GaussianBlur(alpha, (5, 5), 1), support.shape[::-1], interpolation=cv2.INTER_CUBIC
        )
        # In place: ten million new pixels take longer to get from the system than to fill.
        wide = np.clip(wide, 0, 1, out=wide)
        wide = np.multiply(wide, support, out=wide)
        if settings.feather == 0:
            return np.maximum(wide, support, out=wide)
        if (support & ~mask).any():
            return np.maximum(wide, mask, out=wide)
        return wide


def finished_size(window: Size, canvas: Size) -> Size:
    """Return the (width, height) at which a window is finished.

    Examples
    --------
    >>> finished_size((900, 600), (1024, 1024)), finished_size((6000, 4000), (1024, 1024))
    ((900, 600), (2048, 1365))
    """
    scale = FINEST * max(canvas) / max(window)
    if scale >= 1:
        return window
    return max(1, round(window[0] * scale)), max(1, round(window[1] * scale))
