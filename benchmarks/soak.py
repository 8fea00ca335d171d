"""Batch, server and page at once while they are killed: ``make soak``, an hour by default.

Every process runs on this machine with the embedded models. Batches are killed by progress, run
with too little memory and on a full disk (a small tmpfs where this process may mount one), and
continued; the server and the page are killed and started again, and clients repeat requests. What
came out is compared with what came out undisturbed. The result is one table, in
docs/reliability.md.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from benchmarks.common import ROOT

PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- soak -->\n", "<!-- end of soak -->\n"
GROUNDBRUSH = (sys.executable, "-m", "groundbrush")
EDIT = {"find": "the red apple", "paint": "a frog", "settings": {"steps": 4}}
_DISK_MB = 30
_ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


class Soak:
    """What all threads share: the end, the counts, and the processes of their own to kill."""

    def __init__(self, folder: Path, minutes: float, seed: int) -> None:
        self.folder, self.counts = folder, Counter[str]()
        self.until = time.monotonic() + 60 * minutes
        self.random = random.Random(seed)
        self.peak = 0

    @property
    def log(self) -> Path:
        """What all processes printed."""
        return self.folder / "log.txt"

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() > self.until

    def start(self, *command: str, limit: tuple[int, int] | None = None) -> subprocess.Popen:
        """A process of ours, with one of its resources limited."""

        def limited() -> None:
            if limit is not None:
                resource.setrlimit(limit[0], (limit[1], limit[1]))

        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*GROUNDBRUSH, *command],
                stdout=log,
                stderr=log,
                env=_ENVIRONMENT,
                preexec_fn=limited,
            )


# ------------------------------------------------------------------------------------- batches


def manifest(folder: Path) -> Path:
    """Rows of every kind that takes steps."""
    rows = [
        {"image": "fruit.png", **EDIT, "seed": k, "id": f"{k}-{kind}", **more}
        for k in range(2)
        for kind, more in {
            "edit": {},
            "two": {"variants": 2},
            "box": {"find": None, "box": [20, 20, 70, 70]},
        }.items()
    ]
    path = folder / "manifest.jsonl"
    lines = [json.dumps({k: v for k, v in row.items() if v is not None}) for row in rows]
    path.write_text("\n".join(lines))
    (folder / "fruit.png").write_bytes((ROOT / "examples" / "fruit.png").read_bytes())
    return path


def outputs(out: Path) -> dict[str, str]:
    """Digest of every file that a user sees, but the times in the results."""
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in out.rglob("*")
        if path.is_file() and path.suffix in (".png", ".jpg") and ".batch" not in path.parts
    }


def batch(soak: Soak, rows: Path, out: Path, **options: Any) -> subprocess.Popen:
    """One life of a batch."""
    return soak.start("batch", str(rows), "--out", str(out), "--retry-failed", "--quiet", **options)


def calm_batch(soak: Soak, rows: Path) -> dict[str, str]:
    """The undisturbed outputs; the most address space that it took is kept for the limits."""
    process = batch(soak, rows, soak.folder / "calm")
    while process.poll() is None:
        with contextlib.suppress(OSError, IndexError, ValueError):
            status = Path(f"/proc/{process.pid}/status").read_text()
            soak.peak = max(soak.peak, 1024 * int(status.split("VmPeak:")[1].split()[0]))
        time.sleep(0.1)
    if process.returncode:
        raise SystemExit(f"the undisturbed batch failed; it printed:\n{soak.log.read_text()}")
    return outputs(soak.folder / "calm")


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """A file system of a few megabytes; None where this process may mount none."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={_DISK_MB}m", "none", str(folder)]
    mounted = not subprocess.run(["mount", *options], check=False, capture_output=True).returncode
    try:
        yield folder if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=False)


