"""Records -> scores with bootstrap intervals, and the difference of two records of the same items.

Acc@0.5, cIoU and gIoU, in all and by group; each score is a sum over items divided by another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...grounding.metrics import bootstrap_interval
from .items import KINDS

Record = Mapping[str, Any]
Terms = Mapping[str, tuple[float, float]]
"""Score -> numerator and denominator of one item."""
_RESAMPLES = 2000


@dataclass(frozen=True)
class Score:
    """A number in [0, 1] with its 95% bootstrap interval over items."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{100 * self.value:.1f} [{100 * self.low:.1f}, {100 * self.high:.1f}]"


@dataclass(frozen=True)
class Scores:
    """Scores of some records; None where the benchmark has no such truth.

    Attributes
    ----------
    count, failed : Items scored, and items that could not be measured (left out of every score).
    accuracy : Acc@0.5 of the answer's box.
    map_accuracy : Acc@0.5 of the box before SAM: the pseudo-mask's, or a find backend's own.
    ciou, giou : Cumulative IoU, and the mean of IoUs.
    refused : Share of the items that the preset's own threshold would answer with "absent": an
        error if the thing is there, right if it is not. None if the model has no presence question.
    """

    count: int
    failed: int
    accuracy: Score | None = None
    map_accuracy: Score | None = None
    ciou: Score | None = None
    giou: Score | None = None
    refused: Score | None = None


def scores(records: Sequence[Record], absent_below: float | None = None) -> Scores:
    """Score the records of one arm; `absent_below` is the preset's threshold, for ``refused``."""
    good = [terms(r, absent_below) for r in records if "error" not in r]
    found = {}
    for metric in [f.name for f in fields(Scores)][2:]:
        pairs = np.array([one[metric] for one in good if metric in one], float)
        if len(pairs):
            found[metric] = _score(pairs[:, 0], pairs[:, 1])
    return Scores(count=len(good), failed=len(records) - len(good), **found)


def terms(record: Record, absent_below: float | None) -> dict[str, tuple[float, float]]:
    """What one item adds to the numerator and the denominator of each score.

    >>> terms({"kind": "name", "box_iou": 0.7, "map_box_iou": None, "shared": 30, "union": 40,
    ...        "presence": 0.2}, absent_below=0.5)
    {'accuracy': (1.0, 1.0), 'ciou': (30.0, 40.0), 'giou': (0.75, 1.0), 'refused': (1.0, 1.0)}
    """
    found: dict[str, tuple[float, float]] = {}
    if record["kind"] != "absent":
        for metric, name in (("accuracy", "box_iou"), ("map_accuracy", "map_box_iou")):
            if record[name] is not None:
                found[metric] = float(record[name] >= 0.5), 1.0
        if record["union"] is not None:
            shared, union = float(record["shared"]), float(record["union"])
            found["ciou"] = shared, union
            found["giou"] = (shared / union if union else 1.0), 1.0
    if absent_below is not None and record["presence"] is not None:
        found["refused"] = float(record["presence"] < absent_below), 1.0
    return found


def _score(top: NDArray[np.float64], bottom: NDArray[np.float64]) -> Score:
    if (bottom == 1).all():
        return mean_score(top)
    total = float(bottom.sum())
    value = float(top.sum()) / total if total else 1.0
    return Score(value, *bootstrap_interval(top, bottom))


def mean_score(values: NDArray[np.float64]) -> Score:
    """The mean of some values with its interval."""
    return Score(float(values.mean()), *bootstrap_interval(values))


def groups(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Records by split, by query type and by the benchmark's own groups; named for a table."""
    found: dict[str, list[Record]] = {}
    for label in dict.fromkeys(r["split"] for r in records):
        own = [r for r in records if r["split"] == label]
        found[label] = own
        kinds = [k for k in KINDS if any(r["kind"] == k for r in own)]
        if len(kinds) > 1:
            found |= {f"{label}: {k}": [r for r in own if r["kind"] == k] for k in kinds}
        named = dict.fromkeys(r["group"] for r in own if r["group"])
        if len(named) > 1:
            found |= {f"{label}, {g}": [r for r in own if r["group"] == g] for g in named}
    return found


@dataclass(frozen=True)
class Difference:
    """One measurement's score minus another's over the `count` items that both answered.

    The 95% interval is by bootstrap over items, both answers to an item drawn together (Efron and
    Tibshirani, 1993, chapter 13), which cancels out what makes an item hard for both. If 0 lies
    outside it, chance is an unlikely explanation.
    """

    value: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        return f"{100 * self.value:+.1f} [{100 * self.low:+.1f}, {100 * self.high:+.1f}]"


def differences(ours: Sequence[Terms], theirs: Sequence[Terms]) -> dict[str, Difference]:
    """Our score minus theirs, by metric; both sequences have the same items in the same order.

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
    """Our ratio minus theirs, of (..., 4); 0 / 0 counts as 1."""
    top, bottom = sums[..., [0, 2]], sums[..., [1, 3]]
    ratios = np.divide(top, bottom, out=np.ones_like(top), where=bottom > 0)
    return ratios[..., 0] - ratios[..., 1]
