"""How a batch grows with workers of Ray: this process, one worker and two, by threads.

    python -m benchmarks.batch_scaling [--rows 20]

The same manifest in a process of its own for each way, the ways in turn, the fastest of each. Time
is the clock's, taken between rows that were finished, so that the start is not in it. *Pause* is
the longest time in which no row was finished, and *not given* core seconds that the host of a
virtual machine kept: where they are large, something else was at work and the run says little. What
is said of more workers than were measured is a calculation (Amdahl's law with a fixed cost).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
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
    """Seconds of a batch: fixed + rows (alone + shared / workers).

    Parameters
    ----------
    fixed
        Until the first row is under way: Ray, processes, models.
    alone
        Of a row in the one process that keeps the journal, or wherever workers get in each other's
        way.
    shared
        Of a row in whatever worker has it.
    """

    fixed: float
    alone: float
    shared: float

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


def compose(folder: Path, count: int) -> None:
    """So many composed scenes with a phrase each."""
    command = [
        sys.executable,
        "-m",
        "groundbrush.miniature.calibration",
        str(folder),
        "--count",
        str(count),
    ]
    subprocess.run(
        command,
        cwd=common.ROOT,
        env=common.quiet_environment(),
        check=True,
        stdout=subprocess.DEVNULL,
    )


def manifest_in(folder: Path, rows: int) -> Path:
    """The first scenes as a manifest of edits: every row has a picture and a phrase of its own."""
    told = [json.loads(line) for line in (folder / "examples.jsonl").read_text().splitlines()]
    lines = [
        json.dumps(
            {
                "image": one["image"],
                "find": one["phrase"],
                "paint": "a red apple",
                "seed": row,
                "gate": "paint",
            }
        )
        for row, one in enumerate(told[:rows])
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

    engine = (
        partial(RayEngine, workers=given["workers"], device="cpu")
        if given["workers"]
        else LocalEngine
    )
    manifest = read_manifest(given["manifest"], defaults={"settings": {"steps": given["steps"]}})
    stamps: dict[str, list[float]] = {"finding": [], "painting": []}
    report = run_batch(
        BatchJob(manifest, Path(given["out"])),
        partial(Editor.load, "miniature", device="cpu", offline=True),
        engine=engine,
        on_progress=lambda told: stamps[told.stage].append(time.perf_counter()),
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


def kept_back() -> float:
    """Core seconds since the start that the host did not give; 0 where Linux does not say."""
    try:
        ticks = [int(n) for n in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
        up = float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, ValueError):
        return 0.0
    given = sum(ticks[:7]) / os.sysconf("SC_CLK_TCK")
    return up * (os.cpu_count() or 1) - given


def run(way: Way, manifest: Path, out: Path, steps: int) -> dict[str, Any]:
    """One way once, in a process of its own with so many threads."""
    told = {"workers": way.workers, "manifest": str(manifest), "out": str(out), "steps": steps}
    environment = {
        **common.quiet_environment(),
        "OMP_NUM_THREADS": str(way.threads),
        "OPENCV_FOR_THREADS_NUM": str(way.threads),
    }
    before, started = kept_back(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.batch_scaling", "--case", json.dumps(told)],
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
        "not given": round(max(0.0, kept_back() - before), 1),
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


def measure(rows: int, steps: int, rounds: int) -> dict[str, Any]:
    """Every way in turn, so many times; whether those of as many threads left the same pictures."""
    taken: dict[Way, list[dict[str, Any]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        compose(folder, rows)
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
    return {
        "ways": [
            {
                "way": way.name,
                "workers": way.workers,
                "threads": way.threads,
                "rows a minute": round(60 / best[way]["row"], 1),
                "gain": round(best[Way(0, 1)]["row"] / best[way]["row"], 2),
                **best[way],
            }
            for way in WAYS
        ],
        "rounds": {way.name: runs for way, runs in taken.items()},
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


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, model and write batch_scaling.json."""
    parser = common.parser(__doc__)
    parser.add_argument("--rows", type=int, default=20)
    parser.set_defaults(rounds=2)
    args = parser.parse_args(argv)
    if args.case:
        print(json.dumps(case(args.case)))
        return 0
    rows = 4 if args.tiny else max(4, args.rows)
    found = measure(rows, 2 if args.tiny else 20, 1 if args.tiny else args.rounds)
    print(
        f"pictures of as many threads: {'the same bytes' if found['equal'] else 'NOT the same'}; "
        f"of one thread and of two: apart by {found['threads apart']} of 255"
    )
    by = {way["way"]: way for way in found["ways"]}
    one, two = by[ONE.name], by[TWO.name]
    model = Model.fit(one["start"], one["row"], two["row"])
    common.write(
        "batch_scaling",
        {**found, "model": asdict(model), "modelled": beyond(model), "modelled rows": LONG},
        args.out,
    )
    if not found["equal"]:
        raise SystemExit("the engines left different pictures")
    return 0


if __name__ == "__main__":
    sys.exit(main())
