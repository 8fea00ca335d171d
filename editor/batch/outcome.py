"""What a row came to, as plain values: one line of ``results.jsonl``. It runs no model."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import GroundbrushError, one_line
from .rows import Row

if TYPE_CHECKING:
    from ...grounding.result import Grounding

STATUSES = ("done", "absent", "held", "skipped", "failed", "waiting")
"""``done``; ``absent``: not in the picture; ``held``: not plainly found, a person is to look;
``skipped``: not plainly found; ``failed``: the error says why; ``waiting``: its turn did not come.
"""
Result = dict[str, Any]
_NAMED = 3  # rows of a reason
# Quotes as repr writes them; those within a word, as in "preset's", open nothing.
_QUOTED = re.compile(r"""(?<!\w)(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")(?!\w)""")
_BRACKETED = re.compile(r"\s?\([^()]*\)")
_NUMBER = re.compile(r"\b\d[\d,.]*(?:x\d+)?\b")
_EMPTY: Result = {
    "reason": None,
    "found": None,
    "score": None,
    "box": None,
    "candidates": [],
    "checks": {},
    "notes": [],
    "files": {},
    "recipe": None,
    "segments": None,
    "steps": None,
    "error": None,
    "seconds": {},
}


def result_of(row: Row, status: str, **facts: Any) -> Result:
    """A row's result; facts that are not given are empty.

    Parameters
    ----------
    row
        Whose words and picture are told.
    status
        One of `STATUSES`.
    **facts
        ``reason`` in words; ``found``, ``score``, ``box`` and ``candidates`` of the grounding;
        ``checks``, ``notes``, ``files`` by kind, ``recipe`` (a list for ``apply``), ``segments``
        (for ``ground-all``), ``steps`` (for ``apply``), ``error`` and ``seconds`` by stage.
    """
    unknown = set(facts) - set(_EMPTY)
    if status not in STATUSES or unknown:
        raise ValueError(f"status {status!r}, facts {sorted(unknown)}")
    about = {
        "row": row.number,
        "id": row.name,
        "image": row.image,
        "action": row.action,
        "words": row.words,
        "paint": row.paint,
        "status": status,
    }
    return {**about, **copy.deepcopy(_EMPTY), **facts}


def failure(row: Row, stage: str, error: BaseException) -> Result:
    """The result of a row whose work raised."""
    kind, words = type(error).__name__, one_line(error)
    if not isinstance(error, GroundbrushError):
        words = f"{kind}: {words}" if words != kind else kind
    return result_of(
        row, "failed", error={"stage": stage, "kind": kind, "message": words}, reason=words
    )


@dataclass(frozen=True)
class Reason:
    """Why rows failed.

    Attributes
    ----------
    words
        The rows' message; where they have several of one kind, what these have in common, with
        ... for names, numbers and what is in brackets.
    count
        How many rows failed so.
    rows
        The first of them, from 1.
    """

    words: str
    count: int
    rows: tuple[int, ...]

    def __str__(self) -> str:
        """One line for people.

        Examples
        --------
        >>> print(Reason("... is damaged", 4, (2, 5, 9)))
        4 x ... is damaged (rows 2, 5, 9, ...)
        """
        more = ", ..." if self.count > len(self.rows) else ""
        name = "row" if self.count == 1 else "rows"
        return f"{self.count:,} x {self.words} ({name} {', '.join(map(str, self.rows))}{more})"


class Reasons:
    """Groups failures of one kind, result by result."""

    def __init__(self) -> None:
        self._kinds: dict[str, Reason] = {}

    def add(self, result: Result) -> None:
        """Count a result, if it is a failure."""
        if result["status"] != "failed":
            return
        words = str(result["reason"])
        kind = alike(words)
        known = self._kinds.get(kind, Reason(words, 0, ()))
        rows = (*known.rows, result["row"])[:_NAMED]
        same = known.words if known.words == words else kind
        self._kinds[kind] = Reason(same, known.count + 1, rows)

    def all(self) -> tuple[Reason, ...]:
        """Every reason, the most frequent first."""
        return tuple(sorted(self._kinds.values(), key=lambda one: (-one.count, one.rows)))


def alike(words: str) -> str:
    """What a message has in common with others of its kind.

    Examples
    --------
    >>> alike("'a.png' is damaged (5 bytes not processed (at 7)); copy it again")
    '... is damaged; copy it again'
    >>> alike("this preset's models cannot find 'zorb', of 12 words")
    "this preset's models cannot find ..., of ... words"
    """
    words = _QUOTED.sub("...", words)
    while (shorter := _BRACKETED.sub("", words)) != words:
        words = shorter
    return _NUMBER.sub("...", words)


def grounding_facts(found: Grounding) -> dict[str, Any]:
    """A grounding's plain values, for results and journal."""
    return {
        "found": found.status,
        "reason": found.reason,
        "score": round(float(found.score), 4),
        "box": None if found.box is None else [round(float(v), 1) for v in found.box],
        "candidates": [
            {"box": [round(float(v), 1) for v in c.box], "score": round(float(c.score), 4)}
            for c in found.candidates
        ],
    }


def gate(row: Row, default: str, found: Mapping[str, Any]) -> str | None:
    """The status of a row that is not to be painted for how it was found, or None.

    Parameters
    ----------
    row
        Its own gate goes before the default; a candidate chosen in the row opens it, for a person
        has looked.
    default
        ``skip``, ``hold`` or ``paint``.
    found
        Facts from :func:`grounding_facts`.

    Examples
    --------
    >>> row = Row(1, "a", "a.png", "remove", "the cup")
    >>> gate(row, "hold", {"found": "ambiguous"}), gate(row, "paint", {"found": "ambiguous"})
    ('held', None)
    >>> gate(row, "skip", {"found": "absent"})
    'absent'
    """
    chosen = row.gate or default
    if found["found"] == "found" or row.options.get("candidate") is not None:
        return None
    if found["found"] == "absent":
        return "held" if chosen == "hold" else "absent"
    return {"hold": "held", "skip": "skipped", "paint": None}[chosen]
