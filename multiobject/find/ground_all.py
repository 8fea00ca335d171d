"""Ground a caption: noun phrases -> attention rows -> instances -> one id map.

Both models encode the picture once; all phrases share one packed sequence behind it, and SAM
decodes their prompts together.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ...grounding import Backend
from ...grounding.errors import GroundingError
from ...grounding.localize.ambiguity import cover
from ...grounding.localize.locate import are_separate
from ...grounding.pipeline import Grounder
from ...grounding.result import Candidate, Grounding
from ...grounding.view import View, tight_box
from ..errors import MultiObjectError
from ..id_map import resolve_overlaps
from ..instances import ScoredMask, full_size_mask, split_instances
from ..panoptic import Instance, PanopticGrounding, Segment
from ..phrases.noun_phrases import NounPhrase, phrases_to_find
from .phrase_query import PhraseQuery, phrase_query, position_variants
from .search import Reading, SearchResult, SearchTerm, search

if TYPE_CHECKING:
    from ...grounding.attention.model import LVLM
    from ...grounding.attention.reading import EncodedImage

MODES = ("phrases", "caption")
Refusal = Callable[[Sequence[str]], str]
"""Makes the reason of status ``unknown`` from the words the model has no token for."""


def ground_all(
    grounder: Grounder,
    view: View,
    caption: str,
    *,
    mode: str = "phrases",
    phrases: Sequence[NounPhrase] | None = None,
    refusal: Refusal | None = None,
) -> PanopticGrounding:
    """Find everything that a caption names.

    Parameters
    ----------
    mode : ``phrases``: each phrase is queried on its own, all in one packed sequence. ``caption``:
        one forward pass of the whole caption, each phrase the mean of its tokens' rows (Kang et
        al., CVPR 2025, App. D.4). Presence is queried phrase by phrase in both.
    phrases : Used instead of the parser's.

    Returns a segment for every phrase; absent ones are reported and not painted.

    Raises MultiObjectError for a caption that cannot be read, an unknown mode, or no English
    pipeline. Raises GroundingError for a phrase that is too long.
    """
    if mode not in MODES:
        raise MultiObjectError(f"mode={mode!r}; expected mode {' or '.join(map(repr, MODES))}")
    start = time.perf_counter()
    if phrases is None:
        phrases = phrases_to_find(caption)
    queries = [phrase_query(phrase, grounder.lvlm.unknown_words) for phrase in phrases]
    known = [query for query in queries if not query.unknown]
    parsed = time.perf_counter()
    terms = [_search_term(grounder, query) for query in known]
    readings = None
    if mode == "caption":
        readings = _caption_readings(grounder, view, caption, known)
    read = time.perf_counter()
    results = iter(search(grounder, view, terms, readings))
    drafts = [
        _unknown_draft(view, query, refusal)
        if query.unknown
        else _found_draft(grounder, view, query, next(results))
        for query in queries
    ]
    segments, ids = _paint(drafts, view.image.shape[:2])
    timings = {
        **view.timings,
        "parse": parsed - start,
        "rows": read - parsed,
        "masks": time.perf_counter() - read,
    }
    return PanopticGrounding(caption, tuple(segments), ids, timings)


def ground_several(grounder: Grounder, view: View, query: PhraseQuery) -> Grounding:
    """Ground a phrase that names several things of a kind: `mask` is all of them together.

    Its status is ``uncertain`` where fewer are found than the phrase says. `query.words` must be
    known to the model.
    """
    (result,) = search(grounder, view, [_search_term(grounder, query)])
    found = result.grounding
    if not found.found:
        return found
    masks = _split(grounder, view, result, query.number, query.singular)
    instances = [Candidate(tight_box(one.mask), one.score, one.mask) for one in masks]
    return with_instances(found, instances, query)


def with_instances(
    found: Grounding, instances: Sequence[Candidate], query: PhraseQuery
) -> Grounding:
    """Return a grounding of several things, `instances` with masks of the picture's size."""
    status, reason = _count_status(found, len(instances), query)
    union = np.any([one.mask for one in instances], axis=0)
    # of "all cups" there are no others
    others = found.candidates if query.number else ()
    apart_ones = [o for o in others if are_separate(full_size_mask(o.mask, found.size_wh), union)]
    return dataclasses.replace(
        found,
        status=status,
        reason=reason,
        mask=union,
        box=tight_box(union),
        score=min(one.score for one in instances),
        candidates=tuple(apart_ones),
        instances=tuple(instances),
    )


