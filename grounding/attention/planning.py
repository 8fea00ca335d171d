"""Phrases -> the suffixes that ask for them behind a picture that was read."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import GroundingError
from ..families import Family, Presence, Prompt
from .suffixes import Suffix
from .types import EncodedImage

__all__ = ["Planner"]


@dataclass(frozen=True, eq=False)
class Planner:
    """Makes suffixes of phrases.

    Parameters
    ----------
    family
        Builds the prompts.
    template
        The question whether a phrase is there; None = it is never asked.
    alike
        Whether that question is the grounding prompt itself: both are then one suffix.
    limit
        The model's context window; None = unknown.
    """

    family: Family
    template: str | None
    alike: bool
    limit: int | None

    @classmethod
    def of(cls, family: Family, presence: Presence | None, limit: int | None) -> Planner:
        """A family's planner, with the question whether a phrase is there."""
        if presence is None:
            return cls(family, None, False, limit)
        usual, question = (family.prompt("object", t).ids for t in (None, presence.template))
        return cls(family, presence.template, usual == question, limit)

    def suffixes(
        self, encoded: EncodedImage, phrase: str, *, rows: bool, presence: bool
    ) -> list[Suffix]:
        """One suffix per distinct prompt of a phrase, for its rows, its presence, or both.

        Raises
        ------
        GroundingError
            For an empty or overlong phrase, or presence that cannot be asked for.
        """
        start = self.start(encoded)
        plan: list[Suffix] = []
        if rows:
            prompt = self.prompt(encoded, phrase)
            both = presence and self.alike
            plan.append(Suffix(prompt.ids[start:], query=prompt.query - start, answer=both))
        if presence and not (rows and self.alike):
            if self.template is None:
                raise GroundingError(
                    "presence was not configured; load the model with presence=Presence(...)"
                )
            prompt = self.prompt(encoded, phrase, self.template)
            plan.append(Suffix(prompt.ids[start:], answer=True))
        return plan

    def prompt(self, encoded: EncodedImage, phrase: str, template: str | None = None) -> Prompt:
        """A phrase's prompt, if the model can read it behind this picture.

        Prompts are built with the family's usual picture; what follows it is the same for all.
        """
        prompt = self.family.prompt(phrase, template)
        prefix = len(encoded.prefix_ids)
        total = len(prompt.ids) - len(self.family.prefix_ids) + prefix
        if self.limit is not None and total > self.limit:
            words = len(prompt.phrase.split())
            raise GroundingError(
                f"the phrase has {words} words; with the picture's {prefix} tokens the prompt "
                f"has {total}, but the model reads at most {self.limit}; shorten the phrase by at "
                f"least {total - self.limit} tokens"
            )
        return prompt

    def start(self, encoded: EncodedImage) -> int:
        """Where in a prompt begins what was not read with the picture."""
        return 0 if encoded.features is not None else len(self.family.prefix_ids)
