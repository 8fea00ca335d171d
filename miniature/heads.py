"""Find the miniature's localization heads without labels.

``python -m groundbrush.miniature.heads`` prints them.

Discovery runs on validation scenes of the wide composer; the heads' agreement with the true masks
(known here, unused by the choice) is printed beside it. ``--criterion sum`` is the paper's first
criterion; ``contrast`` admits heads by how differently they look for two phrases about one picture.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ..editor.models.presets import load_preset, resolve
from ..grounding import HeadMeasurements, HeadRanking, load_lvlm, phrase_contrast
from ..grounding.attention.model import LVLM
from ..grounding.heads.criteria import attention_sums, spatial_entropy
from ..grounding.heads.discovery import head_ious, picture_cells, true_cells
from .composer import compose_wide
from .phrases import Expression
from .scenes import Scene
from .wide_phrases import wide_expressions

CRITERIA = ("sum", "contrast")
# The paper counts the 10 heads of lowest entropy among 1,024, one in a hundred. Of 96 heads ten
# would be one in ten, and the order would say little; three are one in 32.
LOWEST, SKIP_LAYERS = 3, 2
TRIALS = 5


def two_phrases(scene: Scene, seed: int) -> list[Expression]:
    """Expressions of up to two different objects of a scene, all types equally likely."""
    rng = np.random.default_rng([23, seed])
    chosen = []
    for number in rng.permutation(len(scene.objects))[:2]:
        asked = [e for e in wide_expressions(scene, int(number)) if e.kind != "redundant"]
        if asked:
            kinds = sorted({e.kind for e in asked})
            kind = kinds[rng.integers(len(kinds))]
            same = [e for e in asked if e.kind == kind]
            chosen.append(same[rng.integers(len(same))])
    return chosen


def load_miniature(folder: Path | None = None) -> LVLM:
    """The trained LVLM as the preset describes it, all heads readable; or weights of a folder."""
    spec = load_preset("miniature").lvlm
    return load_lvlm(
        folder or resolve(spec["path"], "miniature"),
        prompt=spec["prompt"],
        padding=spec["padding"],
        query=spec["query"],
        offline=True,
    )


def cover(mask: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
    """Share of each cell that a mask ``(H, W)`` covers once padded to a square, float."""
    side, (height, width) = max(mask.shape), mask.shape
    square = np.zeros((side, side), np.float32)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = mask
    return cv2.resize(square, grid[::-1], interpolation=cv2.INTER_AREA)


@dataclass(frozen=True, eq=False)
class Discovery:
    """What was measured on the scenes: by criterion, and, by labels, IoU and peak hits."""

    measured: dict[str, HeadMeasurements]
    ious: np.ndarray
    hits: np.ndarray

    def rank(self, criterion: str) -> HeadRanking:
        """The label-free ranking."""
        return self.measured[criterion].rank(LOWEST, SKIP_LAYERS)

    def same(self, criterion: str) -> int:
        """In how many of `TRIALS` random halves of the scenes the first three heads are those of
        all."""
        rng, every = np.random.default_rng(0), self.measured[criterion]
        top = set(self.rank(criterion).top(3))
        found = 0
        for _ in range(TRIALS):
            half = every.subset(rng.choice(len(every), len(every) // 2, replace=False))
            found += set(half.rank(LOWEST, SKIP_LAYERS).top(3)) == top
        return found


def discover(lvlm: LVLM, scenes: int) -> Discovery:
    """Measure every head on the validation scenes in which two objects can be distinguished."""
    sums, contrasts, entropies, ious, hits = [], [], [], [], []
    for seed in range(scenes):
        scene = compose_wide("validation", seed)
        asked = two_phrases(scene, seed)
        if len(asked) < 2:
            continue
        encoded = lvlm.encode(scene.image)
        all_rows, others = lvlm.head_rows(encoded, [e.text for e in asked])
        region, grid = encoded.tokens.region_xyxy, all_rows.shape[-2:]
        seen = picture_cells(grid, region, encoded.size_wh)  # the others are padding
        truth = true_cells(scene.mask(asked[0].target or 0), region, grid)[seen]
        rows = all_rows[seen]
        sums.append(attention_sums(all_rows))
        contrasts.append(phrase_contrast(all_rows, others))
        entropies.append(spatial_entropy(rows))
        ious.append(head_ious(rows, truth))
        hits.append(truth.ravel()[rows.reshape(*rows.shape[:2], -1).argmax(-1)])
    measured = {
        criterion: HeadMeasurements(np.array(one, np.float32), np.array(entropies, np.float32))
        for criterion, one in zip(CRITERIA, (sums, contrasts), strict=True)
    }
    return Discovery(measured, np.array(ious), np.array(hits))


def main(argv: list[str] | None = None) -> None:
    """Command line; see ``--help``."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--criterion", choices=CRITERIA, default="sum")
    parser.add_argument("--lvlm", type=Path, help="a folder of other weights")
    args = parser.parse_args(argv)
    found = discover(load_miniature(args.lvlm), args.scenes)
    ranking = found.rank(args.criterion)
    ious, hits = found.ious.mean(0), found.hits.mean(0)
    for row in ranking.order()[:12]:
        print(f"L{row.layer}H{row.head} {row.frequency:.3f}, mean sum {row.mean_sum:.3f}")
    print(
        f"threshold {ranking.threshold:.3f}; Spearman rho of frequency and IoU "
        f"{ranking.correlation(ious)[0]:.2f}; same three in "
        f"{found.same(args.criterion)} of {TRIALS} random halves"
    )
    for name, values in (("IoU", ious), ("peak on the object", hits)):
        best = np.argsort(values, axis=None)[::-1][:6]
        pairs = [divmod(int(i), values.shape[1]) for i in best]
        print(name, "best:", ", ".join(f"L{a}H{b} {values[a, b]:.2f}" for a, b in pairs))
    print("chosen:", ranking.top(3))


if __name__ == "__main__":
    main()
