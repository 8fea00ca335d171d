"""LabelMe's JSON, to correct masks by hand (https://github.com/wkentaro/labelme)."""

from __future__ import annotations

import base64
import io
from typing import Any

import cv2
import numpy as np

from ..errors import MultiObjectError
from ..panoptic import PanopticGrounding

SHAPES = ("polygon", "mask")


def to_labelme(
    found: PanopticGrounding, *, image_path: str = "picture.png", shapes: str = "polygon"
) -> dict[str, Any]:
    """What was found as a LabelMe document.

    Parameters
    ----------
    found
        A grounded caption.
    image_path
        The picture's file, as seen from the document's.
    shapes
        ``polygon``: one for each piece of a thing, without its holes; pieces of one thing share
        their ``group_id``. ``mask``: the exact pixels, which LabelMe reads from version 5.2.

    Raises
    ------
    MultiObjectError
        For other shapes.
    """
    if shapes not in SHAPES:
        raise MultiObjectError(f"shapes={shapes!r}; expected {' or '.join(map(repr, SHAPES))}")
    width, height = found.size_wh
    listed: list[dict[str, Any]] = []
    for segment in found.segments:
        for number in segment.ids:
            mask = found.painted(number)
            common = {
                "label": segment.name,
                "group_id": number,
                "description": segment.phrase,
                "flags": {},
            }
            made = _polygons(mask) if shapes == "polygon" else [_mask(mask)]
            listed += [{**common, **shape} for shape in made]
    return {
        "version": "5.5.0",
        "flags": {},
        "shapes": listed,
        "imagePath": image_path,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }


def _polygons(mask: np.ndarray) -> list[dict[str, Any]]:
    outlines, _ = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    made = []
    for outline in outlines:
        points = outline[:, 0].tolist()
        # LabelMe refuses polygons of fewer than three points: a line or a dot goes there and back
        points = (points * 3)[:3] if len(points) < 3 else points
        made.append(
            {
                "shape_type": "polygon",
                "points": [[float(x), float(y)] for x, y in points],
                "mask": None,
            }
        )
    return made


def _mask(mask: np.ndarray) -> dict[str, Any]:
    """The mask's crop as a PNG in base64; LabelMe's corners are both inside."""
    from PIL import Image

    xs, ys = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    x0, x1, y0, y1 = (int(v) for v in (xs[0], xs[-1], ys[0], ys[-1]))
    buffer = io.BytesIO()
    Image.fromarray(mask[y0 : y1 + 1, x0 : x1 + 1]).save(buffer, "PNG")
    return {
        "shape_type": "mask",
        "points": [[float(x0), float(y0)], [float(x1), float(y1)]],
        "mask": base64.b64encode(buffer.getvalue()).decode(),
    }
