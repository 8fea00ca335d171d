"""Make the gallery: docs/gallery.md and its pictures.

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

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
PAGE, PICTURES = ROOT / "docs" / "gallery.md", ROOT / "docs" / "gallery"
SIDE, GAP = 320, 8  # height of a picture on the page; space between two
FILE = re.compile(r"(\w+): (out/\S+)$")
SECONDS = re.compile(r" in [\d.]+ s")
COMMANDS = (
    (
        "A photograph, without words or models",
        "remove examples/launch.jpg --box 300,122,342,410 --preset classic",
    ),
    ("A new side", "extend examples/launch.jpg --top 96 --preset classic"),
    ("Replace", 'edit examples/fruit.png --find "the red apple" --paint "a green pear" --seed 7'),
    ("Remove", 'remove examples/fruit.png --find "the car"'),
    (
        "One of several, by its place",
        'edit examples/cupcakes.png --find "the second cupcake from the left" '
        '--paint "a red apple" --seed 8',
    ),
    (
        "All of a kind",
        'apply examples/cupcakes.png "replace all the cupcakes with a sunflower" --seed 3',
    ),
    (
        "Several changes in one sentence",
        'apply examples/fruit.png "make the car red and replace the banana with a penguin" '
        "--seed 3",
    ),
    ("A place without words", 'edit examples/fruit.png --box 150,160,246,246 --paint "a frog"'),
    (
        "Everything a sentence names",
        'ground-all examples/cupcakes.png "three cupcakes, a house and the dog"',
    ),
    ("Not in the picture", 'ground examples/fruit.png "the penguin"'),
)
HEAD = """# Gallery

Written by `python docs/gallery.py`. Left before, right after. The photographs need no model; the
other commands ran on the embedded models, which know [28 drawn things](models.md#the-miniature).
"""


def main() -> None:
    """Run every command and write the page and its pictures."""
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
    print(PAGE)


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


def _scaled(image: Image.Image, height: int) -> Image.Image:
    return image.resize(
        (round(image.width * height / image.height), height), Image.Resampling.LANCZOS
    )


if __name__ == "__main__":
    main()
