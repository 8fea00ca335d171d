"""How much cheaper several phrases are over one encoding, on the miniature's language model.

    python -m benchmarks.several_phrases

For N phrases of one picture: reading it anew for each, reading it once and querying one by one, and
reading it once with all phrases packed in one row. Only the language model is timed, its vision
tower included; SAM is not. The target: N phrases cost at most 1 + 0.1 (N - 1) times what one costs.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import common

PHRASES = (
    "the red apple",
    "the dog",
    "the blue car",
    "the house on the left",
    "the penguin",
    "the small book",
    "the yellow banana",
    "the bus next to the teapot",
)
COUNTS = (1, 2, 4, 8)
EACH_MORE = 0.1  # what a further phrase may cost, as a share of the first


def ways_of(lvlm: Any, image: Any) -> dict[str, Callable[[int], list]]:
    """Ways to read the first n phrases, by name."""

    def anew(n: int) -> list:
        return [lvlm.read(lvlm.encode(image), [p], lvlm.heads)[0] for p in PHRASES[:n]]

    def shared(n: int) -> list:
        seen = lvlm.encode(image)
        return [lvlm.read(seen, [p], lvlm.heads)[0] for p in PHRASES[:n]]

    def packed(n: int) -> list:
        return lvlm.read(lvlm.encode(image), PHRASES[:n], lvlm.heads)

    return {"anew": anew, "one by one": shared, "packed": packed}


def rows_of(rounds: int, device: str = "cpu", counts: Sequence[int] = COUNTS) -> common.Rows:
    """One row for each number of phrases: least seconds by way, and ratios."""
    import numpy as np
    from groundbrush import Editor
    from groundbrush.miniature.scenes import compose

    lvlm = Editor.load("miniature", device=device, offline=True).models.grounder().lvlm
    ways = ways_of(lvlm, compose("heldout", 4).image)
    cases = {(name, n): lambda way=way, n=n: way(n) for n in counts for name, way in ways.items()}
    timed = common.in_turn(cases, rounds, device)
    rows = []
    for n in counts:
        least = {name: timed[name, n]["least"] for name in ways}
        answers = zip(ways["anew"](n), ways["packed"](n), strict=True)
        rows.append(
            {
                "phrases": n,
                **least,
                "anew/packed": least["anew"] / least["packed"],
                "against one": least["packed"] / timed["packed", counts[0]]["least"],
                "at most": 1 + EACH_MORE * (n - 1),
                "difference": max(float(np.abs(a.rows - b.rows).max()) for a, b in answers),
            }
        )
    return rows


def measure(args: Namespace) -> dict[str, Any]:
    """The rows, and a target for each number of phrases."""
    rows = rows_of(1 if args.tiny else args.rounds, args.device)
    common.show(
        rows,
        "phrases d, anew .4f, one by one .4f, packed .4f, anew/packed .2f, against one .2f, "
        "at most .2f, difference .1e",
    )
    targets = [
        common.target(f"{r['phrases']} packed phrases against one", r["against one"], r["at most"])
        for r in rows[1:]
    ]
    return {"rows": rows, "targets": targets}


main = common.script("several_phrases", __doc__, measure, rounds=3)

if __name__ == "__main__":
    sys.exit(main())
