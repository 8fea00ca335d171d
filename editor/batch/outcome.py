"""What a row came to, as plain values: one line of ``results.jsonl``. It runs no model."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from editor.batch.rows import Row
from editor.errors import GroundbrushError, one_line

if TYPE_CHECKING:
    from grounding.result import Grounding

STATUSES = ("done", "absent", "held", "skipped", "failed", "waiting")
"""``done``; ``absent``: not in the picture; ``held``: not plainly found, a person is to look;
``skipped``: not plainly found; ``failed``: the error says why; ``waiting``: its turn did not come.
"""
Result = dict[str, Any]
_EMPTY: Result = {
    "reason": None, "found": None, "score": None, "box": None, "candidates": [], "checks": {},
    "notes": [], "files": {}, "recipe": None, "segments": None, "steps": None,
    "error": None, "seconds": {},
}  # fmt: skip


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
    about = {"row": row.number, "id": row.name, "image": row.image, "action": row.action,
             "words": row.words, "paint": row.paint, "status": status}  # fmt: skip
    return {**about, **copy.deepcopy(_EMPTY), **facts}


def failure(row: Row, stage: str, error: BaseException) -> Result:
    """The result of a row whose work raised."""
    kind, words = type(error).__name__, one_line(error)
    if not isinstance(error, GroundbrushError):
        words = f"{kind}: {words}" if words != kind else kind
    return result_of(row, "failed", error={"stage": stage, "kind": kind, "message": words},
                     reason=words)  # fmt: skip


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
