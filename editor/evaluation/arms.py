"""One way of grounding that is measured: the preset's, or the preset's with something switched."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...grounding import GroundingSettings, greedy_heads
from ...grounding.heads.criteria import Binarise
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

    def choose(self, rows: np.ndarray) -> tuple[Head, ...]:
        """The heads for one sample's rows (L, H, P, Q)."""
        return greedy_heads(
            rows,
            self.k,
            skip_layers=min(self.skip_layers, len(rows) - 1),
            threshold=self.threshold,
            binarise=self.binarise,
            bottom_row_limit=self.bottom_row_limit,
        )


@dataclass(frozen=True)
class Arm:
    """What is measured under one name.

    Parameters
    ----------
    name, about
        Short, and in words.
    heads
        Fixed (layer, head) pairs, :class:`Greedy`, or None for the preset's.
    grounding
        Fields of ``GroundingSettings`` that differ from the preset's; ``boxes`` and ``proposals``
        are mappings of the fields that differ.
    lvlm
        Names of the preset's ``lvlm`` that differ: ``query``, ``padding``, ``prompt``.
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

    Five heads chosen greedily on every sample, entropy over cells above twice the mean, heads that
    look at the bottom row dropped, nine taps of smoothing, the box of everything above the mean,
    the padded square laid straight onto the picture, no SAM; the query is the last token of a
    prompt that ends with the expression.
    """
    ending = {} if prompt is None else {"prompt": prompt.split("{phrase}")[0] + "{phrase}"}
    return Arm(
        "like-reference",
        "the public code: greedy heads, box of everything, padding not undone, no SAM",
        heads=Greedy(k=5, binarise="public-code", bottom_row_limit=0.05),
        grounding={
            "kernel": 9,
            "sigma": 1.0,
            "reword": False,
            "boxes": {
                "component": "all",
                "cells": "all",
                "undo_padding": False,
                "threshold": "picture",
            },
        },
        lvlm={**ending, "query": "prompt"},
        segment=False,
    )
