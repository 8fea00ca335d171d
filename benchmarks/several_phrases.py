"""How much cheaper several phrases are over one encoding, on the miniature's language model.

    python benchmarks/several_phrases.py [--rounds 5] [--json FILE]

For N phrases of one picture: reading it anew for each, reading it once and asking one by one, and
reading it once with all phrases packed in one row. Times are the least of several rounds, taken
in turn; only their ratios mean anything elsewhere.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

PHRASES = ("the red apple", "the dog", "the blue car", "the house on the left", "the penguin",
           "the small book", "the yellow banana", "the bus next to the teapot")  # fmt: skip
COUNTS = (1, 2, 4, 8)


def measure(rounds: int) -> list[dict[str, float]]:
    """One row for each number of phrases: seconds by way, and ratios to the first."""
    import numpy as np

    from editor import Editor
    from miniature.scenes import compose

    lvlm = Editor.load("miniature", device="cpu", offline=True).models.grounder().lvlm
    image = compose("heldout", 4).image

    def anew(n: int) -> list:
        return [lvlm.read(lvlm.encode(image), [p], lvlm.heads)[0] for p in PHRASES[:n]]

    def shared(n: int) -> list:
        seen = lvlm.encode(image)
        return [lvlm.read(seen, [p], lvlm.heads)[0] for p in PHRASES[:n]]

    def packed(n: int) -> list:
        return lvlm.read(lvlm.encode(image), PHRASES[:n], lvlm.heads)

    ways: dict[str, Callable[[int], list]] = {"anew": anew, "shared": shared, "packed": packed}
    for way in ways.values():
        way(2)  # the first calls of a process are slower
    rows = []
    for n in COUNTS:
        least = dict.fromkeys(ways, float("inf"))
        answers: dict[str, list] = {}
        for _ in range(rounds):
            for name, way in ways.items():
                start = time.perf_counter()
                answers[name] = way(n)
                least[name] = min(least[name], time.perf_counter() - start)
        drift = max(float(np.abs(a.rows - b.rows).max())
                    for a, b in zip(answers["anew"], answers["packed"], strict=True))  # fmt: skip
        rows.append({"phrases": n, **least, "anew/shared": least["anew"] / least["shared"],
                     "anew/packed": least["anew"] / least["packed"],
                     "packed/one": least["packed"] / rows[0]["packed"] if rows else 1.0,
                     "largest difference": drift})  # fmt: skip
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    rows = measure(args.rounds)
    print("phrases   anew     shared   packed   anew/shared  anew/packed  packed against one")
    for r in rows:
        seconds = " ".join(f"{r[way]:6.3f} s" for way in ("anew", "shared", "packed"))
        ratios = f"{r['anew/shared']:10.2f}x {r['anew/packed']:11.2f}x {r['packed/one']:18.2f}x"
        print(f"{r['phrases']:7d}  {seconds}  {ratios}")
    drift = max(r["largest difference"] for r in rows)
    print(f"largest difference of an attention weight: {drift:.1e}")
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
