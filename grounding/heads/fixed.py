"""The localization heads of one model, fixed once for all pictures, and their provenance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import GroundingError
from .ranking import Head


@dataclass(frozen=True)
class LocalizationHeads:
    """The fixed heads of one model and where they come from.

    Parameters
    ----------
    heads : (layer, head) pairs counted from 0, best first; lists (as from JSON) become tuples.
    provenance : their source in words; shown wherever the heads are used.

    Examples
    --------
    >>> list(LocalizationHeads(((14, 24), (14, 13)), "paper, Sec. 5; not re-measured here"))
    [(14, 24), (14, 13)]
    """

    heads: tuple[Head, ...]
    provenance: str

    def __post_init__(self) -> None:
        if not isinstance(self.heads, (tuple, list)):
            raise GroundingError(
                f"heads is {self.heads!r}; expected a list of (layer, head) pairs."
            )
        pairs = tuple(_pair(item) for item in self.heads)
        if not pairs:
            raise GroundingError("heads is empty; expected at least one (layer, head) pair.")
        if len(set(pairs)) < len(pairs):
            raise GroundingError(f"heads {pairs} names a head twice; list each once.")
        if not isinstance(self.provenance, str) or not self.provenance.strip():
            raise GroundingError(
                f"provenance is {self.provenance!r}; say in words where the heads come from."
            )
        object.__setattr__(self, "heads", pairs)

    def __len__(self) -> int:
        return len(self.heads)

    def __iter__(self) -> Iterator[Head]:
        return iter(self.heads)


def _pair(item: Any) -> Head:
    """One (layer, head) pair of plain ints."""
    whole = (int, np.integer)
    ok = isinstance(item, (tuple, list)) and len(item) == 2
    if not ok or not all(isinstance(n, whole) and not isinstance(n, bool) and n >= 0 for n in item):
        raise GroundingError(
            f"head {item!r} is not a (layer, head) pair of whole numbers counted from 0."
        )
    return int(item[0]), int(item[1])
