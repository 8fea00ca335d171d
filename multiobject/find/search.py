"""Ground several phrases at once: one packed reading, SAM's prompts decoded together."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from ...grounding import Backend
from ...grounding.pipeline import Grounder
from ...grounding.result import Grounding
from ...grounding.view import View
from .segmenter_batch import BatchingSegmenter

_PEAKS, _KEEP = 12, 24
"""Least peaks and proposals of a phrase that may have several instances."""

Reading = tuple[np.ndarray, float | None]
"""A phrase's attention rows (k, P, Q) and the probability that it is present."""


@dataclass(frozen=True)
class SearchTerm:
    """Words to search for.

    Attributes
    ----------
    single : Whether exactly one instance is meant.
    variants : Words for the instances one by one ("the left car"). Heads attend to one of several
        alike, so the others are missing from the map of "the cars".
    presence : Words of the presence query, instead of `words`: "the car" for "all the cars", which
        presupposes that there are some.
    """

    words: str
    single: bool = True
    variants: tuple[str, ...] = ()
    presence: str = ""


@dataclass(frozen=True, eq=False)
class SearchResult:
    """The groundings of a search term and of its variants."""

    grounding: Grounding
    variants: tuple[Grounding, ...] = ()


def search(
    grounder: Grounder,
    view: View,
    terms: Sequence[SearchTerm],
    readings: Sequence[Reading] | None = None,
) -> list[SearchResult]:
    """Search a picture for several terms.

    Parameters
    ----------
    grounder : A detector backend searches phrase by phrase and finds several instances by itself.
    readings : Given for each term, they are used instead of reading the picture; variants are then
        not searched for.

    Raises GroundingError for a phrase that is too long.
    """
    if not terms:
        return []
    if isinstance(grounder, Backend):
        alone: list[Grounding] = grounder.ground_many(view, [term.words for term in terms])
        return [SearchResult(grounding) for grounding in alone]
    phrases = [(term.words, term.single) for term in terms]
    if readings is None:
        phrases += [(words, True) for term in terms for words in term.variants]
        read = grounder.read(view, [words for words, _ in phrases], grounder.lvlm.heads)
        readings = [(r.rows, r.presence) for r in read if r.rows is not None]
        _ask_presence(grounder, view, terms, readings)
    groundings = _localize(grounder, view, phrases, readings)
    rest = iter(groundings[len(terms) :])
    return [
        SearchResult(grounding, tuple(islice(rest, len(term.variants))))
        for grounding, term in zip(groundings, terms, strict=False)
    ]


def _ask_presence(
    grounder: Grounder, view: View, terms: Sequence[SearchTerm], readings: list[Reading]
) -> None:
    """Replace the presence of terms that have other words for it."""
    others = [k for k, term in enumerate(terms) if term.presence not in ("", term.words)]
    if not others or grounder.lvlm.presence_settings is None:
        return
    said = grounder.lvlm.presence(view.encoded, [terms[k].presence for k in others])
    for k, presence in zip(others, said, strict=True):
        readings[k] = (readings[k][0], presence)


def _localize(
    grounder: Grounder, view: View, phrases: Sequence[tuple[str, bool]], readings: Sequence[Reading]
) -> list[Grounding]:
    """Localize each (words, single) from its reading, decoding SAM's prompts together."""
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
    return batch.run(
        view.embedding,
        lambda: [
            (one if single else many).place(view, words, rows, presence)
            for (words, single), (rows, presence) in zip(phrases, readings, strict=True)
        ],
    )
