"""A contact sheet of composed scenes with what is said about them.

``python -m groundbrush.miniature.sheet`` draws it.

Each tile shows a validation scene, its instances, expressions true of one of them (the dot has the
colour of its outline) and a caption.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .calibration import ReferredScene, balanced_expressions
from .captions import caption, words_rng
from .phrases import Expression, expressions
from .scenes import Scene

PAGE = Path(__file__).parents[1] / "docs" / "composer.png"
PICTURE, GAP, COLUMNS = 224, 12, 3
WIDTH = 2 * PICTURE + GAP
LINE, FONT = 20, 14
DOT, TEXT = 66, 80  # where dots and text begin under a picture
OUTLINES = ((214, 39, 40), (31, 119, 180), (44, 140, 44), (148, 80, 189), (230, 120, 0))
INK, QUIET = (30, 30, 30), (115, 115, 115)


@dataclass(frozen=True)
class Line:
    """A line of text under a picture: a short word in grey, then the text.

    ``dot`` is the colour of a dot before it, or None; ``label`` is empty on further lines.
    """

    label: str
    text: str
    dot: tuple[int, int, int] | None = None


def outlined(scene: Scene) -> np.ndarray:
    """The picture, pale, with every instance's outline in its colour; uint8 RGB."""
    pale = (255 - (255 - scene.image.astype(np.float32)) * 0.35).astype(np.uint8)
    for index in range(len(scene.objects)):
        lines, _ = cv2.findContours(
            scene.mask(index).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(pale, lines, -1, OUTLINES[index % len(OUTLINES)], 3)
    return pale


def varied(scene: Scene, first: Expression, count: int = 4) -> list[Expression]:
    """`first` and further expressions, of other kinds and of other objects where there are any."""
    left = [
        e for i in range(len(scene.objects)) for e in expressions(scene, i) if e.kind != "redundant"
    ]
    chosen = [first]
    while len(chosen) < count:
        left = [e for e in left if e not in chosen]
        if not left:
            break
        kinds, targets = [e.kind for e in chosen], [e.target for e in chosen]
        chosen.append(min(left, key=lambda e: (kinds.count(e.kind), targets.count(e.target))))
    return chosen


def wrapped(text: str, width: float, font: ImageFont.FreeTypeFont) -> list[str]:
    """Lines of whole words no wider than `width` pixels."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def lines_of(drawn: ReferredScene, split: str, font: ImageFont.FreeTypeFont) -> list[Line]:
    """Everything written under one scene."""
    scene, rng = drawn.scene, words_rng(split, drawn.seed)
    out = [
        Line(e.kind, e.text, OUTLINES[(e.target or 0) % len(OUTLINES)])
        for e in varied(scene, drawn.expression)
    ]
    for number, part in enumerate(wrapped(caption(scene, rng).text, WIDTH - TEXT, font)):
        out.append(Line("" if number else "caption", part))
    return out


def tile(drawn: ReferredScene, lines: list[Line], font: ImageFont.FreeTypeFont) -> Image.Image:
    """The scene, its outlines beside it, and the lines below."""
    canvas = Image.new("RGB", (WIDTH, PICTURE + 8 + LINE * len(lines)), "white")
    for column, picture in enumerate((drawn.scene.image, outlined(drawn.scene))):
        small = Image.fromarray(picture).resize((PICTURE, PICTURE), Image.Resampling.LANCZOS)
        canvas.paste(small, (column * (PICTURE + GAP), 0))
    draw = ImageDraw.Draw(canvas)
    for number, line in enumerate(lines):
        top = PICTURE + 8 + LINE * number
        if line.dot:
            draw.ellipse((DOT, top + 4, DOT + 8, top + 12), fill=line.dot)
        draw.text((0, top), line.label, fill=QUIET, font=font)
        draw.text((TEXT, top), line.text, fill=INK, font=font)
    return canvas


def draw_sheet(count: int = 12, seed: int = 2, split: str = "validation") -> Image.Image:
    """The sheet: `count` scenes, every kind of expression in turn, as an RGB picture."""
    font = ImageFont.load_default(FONT)
    assert isinstance(font, ImageFont.FreeTypeFont)  # a bitmap only where Pillow lacks FreeType
    tiles = [
        tile(drawn, lines_of(drawn, split, font), font)
        for drawn in balanced_expressions(split, count, seed=seed)
    ]
    rows = [tiles[k : k + COLUMNS] for k in range(0, len(tiles), COLUMNS)]
    heights = [max(t.height for t in row) + 2 * GAP for row in rows]
    side = WIDTH + 2 * GAP
    sheet = Image.new("RGB", (COLUMNS * side, sum(heights)), "white")
    for number, row in enumerate(rows):
        for column, one in enumerate(row):
            sheet.paste(one, (column * side + GAP, sum(heights[:number]) + GAP))
    return sheet


def indexed(sheet: Image.Image) -> Image.Image:
    """The sheet in 256 colours, dithered, its white kept: a third of the size."""
    colours = np.array(sheet.quantize(256).getpalette()).reshape(-1, 3)
    colours[colours.min(1) > 244] = 255  # Pillow's matching is too coarse for near-whites
    palette = Image.new("P", (1, 1))
    palette.putpalette(colours.ravel().tolist())
    return sheet.quantize(palette=palette)  # Pillow dithers only where it is given a palette


def main(argv: list[str] | None = None) -> None:
    """Command line; see ``--help``."""
    parser = argparse.ArgumentParser(
        prog="python -m groundbrush.miniature.sheet",
        description="Draw a contact sheet of composed scenes.",
    )
    parser.add_argument("--out", type=Path, default=PAGE)
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--seed", type=int, default=2, help="another one, other scenes")
    args = parser.parse_args(argv)
    indexed(draw_sheet(args.count, args.seed)).save(args.out, optimize=True)
    print(args.out, f"{args.out.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
