"""Records of a measurement on the disk, so that a killed run goes on where it was."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import GroundbrushError, one_line

Record = dict[str, Any]


class Journal:
    """An append-only file of records, one a line, below a line that says what was measured.

    What is in it is not measured again. A line cut off by a crash is dropped; a journal of another
    measurement is refused. The predicted masks stay in the file.

    Parameters
    ----------
    path
        The file; made when it is not there.
    header
        What the records depend on, JSON-able.
    """

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        self.path = path
        self.records: list[Record] = []
        self.header = json.loads(json.dumps(header))
        if path.is_file() and path.stat().st_size:
            self._read()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._append([self.header])
        self._done = {(r["arm"], r["item"]) for r in self.records if "error" not in r}

    def done(self, arm: str, item: str) -> bool:
        """Whether it was measured; what failed is tried again."""
        return (arm, item) in self._done

    def add(self, records: Sequence[Record]) -> None:
        """Write records to the file and keep them."""
        self._append(records)
        self.records += [_light(r) for r in records]
        self._done |= {(r["arm"], r["item"]) for r in records if "error" not in r}

    def whole(self, records: Iterable[Mapping[str, Any]]) -> list[Record]:
        """The same records with their masks, from the file."""
        wanted = {(r["arm"], r["item"]): None for r in records}
        found: dict[tuple[str, str], Record] = {}
        with self.path.open("rb") as file:
            for line in file:
                record = json.loads(line)
                if (key := (record.get("arm"), record.get("item"))) in wanted:
                    found[key] = record
        return [found[key] for key in wanted if key in found]

    def _read(self) -> None:
        lines, end = [], 0
        try:
            with self.path.open("rb") as file:
                for line in file:
                    if line.endswith(b"\n"):
                        lines.append(_light(json.loads(line)))
                        end += len(line)
            header, *records = lines
            for record in records:
                if not {"arm", "item"} <= set(record):
                    raise ValueError("a record without arm or item")
        except (ValueError, AttributeError, RecursionError, OSError) as error:
            raise GroundbrushError(
                f"{str(self.path)!r} is not a journal of measurements ({one_line(error)}); move it "
                "away or give another --out"
            ) from error
        if header != self.header:
            names = sorted(
                k for k in {*header, *self.header} if header.get(k) != self.header.get(k)
            )
            raise GroundbrushError(
                f"{str(self.path)!r} was measured with another {', '.join(names)}; give another "
                "--out, or --fresh to measure again"
            )
        self.records = records
        if end < self.path.stat().st_size:
            with self.path.open("r+b") as file:
                file.truncate(end)

    def _append(self, records: Iterable[Mapping[str, Any]]) -> None:
        text = "".join(json.dumps(r, allow_nan=False) + "\n" for r in records)
        try:
            with self.path.open("ab") as file:
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise GroundbrushError(
                f"cannot write {str(self.path)!r} ({one_line(error)}); free some space or give "
                "another --out"
            ) from error


def _light(record: Record) -> Record:
    return {k: v for k, v in record.items() if k != "mask"}
