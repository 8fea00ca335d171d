"""Benchmarks by name: their splits and readers."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import GroundbrushError
from .items import Item
from .jsonl import read_examples
from .reasonseg import read_reasonseg
from .refcoco import read_refcoco

Reader = Callable[[Path, str], Sequence[Item]]


@dataclass(frozen=True)
class Benchmark:
    """A benchmark's reader and its splits, in the order that they are usually reported."""

    name: str
    splits: tuple[str, ...]
    read: Reader


def _refcoco(name: str, partitions: Mapping[str, str]) -> dict[str, Benchmark]:
    return {
        one: Benchmark(
            f"{name} {one}",
            tuple(splits.split()),
            lambda root, split, one=one: read_refcoco(root, name, one, split),  # type: ignore[misc]
        )
        for one, splits in partitions.items()
    }


BENCHMARKS: Mapping[str, Mapping[str, Benchmark]] = {
    "refcoco": _refcoco("refcoco", {"unc": "val testA testB", "google": "val test"}),
    "refcoco+": _refcoco("refcoco+", {"unc": "val testA testB"}),
    "refcocog": _refcoco("refcocog", {"umd": "val test", "google": "val"}),
    "reasonseg": {"": Benchmark("reasonseg", ("val", "test"), read_reasonseg)},
    "scenes": {"": Benchmark("scenes", ("all",), read_examples)},
}
"""Name -> partition -> benchmark; the first partition is the usual one."""


def benchmark(name: str, partition: str | None = None) -> Benchmark:
    """A benchmark by name, ``refcoco`` and so on, in its usual partition or another.

    Raises
    ------
    GroundbrushError
        For an unknown name or partition; near names are suggested.
    """
    if name not in BENCHMARKS:
        near = difflib.get_close_matches(name, BENCHMARKS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise GroundbrushError(
            f"unknown benchmark {name!r}{hint} Expected one of {', '.join(BENCHMARKS)}"
        )
    partitions = BENCHMARKS[name]
    chosen = next(iter(partitions)) if partition is None else partition
    if chosen not in partitions:
        raise GroundbrushError(
            f"{name} has no partition {chosen!r}; expected {' or '.join(filter(None, partitions))}"
            if any(partitions)
            else f"{name} has no partitions; leave {chosen!r} out"
        )
    return partitions[chosen]


def read_items(chosen: Benchmark, root: Path, split: str | None = None) -> list[Item]:
    """Items of one split, or of all that are usually reported, in the files' order.

    Raises
    ------
    GroundbrushError
        For a missing folder or file, a damaged one, or a split without items.
    """
    if not os.path.exists(root):
        raise GroundbrushError(
            f"{str(root)!r} does not exist; expected the folder that holds {chosen.name.split()[0]}"
        )
    wanted = chosen.splits if split is None else (split,)
    return [item for one in wanted for item in chosen.read(root, one)]
