"""Batches: how they grow with workers of Ray, and the memory of a long one.

    python -m benchmarks.batch_scaling [--rows 20]     # this process, one worker and two
    python -m benchmarks.batch_scaling --long 300      # memory over so many smallest edits

The same manifest in a new process for each number of workers and threads, in turn, the fastest of
each. Wall-clock time is taken between finished rows, so that the start is not in it. *Not given* is
steal time, in core seconds: if it is high, the run is not reliable. The long batch has one
denoising step on a small canvas, so that the overhead of a row beside painting shows most.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import common

WAYS = {
    "this process, 1 thread": (0, 1),
    "this process, 2 threads": (0, 2),
    "one worker, 1 thread": (1, 1),
    "one worker, 2 threads": (1, 2),
    "two workers, 1 thread each": (2, 1),
}
"""Workers of Ray (0: none) and threads of each."""
_PICTURES = 4  # of the long batch
_MARKS = 25
_TINY = {"steps": 1, "strength": 1.0, "size": 64}


def manifest_in(folder: Path, rows: int, pictures: int, settings: Mapping[str, Any]) -> Path:
    """So many edits of composed scenes."""
    from groundbrush.miniature.calibration import calibration_samples
    from PIL import Image

    samples = list(calibration_samples(pictures))
    for sample in samples:
        Image.fromarray(sample.image).save(folder / f"{sample.name}.png")
    same = {"paint": "a red apple", "gate": "paint", "settings": settings}
    lines = []
    for row in range(rows):
        sample = samples[row % pictures]
        own = {"image": f"{sample.name}.png", "find": sample.phrase, "seed": row}
        lines.append(json.dumps({**own, **same}))
    path = folder / "rows.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def case(given: Mapping[str, Any]) -> dict[str, Any]:
    """Do the batch here or with workers: when each row was finished, and memory on the way."""
    from groundbrush import Editor
    from groundbrush.editor.batch import BatchJob, read_manifest, run_batch
    from groundbrush.editor.batch.engine import LocalEngine
    from groundbrush.editor.batch.ray_engine import RayEngine

    manifest = read_manifest(given["manifest"])
    every = max(1, len(manifest.rows) // _MARKS)
    stamps: dict[str, list[float]] = {"finding": [], "painting": []}
    memory: list[tuple[int, int]] = []

    def on_progress(progress: Any) -> None:
        stamps[progress.stage].append(time.perf_counter())
        if progress.stage == "painting" and progress.done % every == 0:
            memory.append((progress.done, common.resident()))

    report = run_batch(
        BatchJob(manifest, Path(given["out"])),
        partial(Editor.load, "miniature", device="cpu", offline=True),
        engine=partial(RayEngine, workers=given["workers"], device="cpu")
        if given["workers"]
        else LocalEngine,
        on_progress=on_progress,
    )
    return {"stamps": stamps, "memory": memory, "counts": dict(report.counts)}


def batch(manifest: Path, out: Path, workers: int = 0, threads: int = 1) -> dict[str, Any]:
    """`case` in a new process with so many threads."""
    given = {"workers": workers, "manifest": str(manifest), "out": str(out)}
    environment = {"OMP_NUM_THREADS": str(threads), "OPENCV_FOR_THREADS_NUM": str(threads)}
    return common.fresh("benchmarks.batch_scaling", given, environment=environment)


def each(stamps: Sequence[float], workers: int) -> float:
    """Seconds of a row, of when rows were finished; each worker's first does not count.

    Examples
    --------
    >>> each([9.0, 9.1, 11.0, 11.1, 13.0, 13.1], workers=2)
    1.0
    """
    return round((stamps[-1] - stamps[workers - 1]) / (len(stamps) - workers), 6)


def steal_time() -> float:
    """Core seconds that the host kept from this virtual machine; 0 where it is not known."""
    import psutil

    return float(getattr(psutil.cpu_times(), "steal", 0.0))


def run(name: str, manifest: Path, out: Path) -> dict[str, Any]:
    """One way once."""
    workers, threads = WAYS[name]
    before, started = steal_time(), time.perf_counter()
    found = batch(manifest, out, workers, threads)
    seconds = time.perf_counter() - started
    row = sum(each(stamps, max(1, workers)) for stamps in found["stamps"].values())
    start = seconds - len(found["stamps"]["painting"]) * row
    stolen = round(max(0.0, steal_time() - before), 1)
    return {"way": name, "row": round(row, 4), "start": round(start, 1), "not given": stolen}


def measure_ways(rows: int, settings: Mapping[str, Any], rounds: int) -> dict[str, Any]:
    """Every way in turn, so many times; the fastest of each."""
    taken: dict[str, list[dict[str, Any]]] = {name: [] for name in WAYS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = manifest_in(folder, rows, rows, settings)
        for turn in range(rounds):
            for way, runs in taken.items():
                runs.append(run(way, manifest, folder / f"{way} {turn}"))
                print(runs[-1], flush=True)
    best = [min(runs, key=lambda one: one["row"]) for runs in taken.values()]
    ways = [
        {
            **way,
            "rows a minute": round(60 / way["row"], 1),
            "gain": round(best[0]["row"] / way["row"], 2),
        }
        for way in best
    ]
    return {"ways": ways, "rounds": taken, "rows": rows, "targets": []}


def measure_long(rows: int) -> dict[str, Any]:
    """One batch in one process, and how its memory grows."""
    with tempfile.TemporaryDirectory() as name:
        manifest = manifest_in(Path(name), rows, _PICTURES, _TINY)
        found = batch(manifest, Path(name) / "out")
    stamps, memory = found["stamps"], found["memory"]
    seconds = stamps["painting"][-1] - stamps["finding"][0]
    goal = common.target(f"memory over {rows} rows: last quarter over second", growth(memory), 1.05)
    kept = {"rows": rows, "seconds": seconds, "counts": found["counts"], "memory": memory}
    return {"name": "scaling", **kept, "targets": [goal]}


def growth(memory: Sequence[Sequence[int]]) -> float | None:
    """Most memory in the last quarter over the most in the second one."""
    quarter = len(memory) // 4
    if quarter < 1:
        return None
    first = max(b for _, b in memory[quarter : 2 * quarter])
    return max(b for _, b in memory[-quarter:]) / first


def measure(args: Namespace) -> dict[str, Any]:
    """Every way, or the long batch."""
    if args.long:
        return measure_long(8 if args.tiny else args.long)
    rows, settings = (4, {"steps": 2}) if args.tiny else (args.rows, {"steps": 20})
    return measure_ways(rows, settings, args.rounds or 2)


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--rows", type=int, default=20)
    parser.add_argument("--long", type=int, metavar="ROWS", help="measure memory instead")


main = common.script(
    "batch_scaling", __doc__, measure, rounds=None, case=case, add_options=_add_options
)

if __name__ == "__main__":
    sys.exit(main())
