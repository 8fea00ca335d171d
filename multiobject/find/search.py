"""Ground several phrases at once: one packed reading, SAM's prompts decoded together."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ...grounding import Backend
from ...grounding.pipeline import Grounder
from ...grounding.result import Grounding
from ...grounding.view import View

if TYPE_CHECKING:
    from ...grounding.sam.segmenter import ImageEmbedding, Segmenter

_PEAKS, _KEEP = 12, 24
"""Least peaks and proposals of a phrase that may have several instances."""

Reading = tuple[np.ndarray, float | None]
"""A phrase's attention rows (k, P, Q) and the probability that it is present."""


Answer = tuple[np.ndarray, np.ndarray]
Key = tuple[Any, ...]
"""Whether several masks are wanted, and the prompt's names and values."""
Result = TypeVar("Result")


class BatchingSegmenter:
    """A segmenter that collects prompts, then answers them from one decoding.

    Prompts with a mask are passed on one by one, since SAM takes one mask for a whole call; so are
    prompts that depend on an answer.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter
        self._prompts: list[tuple[tuple[str, ...], bool, Mapping[str, np.ndarray]]] = []
        self._answers: dict[Key, Answer] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._segmenter, name)

    def run(self, embedding: ImageEmbedding, work: Callable[[], Result]) -> Result:
        """Run `work` with its prompts on `embedding` decoded together; return its result."""
        self._prompts, self._answers = [], None
        work()
        self._answers = self._decode(embedding)
        return work()

    def prompt_logits(
        self,
        embedding: ImageEmbedding,
        *,
        boxes: Any = None,
        points: Any = None,
        mask: np.ndarray | None = None,
        multimask: bool = True,
    ) -> Answer:
        """As `Segmenter.prompt_logits`: empty while collecting, then the answers in order."""
        prompt = {
            name: np.asarray(value, np.float64)
            for name, value in (("boxes", boxes), ("points", points))
            if value is not None
        }
        if self._answers is None:
            if mask is None:
                self._prompts.append((tuple(prompt), multimask, prompt))
            side = self._segmenter.mask_side
            shape = len(next(iter(prompt.values()))), 3 if multimask else 1
            return np.full((*shape, side, side), -1, np.float32), np.zeros(shape, np.float32)
        answer = self._answers.get(_key(prompt, multimask)) if mask is None else None
        if answer is None:
            return self._segmenter.prompt_logits(
                embedding, boxes=boxes, points=points, mask=mask, multimask=multimask
            )
        return answer

    def _decode(self, embedding: ImageEmbedding) -> dict[Key, Answer]:
        """Decode prompts of one kind in one call; return the answer to each prompt."""
        answers: dict[Key, Answer] = {}
        kinds = [(names, multimask) for names, multimask, _ in self._prompts]
        for names, multimask in dict.fromkeys(kinds):
            alike = [k for k, kind in enumerate(kinds) if kind == (names, multimask)]
            prompt = {n: np.concatenate([self._prompts[k][2][n] for k in alike]) for n in names}
            logits, scores = self._segmenter.prompt_logits(embedding, **prompt, multimask=multimask)
            cuts = np.cumsum([len(self._prompts[k][2][names[0]]) for k in alike])[:-1]
            parts = zip(np.split(logits, cuts), np.split(scores, cuts), strict=True)
            keys = [_key(self._prompts[k][2], multimask) for k in alike]
            answers.update(zip(keys, parts, strict=True))
        return answers


def _key(prompt: Mapping[str, np.ndarray], multimask: bool) -> Key:
    return multimask, *((name, value.tobytes()) for name, value in prompt.items())


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
