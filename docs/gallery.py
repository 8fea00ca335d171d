"""Make the gallery: docs/gallery.md, its pictures, and the moving picture of the README.

    python docs/gallery.py

Each command of `COMMANDS` runs on the miniature, offline; the page shows the command, what it
printed, and the picture before and after. Run it again after the weights have changed.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parents[1]
PAGE, PICTURES, MOVING = (ROOT / "docs" / n for n in ("gallery.md", "gallery", "demo.webp"))
SIDE, GAP = 320, 8  # height of a picture on the page; space between two
MOVED = ("demo.png", "the red apple", "a frog")
FILE = re.compile(r"(\w+): (out/\S+)$")
SECONDS = re.compile(r" in [\d.]+ s")
COMMANDS = (
    (
        "A photograph, without words or models",
        "remove examples/launch.jpg --box 300,122,342,410 --preset classic",
    ),
    ("Replace", 'edit examples/fruit.png --find "the red apple" --paint "a green pear" --seed 7'),
    ("Remove", 'remove examples/fruit.png --find "the car"'),
    (
        "One of several, by its place",
        'edit examples/cupcakes.png --find "the second cupcake from the left" --paint "a lemon"',
    ),
    ("All of a kind", 'remove examples/balloons.png --find "the balloons"'),
    (
        "Several changes in one sentence",
        'apply examples/fruit.png "make the car red and replace the banana with a lemon" --seed 3',
    ),
    ("A place without words", 'edit examples/fruit.png --box 150,20,246,116 --paint "a fish"'),
    ("A new side", "extend examples/penguin.png --right 96"),
    ("Find only", 'ground examples/cupcakes.png "the house"'),
    ("Everything a sentence names", 'ground-all examples/rockets.png "the rockets"'),
    ("Not in the picture", 'ground examples/fruit.png "the penguin"'),
)
HEAD = """# Gallery

Written by `python docs/gallery.py`. Left before, right after. The photograph needs no model; the
other commands ran on the embedded models, which know [28 drawn things](models.md#the-miniature).
"""


def main() -> None:
    """Run every command and write the page, its pictures and the moving picture."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    sys.path.insert(0, str(ROOT))
    PICTURES.mkdir(exist_ok=True)
    for old in PICTURES.glob("*.webp"):
        old.unlink()
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        (work / "examples").symlink_to(ROOT / "examples")
        with contextlib.chdir(work):
            sections = [section(title, line) for title, line in COMMANDS]
    PAGE.write_text("\n".join([HEAD, *sections]), encoding="utf-8")
    moving_picture()
    print(PAGE, MOVING)


def section(title: str, line: str) -> str:
    """Run one command and describe it: heading, command, picture, output."""
    output, result = run(shlex.split(line))
    name = title.lower().replace(",", "").replace(" ", "-")
    print(f"{name}: {output.splitlines()[0] if output else ''}", file=sys.stderr)
    picture = ""
    if result is not None:
        before_after(Path(shlex.split(line)[1]), result).save(
            PICTURES / f"{name}.webp", quality=88, method=6
        )
        picture = f"![{title.lower()}: before and after](gallery/{name}.webp)\n\n"
    return f"## {title}\n\n```\ngroundbrush {line}\n```\n\n{picture}```text\n{output}\n```\n"


def run(arguments: list[str]) -> tuple[str, Path | None]:
    """What a command prints, without the names of files, and the picture that it wrote."""
    from groundbrush.__main__ import main as groundbrush

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
        groundbrush([*arguments, "--offline", "--quiet"])
    lines = printed.getvalue().strip().splitlines()
    files = dict(FILE.match(line).groups() for line in lines if FILE.match(line))
    said = [SECONDS.sub("", line) for line in lines if not FILE.match(line)]
    made = None if said[0].startswith("absent") else files.get("result", files.get("overlay"))
    return "\n".join(said), made and Path(made)


def before_after(before: Path, after: Path) -> Image.Image:
    """Two pictures of one height, side by side."""
    tiles = [_scaled(Image.open(path).convert("RGB"), SIDE) for path in (before, after)]
    sheet = Image.new("RGB", (sum(t.width for t in tiles) + GAP, SIDE), "white")
    sheet.paste(tiles[0], (0, 0))
    sheet.paste(tiles[1], (tiles[0].width + GAP, 0))
    return sheet


def moving_picture() -> None:
    """An edit as it happens: the picture, the heads' map, the mask, the painting, the result."""
    from groundbrush import Editor
    from groundbrush.editor.pictures.overlay import draw_grounding, draw_map
    from groundbrush.editor.pictures.picture import open_picture

    before = open_picture(ROOT / "examples" / MOVED[0]).pixels
    previews: list[np.ndarray] = []
    edit = Editor.load("miniature", offline=True).edit(
        before, *MOVED[1:], seed=7, on_preview=lambda step, total, image: previews.append(image)
    )
    find, paint = MOVED[1:]
    frames = [
        (before, f'find "{find}" ...', 1400),
        (draw_map(before, edit.grounding), "where three attention heads look", 1400),
        (draw_grounding(before, edit.grounding), "the mask", 1400),
        *((image, f'paint "{paint}" ...', 350) for image in previews),
        (edit.image, f'"{paint}"; every other pixel is as it was', 2600),
    ]
    pictures = [_captioned(Image.fromarray(pixels), words) for pixels, words, _ in frames]
    shown = [milliseconds for _, _, milliseconds in frames]
    pictures[0].save(
        MOVING,
        save_all=True,
        append_images=pictures[1:],
        duration=shown,
        loop=0,
        quality=85,
        method=6,
    )


def _scaled(image: Image.Image, height: int) -> Image.Image:
    return image.resize(
        (round(image.width * height / image.height), height), Image.Resampling.LANCZOS
    )


def _captioned(image: Image.Image, words: str) -> Image.Image:
    """The picture above a line of text."""
    picture = _scaled(image, 384)
    sheet = Image.new("RGB", (picture.width, picture.height + 32), "white")
    sheet.paste(picture, (0, 0))
    draw = ImageDraw.Draw(sheet)
    draw.text((6, picture.height + 5), words, (30, 30, 30), ImageFont.load_default(18))
    return sheet


if __name__ == "__main__":
    main()
