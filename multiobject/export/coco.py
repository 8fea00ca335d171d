"""Convert to COCO's panoptic and instance formats (https://cocodataset.org/#format-data)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import MultiObjectError
from ..instances import tight_box
from ..panoptic import PanopticGrounding
from .rle import encode_rle


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
    image_id: int = 1,
    categories: Sequence[dict[str, Any]] | None = None,
) -> CocoPanoptic:
    """Convert to a COCO panoptic PNG and JSON.

    Parameters
    ----------
    file_name, png_name
        The picture's file and the PNG's; by default the latter is the former ending in ``.png``.
    categories
        COCO's, with ``id``, ``name`` and ``isthing``, to take numbers from; other nouns get numbers
        after theirs. By default the caption's own nouns from 1.

    Returns
    -------
    CocoPanoptic
        Each segment also carries ``phrase``, ``span``, ``score`` and ``status``; absent phrases
        are listed as ``not_found`` of the annotation.
    """
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
        "file_name": png_name or f"{file_name.rpartition('.')[0] or file_name}.png",
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
    image_id: int = 1,
    categories: Sequence[dict[str, Any]] | None = None,
    stuff: bool = False,
) -> dict[str, Any]:
    """Convert the things to COCO instances, masks run-length encoded.

    Masks are whole: unlike the id map's they may overlap. Arguments as for `coco_panoptic`;
    `stuff` also lists stuff, one annotation for each phrase.
    """
    numbers, listed = _categories(found, categories)
    annotations: list[dict[str, Any]] = []
    for segment in found.segments:
        parts = [(i.mask, i.score) for i in segment.instances]
        if stuff and not segment.is_thing and segment.found:
            parts = [(segment.mask, segment.score)]
        for mask, score in parts:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": numbers[segment.name],
                    "segmentation": encode_rle(mask),
                    "area": int(mask.sum()),
                    "bbox": _xywh(mask),
                    "iscrowd": 0,
                    "score": round(score, 4),
                    "phrase": segment.phrase,
                }
            )
    return _document(found, file_name, image_id, annotations, listed)


def id_to_rgb(ids: np.ndarray) -> np.ndarray:
    """Convert an id map (H, W) to (H, W, 3) uint8: id = R + 256 G + 65536 B.

    Examples
    --------
    >>> id_to_rgb(np.array([[1, 258, 65536]]))[0].tolist()
    [[1, 0, 0], [2, 1, 0], [0, 0, 1]]
    """
    if ids.ndim != 2 or (ids.size and not 0 <= ids.min() <= ids.max() < 1 << 24):
        raise MultiObjectError(
            f"an id map {ids.shape} from {ids.min()} to {ids.max()} given; expected (H, W) from 0 "
            f"to {(1 << 24) - 1}"
        )
    whole = ids.astype(np.int64)
    return np.stack([whole & 255, whole >> 8 & 255, whole >> 16], axis=-1).astype(np.uint8)


def rgb_to_id(pixels: np.ndarray) -> np.ndarray:
    """Convert a panoptic PNG's pixels (H, W, 3) uint8 to the id map (H, W) int32."""
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise MultiObjectError(
            f"panoptic pixels of {pixels.dtype} {pixels.shape} given; expected (H, W, 3) uint8"
        )
    return pixels.astype(np.int32) @ np.array([1, 256, 65536], np.int32)


def _categories(
    found: PanopticGrounding, given: Sequence[dict[str, Any]] | None
) -> tuple[dict[str, int], list[dict[str, Any]]]:
    """Return noun -> number, and the file's list of categories."""
    listed = [dict(one) for one in given or ()]
    numbers = {str(one["name"]): int(one["id"]) for one in listed}
    for segment in found.segments:
        if segment.name not in numbers:
            numbers[segment.name] = max(numbers.values(), default=0) + 1
            listed.append(
                {
                    "id": numbers[segment.name],
                    "name": segment.name,
                    "supercategory": "thing" if segment.is_thing else "stuff",
                    "isthing": int(segment.is_thing),
                }
            )
    return numbers, listed


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
