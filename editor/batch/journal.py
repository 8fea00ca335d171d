"""An append-only file of records that survives its writer's death at any moment.

A line is the CRC-32 of a JSON object, a space and the object. A line is believed only when both
fit, so that a torn, zero-filled or overwritten one is never taken for a record.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from ..errors import one_line
from .errors import BatchStopped

Record = dict[str, Any]


class Journal:
    """Records on disk; each is there for good once :meth:`append` has returned.

    Opening repairs: what a dying writer left behind the last whole line is cut off. Damaged lines
    among good ones are passed over and stay. The writer must be the only one (`FolderLock`).

    Parameters
    ----------
    path
        The file; made when it is not there.

    Attributes
    ----------
    records
        Those that were there on opening, in order.
    notes
        What was repaired, in words.

    Raises
    ------
    BatchStopped
        When the file cannot be read or written.

    Examples
    --------
    >>> with Journal(Path("out/journal")) as journal:  # doctest: +SKIP
    ...     journal.append({"row": 1})
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: list[Record] = []
        self.notes: list[str] = []
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # A link planted in the folder must not make another file a journal.
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
            self._file = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)
            try:
                self._end = self._repair(_read_all(self._file))
            except BaseException:
                os.close(self._file)
                raise
        except OSError as error:
            raise self._refused(error) from error

    def append(self, record: Mapping[str, Any]) -> None:
        """Write a record through to the disk.

        Raises
        ------
        BatchStopped
            When it cannot be; what part of it was written is taken back, now or on opening.
        """
        line = encode(record)
        try:
            _write_all(self._file, line, self._end)
            os.fsync(self._file)
        except OSError as error:
            with contextlib.suppress(OSError):  # else the next opening repairs it
                os.ftruncate(self._file, self._end)
            raise self._refused(error) from error
        self._end += len(line)

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _repair(self, raw: bytes) -> int:
        """Read all records; leave only whole lines; the offset to write at."""
        self.records, good, damaged = decode(raw)
        if damaged:
            self.notes.append(
                f"{damaged} damaged line{'s' * (damaged != 1)} in {str(self.path)!r} passed over; "
                "what they told of is done again"
            )
        if good < len(raw):
            self.notes.append(
                f"{len(raw) - good} bytes cut off the end of {str(self.path)!r}: the last line was "
                "not written whole"
            )
            os.ftruncate(self._file, good)
            os.fsync(self._file)
        elif good > len(raw):  # the last record lacks only its line end
            _write_all(self._file, b"\n", len(raw))
            os.fsync(self._file)
        return good

    def _refused(self, error: OSError) -> BatchStopped:
        return BatchStopped(
            f"cannot write the journal {str(self.path)!r} ({one_line(error)}); expected a writable "
            "file and free space"
        )


def encode(record: Mapping[str, Any]) -> bytes:
    """A record as one line."""
    body = json.dumps(record, allow_nan=False, separators=(",", ":")).encode("ascii")
    return b"%08x %s\n" % (zlib.crc32(body), body)


def decode(raw: bytes) -> tuple[list[Record], int, int]:
    """Records of a journal's bytes.

    Returns
    -------
    tuple
        The records; the length up to and with the last whole line (one more than there is where
        only its line end is missing); how many damaged lines lie before that.
    """
    records: list[Record] = []
    good = at = damaged = waiting = 0
    for line in raw.split(b"\n"):
        at += len(line) + 1
        record = _decode_line(line)
        if record is not None:
            records.append(record)
            good, damaged = at, damaged + waiting
            waiting = 0
        elif line:
            waiting += 1
    return records, good, damaged


def _decode_line(line: bytes) -> Record | None:
    """The record of a line, or None where it is not one."""
    told, _, body = line.partition(b" ")
    if len(told) != 8 or told != b"%08x" % zlib.crc32(body):
        return None
    try:
        record = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _read_all(file: int) -> bytes:
    parts = []
    while part := os.read(file, 1 << 20):
        parts.append(part)
    return b"".join(parts)


def _write_all(file: int, content: bytes, at: int) -> None:
    """Write at an offset; the system may take it in several pieces."""
    os.lseek(file, at, os.SEEK_SET)
    view = memoryview(content)
    while view:
        view = view[os.write(file, view) :]
