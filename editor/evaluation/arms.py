"""What is measured under one name: the preset, or the preset with one thing switched.

The ablations are the paper's (Kang et al., CVPR 2025: Tab. 4 (k), Tab. 5 (fixed against greedy),
Tab. 8 (sigma, kernel), Sec. 4 (the criteria)) and the choices that it leaves open.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_type_hints

import numpy as np
from pydantic import TypeAdapter, ValidationError

from ...grounding import GroundingSettings, greedy_heads
from ...grounding.errors import GroundingError
from ...grounding.heads.criteria import Binarise, attention_sums
from ...grounding.heads.ranking import LocalizationHeads
from ...grounding.settings import BoxSettings, ProposalSettings
from ..errors import GroundbrushError

Head = tuple[int, int]


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
    by: str = "entropy"

    def choose(self, rows: np.ndarray) -> tuple[Head, ...]:
        """The heads for one sample's rows (L, H, P, Q); ``by="sum"`` takes the largest sums."""
        if self.by == "sum":
            sums, skip = attention_sums(rows), min(self.skip_layers, len(rows) - 1)
            order = np.argsort(-sums[skip:], axis=None, kind="stable")[: self.k]
            return tuple((skip + int(i) // sums.shape[1], int(i) % sums.shape[1]) for i in order)
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
    heads : Fixed (layer, head) pairs, :class:`Greedy`, or None for the preset's.
    grounding : Fields of ``GroundingSettings`` that differ from the preset's; ``boxes`` and
        ``proposals`` are mappings of the fields that differ.
    lvlm : Members of the preset's ``lvlm`` that differ: ``query``, ``padding``, ``prompt``.
    segment : False: the pseudo-mask itself is the answer, without SAM.
    against : Name of the arm that it differs from by one switch; empty = the preset.
    source : The map is of the ``"heads"`` or attention ``"rollout"``; or the model writes
        ``"coordinates"`` and there is none.
    neutral : What is done with each head's row of a neutral phrase: it is subtracted, or divided
        by.
    """

    name: str
    about: str = ""
    heads: tuple[Head, ...] | Greedy | None = None
    grounding: Mapping[str, Any] = field(default_factory=dict)
    lvlm: Mapping[str, Any] = field(default_factory=dict)
    segment: bool = True
    against: str = ""
    source: Literal["heads", "rollout", "coordinates"] = "heads"
    neutral: Literal["", "subtract", "relative"] = ""

    def settings(self, base: GroundingSettings) -> GroundingSettings:
        """The preset's settings with this arm's changes; refusal is off, it is scored apart."""
        changes: dict[str, Any] = {"absent_below": 0.0, **self.grounding}
        parts: tuple[tuple[str, Any], ...] = (("boxes", base.boxes), ("proposals", base.proposals))
        try:
            for name, part in parts:
                if name in changes:
                    changes[name] = dataclasses.replace(part, **changes[name])
            return dataclasses.replace(base, **changes)
        except (TypeError, GroundingError) as error:
            raise GroundbrushError(f"arm {self.name!r}: {error}") from error


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


COORDINATES = Arm(
    "coordinates",
    "the model writes the box in words (Tab. 6's baseline)",
    grounding={"reword": False},
    segment=False,
    source="coordinates",
)


def free_arm(given: Sequence[str]) -> Arm:
    """An arm of settings given as ``NAME=VALUE``, the preset otherwise.

    Names are fields of ``GroundingSettings``, ``boxes.`` or ``proposals.`` and a field of theirs,
    ``heads``, or the LVLM's ``query``, ``padding`` and ``prompt``; values are JSON or plain words.
    Raises GroundbrushError for an unknown name or a value of another type.

    >>> free_arm(["sigma=.4", "boxes.component=hull", "query=stop"]).grounding
    {'sigma': 0.4, 'boxes': {'component': 'hull'}}
    """
    grounding: dict[str, Any] = {}
    lvlm: dict[str, Any] = {}
    heads = None
    for one in given:
        name, equals, text = one.partition("=")
        try:
            value = json.loads(f"0{text}" if text.startswith(".") else text)
        except ValueError:
            value = text
        part, _, name_in = name.rpartition(".")
        target = grounding if not part else grounding.setdefault(part, {})
        base = GroundingSettings() if not part else getattr(GroundingSettings(), part, None)
        if not equals:
            raise GroundbrushError(f"--set {one!r} given; expected NAME=VALUE, e.g. sigma=.4")
        if name in ("query", "padding", "prompt"):
            lvlm[name] = value
        elif name == "heads":
            heads = _fixed_heads(value)
        else:
            try:
                kind = TypeAdapter(get_type_hints(type(base))[name_in])
                plain = tuple(value) if isinstance(value, list) else value
                target[name_in] = kind.validate_python(plain, strict=True)
            except (KeyError, ValidationError) as error:
                raise GroundbrushError(
                    f"--set {one!r} given; expected heads, query, padding, prompt, or one of "
                    f"{', '.join(vars(GroundingSettings()))} (boxes.NAME, proposals.NAME) with a "
                    "value of its type"
                ) from error
    arm = Arm("set " + ", ".join(given), "settings of your own", heads, grounding, lvlm)
    arm.settings(GroundingSettings())
    return arm


def _fixed_heads(value: Any) -> tuple[Head, ...]:
    try:
        return LocalizationHeads(value, "given").heads
    except GroundingError as error:
        raise GroundbrushError(f"--set heads: {error}, e.g. heads=[[4,7],[3,4]]") from error


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


def chosen_arms(arms: Sequence[Arm], names: Sequence[str]) -> list[Arm]:
    """The first arm, the named ones, and what those are compared with, in the arms' order.

    Raises GroundbrushError for a name that no arm has.
    """
    known = {arm.name: arm for arm in arms}
    for name in names:
        if name not in known:
            raise GroundbrushError(
                f"there is no ablation {name!r}; expected some of {'; '.join(known)}"
            )
    wanted = {arms[0].name, *names, *(known[name].against for name in names)}
    return [arm for arm in arms if arm.name in wanted]
