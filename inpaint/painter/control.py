"""ControlNets: load one, and draw the edges it follows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from ..errors import InpaintError
from ..settings import InpaintSettings, check_choice
from .inpainter import check_entry, explain_loading

CONDITIONERS = ("canny",)
_CANNY_THRESHOLDS = 100, 200
_RIM = 3


def check_controlnet(entry: Any) -> dict[str, Any]:
    """Return a preset's ``controlnet`` entry with its default conditioner.

    It has "path" (a folder or a repository), and optionally "revision", "variant" and
    "conditioner", one of `CONDITIONERS`. Raises InpaintError for anything else.
    """
    check_entry("controlnet", entry, ("revision", "variant", "conditioner"))
    conditioner = entry.get("conditioner", CONDITIONERS[0])
    if conditioner not in CONDITIONERS:
        raise InpaintError(
            f"conditioner: got {conditioner!r}, which cannot be computed here (depth, pose and the "
            f"like need a model of their own); expected one of {', '.join(CONDITIONERS)}. Use a "
            "ControlNet trained on Canny edges."
        )
    return {**entry, "conditioner": conditioner}


def load_controlnet(entry: Mapping[str, Any], **options: Any) -> Any:
    """Load the ControlNet of a checked entry, safetensors only; options are diffusers'."""
    import diffusers

    options |= {name: entry[name] for name in ("revision", "variant") if entry.get(name)}
    remedy = (
        "; expected a folder or repository of a ControlNetModel in safetensors. Check the name, or "
        "leave controlnet out."
    )
    with explain_loading(f"controlnet: {entry['path']!r}", remedy):
        return diffusers.ControlNetModel.from_pretrained(
            entry["path"], use_safetensors=True, **options
        )


def control_image(
    conditioner: str, image: np.ndarray, hole: np.ndarray, settings: InpaintSettings
) -> np.ndarray:
    """Return the ControlNet's input, white edges on black, for the original crop on the canvas.

    With `settings.control` "surroundings", no edge is drawn in the hole or on its border.
    """
    check_choice("conditioner", conditioner, CONDITIONERS)
    edges = cv2.Canny(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), *_CANNY_THRESHOLDS)
    if settings.control == "surroundings":
        # Canny compares neighbours: a hidden object also draws an outline just outside the hole.
        kernel = np.ones((2 * _RIM + 1, 2 * _RIM + 1), np.uint8)
        edges[cv2.dilate(hole.astype(np.uint8), kernel) > 0] = 0
    return np.repeat(edges[..., None], 3, 2)
