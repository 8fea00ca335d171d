"""Convert to LabelMe's JSON, to correct masks by hand (https://github.com/wkentaro/labelme)."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from ..panoptic import PanopticGrounding


def to_labelme(found: PanopticGrounding, *, image_path: str = "picture.png") -> dict[str, Any]:
    """Convert to a LabelMe document: a polygon for each piece of a thing, without its holes.

    Pieces of one thing share their ``group_id``. `image_path` is the picture's file, relative to
    the document.
    """
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
            listed += [{**common, **shape} for shape in _polygons(mask)]
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
