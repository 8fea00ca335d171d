"""What a ControlNet is shown of the crop, and how one is loaded. Edges only: no further model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from ..errors import InpaintError
from ..settings import InpaintSettings, check_choice
from ..validation import describe

CONDITIONERS = ("canny",)
_NAMES = ("path", "revision", "variant", "conditioner")
_CANNY = 100, 200
_RIM = 3


def check_controlnet(entry: Any) -> dict[str, Any]:
    """Return a preset's ``controlnet`` entry if it is well formed.

    Parameters
    ----------
    entry : mapping
        "path" (a folder or a repository), and optionally "revision", "variant" and "conditioner",
        one of `CONDITIONERS` ("canny" where it is left out).

    Raises
    ------
    InpaintError
        For anything else, such as a conditioner that would need a model of its own.
    """
    good = isinstance(entry, Mapping) and isinstance(entry.get("path"), str) and entry["path"]
    if not good or set(entry) - set(_NAMES):
        raise InpaintError(
            f"controlnet: got {describe(entry)}; expected a mapping with path, and optionally "
            f"{', '.join(_NAMES[1:])}."
        )
    conditioner = entry.get("conditioner", CONDITIONERS[0])
    if conditioner not in CONDITIONERS:
        raise InpaintError(
            f"conditioner: got {conditioner!r}, which cannot be computed here (depth, pose and the "
            f"like need a model of their own); expected one of {', '.join(CONDITIONERS)}. Use a "
            "ControlNet trained on Canny edges."
        )
    return {**entry, "conditioner": conditioner}


def load_controlnet(entry: Any, *, offline: bool, dtype: Any) -> Any:
    """Load the ControlNet of a preset's entry, safetensors only.

    Raises
    ------
    InpaintError
        For a wrong entry, or a model that cannot be loaded.
    """
    entry = check_controlnet(entry)
    import diffusers

    options = {name: entry[name] for name in ("revision", "variant") if entry.get(name)}
    try:
        return diffusers.ControlNetModel.from_pretrained(
            entry["path"], use_safetensors=True, local_files_only=offline, dtype=dtype, **options
        )
    except Exception as error:
        first = str(error).strip().splitlines()
        raise InpaintError(
            f"controlnet: {entry['path']!r} could not be loaded ({type(error).__name__}: "
            f"{first[0][:200] if first else ''}); expected a folder or repository of a "
            "ControlNetModel in safetensors. Check the name, or leave controlnet out."
        ) from error


def control_image(
    conditioner: str, image: np.ndarray, hole: np.ndarray, settings: InpaintSettings
) -> np.ndarray:
    """Return what the ControlNet is shown.

    Parameters
    ----------
    conditioner : {"canny"}
    image : (h, w, 3) uint8
        The crop as it was, on the model's canvas.
    hole : (h, w) bool
    settings : InpaintSettings
        Its `control`: with "surroundings" no edge is drawn in the hole or on its border.

    Returns
    -------
    (h, w, 3) uint8, white edges on black.
    """
    check_choice("conditioner", conditioner, CONDITIONERS)
    edges = cv2.Canny(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), *_CANNY)
    if settings.control == "surroundings":
        # Canny looks at neighbours: what is hidden draws an outline just outside, too.
        kernel = np.ones((2 * _RIM + 1, 2 * _RIM + 1), np.uint8)
        edges[cv2.dilate(hole.astype(np.uint8), kernel) > 0] = 0
    return np.repeat(edges[..., None], 3, 2)
