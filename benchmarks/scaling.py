"""Long batches: memory over 300 rows, and rows a minute.

    python -m benchmarks.scaling [--rows 300]

A batch of edits with the miniature models in a new process: a few pictures, every row with its own
seed, one denoising step on a small canvas, so that the overhead of a row beside painting shows
most. Time is wall-clock time, with one thread. ``benchmarks.batch_scaling`` measures how throughput
grows with workers.
"""

from __future__ import annotations

import json
import sys
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import common

PICTURES = 4
_MARKS = 25


def manifest_in(folder: Path, rows: int) -> Path:
    """Pictures and a manifest of so many edits."""
    from PIL import Image

    from benchmarks.painting import QUICK, scene

    image, phrase = scene()
    for number in range(PICTURES):
        pixels = image if number % 2 == 0 else image[:, ::-1].copy()
        Image.fromarray(pixels).save(folder / f"{number}.png", compress_level=1)
    same = {"find": phrase, "paint": "a frog", "gate": "paint", "settings": {**QUICK, "size": 64}}
    lines = [{"image": f"{row % PICTURES}.png", "seed": row, **same} for row in range(rows)]
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def case(given: dict[str, Any]) -> dict[str, Any]:
    """Run the batch here, and record this process's memory on the way."""
    from groundbrush import Editor
    from groundbrush.editor.batch.manifest import read_manifest
    from groundbrush.editor.batch.run import BatchJob, run_batch

    common.one_thread()
    seen: list[tuple[int, int]] = []
    every = max(1, given["rows"] // _MARKS)

    def on_progress(progress: Any) -> None:
        if progress.stage == "painting" and progress.done % every == 0:
            seen.append((progress.done, common.resident()))

    def load() -> Any:
        return Editor.load("miniature", device="cpu", offline=True)

    reports: list[Any] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        job = BatchJob(read_manifest(manifest_in(folder, given["rows"])), folder / "out")
        taken = common.clock_seconds(  # rows are flushed to the disk, which takes no CPU time
            lambda: reports.append(run_batch(job, load, on_progress=on_progress))
        )
    counts = dict(reports[0].counts)
    return {"rows": given["rows"], "seconds": taken, "memory": seen, "counts": counts}


def growth(memory: Sequence[Sequence[int]]) -> float | None:
    """Most memory in the last quarter over the most in the second one."""
    quarter = len(memory) // 4
    if quarter < 1:
        return None
    first = max(b for _, b in memory[quarter : 2 * quarter])
    return max(b for _, b in memory[-quarter:]) / first


def measure(args: Namespace) -> dict[str, Any]:
    """The case in a new process, and the growth of its memory."""
    found = common.whole(
        common.fresh("benchmarks.scaling", {"rows": 8 if args.tiny else args.rows})
    )
    grown = growth(found["memory"])
    print(f"{found['rows']} rows in {found['seconds']:.1f} s; {found['counts']}")
    what = f"memory over {found['rows']} rows: last quarter over second"
    return {**found, "targets": [common.target(what, grown, 1.05)]}


main = common.script(
    "scaling",
    __doc__,
    measure,
    rounds=None,
    case=case,
    add_options=lambda parser: parser.add_argument("--rows", type=int, default=300),
)

if __name__ == "__main__":
    sys.exit(main())