def find_instances(
    grounder: Grounder, view: View, phrases: Sequence[tuple[str, int | None]]
) -> list[list[ScoredMask]]:
    """Return the instances of each (phrase, count), best first; count None means every one.

    At most as many as the count; none for an absent phrase.
    """
    unknown = grounder.lvlm.unknown_words
    terms = [
        SearchTerm(words)
        if count == 1
        else SearchTerm(words, False, position_variants(words, count, unknown))
        for words, count in phrases
    ]
    return [
        _split(grounder, view, result, count, words)
        for result, (words, count) in zip(search(grounder, view, terms), phrases, strict=True)
    ]


def caption_rows(
    lvlm: LVLM, encoded: EncodedImage, caption: str, spans: Sequence[tuple[int, int]]
) -> list[np.ndarray]:
    """Return each span's mean attention over the image tokens, (k, P, Q) float32.

    Spans are half-open character offsets. The caption runs once; a token's row depends only on the
    words before it. Raises MultiObjectError if the model cannot read the caption whole.
    """
    try:
        tokens = lvlm.token_rows(encoded, caption, spans, lvlm.heads)
    except GroundingError as error:
        raise MultiObjectError(
            f"the caption cannot be read whole ({error}); use mode='phrases'"
        ) from error
    return [rows.mean(axis=0) for rows in tokens]


def _search_term(grounder: Grounder, query: PhraseQuery) -> SearchTerm:
    if query.single or not query.is_thing or not query.singular:
        return SearchTerm(query.words, query.single)
    variants = position_variants(query.singular, query.number, grounder.lvlm.unknown_words)
    known = not grounder.lvlm.unknown_words(query.singular)
    return SearchTerm(query.words, False, variants, query.singular if known else "")


def _split(
    grounder: Grounder, view: View, result: SearchResult, count: int | None, singular: str
) -> list[ScoredMask]:
    refine = grounder.settings.refine
    masks = split_instances(
        view.image, result.grounding, result.variants, at_most=count, refine=refine
    )
    return masks if count is None else _confirmed(grounder, view, masks, singular)


def _confirmed(
    grounder: Grounder, view: View, masks: list[ScoredMask], singular: str
) -> list[ScoredMask]:
    """Return the masks of which the model answers, with the others covered, that one is there.

    To find as many as the words count, weak candidates are taken: of "two apples" a banana.
    """
    lvlm = grounder.lvlm
    asks = getattr(lvlm, "presence_settings", None) is not None
    if not asks or len(masks) < 2 or not singular or lvlm.unknown_words(singular):
        return masks
    kept = []
    for one in masks:
        alone = cover(view.proxy, [other.mask for other in masks if other is not one])
        (presence,) = lvlm.presence(lvlm.encode(alone), [singular])
        kept += [one] * (presence >= grounder.settings.absent_below)
    return kept or masks[:1]


def _caption_readings(
    grounder: Grounder, view: View, caption: str, queries: Sequence[PhraseQuery]
) -> list[Reading]:
    """Return each phrase's rows of the whole caption, and its presence."""
    lvlm = grounder.lvlm
    if isinstance(grounder, Backend):
        raise MultiObjectError(
            f"mode='caption' reads attention heads and {grounder.title} has none; use "
            "mode='phrases'"
        )
    rows = caption_rows(lvlm, view.encoded, caption, [query.phrase.span for query in queries])
    if lvlm.presence_settings is None:
        return [(row, None) for row in rows]
    presence = lvlm.presence(view.encoded, [query.words for query in queries])
    return list(zip(rows, presence, strict=True))


