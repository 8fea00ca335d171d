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
    return in_rows(tiles, COLUMNS) if tiles else None


def in_rows(tiles: Sequence[Image.Image], columns: int) -> Image.Image:
    """Tiles side by side on white, in rows of `columns`."""
    rows = -(-len(tiles) // columns)
    wide, high = TILE + GAP, TILE + CAPTION + GAP
    sheet = Image.new("RGB", (min(columns, len(tiles)) * wide + GAP, rows * high + GAP), "white")
    for number, one in enumerate(tiles):
        sheet.paste(one, (GAP + number % columns * wide, GAP + number // columns * high))
    return sheet


def tile(pixels: np.ndarray, words: str, below: str = "") -> Image.Image:
    """A picture, (H, W, 3) uint8, fitted into a tile with up to two lines of text under it."""
    made = Image.new("RGB", (TILE, TILE + CAPTION), "white")
    small = ImageOps.contain(Image.fromarray(pixels), (TILE, TILE))
    made.paste(small, ((TILE - small.width) // 2, (TILE - small.height) // 2))
    draw, font = ImageDraw.Draw(made), ImageFont.load_default(15)
    words = words if len(words) <= 42 else words[:40] + "..."
    draw.text((2, TILE + 4), words, fill=(20, 20, 20), font=font)
    draw.text((2, TILE + 23), below, fill=(110, 110, 110), font=font)
    return made


def outline(pixels: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int], line: int) -> None:
    """Draw the border of a mask, (H, W) bool, on the picture, in place."""
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(pixels, found, -1, colour, line)


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
        outline(pixels, decode_rle(record["mask"]), FOUND, line)
    if item.truth is not None:
        size = pixels.shape[1], pixels.shape[0]
        outline(pixels, item.truth.draw(size) == 1, TRUE, line)
    for box, colour in ((record["box"], FOUND), (item.box, TRUE)):
        if box is not None:
            x0, y0, x1, y1 = (round(v) for v in box)
            cv2.rectangle(pixels, (x0, y0), (x1 - 1, y1 - 1), colour, max(1, line // 2))
    return tile(pixels, item.phrase, f"{item.kind}, IoU {_iou(record) or 0:.2f}")
