"""Pictures, phrases and masks for calibrating and testing any vision-language model, no downloads.

Every kind of expression comes equally often: sample number i is of kind ``KINDS[i % 8]``, on the
first of its own seeds with such an expression in its scene. So a stream can start anywhere and two
runs agree. ``python -m groundbrush.miniature.calibration OUT --count N`` writes them for other
tools.

Choose on ``validation``, score on ``heldout``; the miniature models are trained on ``train``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..multiobject.export.rle import encode_rle
from .composer import WIDE, WideSettings, compose_wide
from .phrases import expressions
from .scenes import CROWDED, SPLITS, Scene, SceneSettings, compose, scene_rng

KINDS = ("name", "colour", "ordinal", "category", "relation", "side", "size", "negated")
RARE = ("ordinal", "relation", "size", "negated")  # looked for where several things are alike
TRIES = 300  # scenes looked at for one sample; the rarest kind is in every eighth crowded one


@dataclass(frozen=True, eq=False)
class CalibrationSample:
    """A picture, a phrase that is true of exactly one thing in it, and where that is.

    `mask` holds the visible pixels of the thing and `box` their tight box, xyxy, half-open. `seed`
    and `settings` compose `scene` again; `name` is split and number: ``validation-17``.
    """

    name: str
    image: np.ndarray
    phrase: str
    kind: str
    mask: np.ndarray
    box: tuple[int, int, int, int]
    scene: Scene
    seed: int
    settings: SceneSettings | WideSettings


def calibration_samples(
    count: int,
    split: str = "validation",
    seed: int = 0,
    *,
    side: int = 256,
    start: int = 0,
    kinds: tuple[str, ...] = KINDS,
    wide: bool = False,
) -> Iterator[CalibrationSample]:
    """Scenes with one expression each, the kinds of expression taking turns.

    Parameters
    ----------
    count
        How many; number i of them is the same whatever `start` and `count` are.
    split
        ``train``, ``validation`` or ``heldout``.
    seed
        Another seed gives other scenes.
    side
        Side of the pictures, in pixels. Another side gives other scenes.
    start
        Number of the first one, to continue a stopped run.
    wide
        Pictures of all shapes, by :func:`miniature.composer.compose_wide`; `side` is the longer
        one.

    Raises
    ------
    ValueError
        For an unknown split or kind, or a negative number.

    Examples
    --------
    >>> sample = next(calibration_samples(1, start=17))
    >>> sample.name, sample.kind, sample.image.shape
    ('validation-17', 'colour', (256, 256, 3))
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise ValueError(f"kinds {kinds} must be some of {', '.join(KINDS)}")
    if side < 64:
        raise ValueError(f"side must be at least 64 pixels, got {side}")
    if min(count, seed, start) < 0:
        raise ValueError(
            f"count, seed and start must not be negative, got {count}, {seed} and {start}"
        )
    for number in range(start, start + count):
        yield _sample(split, seed, number, side, kinds[number % len(kinds)], wide)


def _sample(
    split: str, seed: int, number: int, side: int, kind: str, wide: bool
) -> CalibrationSample:
    """The sample of this number: a function of its arguments alone."""
    settings: SceneSettings | WideSettings = (
        replace(WIDE, side=side, size=(0.15, 0.6))
        if wide
        else replace(CROWDED if kind in RARE else SceneSettings(), side=side)
    )
    for attempt in range(TRIES):
        scene_seed = (seed * 10_000_000 + number) * 1000 + attempt
        if isinstance(settings, WideSettings):
            scene = compose_wide(split, scene_seed, settings)
        else:
            scene = compose(split, scene_seed, settings)
        found = [
            e for i in range(len(scene.objects)) for e in expressions(scene, i) if e.kind == kind
        ]
        if found:
            rng = scene_rng(split, scene_seed, 53)
            said = found[rng.integers(len(found))]
            thing = said.target or 0
            return CalibrationSample(
                f"{split}-{number}",
                scene.image,
                said.text,
                kind,
                scene.mask(thing),
                scene.objects[thing].box,
                scene,
                scene_seed,
                settings,
            )
    raise RuntimeError(f"none of {TRIES} scenes had an expression of kind {kind!r}")


def write_calibration(
    folder: str | Path,
    count: int,
    split: str = "validation",
    seed: int = 0,
    *,
    side: int = 256,
    wide: bool = False,
) -> Path:
    """Write samples as ``images/NAME.png`` and one line each in ``examples.jsonl``.

    A line holds ``name``, ``image`` (path relative to the folder), ``phrase``, ``kind``, ``box``
    (xyxy, half-open pixels) and ``mask`` (COCO run lengths). A folder that holds
    some of the samples already is completed.

    Returns
    -------
    pathlib.Path
        The ``examples.jsonl``.

    Raises
    ------
    ValueError
        Where the folder holds samples that these arguments do not give.
    """
    folder = Path(folder)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    page = folder / "examples.jsonl"
    lines = _whole_lines(page)
    done = len(lines)
    if lines:
        last = next(calibration_samples(1, split, seed, side=side, start=done - 1, wide=wide))
        if json.loads(lines[-1]) != _row(last):
            raise ValueError(
                f"{page} holds {done} other samples; expected those of split {split!r}, seed "
                f"{seed} and side {side}: write to an empty folder"
            )
        page.write_text("".join(lines), encoding="utf-8")
    with page.open("a", encoding="utf-8") as out:
        left = max(0, count - done)
        for sample in calibration_samples(left, split, seed, side=side, start=done, wide=wide):
            row = _row(sample)
            Image.fromarray(sample.image).save(folder / row["image"])
            out.write(json.dumps(row) + "\n")
            out.flush()
    return page


def _whole_lines(page: Path) -> list[str]:
    """The finished lines of a file; a run that was killed may leave part of one."""
    if not page.exists():
        return []
    lines = page.read_text(encoding="utf-8").splitlines(keepends=True)
    return [line for line in lines if line.endswith("\n")]


def _row(sample: CalibrationSample) -> dict[str, Any]:
    return {
        "name": sample.name,
        "image": f"images/{sample.name}.png",
        "phrase": sample.phrase,
        "kind": sample.kind,
        "box": list(sample.box),
        "mask": encode_rle(sample.mask),
    }


def main(argv: list[str] | None = None) -> None:
    """Command line; see ``--help``."""
    parser = argparse.ArgumentParser(
        prog="python -m groundbrush.miniature.calibration",
        description="Write balanced samples for calibrating any model.",
    )
    parser.add_argument("out", help="folder to write to; completed if it holds some already")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--split", choices=tuple(SPLITS), default="validation")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--side", type=int, default=256, help="of the pictures, in pixels")
    parser.add_argument("--wide", action="store_true", help="pictures of all shapes")
    args = parser.parse_args(argv)
    page = write_calibration(
        args.out, args.count, args.split, args.seed, side=args.side, wide=args.wide
    )
    print(page)


if __name__ == "__main__":
    main()
