"""Convert to COCO's panoptic and instance formats (https://cocodataset.org/#format-data)."""

from __future__ import annotations

import colorsys
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...grounding.view import tight_box
from ..errors import MultiObjectError
from ..panoptic import PanopticGrounding
from .rle import encode_rle

MOST_INSTANCES = 4096
"""Annotations of one picture are numbered from this many times its own number."""
_OTHERS_FROM = 1000  # COCO's own categories end at 200


@dataclass(frozen=True, eq=False)
class CocoPanoptic:
    """A picture's panoptic annotation: the PNG's pixels (`id_to_rgb`) and the JSON document."""

    pixels: np.ndarray
    document: dict[str, Any]

    def png(self) -> bytes:
        """Return the PNG file."""
        from PIL import Image

        buffer = io.BytesIO()
        Image.fromarray(self.pixels).save(buffer, "PNG")
        return buffer.getvalue()


def coco_panoptic(
    found: PanopticGrounding,
    *,
    file_name: str = "picture.png",
    png_name: str | None = None,
    image_id: int | None = None,
    categories: Sequence[dict[str, Any]] | None = None,
) -> CocoPanoptic:
    """Convert to a COCO panoptic PNG and JSON.

    Parameters
    ----------
    file_name, png_name : The picture's file and the PNG's; by default `panoptic_png_name` of the
        former.
    image_id : By default a number that follows from `file_name`, so that the documents of pictures
        with different names can be joined.
    categories : COCO's, with ``id``, ``name`` and ``isthing``, to take numbers from. Every other
        noun has a number and a colour that follow from the noun, so that it has the same in every
        document.

    Each segment also carries ``phrase``, ``span``, ``score`` and ``status``;
    absent phrases are listed as ``not_found`` of the annotation.

    Raises MultiObjectError for a `png_name` that panopticapi's converters would cut at its first
    dot.
    """
    png_name = png_name or panoptic_png_name(file_name)
    if png_name.count(".") != 1 or not png_name.endswith(".png"):
        raise MultiObjectError(
            f"png_name={png_name!r}; expected one dot, before png, such as "
            f"{panoptic_png_name(file_name)!r}: panopticapi cuts the name at its first dot"
        )
    image_id = image_id_of(file_name) if image_id is None else image_id
    numbers, listed = _categories(found, categories)
    segments = []
    for segment in found.segments:
        for number in segment.ids:
            mask = found.painted(number)
            segments.append(
                {
                    "id": number,
                    "category_id": numbers[segment.name],
                    "iscrowd": 0,
                    "bbox": _xywh(mask),
                    "area": int(mask.sum()),
                    "phrase": segment.phrase,
                    "span": list(segment.span),
                    "score": round(segment.score, 4),
                    "status": segment.status,
                }
            )
    missing = [
        {"phrase": s.phrase, "span": list(s.span), "status": s.status, "reason": s.reason}
        for s in found.segments
        if not s.ids
    ]
    annotation = {
        "image_id": image_id,
        "file_name": png_name,
        "caption": found.caption,
        "segments_info": segments,
        "not_found": missing,
    }
    document = _document(found, file_name, image_id, [annotation], listed)
    return CocoPanoptic(id_to_rgb(found.id_map), document)


def coco_instances(
    found: PanopticGrounding,
    *,
    file_name: str = "picture.png",
    image_id: int | None = None,
    categories: Sequence[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Convert the things to COCO instances, masks run-length encoded.

    Masks are whole: unlike the id map's they may overlap. Arguments as for `coco_panoptic`.
    Annotations are numbered from ``4096 * image_id``, so that their numbers differ between
    pictures, too.
    """
    image_id = image_id_of(file_name) if image_id is None else image_id
    numbers, listed = _categories(found, categories)
    annotations: list[dict[str, Any]] = []
    for segment in found.segments:
        for one in segment.instances:
            annotations.append(
                {
                    "id": MOST_INSTANCES * image_id + len(annotations),
                    "image_id": image_id,
                    "category_id": numbers[segment.name],
                    "segmentation": encode_rle(one.mask),
                    "area": int(one.mask.sum()),
                    "bbox": _xywh(one.mask),
                    "iscrowd": 0,
                    "score": round(one.score, 4),
                    "phrase": segment.phrase,
                }
            )
    return _document(found, file_name, image_id, annotations, listed)


def image_id_of(file_name: str) -> int:
    """Return the number of a picture, 40 bits that follow from its file's name."""
    return int.from_bytes(hashlib.sha256(Path(file_name).name.encode()).digest()[:5], "big")


def panoptic_png_name(file_name: str) -> str:
    """Return a panoptic PNG's name with one dot, which is all that panopticapi's converters allow.

    Examples
    --------
    >>> panoptic_png_name("my.photo.jpg")
    'my_photo_panoptic.png'
    """
    return f"{Path(file_name).stem.replace('.', '_')}_panoptic.png"


def id_to_rgb(ids: np.ndarray) -> np.ndarray:
    """Convert an id map (H, W) to (H, W, 3) uint8: id = R + 256 G + 65536 B.

    Examples
    --------
    >>> id_to_rgb(np.array([[1, 258, 65536]]))[0].tolist()
    [[1, 0, 0], [2, 1, 0], [0, 0, 1]]
    """
    whole = ids.astype(np.int64)
    return np.stack([whole & 255, whole >> 8 & 255, whole >> 16], axis=-1).astype(np.uint8)


def rgb_to_id(pixels: np.ndarray) -> np.ndarray:
    """Convert a panoptic PNG's pixels (H, W, 3) uint8 to the id map (H, W) int32."""
    return pixels.astype(np.int32) @ np.array([1, 256, 65536], np.int32)


def _categories(
    found: PanopticGrounding, given: Sequence[dict[str, Any]] | None
) -> tuple[dict[str, int], list[dict[str, Any]]]:
    """Return noun -> number, and the file's list of categories."""
    listed = [{"color": _colour(str(one["name"])), **one} for one in given or ()]
    numbers = {str(one["name"]): int(one["id"]) for one in listed}
    for segment in found.segments:
        if segment.name not in numbers:
            numbers[segment.name] = _OTHERS_FROM + _digest(segment.name) % (1 << 24)
            listed.append(
                {
                    "id": numbers[segment.name],
                    "name": segment.name,
                    "supercategory": "thing" if segment.is_thing else "stuff",
                    "isthing": int(segment.is_thing),
                    "color": _colour(segment.name),
                }
            )
    return numbers, listed


def _digest(noun: str) -> int:
    return int.from_bytes(hashlib.sha256(noun.encode()).digest()[5:10], "big")


def _colour(noun: str) -> list[int]:
    """Return a bright colour that follows from the noun, as panopticapi draws a category."""
    hue, value = _digest(noun) % 360 / 360, 0.6 + 0.4 * (_digest(noun) // 360 % 5) / 4
    return [round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.75, value)]


def _document(
    found: PanopticGrounding,
    file_name: str,
    image_id: int,
    annotations: list[dict[str, Any]],
    categories: list[dict[str, Any]],
) -> dict[str, Any]:
    width, height = found.size_wh
    image = {"id": image_id, "file_name": file_name, "width": width, "height": height}
    return {"images": [image], "annotations": annotations, "categories": categories}


def _xywh(mask: np.ndarray) -> list[int]:
    x0, y0, x1, y1 = (int(v) for v in tight_box(mask))
    return [x0, y0, x1 - x0, y1 - y0]
