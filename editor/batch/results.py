"""The result of a row as plain values: one line of ``results.jsonl``. It runs no model."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict  # pydantic needs it before Python 3.12

from ...grounding.result import Grounding
from ..errors import GroundbrushError, one_line
from ..facts import grounding_facts
from .rows import BatchRow

Status = Literal["done", "absent", "held", "skipped", "failed", "waiting"]
"""``absent``: not in the picture; ``held``: not clearly found, for a person to decide;
``skipped``: not clearly found; ``failed``: `RowResult.error` says why; ``waiting``: not done yet.
"""
STATUSES: tuple[Status, ...] = get_args(Status)
_SHOWN = 3  # rows of a reason
# Quotes as repr writes them; those within a word, as in "preset's", open nothing.
_QUOTED = re.compile(r"""(?<!\w)(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")(?!\w)""")
_BRACKETED = re.compile(r"\s?\([^()]*\)")
_NUMBER = re.compile(r"\b\d[\d,.]*(?:x\d+)?\b")


class PictureFacts(BaseModel):
    """Length, time and digest of a picture's file."""

    model_config = ConfigDict(frozen=True)
    bytes: int
    mtime_ns: int
    sha256: str


class CandidateFacts(TypedDict):
    """Another place that a phrase could mean."""

    box: list[float]
    score: float


class FoundFacts(BaseModel):
    """A grounding as plain values, with the picture it is of."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)
    found: str
    reason: str
    score: float
    box: list[float] | None
    candidates: list[CandidateFacts]
    picture: PictureFacts
    seconds: float

    def as_result(self) -> dict[str, Any]:
        """What a row's result says about it."""
        return self.model_dump(include={"found", "reason", "score", "box", "candidates"})


class RowResult(BaseModel):
    """What a row came to.

    ``found``, ``score``, ``box`` and ``candidates`` are the grounding's; ``recipe`` is a list for
    ``apply``; ``segments`` are for ``ground-all`` and ``steps`` for ``apply``; ``files`` are
    relative to the output folder, by kind; ``seconds`` are by stage.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    row: int
    id: str
    image: str
    action: str
    words: str
    paint: str | None
    status: Status
    reason: str | None = None
    found: str | None = None
    score: float | None = None
    box: list[float] | None = None
    candidates: list[CandidateFacts] = Field(default_factory=list)
    checks: dict[str, Any] = Field(default_factory=dict)
    notes: list[str] = Field(default_factory=list)
    files: dict[str, str] = Field(default_factory=dict)
    recipe: Any = None
    segments: list[dict[str, Any]] | None = None
    steps: list[dict[str, Any]] | None = None
    error: dict[str, str] | None = None
    seconds: dict[str, float] = Field(default_factory=dict)

    @classmethod
    def of(cls, row: BatchRow, status: Status, **facts: Any) -> RowResult:
        """The result of a row."""
        return cls(
            row=row.number,
            id=row.name,
            image=row.image,
            action=row.action,
            words=row.words,
            paint=row.paint,
            status=status,
            **facts,
        )

    @classmethod
    def failure(cls, row: BatchRow, stage: str, error: BaseException) -> RowResult:
        """The result of a row that raised."""
        kind, words = type(error).__name__, one_line(error)
        if not isinstance(error, GroundbrushError):
            words = f"{kind}: {words}" if words != kind else kind
        about = {"stage": stage, "kind": kind, "message": words}
        return cls.of(row, "failed", error=about, reason=words)

    @property
    def doubtful(self) -> bool:
        """Whether a check of the painting failed."""
        return any(self.checks.get(name) is False for name in ("gone", "grounded", "preserved"))


@dataclass(frozen=True)
class BatchProgress:
    """The progress of one stage of a run: ``finding``, ``painting``, or ``checking`` (a dry run).

    `counts` are rows that this run finished, by status.

    >>> print(BatchProgress("painting", 12, 40, {"done": 11, "failed": 1}))
    painting 12 of 40; 1 failed
    """

    stage: str
    done: int
    total: int
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def others(self) -> str:
        """How many rows came to something else than ``done``."""
        return ", ".join(f"{n} {one}" for one, n in sorted(self.counts.items()) if one != "done")

    def __str__(self) -> str:
        """One line for people."""
        return "; ".join(filter(None, (f"{self.stage} {self.done} of {self.total}", self.others)))


OnBatchProgress = Callable[[BatchProgress], None]


@dataclass(frozen=True)
class FailureReason:
    """Why rows failed: their message, how many there are, and the first of them.

    If their messages differ, `words` is what these have in common, with ... for names, numbers and
    what is in brackets.
    """

    words: str
    count: int
    rows: tuple[int, ...]

    def __str__(self) -> str:
        """One line for people.

        >>> print(FailureReason("... is damaged", 4, (2, 5, 9)))
        4 x ... is damaged (rows 2, 5, 9, ...)
        """
        more = ", ..." if self.count > len(self.rows) else ""
        name = "row" if self.count == 1 else "rows"
        return f"{self.count:,} x {self.words} ({name} {', '.join(map(str, self.rows))}{more})"


def failure_reasons(failed: Iterable[tuple[int, str]]) -> tuple[FailureReason, ...]:
    """(row, message) of failures, grouped by what their messages have in common.

    The most frequent is first.
    """
    kinds: dict[str, FailureReason] = {}
    for row, words in failed:
        kind = message_kind(words)
        known = kinds.get(kind, FailureReason(words, 0, ()))
        shown = known.words if known.words == words else kind
        kinds[kind] = FailureReason(shown, known.count + 1, (*known.rows, row)[:_SHOWN])
    return tuple(sorted(kinds.values(), key=lambda one: (-one.count, one.rows)))


def message_kind(words: str) -> str:
    """What a message has in common with others of its kind.

    >>> message_kind("'a.png' is damaged (5 bytes not processed (at 7)); copy it again")
    '... is damaged; copy it again'
    >>> message_kind("this preset's models cannot find 'zorb', of 12 words")
    "this preset's models cannot find ..., of ... words"
    """
    words = _QUOTED.sub("...", words)
    while (shorter := _BRACKETED.sub("", words)) != words:
        words = shorter
    return _NUMBER.sub("...", words)


def result_facts(found: Grounding) -> dict[str, Any]:
    """A grounding's plain values, as members of a `RowResult`."""
    facts = grounding_facts(found)
    names = ("reason", "score", "box", "candidates")
    return {"found": facts["status"], **{name: facts[name] for name in names}}


def gated_status(row: BatchRow, default: str, found: str) -> Status | None:
    """The status of a row that is not to be painted because of how it was found, or None.

    Its own gate precedes the default (``skip``, ``hold`` or ``paint``); a candidate chosen in the
    row opens it: a person has decided. `found` is the grounding's status.

    >>> row = BatchRow(1, "a", "a.png", "remove", "the cup")
    >>> gated_status(row, "hold", "ambiguous"), gated_status(row, "paint", "ambiguous")
    ('held', None)
    >>> gated_status(row, "skip", "absent")
    'absent'
    """
    gate = row.gate or default
    if found == "found" or row.options.get("candidate") is not None:
        return None
    if gate == "hold":
        return "held"
    if found == "absent":
        return "absent"
    return "skipped" if gate == "skip" else None