@dataclasses.dataclass(eq=False)
class _Draft:
    """A segment without ids, and its instances (or parts of stuff)."""

    segment: Segment
    masks: list[ScoredMask]
    grounding: Grounding | None = None


def _unknown_draft(view: View, query: PhraseQuery, refusal: Refusal | None) -> _Draft:
    reason = f"the model does not know {', '.join(map(repr, query.unknown))}; use other words"
    reason = refusal(query.unknown) if refusal else reason
    return _Draft(_segment(view, query, [], 0.0, "unknown", reason), [])


def _found_draft(
    grounder: Grounder, view: View, query: PhraseQuery, result: SearchResult
) -> _Draft:
    found = result.grounding
    status, reason = found.status, found.reason
    if query.single:
        masks = [ScoredMask(found.mask, found.score)] if found.found else []
    else:
        masks = _split(grounder, view, result, query.number, query.singular)
    if not query.single and found.found:
        status, reason = _count_status(found, len(masks), query)
    reason += f" ({query.note})" if query.note else ""
    segment = _segment(view, query, masks, found.score, status, reason, found.presence)
    return _Draft(segment, masks, found)


def _count_status(found: Grounding, places: int, query: PhraseQuery) -> tuple[str, str]:
    """Return the status and reason of several instances: fewer than named is uncertain."""
    best = max([found.score, *(one.score for one in found.instances)])
    reason = f"{places} place{'s' * (places != 1)}, best score {best:.2f}"
    if query.number and places < query.number:
        return "uncertain", f"{reason}; the words say {query.number}"
    return "found" if found.status == "ambiguous" else found.status, reason


def _segment(
    view: View,
    query: PhraseQuery,
    masks: Sequence[ScoredMask],
    score: float,
    status: str,
    reason: str,
    presence: float | None = None,
) -> Segment:
    nothing = np.zeros(view.image.shape[:2], bool)
    return Segment(
        phrase=query.words,
        span=query.phrase.span,
        name=query.phrase.lemma,
        is_thing=query.is_thing,
        plural=query.phrase.plural,
        mask=np.any([one.mask for one in masks], axis=0) if masks else nothing,
        score=score,
        status=status,
        reason=reason,
        presence=presence,
    )


def _paint(drafts: Sequence[_Draft], shape: tuple[int, int]) -> tuple[list[Segment], np.ndarray]:
    """Return the segments with their ids, and the id map."""
    layers: list[tuple[int, ScoredMask]] = []  # (draft, mask): stuff is one layer, things one each
    for k, draft in enumerate(drafts):
        if draft.segment.is_thing:
            layers += [(k, one) for one in draft.masks]
        elif draft.masks:
            layers.append((k, ScoredMask(draft.segment.mask, draft.segment.score)))
    if not layers:
        return [draft.segment for draft in drafts], np.zeros(shape, np.int32)
    maps = [partial(_heat, drafts[k]) for k, _ in layers]
    raw = resolve_overlaps([m.mask for _, m in layers], [m.score for _, m in layers], maps)
    kept = np.unique(raw)
    kept = kept[kept > 0]
    numbers = np.zeros(len(layers) + 1, np.int32)
    numbers[kept] = np.arange(1, len(kept) + 1)
    segments = []
    for k, draft in enumerate(drafts):
        own = [(int(numbers[n + 1]), m) for n, (owner, m) in enumerate(layers) if owner == k]
        instances = [Instance(m.mask, tight_box(m.mask), m.score, id) for id, m in own]
        ids = tuple(id for id, _ in own if id)
        reason = draft.segment.reason
        if own and not ids:
            reason += "; another phrase has the same place and is painted there"
        segments.append(
            dataclasses.replace(
                draft.segment,
                instances=tuple(instances) if draft.segment.is_thing else (),
                ids=ids,
                reason=reason,
            )
        )
    return segments, numbers[raw]


def _heat(draft: _Draft) -> np.ndarray:
    assert draft.grounding is not None  # only what was found has masks
    return draft.grounding.map
