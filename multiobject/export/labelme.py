"""Convert to LabelMe's JSON, to correct masks by hand (https://github.com/wkentaro/labelme)."""

from __future__ import annotations

import base64
import io
from typing import Any

import cv2
import numpy as np

from ...grounding.view import tight_box
from ..errors import MultiObjectError
from ..panoptic import PanopticGrounding

SHAPES = ("polygon", "mask")


def to_labelme(
    found: PanopticGrounding, *, image_path: str = "picture.png", shapes: str = "polygon"
) -> dict[str, Any]:
    """Convert to a LabelMe document.

    Parameters
    ----------
    image_path : The picture's file, relative to the document.
    shapes : ``polygon``: one for each piece of a thing, without its holes; pieces of one thing
        share their ``group_id``. ``mask``: the exact pixels, which LabelMe reads from version 5.2.

    Raises MultiObjectError for other shapes.
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
            drawn = _polygons(mask) if shapes == "polygon" else [_mask(mask)]
            listed += [{**common, **shape} for shape in drawn]
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
    polygons = []
    for outline in outlines:
        points = outline[:, 0].astype(float).tolist()
        # LabelMe refuses polygons of fewer than three points: repeat those of a line or a dot.
        points = (points * 3)[:3] if len(points) < 3 else points
        polygons.append({"shape_type": "polygon", "points": points, "mask": None})
    return polygons


def _mask(mask: np.ndarray) -> dict[str, Any]:
    """Return the mask's crop as a PNG in base64; LabelMe's corners are both inside."""
    from PIL import Image

    x0, y0, x1, y1 = (int(v) for v in tight_box(mask))
    buffer = io.BytesIO()
    Image.fromarray(mask[y0:y1, x0:x1]).save(buffer, "PNG")
    return {
        "shape_type": "mask",
        "points": [[float(x0), float(y0)], [float(x1 - 1), float(y1 - 1)]],
        "mask": base64.b64encode(buffer.getvalue()).decode(),
    }
