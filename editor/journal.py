"""An append-only file of JSON records that survives the death of its writer at any moment.

One JSON object a line. Its last member, ``crc32``, is the checksum of what stands before it, so
that a torn, zero-filled or overwritten line is never taken for a record. This module does not know
what the records mean.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import zlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from .errors import GroundbrushError, one_line

Record = dict[str, Any]
_FLAGS = getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
"""A symbolic link planted in the folder must not make another file a journal."""
_SEAL = b'"crc32":"%08x"}'
_SEAL_LENGTH = len(_SEAL % 0)
_SEALED = re.compile(rb'"crc32":"[0-9a-f]{8}"}')


class JournalError(GroundbrushError):
    """A journal that cannot be read or written, or a file that is no journal."""


class Journal:
    """Records on disk; each is durable once `append` has returned.

    Opening changes nothing. The first `append` cuts off an incomplete end, left by a writer that
    died. Damaged lines between whole records are skipped and stay. There may be one writer at a
    time.

    Parameters
    ----------
    path
        The file; the first `append` creates it if it is missing.
    without
        Members of records that are not kept in memory.

    Attributes
    ----------
    records
        The records found on opening, in order.
    notes
        What is damaged.

    Raises
    ------
    JournalError
        If the file cannot be read or written, or has lines and none of them is a record.

    Examples
    --------
    >>> journal = Journal(Path("out/journal"))  # doctest: +SKIP
    >>> journal.append({"row": 1})  # doctest: +SKIP
    """

    def __init__(self, path: Path, without: Collection[str] = ()) -> None:
        self.path = path
        self.records: list[Record] = []
        self.notes: list[str] = []
        self._end, self._before, self._repaired = 0, b"", False
        with self._translated(), contextlib.suppress(FileNotFoundError):
            # for writing as well: what cannot be continued is refused here
            lines = os.fdopen(os.open(path, os.O_RDWR | _FLAGS), "rb")
            with lines:
                self._read(lines, without)

    def append(self, *records: Mapping[str, Any]) -> None:
        """Write records through to the disk; the first call repairs the file before.

        Raises
        ------
        JournalError
            If they cannot be written; a part that was is removed, now or by the next `append`.
        """
        content = self._before + b"".join(map(encode, records))
        with self._translated():
            if not self._repaired:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            # a file that vanishes later is not made anew: its records would be lost in silence
            new = 0 if self._repaired else os.O_CREAT
            file = os.open(self.path, os.O_WRONLY | new | _FLAGS, 0o666)
            try:
                os.ftruncate(file, self._end)
                _write_at(file, self._end, content)
            finally:
                os.close(file)
        self._end, self._before, self._repaired = self._end + len(content), b"", True

    def _read(self, lines: BinaryIO, without: Collection[str]) -> None:
        """Read all records, and find where the next one belongs."""
        size = good = skipped = waiting = 0
        line = b"\n"
        for line in lines:
            size += len(line)
            record = _decode(line)
            if record is not None:
                self.records.append({k: v for k, v in record.items() if k not in without})
                good, skipped, waiting = size, skipped + waiting, 0
            elif line != b"\n":
                waiting += 1
        name = repr(str(self.path))
        # a first record that was torn has no seal; with another line end all records are one line
        torn = waiting == 1 and not line.endswith(b"\n") and not _SEALED.search(line)
        if not self.records and waiting and not torn:
            raise JournalError(
                f"{name} is not a journal: none of its {waiting} lines is a whole record; move it "
                "away, or choose another --out"
            )
        if skipped:
            self.notes.append(
                f"{skipped} damaged line{'s' * (skipped != 1)} in {name} skipped; that work is "
                "done again"
            )
        if good < size:
            self.notes.append(
                f"{size - good} bytes cut off the end of {name}: the last line was not written "
                "whole"
            )
        elif not line.endswith(b"\n"):  # the last record lacks only its line end
            self._before = b"\n"
        self._end = good

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise JournalError(
                f"cannot write the journal {str(self.path)!r} ({one_line(error)}); expected a "
                "writable file and free space"
            ) from error


def read_journal(path: Path) -> Iterator[Record]:
    """The whole records of a journal, which is left as it is.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    with path.open("rb") as lines:
        for line in lines:
            if (record := _decode(line)) is not None:
                yield record


def encode(record: Mapping[str, Any]) -> bytes:
    """A record as one line with its checksum."""
    body = json.dumps(record, allow_nan=False, separators=(",", ":")).encode("ascii")[:-1]
    body += b"," if record else b""
    return body + _SEAL % zlib.crc32(body) + b"\n"


def _decode(line: bytes) -> Record | None:
    """The record of a line, or None if it is not a whole one."""
    line = line.removesuffix(b"\n")
    body, seal = line[:-_SEAL_LENGTH], line[-_SEAL_LENGTH:]
    if seal != _SEAL % zlib.crc32(body):
        return None
    try:
        record = json.loads(line, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    record.pop("crc32", None)
    return record


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _write_at(file: int, offset: int, content: bytes) -> None:
    """Write and flush to disk; if that fails, the file ends at the offset again."""
    try:
        os.lseek(file, offset, os.SEEK_SET)
        view = memoryview(content)
        while view:  # the system may take it in several pieces
            view = view[os.write(file, view) :]
        os.fsync(file)
    except OSError:
        with contextlib.suppress(OSError):  # else the next opening repairs it
            os.ftruncate(file, offset)
        raise
