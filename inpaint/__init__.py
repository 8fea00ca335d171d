"""Repaint the masked part of a picture: image + mask + prompt -> image.

Every pixel outside the declared ``support`` equals the input's. The package does not know how the
mask was found.

    from groundbrush.inpaint import InpaintSettings, fill, load_inpainter

    inpainter = load_inpainter("diffusers/stable-diffusion-xl-1.0-inpainting-0.1", device="cuda")
    result = fill(inpainter, image, mask, "a green pear", seed=7)

Importing it loads numpy, scipy and OpenCV only; torch and diffusers load with the first model.
"""

from __future__ import annotations

# Imported eagerly: with a lazy attribute, `inpaint.fill` would name the module once it is loaded.
from .errors import Cancelled, InpaintError
from .fill import Fill, fill, fill_many
from .painter.base import Inpainter
from .painter.loading import load_inpainter
from .settings import InpaintSettings

__all__ = [
    "Cancelled",
    "Fill",
    "InpaintError",
    "InpaintSettings",
    "Inpainter",
    "fill",
    "fill_many",
    "load_inpainter",
]
