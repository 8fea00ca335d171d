"""Every arm of the ablation table: the paper's switches, and other choices of heads.

The paper's are Kang et al., CVPR 2025: Tab. 4 (k), Tab. 5 (fixed against greedy, the criteria),
Tab. 8 (sigma, kernel), and the choices that it leaves open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...grounding.errors import GroundingError
from ...grounding.families import family_class
from ...grounding.families.geometry import PADDINGS
from ...grounding.heads.ranking import Threshold
from .arms import PAPER, PRESET, Arm, Greedy, Head, like_reference

if TYPE_CHECKING:
    from ...grounding.heads.ranking import HeadMeasurements

_QUERIES = {
    "stop": "the full stop that ends the expression is the query (the paper's)",
    "expression": "the last word piece of the expression is the query",
    "prompt": "the last token of the prompt is the query",
}
SIGMAS, KERNELS = (0.0, 0.4, 0.8, 1.0, 1.4, 1.8), (1, 3, 5, 7, 9, 11)  # Tab. 8
CONTRASTIVE = "contrastive heads"
_FIXED = "k=3"  # the paper's choice; the other choices of heads are compared with it


def ablation_arms(
    lvlm: Mapping[str, Any],
    measured: HeadMeasurements | None = None,
    *,
    ious: np.ndarray | None = None,
    contrasts: HeadMeasurements | None = None,
    lowest: int = 10,
    skip_layers: int = 2,
    threshold: Threshold = None,
) -> list[Arm]:
    """Every arm of the ablation table, the preset first.

    Parameters
    ----------
    measured
        Both criteria of every head on calibration samples. The arms that choose other heads need
        it, and are left out without it.
    ious
        (L, H) mean IoU of each head's pseudo-mask, by labels; for the arms that need labels.
    contrasts
        The same with how much a head's rows of two phrases differ in place of the attention sum;
        for the arms of contrastive discovery.
    lowest, skip_layers, threshold
        As in `rank_heads`.
    """
    arms = [PRESET, PAPER]
    if measured is not None:
        arms += _head_arms(measured, lowest, skip_layers, threshold)
        arms += _baselines(measured, ious, skip_layers)
    if contrasts is not None:
        heads = contrasts.rank(lowest, skip_layers, threshold).top(3)
        about = "the 3 heads of contrastive discovery: its phrase against another one's"
        arms.append(Arm(CONTRASTIVE, about, heads=heads, against=_FIXED))
        about += ", rows minus those of a neutral phrase"
        name = f"{CONTRASTIVE} minus neutral"
        arms.append(Arm(name, about, heads=heads, neutral="subtract", against=CONTRASTIVE))
    fixed = _FIXED if any(arm.name == _FIXED for arm in arms) else ""
    greedy = Greedy(3, skip_layers=skip_layers)
    one_by_one = {
        "greedy": ("3 heads chosen on each sample (Tab. 5)", greedy),
        "greedy, sum only": (
            "the 3 largest sums of each sample (Tab. 5)",
            replace(greedy, by="sum"),
        ),
        "greedy, entropy only": (
            "the 3 lowest entropies of each sample (Tab. 5)",
            replace(greedy, threshold=0.0),
        ),
    }
    arms += [
        Arm(name, about, heads=heads, against=fixed) for name, (about, heads) in one_by_one.items()
    ]
    return arms + _map_arms() + _prompt_arms(lvlm) + [like_reference(lvlm.get("prompt"))]


def _head_arms(
    measured: HeadMeasurements, lowest: int, skip_layers: int, threshold: Threshold
) -> list[Arm]:
    ranking = measured.rank(lowest, skip_layers, threshold)
    chosen: dict[str, tuple[str, tuple[Head, ...]]] = {}
    for k in range(1, 6):
        try:
            chosen[f"k={k}"] = f"the {k} most frequent heads (Tab. 4)", ranking.top(k)
        except GroundingError:  # fewer heads were ever selected
            break
    by_sum = measured.rank(lowest, skip_layers, 0.0, by="sum")
    chosen["criterion 1 only"] = "heads most often among the largest sums (Tab. 5)", by_sum.top(3)
    others: list[tuple[str, str, Threshold]] = [
        ("criterion 2 only", "no threshold of attention sum (Tab. 5)", 0.0),
        ("tau per sample", "each sample's own elbow", "per-sample"),
    ]
    for name, about, limit in others:
        chosen[name] = about, measured.rank(lowest, skip_layers, limit).top(3)
    return [
        Arm(name, about, heads=heads, against=_FIXED) for name, (about, heads) in chosen.items()
    ]


def _baselines(measured: HeadMeasurements, ious: np.ndarray | None, skip_layers: int) -> list[Arm]:
    """Other choices of heads on the same rows; the last two know the answers."""
    sums = measured.sums.mean(axis=0, dtype=np.float64)
    layers, heads = sums.shape
    every = tuple((layer, head) for layer in range(layers) for head in range(heads))
    late = [head for head in every if head[0] >= skip_layers]
    rng = np.random.default_rng(0)
    drawn = tuple(late[i] for i in sorted(rng.choice(len(late), min(3, len(late)), replace=False)))
    chosen = {
        "mean of all heads": ("every head of every layer", every),
        "random heads": ("3 heads drawn once, with seed 0", drawn),
        "largest sums": (
            "the 3 heads of largest mean attention sum",
            tuple(sorted(late, key=lambda head: -sums[head])[:3]),
        ),
    }
    if ious is not None:
        best = int(np.argmax(ious.mean(axis=1)))
        chosen["best layer, by labels"] = (
            "all heads of the layer of highest IoU",
            tuple((best, head) for head in range(heads)),
        )
        chosen["best heads, by labels"] = (
            "the 3 heads of highest IoU",
            tuple(sorted(every, key=lambda head: -ious[head])[:3]),
        )
    return [
        Arm(name, about, heads=heads, against=_FIXED) for name, (about, heads) in chosen.items()
    ]


def _neutral_arms() -> list[Arm]:
    """Other maps: rollout, and rows without what a head does for a neutral phrase too.

    Relative attention is from Zhang et al., "MLLMs Know Where to Look" (ICLR 2025).
    """
    return [
        Arm("rollout", "attention rollout over all layers, no heads", source="rollout"),
        Arm("minus neutral", "rows minus those of a neutral phrase", neutral="subtract"),
        Arm("relative to neutral", "rows over those of a neutral phrase", neutral="relative"),
    ]


def _map_arms() -> list[Arm]:
    """Variants of the paper's steps, in which the map's box is SAM's prompt."""

    def paper(name: str, about: str, boxes: Mapping[str, Any] | None = None, **changes: Any) -> Arm:
        whole = {**PAPER.grounding, **changes}
        whole["boxes"] = {**PAPER.grounding["boxes"], **(boxes or {})}
        return Arm(f"paper, {name}", about, grounding=whole, against=PAPER.name)

    smoothing = [
        *(paper(f"sigma={s:g}", "smoothing in cells (Tab. 8)", sigma=s) for s in SIGMAS if s != 1),
        *(
            paper(f"kernel={k}", "taps of the Gaussian (Tab. 8)", kernel=k)
            for k in KERNELS
            if k != 7
        ),
    ]
    return [
        *smoothing,
        paper("threshold on the picture", "bilinear upsampling first", {"threshold": "picture"}),
        paper(
            "literally",
            "cells on the padding count in the mean, as the text has it",
            {"cells": "all"},
        ),
        paper(
            "padding not undone",
            "the padded square directly onto the picture",
            {"cells": "all", "undo_padding": False},
        ),
        paper(
            "largest component", "of most cells, not of the largest hull", {"component": "largest"}
        ),
        paper("all components", "one box around everything above the mean", {"component": "all"}),
        paper("edges refined", "GrabCut settles the border", refine=True),
    ]


