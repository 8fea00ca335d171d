"""Forward passes of suffixes over a picture that was read: what goes in, what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .capture import RowRequest, capture
from .head_choice import HeadChoice
from .presence import AnswerTokens
from .suffixes import Suffix, suffix_inputs
from .types import EncodedImage

__all__ = ["Forwards"]


@dataclass(frozen=True, eq=False)
class Forwards:
    """Runs a model over suffixes.

    Parameters
    ----------
    model
        The loaded model, whole or only its base.
    base
        Its base, which ends before the language head.
    answers
        How presence is told from the language head's logits, or None.
    """

    model: nn.Module
    base: nn.Module
    answers: AnswerTokens | None

    def run(
        self, encoded: EncodedImage, suffixes: Sequence[Suffix], choice: HeadChoice
    ) -> list[tuple[np.ndarray | None, float | None]]:
        """Some suffixes in one row: (rows, presence) of each, None where not wanted."""
        ends = list(accumulate(len(s.ids) for s in suffixes))
        starts = [end - len(s.ids) for s, end in zip(suffixes, ends, strict=True)]
        queries = [
            a + s.query for s, a in zip(suffixes, starts, strict=True) if s.query is not None
        ]
        answers = [end - 1 for s, end in zip(suffixes, ends, strict=True) if s.answer]
        inputs = suffix_inputs(encoded, suffixes, self._device)
        found, logits = self._forward(encoded, inputs, queries, answers, choice)
        maps = iter(found)
        scores = iter(self.answers.scores(logits) if self.answers and logits is not None else ())
        return [
            (None if s.query is None else next(maps), next(scores) if s.answer else None)
            for s in suffixes
        ]

    def token_maps(
        self,
        encoded: EncodedImage,
        ids: tuple[int, ...],
        queries: Sequence[int],
        choice: HeadChoice,
    ) -> list[np.ndarray]:
        """Maps of some tokens of one suffix, as `HeadChoice.maps` gives them."""
        inputs = suffix_inputs(encoded, [Suffix(ids)], self._device)
        return self._forward(encoded, inputs, queries, [], choice)[0]

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    @torch.inference_mode()
    def _forward(
        self,
        encoded: EncodedImage,
        inputs: dict[str, Any],
        queries: Sequence[int],
        answers: Sequence[int],
        choice: HeadChoice,
    ) -> tuple[list[np.ndarray], Tensor | None]:
        """Maps at some positions, and logits after others, (n, vocabulary) float32."""
        if not queries:
            return [], self._logits(inputs, answers)
        logits = None
        request = RowRequest(
            choice.by_layer, keys=_keys(encoded), query=torch.tensor([queries]), stop=not answers
        )
        with capture(request) as rows:
            if answers:
                logits = self._logits(inputs, answers)
            else:
                self.base(**inputs)
        return choice.maps(rows, encoded.tokens.grid_hw), logits

    def _logits(self, inputs: dict[str, Any], at: Sequence[int]) -> Tensor:
        """Next-token logits after some positions, (len(at), vocabulary) float32."""
        keep = torch.tensor(at, device=self._device)
        return self.model(**inputs, logits_to_keep=keep).logits[0].float()


def _keys(encoded: EncodedImage) -> slice | Tensor:
    """Where the image tokens stand; a slice, which copies nothing, where they are a run."""
    span: slice | None = encoded.tokens.span
    return torch.from_numpy(encoded.tokens.positions) if span is None else span
