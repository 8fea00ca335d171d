"""The interface of a pool of workers, and the pool that is this process.

Batches, evaluations and calibrations hand over units of work. A unit is a name and a small value
(paths and numbers, never pixels); its result is small and JSON-able as well. Only the process that
hands over the work writes a journal.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol


class Unit(NamedTuple):
    """A piece of work: a unique name for messages, and the value that the work is called with."""

    name: str
    value: Any


class Answer(NamedTuple):
    """The result of a unit; `gave_up` says why there is none."""

    unit: Unit
    value: Any
    gave_up: str | None = None


Work = Callable[[Any], Any]
Make = Callable[[], Work]
"""Loads what the work needs; called once in every process that works."""


class Pool(Protocol):
    """Does units of work."""

    notes: list[str]
    """Workers that died and were replaced."""

    def map(self, make: Make, groups: Sequence[Sequence[Unit]]) -> Generator[Answer]:
        """Do all units, in any order; one process does the units of a group one after the other.

        Raises GroundbrushError if no worker can work: `make` or the work raised one, or the cluster
        is gone.
        """

    def close(self) -> None:
        """Release everything."""


@dataclass(eq=False)
class LocalPool:
    """This process, one unit after the other."""

    notes: list[str] = field(default_factory=list)

    def map(self, make: Make, groups: Sequence[Sequence[Unit]]) -> Generator[Answer]:
        """Do all units in order."""
        if not groups:
            return
        work = make()
        for unit in (unit for group in groups for unit in group):
            yield Answer(unit, work(unit.value))

    def close(self) -> None:
        """Do nothing: nothing is held."""