def batches(soak: Soak, rows: Path, calm: dict[str, str], disk: Path | None) -> None:
    """Batch after batch: each is disturbed until one of its lives reaches the end."""
    number, kinds = 0, cycle(("killed", "killed", "memory", "killed", "disk"))
    while not soak.over:
        number += 1
        out = (disk or soak.folder) / f"batch{number}"
        while not soak.over:
            if disturbed_life(soak, rows, out, next(kinds), disk):
                break
        process = batch(soak, rows, out)  # undisturbed now, also when the time is up
        if process.wait():
            soak.counts["batch: not resumed"] += 1
            print(soak.log.read_text("utf-8", "replace")[-3000:], file=sys.stderr)
        wrong = sum(calm[name] != found for name, found in outputs(out).items() if name in calm)
        soak.counts["batch: files lost"] += len(calm.keys() - outputs(out).keys())
        soak.counts["batch: files wrong"] += wrong
        soak.counts["batch: partial files left"] += len(list(out.rglob("*.part")))
        soak.counts["batches finished"] += 1
        subprocess.run(["rm", "-r", str(out)], check=False)


def disturbed_life(soak: Soak, rows: Path, out: Path, kind: str, disk: Path | None) -> bool:
    """One life; whether it reached the end all the same."""
    limit, filler = None, None
    if kind == "memory":
        limit = resource.RLIMIT_AS, int(soak.peak * soak.random.uniform(0.4, 0.98))
    elif kind == "disk" and disk is not None:
        filler = disk / "filler"
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        filler.write_bytes(bytes(max(0, free - soak.random.randrange(300_000))))
    elif kind == "disk":
        limit = resource.RLIMIT_FSIZE, soak.random.randrange(2_000, 60_000)
    process = batch(soak, rows, out, limit=limit)
    steps = soak.random.randrange(1, 9)  # journal records and files until it is killed
    begun = progress(out)
    while process.poll() is None and (kind != "killed" or progress(out) < begun + steps):
        if soak.over:
            process.kill()
        time.sleep(0.02)
    if process.poll() is None:
        time.sleep(soak.random.uniform(0, 0.3))  # between two of them
        process.send_signal(signal.SIGKILL)
    status = process.wait()
    if filler is not None:
        filler.unlink()
    soak.counts[f"batch: lives {kind}"] += status != 0
    return status == 0


def progress(out: Path) -> int:
    """A number that grows while a batch works."""
    journal = out / ".batch" / "journal"
    records = journal.read_bytes().count(b"\n") if journal.exists() else 0
    return records + len(list(out.glob("*.png")))


# ------------------------------------------------------------------------- the server, the page


def free_port() -> int:
    """A free port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def fetch(url: str, body: bytes | None = None, **headers: str) -> bytes:
    """The answer's body."""
    with urlopen(Request(url, body, headers), timeout=60) as answer:
        return bytes(answer.read())


def keep_killing(soak: Soak, name: str, url: str, *command: str) -> None:
    """Start a process, wait until it answers and for a while more, kill it, and so on."""
    while not soak.over:
        process = soak.start(*command)
        if wait_for(soak, url, process):
            soak.counts[f"{name}: starts"] += 1
            pause = soak.random.uniform(5, 60)
            until = min(time.monotonic() + pause, soak.until)
            while time.monotonic() < until:
                if process.poll() is not None:
                    soak.counts[f"{name}: died by itself"] += 1
                    break
                time.sleep(0.2)
        elif process.poll() is not None:
            soak.counts[f"{name}: died by itself"] += 1
        process.kill()
        process.wait()
        soak.counts[f"{name}: kills"] += 1


def wait_for(soak: Soak, url: str, process: subprocess.Popen) -> bool:
    """Whether it answers before the time is up."""
    while not soak.over and process.poll() is None:
        with contextlib.suppress(OSError):
            fetch(url)
            return True
        time.sleep(0.5)
    return False


def client(soak: Soak, server: str, number: int) -> None:
    """Post edits; repeat them, under the same key, whatever a dead server has forgotten."""
    seen: dict[int, bytes] = {}
    body = {"image": "fruit.png", **EDIT}
    k = 0
    while not soak.over:
        k, seed = k + 1, k % 3 + 10 * number
        text = json.dumps({**body, "seed": seed}).encode()
        key = f"{number}-{k}"
        while not soak.over:
            with contextlib.suppress(OSError, ValueError, KeyError):
                result = edited(soak, server, text, key)
                if result is not None:
                    soak.counts["server: edits done"] += 1
                    soak.counts["server: edits wrong"] += result != seen.setdefault(seed, result)
                    break
            time.sleep(0.3)


