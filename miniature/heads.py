"""Find the miniature's localization heads without labels and write them into its preset.

``python -m miniature.heads`` runs the project's own discovery on validation scenes, prints the
ranking with its agreement with the heads' true IoU (known here, unused by the choice), and with
``--write`` stores the top three in the preset.
"""

from __future__ import annotations

import argparse
import datetime
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from editor.presets import FOLDER, load_preset, resolve
from grounding import HeadRanking, load_lvlm, measure_heads
from grounding.lvlm import LVLM
from miniature.phrases import Expression, expressions
from miniature.scenes import Scene, compose

PRESET = FOLDER / "miniature.json"


def phrase_for(scene: Scene, seed: int) -> Expression | None:
    """One referring expression of the scene, all types equally likely."""
    asked = [e for i in range(len(scene.objects)) for e in expressions(scene, i)]
    asked = [e for e in asked if e.kind != "redundant"]
    if not asked:
        return None
    rng = np.random.default_rng([23, seed])
    kinds = sorted({e.kind for e in asked})
    kind = kinds[rng.integers(len(kinds))]
    same = [e for e in asked if e.kind == kind]
    return same[rng.integers(len(same))]


def load_miniature(query: str | None = None) -> LVLM:
    """The trained LVLM as the preset describes it, all heads readable."""
    spec = load_preset("miniature").lvlm
    return load_lvlm(
        resolve(spec["path"], "miniature"), prompt=spec["prompt"], padding=spec["padding"],
        query=query or spec["query"], offline=True,
    )  # fmt: skip


def read_samples(
    lvlm: LVLM, split: str, count: int
) -> Iterator[tuple[np.ndarray, np.ndarray, Expression]]:
    """Rows ``(L, H, P, Q)`` of all heads, the true mask on the grid, and the expression."""
    for seed in range(count):
        scene = compose(split, seed)
        asked = phrase_for(scene, seed)
        if asked is None or asked.target is None:
            continue
        rows = lvlm.head_rows(lvlm.encode(scene.image), [asked.text])[0]
        yield rows, cover(scene.mask(asked.target), rows.shape[-2:]) > 0.5, asked


def cover(mask: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
    """Share of each cell of the grid that a mask ``(H, W)`` covers, float."""
    height, width = mask.shape[0] // grid[0], mask.shape[1] // grid[1]
    return mask.reshape(grid[0], height, grid[1], width).mean((1, 3))


def head_ious(rows: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """IoU ``(L, H)`` of each head's pseudo-mask with the true cells."""
    found = rows > rows.mean((-1, -2), keepdims=True)
    either = (found | truth).sum((-1, -2))
    return (found & truth).sum((-1, -2)) / np.maximum(either, 1)


def discover(
    lvlm: LVLM, scenes: int, lowest: int, skip_layers: int
) -> tuple[HeadRanking, np.ndarray, np.ndarray]:
    """The label-free ranking on validation scenes; mean IoU and mean peak hit ``(L, H)``."""
    kept, ious, hits = [], [], []
    for rows, truth, _ in read_samples(lvlm, "validation", scenes):
        kept.append(rows)
        ious.append(head_ious(rows, truth))
        flat = rows.reshape(*rows.shape[:2], -1).argmax(-1)
        hits.append(truth.ravel()[flat])
    ranking = measure_heads(kept).rank(lowest=lowest, skip_layers=skip_layers)
    return ranking, np.mean(ious, 0), np.mean(hits, 0)


def main(argv: list[str] | None = None) -> None:
    """Command line; see ``--help``."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--lowest", type=int, default=10)
    parser.add_argument("--skip-layers", type=int, default=1)
    parser.add_argument("--query", choices=("expression", "prompt"))
    parser.add_argument("--write", action="store_true", help="store the top three in the preset")
    args = parser.parse_args(argv)
    lvlm = load_miniature(args.query)
    ranking, ious, hits = discover(lvlm, args.scenes, args.lowest, args.skip_layers)
    print(ranking.table(12))
    print(f"tau {ranking.threshold:.3f}; Spearman rho of frequency and IoU "
          f"{ranking.agreement(ious):.2f}")  # fmt: skip
    for name, values in (("IoU", ious), ("peak on the object", hits)):
        best = np.argsort(values, axis=None)[::-1][:6]
        pairs = [divmod(int(i), values.shape[1]) for i in best]
        print(name, "best:", ", ".join(f"L{a}H{b} {values[a, b]:.2f}" for a, b in pairs))
    chosen = [list(pair) for pair in ranking.top(3)]
    print("chosen:", chosen)
    if args.write:
        write_heads(PRESET, chosen, args.scenes)


def write_heads(path: Path, heads: list[list[int]], scenes: int) -> None:
    """Put the heads and where they come from into a preset file, leaving the rest as it is."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    raw["lvlm"]["heads"] = heads
    raw["lvlm"]["provenance"] = (
        f"label-free discovery on {scenes} validation scenes by `python -m miniature.heads`, "
        f"{datetime.date.today().isoformat()}"
    )
    text = json.dumps(raw, indent=2)
    for pair in heads:  # one head, one line
        spread = "[\n        " + ",\n        ".join(map(str, pair)) + "\n      ]"
        text = text.replace(spread, json.dumps(pair))
    path.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
