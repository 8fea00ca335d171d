"""Pictures of what was found: mask, box and map over the image. They change nothing."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from ...grounding.result import Box, Grounding

ACCENT = (255, 64, 129)
RIVAL = (64, 156, 255)
DRAWN = 2048  # longest side of the copy that is drawn on: panels are smaller still
PANEL = 512  # shorter pictures are enlarged to this height so that captions can be read


def draw_grounding(image: np.ndarray, found: Grounding) -> np.ndarray:
    """Mask tinted and outlined, its box, and the candidates' boxes; ``(H, W, 3)`` uint8."""
    out = draw_mask(image, found.mask)
    line = _line(image)
    for box, colour in [(found.box, ACCENT), *((c.box, RIVAL) for c in found.candidates)]:
        if box is not None:
            x0, y0, x1, y1 = (round(v) for v in box)
            cv2.rectangle(out, (x0, y0), (x1 - 1, y1 - 1), colour, line)
    return out


def draw_mask(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The picture with all but the mask darkened, and its outline; ``(H, W, 3)`` uint8."""
    out = image.astype(np.float32)
    out[~mask] *= 0.55
    out = out.round().astype(np.uint8)
    outline, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(out, outline, -1, (255, 255, 255), _line(image))
    return out


def _line(image: np.ndarray) -> int:
    """Width of drawn lines in pixels."""
    return max(1, round(max(image.shape) / 300))


def draw_map(image: np.ndarray, found: Grounding) -> np.ndarray:
    """The combined attention map as a heat picture over the image; ``(H, W, 3)`` uint8."""
    heat = cv2.applyColorMap((found.map * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    return cv2.addWeighted(image, 0.45, np.ascontiguousarray(heat), 0.55, 0)


def contact_sheet(
    before: np.ndarray,
    grounding: Grounding | None,
    support: np.ndarray,
    paintings: list[tuple[str, np.ndarray]],
) -> Image.Image:
    """Draw before, map, what was found and the (caption, image) paintings, side by side."""
    panels = [("before", small := shrink(before, DRAWN))]
    if grounding is not None:
        grounding = reduced(grounding, small.shape[1::-1])
        panels.append(("where the heads look", draw_map(small, grounding)))
        panels.append((f'"{grounding.phrase}"', draw_grounding(small, grounding)))
    else:
        panels.append(("where to paint", draw_mask(small, _resized(support, small.shape[1::-1]))))
    return _row([*panels, *((caption, shrink(image, DRAWN)) for caption, image in paintings)])


def reduced(found: Grounding, size_wh: tuple[int, int]) -> Grounding:
    """The same grounding of a copy of the picture of another size, to be drawn there."""
    if size_wh == found.size_wh:
        return found
    scale = np.tile(np.divide(size_wh, found.size_wh), 2)

    def scaled(box: Box) -> Box:
        x0, y0, x1, y1 = (np.array(box) * scale).tolist()
        return x0, y0, x1, y1

    return dataclasses.replace(
        found,
        mask=_resized(found.mask, size_wh),
        box=found.box and scaled(found.box),
        region=scaled(found.region),
        candidates=tuple(dataclasses.replace(c, box=scaled(c.box)) for c in found.candidates),
    )


def _resized(mask: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    small = cv2.resize(mask.view(np.uint8), size_wh, interpolation=cv2.INTER_NEAREST_EXACT)
    return small.view(np.bool_)


def _row(panels: list[tuple[str, np.ndarray]]) -> Image.Image:
    height, caption, gap = PANEL, 34, 8
    tiles = []
    for _, pixels in panels:
        tile = Image.fromarray(pixels)
        width = max(1, round(tile.width * height / tile.height))
        tiles.append(tile.resize((width, height), Image.Resampling.LANCZOS))
    width = sum(t.width for t in tiles) + gap * (len(tiles) + 1)
    sheet = Image.new("RGB", (width, height + caption + gap), "white")
    draw, font, x = ImageDraw.Draw(sheet), ImageFont.load_default(20), gap
    for (words, _), tile in zip(panels, tiles, strict=True):
        sheet.paste(tile, (x, caption))
        draw.text((x + 2, 6), words, fill=(30, 30, 30), font=font)
        x += tile.width + gap
    return sheet


def shrink(pixels: np.ndarray, longest: int) -> np.ndarray:
    """A copy of at most `longest` pixels on the longer side; never enlarged."""
    scale = longest / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
