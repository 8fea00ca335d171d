"""No words at all: places are marked by box, brush or click, and a segmenter snaps to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, NoReturn, Self

from ..errors import GroundingError
from .base import Backend


class Marks(Backend):
    """A backend that reads pictures for the segmenter and refuses every phrase."""

    name: ClassVar[str] = "marks"
    title: ClassVar[str] = "a preset without a language model"
    model_types: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def load(cls, path_or_repo: str | Path, segmenter: Any, settings: Any = None, **_: Any) -> Self:
        """Return it: there is nothing to load."""
        return cls(segmenter, settings)

    @staticmethod
    def _load(source: Any, config: Any) -> tuple[Any, ...]:
        return ()

    def _read(self, proxy: Any) -> None:
        """There are no features: the segmenter reads the picture when it is first needed."""

    def _detect(self, view: Any, phrase: str) -> NoReturn:
        raise GroundingError(
            f"the phrase {phrase!r} was given to {self.title}; expected a box, a mask or a click, "
            "or a preset with models that understand words"
        )

    def _drawn(self, view: Any, found: Any) -> NoReturn:
        raise NotImplementedError
