"""One process at a time; a dead one's lock is taken over."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from groundbrush.editor.batch.lock import FolderLock
from groundbrush.editor.errors import GroundbrushError

ROOT = Path(__file__).resolve().parents[3]
HOLD = """
import os, sys, time
from pathlib import Path
if number := os.environ.get("NO_LOCKS"):
    import fcntl
    def flock(*_):
        raise OSError(int(number), "no locks here")
    fcntl.flock = flock
from groundbrush.editor.batch.lock import FolderLock
with FolderLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path: Path):
    """Another process that holds the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "lock")],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_process_is_refused_and_told_whose_it_is(tmp_path: Path, holder) -> None:
    with pytest.raises(GroundbrushError, match=rf"in use by process {holder.pid} on .*; wait"):
        with FolderLock(tmp_path / "lock"):
            pass
    assert holder.poll() is None


def test_a_killed_ones_lock_is_taken_over_and_told(tmp_path: Path, holder) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with FolderLock(tmp_path / "lock") as lock:
        assert f"process {holder.pid}" in lock.took_over
        assert "did not end by itself" in lock.took_over


def test_it_is_free_again_after_use_and_within_one_process_too(tmp_path: Path) -> None:
    path = tmp_path / "new" / "lock"
    with FolderLock(path):
        with pytest.raises(GroundbrushError, match=f"process {os.getpid()}"):
            with FolderLock(path):
                pass
    with FolderLock(path) as lock:
        assert lock.took_over == ""


@pytest.mark.parametrize("written", [b"{", b"[1]", b"\0\0\0", b'{"pid": "x"}'])
def test_a_lock_that_was_not_written_whole_is_taken_over(tmp_path: Path, written: bytes) -> None:
    (tmp_path / "owner.json").write_bytes(written)
    with FolderLock(tmp_path / "lock") as lock:
        assert "did not end by itself" in lock.took_over


class TestWithoutTheSystemsLocks:
    """On a file system that has none, filelock checks the owner by its process and machine."""

    @pytest.fixture(autouse=True, params=[errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
    def _none(self, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
        fcntl = pytest.importorskip("fcntl")
        monkeypatch.setenv("NO_LOCKS", str(request.param))

        def flock(*_: object) -> None:
            raise OSError(request.param, "no locks here")

        monkeypatch.setattr(fcntl, "flock", flock)

    def test_a_living_owner_is_respected(self, tmp_path: Path, holder) -> None:
        with pytest.raises(GroundbrushError, match=f"process {holder.pid}"):
            with FolderLock(tmp_path / "lock"):
                pass

    def test_a_dead_owner_is_not(self, tmp_path: Path, holder) -> None:
        holder.kill()
        holder.wait()
        with FolderLock(tmp_path / "lock") as lock:
            assert str(holder.pid) in lock.took_over

    def test_another_process_under_the_dead_ones_number_is_told_apart(
        self, tmp_path: Path, holder
    ) -> None:
        if not Path("/proc/self/stat").is_file():
            pytest.skip("no /proc")
        (marker,) = (p for p in tmp_path.iterdir() if p.name.startswith("lock") and p.read_text())
        text = marker.read_text()
        holder.kill()
        holder.wait()
        marker.write_text(text.replace(f"{holder.pid}\n", f"{os.getpid()}\n"))
        with FolderLock(tmp_path / "lock") as lock:
            assert str(holder.pid) in lock.took_over

    def test_of_another_machine_it_cannot_be_told_and_is_refused(
        self, tmp_path: Path, holder
    ) -> None:
        (marker,) = (p for p in tmp_path.iterdir() if p.name.startswith("lock") and p.read_text())
        text = marker.read_text()
        holder.kill()
        holder.wait()
        marker.write_text(text.replace(f"\n{socket.gethostname()}\n", "\nelsewhere.example\n"))
        owner = (tmp_path / "owner.json").read_text()
        (tmp_path / "owner.json").write_text(
            owner.replace(socket.gethostname(), "elsewhere.example")
        )
        with pytest.raises(GroundbrushError, match=r"elsewhere\.example.*remove .*lock"):
            with FolderLock(tmp_path / "lock"):
                pass


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(GroundbrushError, match=r"cannot lock .*choose another --out"):
        with FolderLock(tmp_path / "file" / "lock"):
            pass
