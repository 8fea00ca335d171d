"""A picture of everything that was found, with a legend. It changes nothing."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from ...multiobject import PanopticGrounding, Segment

PANEL = 640  # shorter pictures are enlarged to this height so that numbers can be read
LEGEND = 420
_LINE, _TEXT, _SMALL = 48, 20, 15
_INK, _FAINT = (30, 30, 30), (120, 120, 120)


def colour_of(number: int) -> tuple[int, int, int]:
    """The colour of an id: neighbours differ, the same id always looks the same."""
    hue = (number * 0.618034 + 0.05) % 1  # the golden ratio spreads hues evenly
    light = (0.52, 0.62, 0.44)[number % 3]
    r, g, b = colorsys.hls_to_rgb(hue, light, 0.85)
    return round(r * 255), round(g * 255), round(b * 255)


def draw_segments(image: np.ndarray, found: PanopticGrounding) -> np.ndarray:
    """Every segment tinted in its colour and outlined; ``(H, W, 3)`` uint8."""
    out = image.astype(np.float32)
    out[found.id_map == 0] *= 0.55
    ids = [i for segment in found.segments for i in segment.ids]
    for number in ids:
        mask = found.painted(number)
        out[mask] = 0.55 * out[mask] + 0.45 * np.array(colour_of(number), np.float32)
    tinted = out.round().astype(np.uint8)
    line = max(1, round(max(image.shape) / 400))
    for number in ids:
        outline, _ = cv2.findContours(
            found.painted(number).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(tinted, outline, -1, (255, 255, 255), line)
    return tinted


def panoptic_sheet(image: np.ndarray, found: PanopticGrounding) -> Image.Image:
    """The picture with numbered segments beside a legend of all phrases, also those not found."""
    tile = Image.fromarray(draw_segments(image, found))
    scale = max(1.0, PANEL / tile.height)
    if scale > 1:
        tile = tile.resize(
            (round(tile.width * scale), round(tile.height * scale)), Image.Resampling.LANCZOS
        )
    draw = ImageDraw.Draw(tile)
    for segment in found.segments:
        for number in segment.ids:
            x, y = _middle(found.painted(number))
            _number(draw, (x * scale, y * scale), number, _TEXT, 3)
    height = max(tile.height, _LINE * (1 + len(found.segments)) + 16)
    sheet = Image.new("RGB", (tile.width + LEGEND, height), "white")
    sheet.paste(tile, (0, 0))
    pen = ImageDraw.Draw(sheet)
    pen.text(
        (tile.width + 16, 14),
        _cut(pen, f"“{found.caption}”", LEGEND - 32, _SMALL),
        fill=_FAINT,
        font=ImageFont.load_default(_SMALL),
    )
    for row, segment in enumerate(found.segments, 1):
        _legend_row(pen, tile.width + 16, row * _LINE, segment, said_words(found, segment))
    return sheet


def said_words(found: PanopticGrounding, segment: Segment) -> str:
    """A segment's words as in the sentence, or as queried where the query says more.

    "Two cats" are queried as "the cat" where a model knows no plurals; "the dog next to the
    sofa" is more than its noun phrase, and "red and green apples" are two segments.
    """
    start, stop = segment.span
    shared = any(
        s is not segment and s.span[0] < stop and start < s.span[1] for s in found.segments
    )
    said = found.caption[start:stop]
    more = len(segment.phrase.split()) > len(said.split())
    return segment.phrase if shared or more else said


def steps_strip(images: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures of one size side by side, at most 512 pixels high; ``(h, w, 3)`` uint8."""
    high, wide = images[0].shape[:2]
    shown = min(512, high)
    size = max(1, round(wide * shown / high)), shown
    return np.hstack([cv2.resize(one, size, interpolation=cv2.INTER_AREA) for one in images])


def _number(
    pen: ImageDraw.ImageDraw, at: tuple[float, float], number: int, size: int, stroke: int
) -> None:
    font = ImageFont.load_default(size)
    pen.text(at, str(number), "white", font, "mm", stroke_width=stroke, stroke_fill="black")


def _legend_row(pen: ImageDraw.ImageDraw, x: int, y: int, segment: Segment, words: str) -> None:
    swatches = segment.ids[:4]
    for k, number in enumerate(swatches):
        pen.rectangle((x + 26 * k, y, x + 26 * k + 22, y + 22), fill=colour_of(number))
        _number(pen, (x + 26 * k + 11, y + 11), number, 13, 1)
    if not swatches:
        pen.rectangle((x, y, x + 22, y + 22), outline=_FAINT)
    left = x + 26 * max(1, len(swatches)) + 6
    room = x + LEGEND - 32 - left
    ink = _INK if segment.found else _FAINT
    pen.text(
        (left, y - 2), _cut(pen, words, room, _TEXT), fill=ink, font=ImageFont.load_default(_TEXT)
    )
    kind = "thing" if segment.is_thing else "stuff"
    several = f", {len(segment.instances)} of them" if len(segment.instances) > 1 else ""
    detail = f"{segment.status} {segment.score:.2f}" if segment.found else segment.status
    lost = segment.found and not segment.ids
    caption = f"{detail}, {kind}{several}" + (", in another's place" if lost else "")
    pen.text(
        (left, y + 22),
        _cut(pen, caption, room, _SMALL),
        fill=_FAINT,
        font=ImageFont.load_default(_SMALL),
    )


def _cut(pen: ImageDraw.ImageDraw, words: str, room: float, size: int) -> str:
    """Words that fit into some pixels."""
    font = ImageFont.load_default(size)
    words = " ".join(words.split())
    if pen.textlength(words, font=font) <= room:
        return words
    while words and pen.textlength(words + "...", font=font) > room:
        words = words[:-1]
    return words.rstrip() + "..."


def _middle(mask: np.ndarray) -> tuple[float, float]:
    """The point of a mask farthest from its border: inside it, whatever its shape."""
    padded = np.pad(mask.astype(np.uint8), 1)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, 5)
    y, x = np.unravel_index(int(distance.argmax()), distance.shape)
    return float(x) - 0.5, float(y) - 0.5
