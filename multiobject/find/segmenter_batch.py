"""Many phrases' prompts to SAM in few calls of its decoder.

What SAM is asked does not depend on what it answers, so placing is run twice: once to collect the
prompts, with empty answers, and once with the answers that were decoded together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from ...grounding.sam.segmenter import ImageEmbedding, Segmenter

Answer = tuple[np.ndarray, np.ndarray]
Result = TypeVar("Result")


class BatchingSegmenter:
    """A segmenter that first collects prompts, then answers them from one decoding.

    Prompts with a mask are passed on as they come: SAM takes one mask for a whole call.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter
        self._asked: list[tuple[tuple[str, ...], bool, Mapping[str, np.ndarray]]] = []
        self._answers: list[Answer] | None = None
        self.calls = 0
        """How often SAM's decoder was called."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._segmenter, name)

    def run(self, embedding: ImageEmbedding, place: Callable[[], Result]) -> Result:
        """What `place` gives, its prompts on `embedding` decoded together."""
        self._asked, self._answers = [], None
        place()
        self._answers = self._decode(embedding)
        return place()

    def prompt_logits(
        self,
        embedding: ImageEmbedding,
        *,
        boxes: Any = None,
        points: Any = None,
        mask: np.ndarray | None = None,
        multimask: bool = True,
    ) -> Answer:
        """As `Segmenter.prompt_logits`: nothing while collecting, then the answers in turn."""
        given = {
            name: np.asarray(value, np.float64)
            for name, value in (("boxes", boxes), ("points", points))
            if value is not None
        }
        count = len(next(iter(given.values())))
        if self._answers is None:
            if mask is None:
                self._asked.append((tuple(given), multimask, given))
            side = self._segmenter.mask_side
            shape = count, 3 if multimask else 1
            return np.full((*shape, side, side), -1, np.float32), np.zeros(shape, np.float32)
        if mask is not None:
            self.calls += 1
            return self._segmenter.prompt_logits(
                embedding, boxes=boxes, points=points, mask=mask, multimask=multimask
            )
        return self._answers.pop(0)

    def _decode(self, embedding: ImageEmbedding) -> list[Answer]:
        """Every prompt's answer, in the order asked; prompts of one kind in one call."""
        answers: dict[int, Answer] = {}
        for kind in dict.fromkeys((names, multi) for names, multi, _ in self._asked):
            alike = [k for k, (names, multi, _) in enumerate(self._asked) if (names, multi) == kind]
            names, multimask = kind
            prompt = {n: np.concatenate([self._asked[k][2][n] for k in alike]) for n in names}
            self.calls += 1
            logits, scores = self._segmenter.prompt_logits(embedding, **prompt, multimask=multimask)
            counts = [len(self._asked[k][2][names[0]]) for k in alike]
            cuts = np.cumsum(counts)[:-1]
            parts = zip(np.split(logits, cuts), np.split(scores, cuts), strict=True)
            answers.update(zip(alike, parts, strict=True))
        return [answers[k] for k in range(len(self._asked))]
