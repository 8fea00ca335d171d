"""How two measurements of the same items differ: item by item, with intervals."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...grounding.metrics import bootstrap_interval
from ..errors import GroundbrushError, one_line
from ..files import open_regular
from .summary import Record

Key = tuple[str, str]
"""Name and phrase of an item: what two measurements of it have in common."""
_RESAMPLES = 2000


@dataclass(frozen=True)
class Difference:
    """One measurement's score minus another's over the `count` items that both answered.

    The 95% interval is by bootstrap over items, both answers to an item drawn together (Efron and
    Tibshirani, 1993, chapter 13): what makes an item hard for both cancels out. Where it leaves 0
    out, chance hardly explains the difference.
    """

    value: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        return f"{100 * self.value:+.1f} [{100 * self.low:+.1f}, {100 * self.high:+.1f}]"

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def read_records(path: Path, arm: str) -> dict[Key, Record]:
    """Answers of one arm, by item, from the ``.jsonl`` that an evaluation wrote; failed ones not.

    Raises
    ------
    GroundbrushError
        When the file is something else.
    """
    found: dict[Key, Record] = {}
    try:
        with open_regular(path, "JSON lines") as file:
            next(file, None)  # what was measured
            for line in file:
                if not line.endswith(b"\n"):
                    break  # cut off by a crash
                record = {k: v for k, v in json.loads(line).items() if k != "mask"}
                if record["arm"] == arm and "error" not in record:
                    counted(record, absent_below=0.0)  # has all that is counted
                    found[str(record["item"]), str(record["phrase"])] = record
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise GroundbrushError(
            f"{str(path)!r} does not hold the answers of an evaluation ({one_line(error)}); "
            "expected the .jsonl that was written beside the scores; move it away to compare them "
            "without it"
        ) from error
    return found


def counted(record: Record, absent_below: float | None) -> dict[str, tuple[float, float]]:
    """What one answer adds to each score: a numerator and a denominator.

    As `editor.evaluation.summary.scores` counts; a score that it adds nothing to is left out.

    Examples
    --------
    >>> counted({"kind": "name", "box_iou": 0.7, "map_box_iou": None, "shared": 30, "union": 40,
    ...          "presence": 0.2}, absent_below=0.5)
    {'accuracy': (1.0, 1.0), 'ciou': (30.0, 40.0), 'giou': (0.75, 1.0), 'refused': (1.0, 1.0)}
    """
    adds: dict[str, tuple[float, float]] = {}
    if record["kind"] != "absent":
        for metric, name in (("accuracy", "box_iou"), ("map_accuracy", "map_box_iou")):
            if record[name] is not None:
                adds[metric] = float(record[name] >= 0.5), 1.0
        if record["union"] is not None:
            shared, union = float(record["shared"]), float(record["union"])
            adds["ciou"] = shared, union
            adds["giou"] = (shared / union if union else 1.0), 1.0
    if absent_below is not None and record["presence"] is not None:
        adds["refused"] = float(record["presence"] < absent_below), 1.0
    return adds


def differences(
    ours: Sequence[Mapping[str, tuple[float, float]]],
    theirs: Sequence[Mapping[str, tuple[float, float]]],
) -> dict[str, Difference]:
    """Our score minus theirs, by metric; each item's two answers stand at one place.

    Examples
    --------
    >>> differences([{"accuracy": (1.0, 1.0)}], [{"accuracy": (1.0, 1.0)}])
    {'accuracy': Difference(value=0.0, low=0.0, high=0.0, count=1)}
    """
    pairs: dict[str, list[tuple[float, ...]]] = {}
    for a, b in zip(ours, theirs, strict=True):
        for metric in a.keys() & b.keys():
            pairs.setdefault(metric, []).append((*a[metric], *b[metric]))
    return {metric: _difference(np.array(pairs[metric])) for metric in sorted(pairs)}


def _difference(columns: NDArray[np.float64]) -> Difference:
    """Of (n, 4): our numerators and denominators, and theirs."""
    count, gaps = len(columns), columns[:, 0] - columns[:, 2]
    if (columns[:, [1, 3]] == 1).all():
        return Difference(float(gaps.mean()), *bootstrap_interval(gaps), count)
    rng = np.random.default_rng(0)
    sums = np.stack([columns[rng.integers(count, size=count)].sum(0) for _ in range(_RESAMPLES)])
    low, high = np.quantile(_ratio_gap(sums), [0.025, 0.975])
    return Difference(float(_ratio_gap(columns.sum(0))), float(low), float(high), count)


def _ratio_gap(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Our ratio minus theirs, of (..., 4); nothing over nothing is right."""
    top, bottom = sums[..., [0, 2]], sums[..., [1, 3]]
    ratios = np.divide(top, bottom, out=np.ones_like(top), where=bottom > 0)
    return ratios[..., 0] - ratios[..., 1]
