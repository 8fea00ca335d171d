"""What is measured under one name: the preset, or the preset with one thing switched.

The ablations are the paper's (Kang et al., CVPR 2025: Tab. 4 (k), Tab. 5 (fixed against greedy),
Tab. 8 (sigma, kernel), Sec. 4 (the criteria)) and the choices that it leaves open.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ...grounding import GroundingSettings, greedy_heads
from ...grounding.errors import GroundingError
from ...grounding.families import family_class
from ...grounding.families.geometry import PADDINGS
from ...grounding.heads.criteria import Binarise
from ...grounding.heads.ranking import Threshold
from ...grounding.settings import BoxSettings, ProposalSettings
from ..errors import GroundbrushError

if TYPE_CHECKING:
    from ...grounding.heads.ranking import HeadMeasurements

Head = tuple[int, int]
_QUERIES = {
    "stop": "the full stop that ends the expression is the query (the paper's)",
    "expression": "the last word piece of the expression is the query",
    "prompt": "the last token of the prompt is the query",
}
_FIXED = "k=3"  # the paper's choice; the other choices of heads are compared with it


@dataclass(frozen=True)
class Greedy:
    """Heads chosen anew on every sample, as the public code does (Tab. 5's weak arm).

    Parameters are those of `grounding.greedy_heads`.
    """

    k: int = 3
    threshold: float | None = None
    binarise: Binarise = "mean"
    bottom_row_limit: float | None = None
    skip_layers: int = 2
    public_code: bool = False

    def choose(self, rows: np.ndarray) -> tuple[Head, ...]:
        """The heads for one sample's rows (L, H, P, Q)."""
        return greedy_heads(
            rows,
            self.k,
            skip_layers=min(self.skip_layers, len(rows) - 1),
            threshold=self.threshold,
            binarise=self.binarise,
            bottom_row_limit=self.bottom_row_limit,
            public_code=self.public_code,
        )


@dataclass(frozen=True)
class Arm:
    """One thing to measure.

    Parameters
    ----------
    heads
        Fixed (layer, head) pairs, :class:`Greedy`, or None for the preset's.
    grounding
        Fields of ``GroundingSettings`` that differ from the preset's; ``boxes`` and ``proposals``
        are mappings of the fields that differ.
    lvlm
        Members of the preset's ``lvlm`` that differ: ``query``, ``padding``, ``prompt``.
    segment
        False: the pseudo-mask itself is the answer, without SAM.
    against
        Name of the arm that it differs from by one switch; empty = the preset.
    """

    name: str
    about: str = ""
    heads: tuple[Head, ...] | Greedy | None = None
    grounding: Mapping[str, Any] = field(default_factory=dict)
    lvlm: Mapping[str, Any] = field(default_factory=dict)
    segment: bool = True
    against: str = ""

    def settings(self, base: GroundingSettings) -> GroundingSettings:
        """The preset's settings with this arm's changes; refusal is off, it is scored apart."""
        changes: dict[str, Any] = {"absent_below": 0.0, **self.grounding}
        parts: tuple[tuple[str, Any], ...] = (("boxes", base.boxes), ("proposals", base.proposals))
        for name, part in parts:
            if name in changes:
                changes[name] = dataclasses.replace(part, **changes[name])
        try:
            return dataclasses.replace(base, **changes)
        except TypeError as error:
            raise GroundbrushError(f"arm {self.name!r}: {error}") from error

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, for a journal's header."""
        return dataclasses.asdict(self)


PRESET = Arm("preset", "the preset as it is")

PAPER = Arm(
    "paper",
    "the paper's steps: one box of the largest hull, SAM's single mask, no edge refinement",
    grounding={
        "boxes": dataclasses.asdict(BoxSettings(component="hull")),
        "proposals": dataclasses.asdict(ProposalSettings(mode="paper")),
        "sigma": 1.0,
        "kernel": 7,
        "refine": False,
        "reword": False,
    },
)


def like_reference(prompt: str | None) -> Arm:
    """The public code's choices (seilk/LocalizationHeads), the slips included.

    Five heads chosen greedily on every sample: the elbow is over all layers (two are dropped
    afterwards), entropy over cells above twice the mean, maps without such a cell first, ties by
    layer and head, heads that attend to the bottom row dropped. Nine taps of smoothing, the box of
    all cells of the grid above the mean, the padded square laid directly onto the picture, no SAM;
    the query is the last token of a prompt that ends with the expression.
    """
    ending = {} if prompt is None else {"prompt": prompt.split("{phrase}")[0] + "{phrase}"}
    return Arm(
        "like-reference",
        "the public code: greedy heads, box of everything, padding not undone, no SAM",
        heads=Greedy(k=5, binarise="public-code", bottom_row_limit=0.05, public_code=True),
        grounding={
            "kernel": 9,
            "sigma": 1.0,
            "reword": False,
            "boxes": {
                "component": "all",
                "cells": "all",
                "undo_padding": False,
                "threshold": "grid",
            },
        },
        lvlm={**ending, "query": "prompt"},
        segment=False,
    )


def ablation_arms(
    lvlm: Mapping[str, Any],
    measured: HeadMeasurements | None = None,
    *,
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
    chosen: dict[str, tuple[str, tuple[Head, ...]]] = {}
    for k in range(1, 6):
        try:
            chosen[f"k={k}"] = f"the {k} most frequent heads (Tab. 4)", ranking.top(k)
        except GroundingError:  # fewer heads were ever selected
            break
    chosen["criterion 1 only"] = "the 3 heads of largest attention sum", ranking.top(3, by="sum")
    others: list[tuple[str, str, Threshold]] = [
        ("criterion 2 only", "no threshold of attention sum", 0.0),
        ("tau per sample", "each sample's own elbow", "per-sample"),
    ]
    for name, about, limit in others:
        chosen[name] = about, measured.rank(lowest, skip_layers, limit).top(3)
    return [
        Arm(name, about, heads=heads, against=_FIXED) for name, (about, heads) in chosen.items()
    ]


def _map_arms() -> list[Arm]:
    """Variants of the paper's steps, in which the map's box is SAM's prompt."""

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
        Arm(
            "words as they stand",
            "what a phrase excludes is left in its map",
            grounding={"reword": False},
        ),
        Arm("edges as SAM gives them", "no GrabCut", grounding={"refine": False}),
    ]
