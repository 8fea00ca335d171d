"""The sentence: picture + caption -> noun phrases -> rows -> places -> one map of ids.

Both models read the picture once; all phrases share one packed row behind it, and SAM decodes
their prompts together.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...grounding import Backend
from ...grounding.pipeline import Grounder
from ...grounding.view import View
from ..errors import MultiObjectError
from ..id_map import resolve_overlaps
from ..instances import Place, split_places, tight_box
from ..panoptic import Instance, PanopticGrounding, Segment
from ..phrases.noun_phrases import NounPhrase, noun_phrases
from .caption_rows import caption_rows
from .packed import Found, Read, Wanted, find_wanted
from .phrase_query import Asked, how_to_ask, one_by_one

if TYPE_CHECKING:
    from spacy.language import Language

MODES = ("phrases", "caption")
TOKENS = ("phrase", "noun")


def ground_all(
    grounder: Grounder,
    view: View,
    caption: str,
    *,
    mode: str = "phrases",
    tokens: str = "phrase",
    pipeline: str | Path | Language | None = None,
    phrases: Sequence[NounPhrase] | None = None,
    refusal: Callable[[Sequence[str]], str] | None = None,
) -> PanopticGrounding:
    """Find everything that a caption names.

    Parameters
    ----------
    grounder
        A loaded LVLM and segmenter.
    view
        A picture both have read.
    caption
        English text.
    mode
        ``phrases``: each phrase asks for itself, all in one row behind the picture; ``caption``:
        one forward of the whole caption, each phrase the mean of its tokens' rows (the paper's).
        Whether a phrase is there at all is asked phrase by phrase in both.
    tokens
        In mode ``caption``: all of a phrase's tokens, or its ``noun``'s alone.
    pipeline
        As for `noun_phrases`.
    phrases
        Look for these instead of the parser's.
    refusal
        Makes the reason of status ``unknown`` from words the model has no token for.

    Returns
    -------
    PanopticGrounding
        A segment for every phrase; those that are not there are reported and not painted.

    Raises
    ------
    MultiObjectError
        For a caption that cannot be read, an unknown mode, or no English pipeline.
    GroundingError
        For a phrase that is too long.
    """
    if mode not in MODES or tokens not in TOKENS:
        raise MultiObjectError(
            f"mode={mode!r}, tokens={tokens!r}; expected mode {' or '.join(map(repr, MODES))} and "
            f"tokens {' or '.join(map(repr, TOKENS))}"
        )
    start = time.perf_counter()
    if phrases is None:
        phrases = noun_phrases(caption, pipeline=pipeline)
    asked = [how_to_ask(phrase, grounder.lvlm.unknown_words) for phrase in phrases]
    known = [one for one in asked if not one.unknown]
    parsed = time.perf_counter()
    wanted = [_wanted(grounder, one) for one in known]
    given = _caption_read(grounder, view, caption, known, tokens) if mode == "caption" else None
    read = time.perf_counter()
    places = find_wanted(grounder, view, wanted, given)
    found = dict(zip(map(id, known), places, strict=True))
    drafts = [_draft(view, grounder, one, found.get(id(one)), refusal) for one in asked]
    segments, ids = _painted(drafts, view.image.shape[:2])
    timings = {
        **view.timings,
        "parse": parsed - start,
        "rows": read - parsed,
        "masks": time.perf_counter() - read,
    }
    return PanopticGrounding(caption, tuple(segments), ids, timings)


def find_places(
    grounder: Grounder, view: View, asked: Sequence[tuple[str, int | None]]
) -> list[list[Place]]:
    """Where phrases are, of which some mean several things.

    Parameters
    ----------
    grounder, view
        As for `ground_all`.
    asked
        For each phrase its words and how many are meant; None = every one.

    Returns
    -------
    list of list of Place
        For each phrase its places, best first, at most as many as are meant; none where absent.
    """
    unknown = grounder.lvlm.unknown_words
    wanted = [
        Wanted(words, count == 1, () if count == 1 else one_by_one(words, count, unknown))
        for words, count in asked
    ]
    return [
        split_places(view.image, one, at_most=count, refine=grounder.settings.refine)
        for one, (_, count) in zip(find_wanted(grounder, view, wanted), asked, strict=True)
    ]


def _wanted(grounder: Grounder, asked: Asked) -> Wanted:
    """The words to look for; of things that are several also those for each one."""
    if asked.single or not asked.is_thing:
        return Wanted(asked.words, asked.single)
    others = one_by_one(asked.one, asked.number, grounder.lvlm.unknown_words) if asked.one else ()
    return Wanted(asked.words, False, others)


def _caption_read(
    grounder: Grounder, view: View, caption: str, asked: Sequence[Asked], tokens: str
) -> list[Read]:
    """Each phrase's rows out of the whole caption, and whether the model says that it is there."""
    lvlm = grounder.lvlm
    if isinstance(grounder, Backend):
        raise MultiObjectError(
            f"mode='caption' reads attention heads and {grounder.title} has none; use "
            "mode='phrases'"
        )
    spans = [one.phrase.span for one in asked]
    if tokens == "noun":
        spans = [
            (stop - len(one.phrase.head), stop) for one, (_, stop) in zip(asked, spans, strict=True)
        ]
    rows = caption_rows(lvlm, view.encoded, caption, spans)
    if lvlm.presence_settings is None:
        return [(row, None) for row in rows]
    answers = lvlm.presence(view.encoded, [one.words for one in asked])
    return list(zip(rows, answers, strict=True))


