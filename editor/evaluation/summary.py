"""Records -> scores: Acc@0.5, cIoU and gIoU with bootstrap intervals, overall and by group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from ...grounding.metrics import accuracy_at, bootstrap_interval
from .items import KINDS

Record = Mapping[str, Any]


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
    count, failed
        Items scored, and items that could not be measured (left out of every score).
    accuracy
        Acc@0.5 of the answer's box.
    map_accuracy
        Acc@0.5 of the box before SAM: the pseudo-mask's, or a find backend's own.
    ciou, giou
        Cumulative IoU, and the mean of IoUs.
    refused
        Share of the items that the preset's own threshold would answer with "absent": an error
        where the thing is there, right where it is not. None where the model is not asked.
    """

    count: int
    failed: int
    accuracy: Score | None = None
    map_accuracy: Score | None = None
    ciou: Score | None = None
    giou: Score | None = None
    refused: Score | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Scores:
        """From what :meth:`as_dict` gave; KeyError or TypeError for anything else."""
        metrics = {f.name for f in fields(cls)} - {"count", "failed"}
        known = {k: Score(**v) for k, v in values.items() if k in metrics and v is not None}
        return cls(count=int(values["count"]), failed=int(values["failed"]), **known)


def scores(records: Sequence[Record], absent_below: float | None = None) -> Scores:
    """Score records of one arm.

    Parameters
    ----------
    records
        From `evaluate`.
    absent_below
        The preset's threshold of presence, for `refused`.
    """
    good = [r for r in records if "error" not in r]
    there = [r for r in good if r["kind"] != "absent"]
    masks = [r for r in there if r["union"] is not None]
    shared = np.array([r["shared"] for r in masks], float)
    union = np.array([r["union"] for r in masks], float)
    asked = [r for r in good if r["presence"] is not None] if absent_below is not None else []
    return Scores(
        count=len(good),
        failed=len(records) - len(good),
        accuracy=_accuracy([r["box_iou"] for r in there]),
        map_accuracy=_accuracy([r["map_box_iou"] for r in there]),
        ciou=_ratio(shared, union),
        giou=_mean(np.divide(shared, union, out=np.ones_like(union), where=union > 0)),
        refused=_mean(np.array([r["presence"] < (absent_below or 0) for r in asked], float)),
    )


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


def _accuracy(ious: list[float | None]) -> Score | None:
    known = [iou for iou in ious if iou is not None]
    if not known:
        return None
    low, high = bootstrap_interval([float(iou >= 0.5) for iou in known])
    return Score(accuracy_at(known), low, high)


def _mean(values: np.ndarray) -> Score | None:
    if not values.size:
        return None
    return Score(float(values.mean()), *bootstrap_interval(values))


def _ratio(shared: np.ndarray, union: np.ndarray) -> Score | None:
    if not union.size:
        return None
    total = float(union.sum())
    value = float(shared.sum()) / total if total else 1.0
    return Score(value, *bootstrap_interval(shared, union))
