"""The journal of a measurement: a record for each arm and item, so that a killed run resumes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import GroundbrushError
from ..journal import Journal, Record, read_journal


class Measurements:
    """Records of one measurement, on disk below a header that says what was measured.

    What is there is not measured again, except for failures. Predicted masks stay on disk. Raises
    GroundbrushError if the file is something else, or of another measurement.

    Parameters
    ----------
    path : A `Journal`; created if missing.
    header : What the records depend on, JSON-able.

    `on_add` is called with the number of records that were added.
    """

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        self.path = path
        self._journal = Journal(path, without=("mask",))
        wanted = json.loads(json.dumps(header))
        if not self._journal.records:
            self._journal.append(wanted)
        found, *self.records = self._journal.records or [wanted]
        if any(not {"arm", "item"} <= set(record) for record in self.records):
            raise GroundbrushError(
                f"{str(path)!r} is not a journal of measurements (a record without arm or item); "
                "move it away or give another --out"
            )
        if found != wanted:
            names = sorted(k for k in {*found, *wanted} if found.get(k) != wanted.get(k))
            raise GroundbrushError(
                f"{str(path)!r} was measured with another {', '.join(names)}; give another --out, "
                "or --fresh to measure again"
            )
        self._done = set(map(_key, filter(_good, self.records)))
        self.on_add: Callable[[int], None] = lambda new: None

    def done(self, arm: str, item: str) -> bool:
        """Whether it was measured; failures are measured again."""
        return (arm, item) in self._done

    def add(self, records: Sequence[Record]) -> None:
        """Write records to disk and keep them, without their masks."""
        self._journal.append(*records)
        self.records += [{k: v for k, v in r.items() if k != "mask"} for r in records]
        self._done |= set(map(_key, filter(_good, records)))
        self.on_add(len(records))

    def latest(self, keys: Iterable[tuple[str, str]]) -> list[Record]:
        """The last record of each (arm, item)."""
        last = {_key(record): record for record in self.records}
        return [last[key] for key in keys]

    def whole(self, records: Iterable[Mapping[str, Any]]) -> list[Record]:
        """The same records with their masks, read from disk."""
        wanted = list(dict.fromkeys(map(_key, records)))
        last = {key: r for r in read_journal(self.path) if (key := _key(r)) in wanted}
        return [last[key] for key in wanted if key in last]


def _key(record: Mapping[str, Any]) -> tuple[Any, Any]:
    return record.get("arm"), record.get("item")


def _good(record: Mapping[str, Any]) -> bool:
    return "error" not in record
