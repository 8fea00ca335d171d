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

Chosen = dict[str, tuple[str, tuple[Head, ...] | Greedy]]
"""Name of an arm -> what it is about, and its heads."""
_QUERIES = {
    "stop": "the full stop that ends the expression is the query (the paper's)",
    "expression": "the last word piece of the expression is the query",
    "prompt": "the last token of the prompt is the query",
}
SIGMAS, KERNELS = (0.0, 0.4, 0.8, 1.4, 1.8), (1, 3, 5, 9, 11)  # Tab. 8, beside the paper's 1 and 7
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
    measured : Both criteria of every head on calibration samples. The arms that choose other heads
        need it, and are left out without it.
    ious : (L, H) mean IoU of each head's pseudo-mask, by labels; for the arms that need labels.
    contrasts : The same with how much a head's rows of two phrases differ in place of the attention
        sum; for the arms of contrastive discovery.
    lowest, skip_layers, threshold : As in `rank_heads`.
    """
    arms = [PRESET, PAPER]
    if measured is not None:
        chosen = _ranked(measured, lowest, skip_layers, threshold)
        chosen |= _baselines(measured, ious, skip_layers)
        arms += [Arm(n, about, heads=heads, against=_FIXED) for n, (about, heads) in chosen.items()]
    if contrasts is not None:
        best = contrasts.rank(lowest, skip_layers, threshold).top(3)
        about = "the 3 heads of contrastive discovery: its phrase against another one's"
        arms.append(Arm(CONTRASTIVE, about, heads=best, against=_FIXED))
        about += ", rows minus those of a neutral phrase"
        name = f"{CONTRASTIVE} minus neutral"
        arms.append(Arm(name, about, heads=best, neutral="subtract", against=CONTRASTIVE))
    fixed = _FIXED if any(arm.name == _FIXED for arm in arms) else ""
    greedy = Greedy(3, skip_layers=skip_layers)
    by_sum, by_entropy = replace(greedy, by="sum"), replace(greedy, threshold=0.0)
    one_by_one: Chosen = {
        "greedy": ("3 heads chosen on each sample (Tab. 5)", greedy),
        "greedy, sum only": ("the 3 largest sums of each sample (Tab. 5)", by_sum),
        "greedy, entropy only": ("the 3 lowest entropies of each sample (Tab. 5)", by_entropy),
    }
    arms += [Arm(n, about, heads=heads, against=fixed) for n, (about, heads) in one_by_one.items()]
    return arms + _map_arms() + _prompt_arms(lvlm) + [like_reference(lvlm.get("prompt"))]


def _ranked(
    measured: HeadMeasurements, lowest: int, skip_layers: int, threshold: Threshold
) -> Chosen:
    """The paper's choices of heads."""
    ranking = measured.rank(lowest, skip_layers, threshold)
    chosen: Chosen = {}
    for k in range(1, 6):
        try:
            chosen[f"k={k}"] = f"the {k} most frequent heads (Tab. 4)", ranking.top(k)
        except GroundingError:  # fewer heads were ever selected
            break
    by_sum = measured.rank(lowest, skip_layers, 0.0, by="sum").top(3)
    any_sum = measured.rank(lowest, skip_layers, 0.0).top(3)
    each = measured.rank(lowest, skip_layers, "per-sample").top(3)
    return {
        **chosen,
        "criterion 1 only": ("heads most often among the largest sums (Tab. 5)", by_sum),
        "criterion 2 only": ("no threshold of attention sum (Tab. 5)", any_sum),
        "tau per sample": ("each sample's own elbow", each),
    }


def _baselines(measured: HeadMeasurements, ious: np.ndarray | None, skip_layers: int) -> Chosen:
    """Other choices of heads on the same rows; the last two know the answers."""
    sums = measured.sums.mean(axis=0, dtype=np.float64)
    layers, heads = sums.shape
    every = tuple((layer, head) for layer in range(layers) for head in range(heads))
    late = [head for head in every if head[0] >= skip_layers]
    rng = np.random.default_rng(0)
    drawn = tuple(late[i] for i in sorted(rng.choice(len(late), min(3, len(late)), replace=False)))
    largest = tuple(sorted(late, key=lambda head: -sums[head])[:3])
    chosen: Chosen = {
        "mean of all heads": ("every head of every layer", every),
        "random heads": ("3 heads drawn once, with seed 0", drawn),
        "largest sums": ("the 3 heads of largest mean attention sum", largest),
    }
    if ious is not None:
        best = int(np.argmax(ious.mean(axis=1)))
        layer = tuple((best, head) for head in range(heads))
        highest = tuple(sorted(every, key=lambda head: -ious[head])[:3])
        chosen["best layer, by labels"] = "all heads of the layer of highest IoU", layer
        chosen["best heads, by labels"] = "the 3 heads of highest IoU", highest
    return chosen


