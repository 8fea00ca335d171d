"""The paper's ablations and the open choices, each one switch away from the preset.

Kang et al., CVPR 2025: Tab. 4 (k), Tab. 5 (fixed against greedy), Tab. 8 (sigma, kernel), Sec. 4
(the criteria); and the choices the paper leaves open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...grounding.errors import GroundingError
from ...grounding.families import family_class
from ...grounding.families.geometry import PADDINGS
from ...grounding.heads.ranking import Threshold
from ..errors import GroundbrushError
from .arms import PAPER, PRESET, Arm, Greedy, Head, like_reference

if TYPE_CHECKING:
    from ...grounding.heads.ranking import HeadMeasurements

_FIXED = "k=3"  # the paper's choice: what the other choices of heads are compared with


def ablation_arms(
    lvlm: Mapping[str, Any],
    measured: HeadMeasurements | None = None,
    *,
    lowest: int = 10,
    skip_layers: int = 2,
    threshold: Threshold = None,
) -> list[Arm]:
    """Every arm of the ablation table, the preset as it is first.

    Parameters
    ----------
    lvlm
        The preset's, whose query, padding and prompt the arms vary.
    measured
        Both criteria of every head on calibration samples, for the arms that choose other heads;
        without them those arms are left out.
    lowest, skip_layers, threshold
        As in `rank_heads`.
    """
    arms = [PRESET, PAPER]
    if measured is not None:
        arms += _head_arms(measured, lowest, skip_layers, threshold)
    fixed = _FIXED if any(arm.name == _FIXED for arm in arms) else ""
    arms.append(
        Arm(
            "greedy",
            "3 heads chosen on each sample (Tab. 5)",
            heads=Greedy(3, skip_layers=skip_layers),
            against=fixed,
        )
    )
    return arms + _map_arms() + _prompt_arms(lvlm) + [like_reference(lvlm.get("prompt"))]


def chosen_arms(arms: Sequence[Arm], names: Sequence[str]) -> list[Arm]:
    """The first arm, the named ones, and what those are compared with, in the arms' order.

    Raises
    ------
    GroundbrushError
        For a name that no arm has.
    """
    known = {arm.name: arm for arm in arms}
    for name in names:
        if name not in known:
            raise GroundbrushError(
                f"there is no ablation {name!r}; expected some of {'; '.join(known)}"
            )
    wanted = {arms[0].name, *names, *(known[name].against for name in names)}
    return [arm for arm in arms if arm.name in wanted]


def _head_arms(
    measured: HeadMeasurements, lowest: int, skip_layers: int, threshold: Threshold
) -> list[Arm]:
    ranking = measured.rank(lowest, skip_layers, threshold)
    arms = []
    for k in range(1, 6):
        try:
            heads = ranking.top(k)
        except GroundingError:  # fewer heads were ever selected
            break
        arms.append(
            Arm(f"k={k}", f"the {k} most frequent heads (Tab. 4)", heads=heads, against=_FIXED)
        )
    by_sum = ranking.top(3, by="sum")
    arms.append(
        Arm(
            "criterion 1 only", "the 3 heads of largest attention sum", heads=by_sum, against=_FIXED
        )
    )
    by_entropy: tuple[Head, ...] = measured.rank(lowest, skip_layers, 0.0).top(3)
    arms.append(
        Arm("criterion 2 only", "no threshold of attention sum", heads=by_entropy, against=_FIXED)
    )
    own: tuple[Head, ...] = measured.rank(lowest, skip_layers, "per-sample").top(3)
    arms.append(Arm("tau per sample", "each sample's own elbow", heads=own, against=_FIXED))
    return arms


def _map_arms() -> list[Arm]:
    """Around the paper's steps, where the box of the map is what SAM is asked about."""

    def paper(name: str, about: str, boxes: Mapping[str, Any] | None = None, **changes: Any) -> Arm:
        whole = {**PAPER.grounding, **changes}
        whole["boxes"] = {**PAPER.grounding["boxes"], **(boxes or {})}
        return Arm(f"paper, {name}", about, grounding=whole, against=PAPER.name)

    smoothing = [
        *(paper(f"sigma={s:g}", "smoothing in cells (Tab. 8)", sigma=s) for s in (0.0, 0.5, 2.0)),
        *(paper(f"kernel={k}", "taps of the Gaussian (Tab. 8)", kernel=k) for k in (3, 5, 9)),
    ]
    return [
        *smoothing,
        paper("threshold on the picture", "bilinear upsampling first", {"threshold": "picture"}),
        paper("padding cells", "cells on the padding take part", {"cells": "all"}),
        paper(
            "padding not undone",
            "the padded square straight onto the picture",
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
    query = lvlm.get("query", "expression")
    ways: tuple[str, ...] = getattr(family, "paddings", PADDINGS)
    padding = lvlm.get("padding") or getattr(family, "default_padding", "pad")
    other = "prompt" if query == "expression" else "expression"

    def sam(*prompts: str) -> dict[str, Any]:
        return {"proposals": {"mode": "map", "prompts": prompts}}

    return [
        Arm(f"query: {other}", f"the last token of the {other} asks", lvlm={"query": other}),
        *(
            Arm(f"padding: {way}", "how the picture meets the square", lvlm={"padding": way})
            for way in ways
            if way != padding
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
        Arm(
            "words as they stand",
            "what a phrase excludes is left in its map",
            grounding={"reword": False},
        ),
        Arm("edges as SAM gives them", "no GrabCut", grounding={"refine": False}),
    ]