def edited(soak: Soak, server: str, text: bytes, key: str) -> bytes | None:
    """The picture that an edit gives; OSError while the server is dead, None if it forgot."""
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    try:
        job = json.loads(fetch(f"{server}/v1/edit", text, **headers))
        while job["state"] in ("waiting", "running"):
            job = json.loads(fetch(f"{server}/v1/jobs/{job['id']}?wait=10"))
        if job["state"] != "done":
            soak.counts["server: edits failed"] += 1
        return fetch(f"{server}/v1/jobs/{job['id']}/files/result.png")
    except urllib.error.HTTPError as error:
        if error.code not in (404, 429, 503):
            soak.counts[f"server: answers {error.code}"] += 1
        return None


def visitor(soak: Soak, page: str) -> None:
    """Open the page again and again."""
    while not soak.over:
        with contextlib.suppress(OSError):
            whole = b"</html>" in fetch(page)
            soak.counts["page: whole" if whole else "page: not whole"] += 1
        time.sleep(0.5)


# ------------------------------------------------------------------------------------ the table


def table(soak: Soak, minutes: float, disk: Path | None) -> str:
    """What was done and what was lost, in one table."""
    c = soak.counts
    full = "full disk" if disk else "limit of a file's length"
    lives = f"{c['batch: lives killed']} kills, {c['batch: lives memory']} with too little memory"
    rows = [
        (
            "A batch that was stopped is resumed; files are whole, and equal the undisturbed ones",
            f"{c['batches finished']} batches of 6 rows; {lives}, {c['batch: lives disk']} with a "
            f"{full}",
            sum(
                c[f"batch: {name}"]
                for name in ("not resumed", "files lost", "files wrong", "partial files left")
            ),
        ),
        (
            "A request that is sent again after the server died gives the same picture",
            f"{c['server: edits done']} edits by 3 clients; {c['server: kills']} kills",
            c["server: edits wrong"] + c["server: edits failed"] + c["server: died by itself"],
        ),
        (
            "The server answers 4xx or 5xx only for its queue, its end and forgotten jobs",
            "the same",
            sum(n for name, n in c.items() if name.startswith("server: answers")),
        ),
        (
            "The page opens again after it died",
            f"{c['page: whole']} visits, {c['page: starts']} starts; {c['page: kills']} kills",
            c["page: not whole"] + c["page: died by itself"],
        ),
    ]
    day = time.strftime("%Y-%m-%d")
    head = f"{minutes:g} minutes on {day}, all at once, on {os.cpu_count()} cores.\n\n"
    lines = ["| promise | done to it | failures |", "|---|---|---|"]
    lines += [f"| {promise} | {done} | {failures} |" for promise, done, failures in rows]
    return head + "\n".join(lines) + "\n"


def run(soak: Soak) -> Path | None:
    """Everything at once until the time is up; the small disk, if there was one."""
    rows = manifest(soak.folder)
    calm = calm_batch(soak, rows)
    served, shown = free_port(), free_port()
    server, page = f"http://127.0.0.1:{served}", f"http://localhost:{shown}"
    serve = ("serve", "--root", str(soak.folder), "--port", str(served), "--quiet")
    with small_disk(soak.folder / "disk") as disk:
        work: list[tuple[Callable[..., None], Sequence[Any]]] = [
            (batches, (soak, rows, calm, disk)),
            (keep_killing, (soak, "server", f"{server}/health", *serve)),
            (keep_killing, (soak, "page", f"{page}/_stcore/health", "app", "--port", str(shown))),
            (visitor, (soak, page)),
            *((client, (soak, server, number)) for number in range(3)),
        ]
        threads = [threading.Thread(target=target, args=given) for target, given in work]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return disk


def main(argv: Sequence[str] | None = None) -> int:
    """Run it, print the table, and write it into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the disturbances")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="groundbrush-soak-") as folder:
        soak = Soak(Path(folder), args.minutes, args.seed)
        disk = run(soak)
    text = table(soak, args.minutes, disk)
    print(text)
    print(json.dumps(dict(sorted(soak.counts.items())), indent=1))
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    PAGE.write_text(before + BEGIN + text + END + rest.partition(END)[2], "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