def _map_arms() -> list[Arm]:
    """Variants of the paper's steps, in which the map's box is SAM's prompt."""

    def paper(name: str, about: str, boxes: Mapping[str, Any] | None = None, **changes: Any) -> Arm:
        whole = {**PAPER.grounding, **changes}
        whole["boxes"] = {**PAPER.grounding["boxes"], **(boxes or {})}
        return Arm(f"paper, {name}", about, grounding=whole, against=PAPER.name)

    on_padding = {"cells": "all"}
    not_undone = {**on_padding, "undo_padding": False}
    return [
        *(paper(f"sigma={s:g}", "smoothing in cells (Tab. 8)", sigma=s) for s in SIGMAS),
        *(paper(f"kernel={k}", "taps of the Gaussian (Tab. 8)", kernel=k) for k in KERNELS),
        paper("threshold on the picture", "bilinear upsampling first", {"threshold": "picture"}),
        paper(
            "literally", "cells on the padding count in the mean, as the text has it", on_padding
        ),
        paper("padding not undone", "the padded square directly onto the picture", not_undone),
        paper(
            "largest component", "of most cells, not of the largest hull", {"component": "largest"}
        ),
        paper("all components", "one box around everything above the mean", {"component": "all"}),
        paper("edges refined", "GrabCut settles the border", refine=True),
    ]


def _prompt_arms(lvlm: Mapping[str, Any]) -> list[Arm]:
    """Other queries, paddings, prompts of SAM and maps.

    Relative attention is from Zhang et al., "MLLMs Know Where to Look" (ICLR 2025).
    """
    family = family_class(str(lvlm.get("family", "llava")))
    query = lvlm.get("query", "stop")
    paddings: tuple[str, ...] = getattr(family, "paddings", PADDINGS)
    padding = lvlm.get("padding") or getattr(family, "default_padding", "pad")
    arms = [Arm(f"query: {q}", about, lvlm={"query": q}) for q, about in _QUERIES.items()]
    about = "how the picture meets the square"
    arms += [Arm(f"padding: {one}", about, lvlm={"padding": one}) for one in paddings]
    prompts: dict[str, tuple[str, Mapping[str, Any]]] = {
        "one box": ("the paper's prompt, SAM's single mask", {"mode": "paper"}),
        "box": ("three masks of the box, ranked by the map", {"prompts": ("box",)}),
        "peaks": ("the map's peaks as points", {"prompts": ("peak",)}),
        "box and peak": ("both together", {"prompts": ("box+peak",)}),
        "box and map": ("the map as mask prompt", {"prompts": ("box", "box+map")}),
        "everything": (
            "every prompt, ranked by the map",
            {"prompts": ("box", "peak", "box+peak", "component")},
        ),
    }
    arms += [
        Arm(f"SAM: {name}", about, grounding={"proposals": {"mode": "map", **changes}})
        for name, (about, changes) in prompts.items()
    ]
    own = (f"query: {query}", f"padding: {padding}")
    return [
        *(arm for arm in arms if arm.name not in own),
        Arm("no SAM", "the pseudo-mask is the answer", segment=False),
        Arm("rollout", "attention rollout over all layers, no heads", source="rollout"),
        Arm("minus neutral", "rows minus those of a neutral phrase", neutral="subtract"),
        Arm("relative to neutral", "rows over those of a neutral phrase", neutral="relative"),
        Arm(
            "words as they stand",
            "what a phrase excludes is left in its map",
            grounding={"reword": False},
        ),
        Arm("edges as SAM gives them", "no GrabCut", grounding={"refine": False}),
    ]
