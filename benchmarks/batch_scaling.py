"""How a batch grows with workers of Ray: this process, one worker and two, by threads.

    python -m benchmarks.batch_scaling [--rows 20]

The same manifest in a new process for each configuration, in turn, the fastest of each. Wall-clock
time is taken between finished rows, so that the start is not in it. *Pause* is the longest time in
which no row was finished, and *not given* is steal time, in core seconds: if it is high, the run is
not reliable. Figures for more workers than were measured are computed (Amdahl's law with a fixed
cost).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import common


class Way(NamedTuple):
    """Who works (0: this process), and how many threads each of them has."""

    workers: int
    threads: int

    @property
    def name(self) -> str:
        """In words."""
        who = ("this process", "one worker", "two workers")[self.workers]
        return f"{who}, {self.threads} thread{'s' if self.threads > 1 else ''}" + (
            " each" if self.workers > 1 else ""
        )


WAYS = (Way(0, 1), Way(0, 2), Way(1, 1), Way(1, 2), Way(2, 1))
ONE, TWO = Way(1, 1), Way(2, 1)
WORKERS = (1, 2, 4, 8, 16, 64)
LONG = 10_000  # rows of the batch that is modelled


@dataclass(frozen=True)
class Model:
    """Seconds of a batch: fixed + rows (alone + shared / workers)."""

    fixed: float  # until the first row starts: Ray, processes, models
    alone: float  # of a row in the process that keeps the journal, or where workers compete
    shared: float  # of a row in its worker

    @classmethod
    def fit(cls, fixed: float, one: float, two: float) -> Model:
        """From the seconds of a start, and of a row on one and on two workers.

        Examples
        --------
        >>> Model.fit(10, 1.0, 0.5)
        Model(fixed=10, alone=0.0, shared=1.0)
        """
        shared = min(one, max(0.0, 2 * (one - two)))
        return cls(fixed, one - shared, shared)

    def seconds(self, rows: int, workers: int) -> float:
        """Of a whole batch."""
        return self.fixed + rows * (self.alone + self.shared / workers)


def manifest_in(folder: Path, rows: int) -> Path:
    """Composed scenes as a manifest of edits: every row has its own picture and phrase."""
    module = [sys.executable, "-m", "groundbrush.miniature.calibration"]
    subprocess.run(
        [*module, str(folder), "--count", str(rows)],
        cwd=common.ROOT,
        env=common.quiet_environment(),
        check=True,
        stdout=subprocess.DEVNULL,
    )
    examples = [json.loads(line) for line in (folder / "examples.jsonl").read_text().splitlines()]
    same = {"paint": "a red apple", "gate": "paint"}
    lines = [
        json.dumps({"image": one["image"], "find": one["phrase"], "seed": row, **same})
        for row, one in enumerate(examples[:rows])
    ]
    path = folder / f"{rows}.jsonl"
    path.write_text("\n".join(lines))
    return path


def case(given: Mapping[str, Any]) -> dict[str, Any]:
    """Do the batch in this process or with its workers; when each row of a stage was finished."""
    from groundbrush import Editor
    from groundbrush.editor.batch import BatchJob, read_manifest, run_batch
    from groundbrush.editor.batch.engine import LocalEngine
    from groundbrush.editor.batch.ray_engine import RayEngine

    ray = partial(RayEngine, workers=given["workers"], device="cpu")
    manifest = read_manifest(given["manifest"], defaults={"settings": {"steps": given["steps"]}})
    stamps: dict[str, list[float]] = {"finding": [], "painting": []}
    report = run_batch(
        BatchJob(manifest, Path(given["out"])),
        partial(Editor.load, "miniature", device="cpu", offline=True),
        engine=ray if given["workers"] else LocalEngine,
        on_progress=lambda progress: stamps[progress.stage].append(time.perf_counter()),
    )
    return {"stamps": stamps, "counts": dict(report.counts)}


def each(stamps: Sequence[float], workers: int) -> float:
    """Seconds of a row, of when rows were finished; each worker's first does not count.

    Examples
    --------
    >>> each([9.0, 9.1, 11.0, 11.1, 13.0, 13.1], workers=2)
    1.0
    """
    return round((stamps[-1] - stamps[workers - 1]) / (len(stamps) - workers), 6)


def pause(stamps: Sequence[float]) -> float:
    """Longest time in which none was finished.

    Examples
    --------
    >>> pause([9.0, 10.0, 70.0, 71.0])
    60.0
    """
    return max(b - a for a, b in pairwise(stamps))


def steal_time() -> float:
    """Core seconds that the host kept from this virtual machine; 0 where it is not known."""
    import psutil

    return float(getattr(psutil.cpu_times(), "steal", 0.0))


def run(way: Way, manifest: Path, out: Path, steps: int) -> dict[str, Any]:
    """One way once, in a process of its own with so many threads."""
    given = {"workers": way.workers, "manifest": str(manifest), "out": str(out), "steps": steps}
    environment = {
        **common.quiet_environment(),
        "OMP_NUM_THREADS": str(way.threads),
        "OPENCV_FOR_THREADS_NUM": str(way.threads),
    }
    before, started = steal_time(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.batch_scaling", "--case", json.dumps(given)],
        cwd=common.ROOT,
        env=environment,
        text=True,
        capture_output=True,
        check=False,
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(f"{way.name}: {done.stderr[-2000:]}")
    stamps = json.loads(done.stdout.strip().splitlines()[-1])["stamps"]
    rows, who = len(stamps["painting"]), max(1, way.workers)
    row = sum(each(s, who) for s in stamps.values())
    return {
        "seconds": round(seconds, 1),
        "row": round(row, 4),
        "start": round(seconds - rows * row, 1),
        "pause": round(max(map(pause, stamps.values())), 1),
        "not given": round(max(0.0, steal_time() - before), 1),
    }


def same(here: Path, there: Path) -> bool:
    """Whether two batches left the same pictures, byte for byte."""
    return all(
        path.read_bytes() == (there / path.relative_to(here)).read_bytes()
        for path in here.rglob("*")
        if path.suffix in (".png", ".jpg")
    )


def furthest(here: Path, there: Path) -> int:
    """By how much of 255 the painted pictures of two batches differ at most."""
    import numpy as np
    from PIL import Image

    def pixels(path: Path) -> np.ndarray:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"), np.int16)

    return max(
        int(np.abs(pixels(path) - pixels(there / path.name)).max())
        for path in here.glob("*.edited.png")
    )


def runs_of(rows: int, steps: int, rounds: int) -> dict[str, Any]:
    """Every way in turn, so many times; whether those of as many threads left the same pictures."""
    taken: dict[Way, list[dict[str, Any]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = manifest_in(folder, rows)
        outs = {way: folder / way.name for way in WAYS}
        for turn in range(rounds):
            for way in WAYS:
                out = outs[way] if turn == 0 else folder / f"{way.name} {turn}"
                taken[way].append(run(way, manifest, out, steps))
                print(f"{way.name}: {taken[way][-1]}", flush=True)
        equal = all(same(outs[Way(0, way.threads)], outs[way]) for way in WAYS)
        apart = furthest(outs[Way(0, 1)], outs[Way(0, 2)])
    best = {way: min(runs, key=lambda one: one["row"]) for way, runs in taken.items()}
    ways = [
        {
            "way": way.name,
            **way._asdict(),
            "rows a minute": round(60 / one["row"], 1),
            "gain": round(best[Way(0, 1)]["row"] / one["row"], 2),
            **one,
        }
        for way, one in best.items()
    ]
    rounds_by_name = {way.name: runs for way, runs in taken.items()}
    return {
        "ways": ways,
        "rounds": rounds_by_name,
        "rows": rows,
        "equal": equal,
        "threads apart": apart,
    }


def beyond(model: Model) -> list[dict[str, Any]]:
    """What the model says of a long batch."""
    one = model.seconds(LONG, 1)
    return [
        {
            "workers": count,
            "rows a minute": round(60 * LONG / model.seconds(LONG, count), 1),
            "gain": round(one / model.seconds(LONG, count), 2),
        }
        for count in WORKERS
    ]


def measure(args: Namespace) -> dict[str, Any]:
    """Every way, and the model."""
    rows, rounds = (4, 1) if args.tiny else (max(4, args.rows), args.rounds or 2)
    found = runs_of(rows, 2 if args.tiny else 20, rounds)
    by = {way["way"]: way for way in found["ways"]}
    one, two = by[ONE.name], by[TWO.name]
    model = Model.fit(one["start"], one["row"], two["row"])
    if not found["equal"]:
        raise SystemExit(f"the engines left different pictures: {found}")
    return {**found, "model": asdict(model), "modelled": beyond(model), "modelled rows": LONG}


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--rows", type=int, default=20)


main = common.script(
    "batch_scaling", __doc__, measure, rounds=None, case=case, add_options=_add_options
)

if __name__ == "__main__":
    sys.exit(main())
