"""Phrases -> groundings: one packed reading behind the picture, SAM's prompts decoded together."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...grounding import Backend
from ...grounding.pipeline import Grounder
from ...grounding.result import Grounding
from ...grounding.view import View
from .segmenter_batch import BatchingSegmenter

_PEAKS, _KEEP = 12, 24
"""Of proposals for a phrase that may have many places."""

Read = tuple[np.ndarray, float | None]
"""A phrase's rows (k, P, Q) and its presence."""


@dataclass(frozen=True)
class Wanted:
    """Words to look for.

    Attributes
    ----------
    words
        As the model is asked.
    single
        Whether exactly one place is meant.
    others
        Words for its things one by one ("the left car"): heads look at one of several alike, so
        that the others have no place in the map of "the cars".
    """

    words: str
    single: bool = True
    others: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Found:
    """What was found of something wanted, and of each of its other words."""

    grounding: Grounding
    others: tuple[Grounding, ...] = ()


def find_wanted(
    grounder: Grounder, view: View, wanted: Sequence[Wanted], read: Sequence[Read] | None = None
) -> list[Found]:
    """Find several phrases in a picture that was looked at.

    Parameters
    ----------
    grounder, view
        As for `ground_all`; a find backend is asked phrase by phrase and gives several places by
        itself.
    wanted
        What to look for.
    read
        Rows and presence where they were read otherwise; others are then not asked for.

    Raises
    ------
    GroundingError
        For a phrase that is too long.
    """
    if not wanted:
        return []
    if isinstance(grounder, Backend):
        alone: list[Grounding] = grounder.ground_many(view, [one.words for one in wanted])
        return [Found(grounding) for grounding in alone]
    asked = [(one.words, one.single) for one in wanted]
    if read is None:
        asked += [(words, True) for one in wanted for words in one.others]
        readings = grounder.read(view, [words for words, _ in asked], grounder.lvlm.heads)
        read = [(r.rows, r.presence) for r in readings if r.rows is not None]
    placed = _place(grounder, view, asked, read)
    rest = iter(placed[len(wanted) :])
    return [
        Found(grounding, tuple(found for found, _ in zip(rest, one.others, strict=False)))
        for grounding, one in zip(placed, wanted, strict=False)
    ]


def _place(
    grounder: Grounder, view: View, asked: Sequence[tuple[str, bool]], read: Sequence[Read]
) -> list[Grounding]:
    """The place of every (words, whether one place is meant), SAM's prompts decoded together."""
    batch = BatchingSegmenter(grounder.segmenter)
    settings = grounder.settings
    proposals = dataclasses.replace(
        settings.proposals,
        mode="map",
        keep=max(_KEEP, settings.proposals.keep),
        peaks=max(_PEAKS, settings.proposals.peaks),
    )
    several = dataclasses.replace(settings, proposals=proposals)
    one = Grounder(grounder.lvlm, batch, settings)  # type: ignore[arg-type]
    many = Grounder(grounder.lvlm, batch, several)  # type: ignore[arg-type]

    def place() -> list[Grounding]:
        return [
            (one if single else many).place(view, words, rows, presence)
            for (words, single), (rows, presence) in zip(asked, read, strict=True)
        ]

    return batch.run(view.embedding, place)
