"""Pictures of what was found: mask, box and map over the image. They change nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from ...grounding.result import Grounding
    from ..editing.result import Edit

ACCENT = (255, 64, 129)
RIVAL = (64, 156, 255)
PANEL = 512  # shorter pictures are enlarged to this height so that captions can be read


def draw_grounding(image: np.ndarray, found: Grounding) -> np.ndarray:
    """Mask tinted and outlined, its box, and the candidates' boxes; ``(H, W, 3)`` uint8.

    Parameters
    ----------
    image
        ``(H, W, 3)`` uint8 RGB.
    found
        A grounding of the same picture.
    """
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


def contact_sheet(edit: Edit, paint: str) -> Image.Image:
    """Before, where the model looks, what was found and the result, side by side with captions."""
    before = edit.picture.pixels
    panels = [("before", before)]
    if edit.grounding is not None:
        panels.append(("where the heads look", draw_map(before, edit.grounding)))
        panels.append((f'"{edit.grounding.phrase}"', draw_grounding(before, edit.grounding)))
    else:
        panels.append(("where to paint", draw_mask(before, edit.support)))
    panels += [
        (paint if k == 0 else f"seed {v.seed}", v.image) for k, v in enumerate(edit.variants)
    ]
    return _row(panels)


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
