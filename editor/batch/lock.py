"""One process at a time on a folder; the lock of a dead process is taken over."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from ..errors import GroundbrushError, one_line

_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP}


class FolderLock:
    """Holds a lock file while in use as a context.

    The lock is the operating system's, which releases it however the process ends. On a file system
    without locks, `filelock.SoftFileLock` is used, which checks the owner's process and machine.
    ``owner.json`` beside the file names the owner. Raises GroundbrushError on entering, if another
    process holds the lock, naming it, or the folder cannot be written.

    Attributes
    ----------
    took_over : A note about an earlier owner that did not release the lock; "" if there is none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.took_over = ""
        self._before: bytes | None = None
        self._owner_file = path.with_name("owner.json")
        self._lock: BaseFileLock = FileLock(path)

    def __enter__(self) -> FolderLock:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._acquire()
            try:
                self._take_over()
            except BaseException:
                self._lock.release()
                raise
        except OSError as error:
            raise GroundbrushError(
                f"cannot lock {str(self.path.parent)!r} ({one_line(error)}); expected a writable "
                "folder; choose another --out"
            ) from error
        return self

    def begin(self) -> None:
        """Nothing refuses the work any more: forget the earlier owner."""
        self._before = None

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # it must not hide an earlier error
            self._owner_file.unlink()
            if self._before is not None:  # refused: the folder stays as it was
                self._owner_file.write_bytes(self._before)
        self._lock.release()

    def _acquire(self) -> None:
        try:
            try:
                self._lock.acquire(timeout=0)
            except (OSError, NotImplementedError) as error:
                if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
                    raise
                self._lock = SoftFileLock(self.path.with_suffix(".soft"))
                self._lock.acquire(timeout=0)
        except Timeout as error:
            owner = self._owner()
            raise GroundbrushError(
                f"{str(self.path.parent)!r} is in use by process {owner.get('pid', '?')} on "
                f"{owner.get('host', '?')}, since {owner.get('since', '?')}; wait for it, or "
                f"choose another --out (if that process is gone, remove {self._lock.lock_file!r})"
            ) from error

    def _take_over(self) -> None:
        """Note an earlier owner that did not end by itself, and name this process as the owner."""
        if owner := self._owner():
            with contextlib.suppress(OSError):
                self._before = self._owner_file.read_bytes()
            self.took_over = (
                f"the run before (process {owner.get('pid', '?')}, started "
                f"{owner.get('since', '?')}) did not end by itself"
            )
        me = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        }
        self._owner_file.unlink(missing_ok=True)  # a link is not written through
        self._owner_file.write_text(json.dumps(me))

    def _owner(self) -> dict[str, Any]:
        """What the last owner wrote; empty if it released the lock."""
        try:
            owner = json.loads(self._owner_file.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError):
            return {"pid": "?"}
        return owner if isinstance(owner, dict) else {"pid": "?"}
