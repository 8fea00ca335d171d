"""Which pairs are measured, and which pairs each trial sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import GroundbrushError
from ..evaluation.items import Item
from ..evaluation.readers import benchmark, read_items
from .settings import CalibrationSettings


@dataclass(frozen=True, eq=False)
class Pair:
    """A picture with a phrase, and another phrase for the contrast (None where it is not used)."""

    number: int
    item: Item
    other: str | None


def read_data(data: Path) -> list[Item]:
    """Items of a JSONL file, of a folder with ``examples.jsonl``, or of RefCOCO's train split.

    Raises
    ------
    GroundbrushError
        Where there is none of these.
    """
    if data.is_file() or (data / "examples.jsonl").is_file():
        found = read_items(benchmark("scenes"), data)
    elif (data / "refcoco").is_dir():
        found = read_items(benchmark("refcoco"), data, "train")
    else:
        raise GroundbrushError(
            f"{str(data)!r} holds no calibration data; expected a .jsonl file, a folder with "
            "examples.jsonl, or the folder that holds refcoco/"
        )
    return [item for item in found if item.kind != "absent"]


def draw_pairs(items: Sequence[Item], settings: CalibrationSettings) -> list[Pair]:
    """As many pairs as all trials need, or all there are; those of one picture side by side."""
    rng = np.random.default_rng(settings.seed)
    order = rng.permutation(len(items))[: settings.samples * settings.trials].tolist()
    contrast = settings.criterion == "contrast"
    others = _others(items) if contrast else {}
    pairs = []
    for number, index in enumerate(order):
        item = items[index]
        other = None
        if contrast:
            beside = [p for t, p in others[item.image] if t != (item.target or item.phrase)]
            # a phrase about another picture still says whether a head listens
            away = items[order[(number + 1) % len(order)]].phrase
            other = beside[int(rng.integers(len(beside)))] if beside else away
        pairs.append(Pair(number, item, other))
    return sorted(pairs, key=lambda pair: str(pair.item.image))


def trial_indices(count: int, settings: CalibrationSettings) -> list[NDArray[np.intp]]:
    """Numbers of each trial's pairs: apart where there are enough, else shared or resampled.

    Examples
    --------
    >>> [t.tolist() for t in trial_indices(4, CalibrationSettings(samples=2, trials=2))]
    [[0, 1], [2, 3]]
    """
    size = min(settings.samples, count)
    if count >= settings.samples * settings.trials:
        return [np.arange(t * size, (t + 1) * size) for t in range(settings.trials)]
    rng = np.random.default_rng([settings.seed, 1])
    whole = size == count
    if whole and settings.trials == 1:
        return [np.arange(count)]
    return [rng.choice(count, size, replace=whole) for _ in range(settings.trials)]


def _others(items: Sequence[Item]) -> dict[Path, list[tuple[str, str]]]:
    found: dict[Path, list[tuple[str, str]]] = {}
    for item in items:
        found.setdefault(item.image, []).append((item.target or item.phrase, item.phrase))
    return found
