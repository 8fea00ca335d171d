"""Failures as a contact sheet: picture, true and predicted outlines, and the phrase, by tile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from ...multiobject.errors import MultiObjectError
from ...multiobject.export.rle import decode_rle
from ..errors import GroundbrushError, translate
from ..pictures.picture import open_picture
from .items import Item

TRUE, FOUND = (64, 220, 96), (255, 64, 129)
TILE, CAPTION, GAP, COLUMNS = 320, 44, 8, 4


def failures(records: Sequence[Mapping[str, Any]], most: int = 24) -> list[Mapping[str, Any]]:
    """Records of one arm with a mask (or box) IoU below a half, worst first."""
    found = [(iou, r) for r in records if (iou := _iou(r)) is not None and iou < 0.5]
    return [r for _, r in sorted(found, key=lambda pair: pair[0])[:most]]


def failure_sheet(failed: Sequence[Mapping[str, Any]], items: Sequence[Item]) -> Image.Image | None:
    """Failures side by side, or None without any; the records must hold their masks.

    True outline and box are green, the predicted ones pink.
    """
    by_id = {item.id: item for item in items}
    tiles = []
    for record in failed:
        try:
            tiles.append(_tile(record, by_id[record["item"]]))
        except GroundbrushError:  # the picture was removed meanwhile
            continue
    if not tiles:
        return None
    rows = -(-len(tiles) // COLUMNS)
    wide, high = TILE + GAP, TILE + CAPTION + GAP
    sheet = Image.new("RGB", (min(COLUMNS, len(tiles)) * wide + GAP, rows * high + GAP), "white")
    for number, tile in enumerate(tiles):
        sheet.paste(tile, (GAP + number % COLUMNS * wide, GAP + number // COLUMNS * high))
    return sheet


def _iou(record: Mapping[str, Any]) -> float | None:
    if "error" in record or record["kind"] == "absent":
        return None
    if record["union"] is not None:
        return record["shared"] / record["union"] if record["union"] else 1.0
    return record["box_iou"]


def _tile(record: Mapping[str, Any], item: Item) -> Image.Image:
    pixels = open_picture(item.image).pixels.copy()
    line = max(2, round(max(pixels.shape) / 160))
    with translate(MultiObjectError):
        _outline(pixels, decode_rle(record["mask"]), FOUND, line)
    if item.truth is not None:
        size = pixels.shape[1], pixels.shape[0]
        _outline(pixels, item.truth.draw(size) == 1, TRUE, line)
    for box, colour in ((record["box"], FOUND), (item.box, TRUE)):
        if box is not None:
            x0, y0, x1, y1 = (round(v) for v in box)
            cv2.rectangle(pixels, (x0, y0), (x1 - 1, y1 - 1), colour, max(1, line // 2))
    tile = Image.new("RGB", (TILE, TILE + CAPTION), "white")
    small = ImageOps.contain(Image.fromarray(pixels), (TILE, TILE))
    tile.paste(small, ((TILE - small.width) // 2, (TILE - small.height) // 2))
    draw, font = ImageDraw.Draw(tile), ImageFont.load_default(15)
    words = item.phrase if len(item.phrase) <= 42 else item.phrase[:40] + "..."
    draw.text((2, TILE + 4), words, fill=(20, 20, 20), font=font)
    line_below = f"{item.kind}, IoU {_iou(record) or 0:.2f}"
    draw.text((2, TILE + 23), line_below, fill=(110, 110, 110), font=font)
    return tile


def _outline(pixels: np.ndarray, mask: np.ndarray, colour: tuple[int, ...], line: int) -> None:
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(pixels, found, -1, colour, line)
