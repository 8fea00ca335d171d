"""Who works: this process, or many of a Ray cluster that each hold loaded models.

Batches, evaluations and calibrations hand over units of work; a unit is some words for people and a
small value (paths and numbers, never pixels), and what comes back is JSON-able and small as well.
Only the process that hands over keeps books, so that there is one writer whoever works.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

ENGINES = ("local", "ray")


class Unit(NamedTuple):
    """Something to do: unique words for people, and what it is."""

    name: str
    value: Any


class Answer(NamedTuple):
    """What came of a unit; `gave_up` says why nothing did, `deaths` which workers it cost."""

    unit: Unit
    value: Any
    gave_up: str | None = None
    deaths: tuple[str, ...] = ()


Work = Callable[[Any], Any]
Make = Callable[[], Work]
"""Loads what the work needs; called once in every process that works."""


class Pool(Protocol):
    """Does units of work."""

    notes: list[str]
    """What went wrong with workers and was mended, in words."""

    def map(self, make: Make, groups: Sequence[Sequence[Unit]]) -> Generator[Answer]:
        """Do all units, in any order; those of a group follow each other in one process.

        A unit whose answer was taken and followed by the next one is never done again.

        Raises
        ------
        GroundbrushError
            When nobody can work: `make` or the work raised one, or the cluster is gone.
        """

    def close(self) -> None:
        """Let everything go."""


@dataclass(eq=False)
class Here:
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
        """Nothing is held."""


def open_pool(
    engine: str, folder: Path, *, workers: int | None = None, device: str = "auto"
) -> Pool:
    """The pool that a command's ``--engine`` names; for `Here` the rest does not matter.

    Raises
    ------
    GroundbrushError
        Where Ray is asked for and not installed.
    """
    if engine == "local":
        return Here()
    from .ray_pool import RayPool

    return RayPool(folder, workers=workers, device=device)
