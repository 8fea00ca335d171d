"""A contact sheet of composed scenes with what is said about them.

``python -m groundbrush.miniature.sheet`` draws it: validation scenes with the outline of one thing,
an expression that is true of it alone, and the beginning of a caption.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

from ..editor.evaluation.sheet import in_rows, outline, tile
from .calibration import calibration_samples
from .captions import caption, words_rng

PAGE = Path(__file__).parents[1] / "docs" / "composer.webp"
LINE = (214, 39, 40)
COLUMNS = 6


def draw_sheet(count: int = 24, seed: int = 2) -> Image.Image:
    """The sheet: `count` scenes of all shapes, every kind of expression in turn."""
    tiles = []
    for sample in calibration_samples(count, seed=seed, side=384, wide=True):
        outline(picture := sample.image.copy(), sample.mask, LINE, 2)
        words = caption(sample.scene, words_rng("validation", sample.seed)).text
        tiles.append(
            tile(picture, sample.phrase, words if len(words) <= 46 else words[:44] + "...")
        )
    return in_rows(tiles, COLUMNS)


def main(argv: list[str] | None = None) -> None:
    """Command line; see ``--help``."""
    parser = argparse.ArgumentParser(
        prog="python -m groundbrush.miniature.sheet",
        description="Draw a contact sheet of composed scenes.",
    )
    parser.add_argument("--out", type=Path, default=PAGE)
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--seed", type=int, default=2, help="another one, other scenes")
    args = parser.parse_args(argv)
    draw_sheet(args.count, args.seed).save(args.out, quality=85)
    print(args.out, f"{args.out.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
