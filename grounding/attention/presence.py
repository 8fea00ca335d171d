"""The language model's answer to "is it there?" as one probability."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import GroundingError
from ..families.base import Family


@dataclass(frozen=True)
class Presence:
    """The question whether a phrase is in the picture at all.

    Parameters
    ----------
    template : The question, with ``{phrase}``. Without the image placeholder it continues the
        grounding prompt right after the picture; with it, it must open as the grounding prompt
        does.
    yes, no : The answers' first words; several spellings may be given as a tuple. With ``yes=None``
        the probability is ``1 - P(no)``, else ``P(yes) / (P(yes) + P(no))``, at the last token.

    Examples
    --------
    >>> Presence("Is there {phrase} in the image? ASSISTANT:", yes=("Yes", "yes"), no=("No", "no"))
    ... # doctest: +ELLIPSIS
    Presence(template=...)
    """

    template: str = "is there {phrase} ?"
    yes: str | tuple[str, ...] | None = "yes"
    no: str | tuple[str, ...] = "no"

    def __post_init__(self) -> None:
        if self.template.count("{phrase}") != 1:
            raise GroundingError(
                f"presence template {self.template!r} must hold {{phrase}} exactly once, e.g. "
                "'is there {phrase} ?'"
            )
        for name in ("yes", "no"):
            words = getattr(self, name)
            spelled = (words,) if isinstance(words, str) else words
            if spelled is None and name == "yes":
                continue
            if not spelled or not all(isinstance(w, str) and w.strip() for w in spelled):
                raise GroundingError(
                    f"presence answer {name}={words!r}; expected a word or a tuple of words"
                )


@dataclass(frozen=True)
class AnswerTokens:
    """First tokens of the answers to the presence question.

    Parameters
    ----------
    yes : Token ids that mean yes; empty = everything but `no`.
    no : Token ids that mean no.
    """

    yes: tuple[int, ...]
    no: tuple[int, ...]

    @classmethod
    def of(cls, family: Family, presence: Presence) -> AnswerTokens:
        """Look the answers up in the family's tokenizer.

        Raises GroundingError when a word is unknown to it, or yes and no begin alike.
        """

        def ids(words: str | tuple[str, ...] | None) -> tuple[int, ...]:
            spelled = (words,) if isinstance(words, str) else words or ()
            return tuple(sorted({family.prompts.answer_id(w, presence.template) for w in spelled}))

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