@dataclasses.dataclass(eq=False)
class _Draft:
    """A segment before ids are given out."""

    segment: Segment
    places: list[Place]
    found: Found | None


def _draft(
    view: View,
    grounder: Grounder,
    asked: Asked,
    looked: Found | None,
    refusal: Callable[[Sequence[str]], str] | None,
) -> _Draft:
    phrase = asked.phrase
    common: dict[str, Any] = {
        "phrase": asked.words,
        "span": phrase.span,
        "name": phrase.lemma,
        "is_thing": asked.is_thing,
        "plural": phrase.plural,
    }
    nothing = np.zeros(view.image.shape[:2], bool)
    if looked is None:
        reason = f"the model does not know {', '.join(map(repr, asked.unknown))}; use other words"
        reason = refusal(asked.unknown) if refusal else reason
        return _Draft(
            Segment(**common, mask=nothing, score=0.0, status="unknown", reason=reason), [], None
        )
    found = looked.grounding
    if asked.single:
        places = [Place(found.mask, found.score)] if found.found else []
    else:
        places = split_places(
            view.image, looked, at_most=asked.number, refine=grounder.settings.refine
        )
    status, reason = found.status, found.reason
    if not asked.single and found.found:
        status = "found" if status == "ambiguous" else status
        reason = f"{len(places)} place{'s' * (len(places) != 1)}, best score {found.score:.2f}"
        if asked.number and len(places) < asked.number:
            status, reason = "uncertain", f"{reason}; the words say {asked.number}"
    reason += f" ({asked.note})" if asked.note else ""
    mask = np.any([p.mask for p in places], axis=0) if places else nothing
    segment = Segment(
        **common,
        mask=mask,
        score=found.score,
        status=status,
        reason=reason,
        presence=found.presence,
    )
    return _Draft(segment, places, looked)


def _painted(drafts: Sequence[_Draft], shape: tuple[int, int]) -> tuple[list[Segment], np.ndarray]:
    """Segments with their ids, and the id map."""
    entries: list[tuple[int, Place]] = []  # (draft, mask): stuff is one entry, things one each
    for k, draft in enumerate(drafts):
        if draft.segment.is_thing:
            entries += [(k, place) for place in draft.places]
        elif draft.places:
            entries.append((k, Place(draft.segment.mask, draft.segment.score)))
    if not entries:
        return [d.segment for d in drafts], np.zeros(shape, np.int32)
    maps = [partial(_heat, drafts[k].found) for k, _ in entries]
    raw = resolve_overlaps([p.mask for _, p in entries], [p.score for _, p in entries], maps)
    kept = np.unique(raw)
    kept = kept[kept > 0]
    numbers = np.zeros(len(entries) + 1, np.int32)
    numbers[kept] = np.arange(1, len(kept) + 1)
    segments = []
    for k, draft in enumerate(drafts):
        own = [(int(numbers[n + 1]), p) for n, (owner, p) in enumerate(entries) if owner == k]
        instances = tuple(
            Instance(p.mask, tight_box(p.mask), p.score, i)
            for i, p in own
            if draft.segment.is_thing
        )
        ids = tuple(i for i, _ in own if i)
        reason = draft.segment.reason
        if own and not ids:
            reason += "; another phrase has the same place and is painted there"
        segments.append(
            dataclasses.replace(draft.segment, instances=instances, ids=ids, reason=reason)
        )
    return segments, numbers[raw]


def _heat(found: Found | None) -> np.ndarray:
    assert found is not None  # only what was found is painted
    return found.grounding.map