def _prompt_arms(lvlm: Mapping[str, Any]) -> list[Arm]:
    family = family_class(str(lvlm.get("family", "llava")))
    query = lvlm.get("query", "stop")
    paddings: tuple[str, ...] = getattr(family, "paddings", PADDINGS)
    padding = lvlm.get("padding") or getattr(family, "default_padding", "pad")

    def sam(*prompts: str) -> dict[str, Any]:
        return {"proposals": {"mode": "map", "prompts": prompts}}

    return [
        *(
            Arm(f"query: {one}", about, lvlm={"query": one})
            for one, about in _QUERIES.items()
            if one != query
        ),
        *(
            Arm(f"padding: {one}", "how the picture meets the square", lvlm={"padding": one})
            for one in paddings
            if one != padding
        ),
        Arm(
            "SAM: one box",
            "the paper's prompt, SAM's single mask",
            grounding={"proposals": {"mode": "paper"}},
        ),
        Arm("SAM: box", "three masks of the box, ranked by the map", grounding=sam("box")),
        Arm("SAM: peaks", "the map's peaks as points", grounding=sam("peak")),
        Arm("SAM: box and peak", "both together", grounding=sam("box+peak")),
        Arm("SAM: box and map", "the map as mask prompt", grounding=sam("box", "box+map")),
        Arm(
            "SAM: everything",
            "every prompt, ranked by the map",
            grounding=sam("box", "peak", "box+peak", "component"),
        ),
        Arm("no SAM", "the pseudo-mask is the answer", segment=False),
        *_neutral_arms(),
        Arm(
            "words as they stand",
            "what a phrase excludes is left in its map",
            grounding={"reword": False},
        ),
        Arm("edges as SAM gives them", "no GrabCut", grounding={"refine": False}),
    ]
