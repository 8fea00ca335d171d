"""Painting: from 1 to 48 megapixels; variants and few steps.

    python -m benchmarks.painting

On the CPU with the miniature models, from an open picture to the edited one: no file is read or
written, and freed memory stays with the process. "by words" finds a thing of the same share of the
picture at every size and paints it; "in a box" paints 240 by 240 pixels. "on SDXL's canvas" is "by
words" painted at 1024 by 1024 in four steps, still by the miniature's networks of ten million
weights. What grows with the picture stays on the CPU where a GPU paints: it is the difference
between the sizes. Bytes are the most beyond the picture and the models.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks import common

MEGAPIXELS = (1, 4, 12, 24, 48)
WORDS, BOX, HEAVY = "by words", "in a box", "by words, on SDXL's canvas"
HEAVIER = {"size": 1024, "steps": 4, "strength": 1.0}
_BOX_SIDE = 240
_PAINT = "a frog"
Settings = Mapping[str, Any]
QUICK = {"steps": 1, "strength": 1.0}
WAYS: dict[str, dict[str, Any]] = {
    "one by one": {},
    "four variants": {"variants": 4},
    "draft": {"draft": True},
    "lcm, 4 steps": {"settings": {"scheduler": "lcm", "steps": 4, "strength": 1.0}},
}


def scene() -> tuple[np.ndarray, str]:
    """A held-out scene, and the name of one of its things that has no twin."""
    from groundbrush.miniature.phrases import expressions
    from groundbrush.miniature.scenes import compose

    for seed in range(4, 1000):
        found = compose("heldout", seed)
        phrases = (e for i in range(len(found.objects)) for e in expressions(found, i))
        name = next((e.text for e in phrases if e.kind == "name"), None)
        if name is not None:
            return found.image, name
    raise AssertionError("no scene has a thing without a twin")


def picture(image: np.ndarray, megapixels: float) -> np.ndarray:
    """A square of so many million pixels."""
    import cv2

    side = round((megapixels * 1e6) ** 0.5)
    return np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC))


def sizes_of(
    editor: Any, sizes: Sequence[float], rounds: int, usual: Settings, heavy: Settings
) -> common.Rows:
    """A row for each way and size."""
    image, phrase = scene()
    pictures = {size: picture(image, size) for size in sizes}

    def edit(size: float, settings: Settings, **where: Any) -> Callable[[], Any]:
        return lambda: editor.edit(pictures[size], paint=_PAINT, seed=1, settings=settings, **where)

    def box(size: float) -> tuple[int, ...]:
        side = pictures[size].shape[0]
        start = max(0, side // 2 - _BOX_SIDE // 2)
        return (start, start, min(side, start + _BOX_SIDE), min(side, start + _BOX_SIDE))

    # Sizes follow each other, so that no edit finds its picture read by the one before.
    light: dict[Any, Any] = {(WORDS, size): edit(size, usual, find=phrase) for size in sizes}
    light |= {(BOX, size): edit(size, usual, box=box(size)) for size in sizes}
    heavier = {(HEAVY, size): edit(size, heavy, find=phrase) for size in (sizes[0], sizes[-1])}
    # Another picture, so that the first one is read where its memory is measured; no larger one,
    # which would leave memory that is then not counted.
    editor.edit(picture(image[:, ::-1], sizes[0]), phrase, _PAINT, settings=usual)
    memory = {}
    for key in [key for key in light if key[1] in sizes[::2]]:
        with common.Peak() as peak:
            light[key]()
        memory[key] = {"bytes": peak.bytes}
    common.keep_freed()
    timed = common.in_turn(light, rounds, warm=False)  # each way was, where memory was measured
    timed |= common.in_turn(heavier, max(1, rounds // 3), warm=False)
    return [
        {"way": way, "megapixels": size, "seconds": t["least"], "times": t}
        | memory.get((way, size), {})
        for (way, size), t in timed.items()
    ]


def ways_of(
    editor: Any, rounds: int, ways: Mapping[str, dict[str, Any]], *, warm: bool = True
) -> common.Rows:
    """Edits a minute on a small picture."""
    image, phrase = scene()
    other = image[:, ::-1].copy()  # two in turn, so that the picture is read anew each time
    works = {
        way: lambda more=more: [
            editor.edit(one, phrase, _PAINT, seed=1, **more) for one in (image, other)
        ]
        for way, more in ways.items()
    }
    rows = []
    for way, taken in common.in_turn(works, rounds, warm=warm).items():
        rate = round(60 * 2 * ways[way].get("variants", 1) / taken["least"], 1)
        rows.append({"way": way, "pictures a minute": rate, "times": taken})
    return rows


def targets(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The time of the largest picture over that of the smallest."""
    by = {(r["way"], r["megapixels"]): r["seconds"] for r in rows}
    what = "an edit of 48 megapixels over one of 1"
    return [
        common.target(f"{what}: {way}", common.over(by, (way, 48), (way, 1)), 1.3)
        for way in (HEAVY, BOX, WORDS)
    ]


def measure(args: Namespace) -> dict[str, Any]:
    """Every size and way."""
    from groundbrush import Editor

    editor = Editor.load("miniature", device="cpu", offline=True)
    if args.tiny:
        rows = sizes_of(editor, (0.02, 0.05), 1, QUICK, QUICK)
        ways = ways_of(editor, 1, {"one by one": {"settings": QUICK}}, warm=False)
    else:
        rows = sizes_of(editor, MEGAPIXELS, args.rounds, {}, HEAVIER)
        ways = ways_of(editor, max(1, args.rounds // 3), WAYS)
    return {"rows": rows, "ways": ways, "targets": targets(rows)}


main = common.script("painting", __doc__, measure, rounds=2)

if __name__ == "__main__":
    sys.exit(main())
