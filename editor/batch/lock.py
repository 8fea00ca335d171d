"""One process at a time on a folder; a dead one's lock is taken over.

The system's file lock goes when its process goes, however it ends, so that nothing stale is ever
left. Where a file system has none, the lock's words are believed: whose it is and on which
machine; it is stale when that process is not there any more.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from ..errors import GroundbrushError, one_line

_HELD = {errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK, errno.EDEADLK}


class FolderLock:
    """Holds a lock file while in use as a context.

    Parameters
    ----------
    path
        The lock file; its folder is made. It stays when the lock is given back.

    Attributes
    ----------
    took_over
        What to tell of an earlier owner that did not give it back; "" where there is none.

    Raises
    ------
    GroundbrushError
        On entering, when another process has it, naming that; or when it cannot be written.

    Examples
    --------
    >>> with FolderLock(Path("out/lock")):  # doctest: +SKIP
    ...     ...
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.took_over = ""
        self._file = -1

    def __enter__(self) -> FolderLock:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
            self._file = os.open(self.path, flags, 0o666)
            try:
                self._take()
            except BaseException:
                os.close(self._file)
                self._file = -1
                raise
        except OSError as error:
            raise GroundbrushError(
                f"cannot lock {str(self.path.parent)!r} ({one_line(error)}); expected a writable "
                "folder; choose another --out"
            ) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Not removed: another process may have the file open and wait for its lock. A full disk
        # must not hide what went wrong before.
        with contextlib.suppress(OSError):
            self._write({})
        os.close(self._file)
        self._file = -1

    def _take(self) -> None:
        owner = self._owner()
        held = system_lock(self._file)
        if held is None:
            held = owner_lives(owner)
        if held:
            raise GroundbrushError(
                f"{str(self.path.parent)!r} is in use by process {owner.get('pid', '?')} on "
                f"{owner.get('host', '?')}, since {owner.get('since', '?')}; wait for it, or "
                f"choose another --out (if that process is gone, remove {str(self.path)!r})"
            )
        if owner:
            self.took_over = (
                f"the run before (process {owner.get('pid', '?')}, begun {owner.get('since', '?')})"
                " did not end by itself"
            )
        self._write(
            {
                "pid": os.getpid(),
                "host": socket.gethostname(),
                "born": _born(os.getpid()),
                "since": time.strftime("%Y-%m-%d %H:%M:%S"),
            }
        )

    def _owner(self) -> dict[str, Any]:
        """What the last owner wrote; empty where it gave the lock back."""
        os.lseek(self._file, 0, os.SEEK_SET)
        try:
            owner = json.loads(os.read(self._file, 4096) or b"{}")
        except (ValueError, RecursionError):
            return {"pid": "?"}  # it died while writing
        return owner if isinstance(owner, dict) else {"pid": "?"}

    def _write(self, owner: dict[str, Any]) -> None:
        text = json.dumps(owner).encode()
        os.lseek(self._file, 0, os.SEEK_SET)
        os.write(self._file, text)
        os.ftruncate(self._file, len(text))
        os.fsync(self._file)


def system_lock(file: int) -> bool | None:
    """Take the system's lock: False taken, True another has it, None there are none here."""
    try:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # Windows
            import msvcrt

            os.lseek(file, 1 << 20, os.SEEK_SET)  # beyond the words, which others must read
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    except OSError as error:
        return True if error.errno in _HELD else None
    return False


def owner_lives(owner: dict[str, Any]) -> bool:
    """Whether a lock's owner may still be there; of another machine it cannot be told."""
    if not owner:
        return False
    if owner.get("host") != socket.gethostname() or not isinstance(owner.get("pid"), int):
        return owner.get("host") is not None
    if os.name == "nt":  # there os.kill ends the process
        return True
    try:
        os.kill(owner["pid"], 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return owner.get("born") in (None, _born(owner["pid"]))


def _born(pid: int) -> str | None:
    """When a process began, so that another with its number is told apart; None: not known."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None
