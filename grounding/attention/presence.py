"""The language model's answer to "is it there?" as one probability."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import GroundingError
from ..families.base import Family, Presence

__all__ = ["AnswerTokens"]


@dataclass(frozen=True)
class AnswerTokens:
    """First tokens of the answers.

    Parameters
    ----------
    yes
        Token ids that mean yes; empty = everything that is not `no`.
    no
        Token ids that mean no.
    """

    yes: tuple[int, ...]
    no: tuple[int, ...]

    @classmethod
    def of(cls, family: Family, presence: Presence) -> AnswerTokens:
        """Look the answers up in the family's tokenizer.

        Raises
        ------
        GroundingError
            When a word is unknown to it, or yes and no begin alike.
        """

        def ids(words: str | tuple[str, ...] | None) -> tuple[int, ...]:
            spelled = (words,) if isinstance(words, str) else words or ()
            return tuple(sorted({family.answer_id(w, presence.template) for w in spelled}))

        yes, no = ids(presence.yes), ids(presence.no)
        if set(yes) & set(no):
            raise GroundingError(
                f"presence answers yes={presence.yes!r} and no={presence.no!r} begin with the "
                "same token; choose words that differ from the start"
            )
        return cls(yes, no)

    def scores(self, logits: Tensor) -> list[float]:
        """Presence in [0, 1] from next-token logits, (n, vocabulary) float32."""
        no = torch.logsumexp(logits[:, list(self.no)], dim=-1)
        if not self.yes:
            absent = no - torch.logsumexp(logits, dim=-1)
            return (-torch.expm1(absent)).clamp(0, 1).tolist()
        # The ratio of two probabilities from their logits: exact even where both are tiny.
        yes = torch.logsumexp(logits[:, list(self.yes)], dim=-1)
        return torch.sigmoid(yes - no).tolist()
