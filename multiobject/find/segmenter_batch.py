"""Decode SAM prompts of many phrases in few calls.

The work is run twice: first to collect the prompts, with empty answers, then with the answers that
were decoded together. Prompts that depend on an answer come up in the second run only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from ...grounding.sam.segmenter import ImageEmbedding, Segmenter

Answer = tuple[np.ndarray, np.ndarray]
Key = tuple[Any, ...]
"""Whether several masks are wanted, and the prompt's names and values."""
Result = TypeVar("Result")


class BatchingSegmenter:
    """A segmenter that collects prompts, then answers them from one decoding.

    Prompts with a mask are passed on one by one, since SAM takes one mask for a whole call; so are
    prompts that depend on an answer.

    Attributes
    ----------
    calls : How often SAM's decoder was called.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter
        self._prompts: list[tuple[tuple[str, ...], bool, Mapping[str, np.ndarray]]] = []
        self._answers: dict[Key, Answer] | None = None
        self.calls = 0

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
            self.calls += 1
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
            self.calls += 1
            logits, scores = self._segmenter.prompt_logits(embedding, **prompt, multimask=multimask)
            cuts = np.cumsum([len(self._prompts[k][2][names[0]]) for k in alike])[:-1]
            parts = zip(np.split(logits, cuts), np.split(scores, cuts), strict=True)
            keys = [_key(self._prompts[k][2], multimask) for k in alike]
            answers.update(zip(keys, parts, strict=True))
        return answers


def _key(prompt: Mapping[str, np.ndarray], multimask: bool) -> Key:
    return multimask, *((name, value.tobytes()) for name, value in prompt.items())
