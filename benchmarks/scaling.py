"""Long batches: memory over 1,000 rows, and rows a minute.

    python -m benchmarks.scaling [--rows 1000]

A batch of edits with the miniature models in a process of its own: a few pictures, every row with
a seed of its own, one denoising step on a small canvas, so that what a row costs beside painting
shows most. Time is the clock's, with one thread. How throughput grows with workers is measured by
``benchmarks.batch_scaling``.
"""

from __future__ import annotations

import json
import sys
import tempfile
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
    quick = {**QUICK, "size": 64}
    lines = []
    for number in range(PICTURES):
        Image.fromarray(image if number % 2 == 0 else image[:, ::-1].copy()).save(
            folder / f"{number}.png", compress_level=1
        )
    for row in range(rows):
        lines.append(
            {
                "image": f"{row % PICTURES}.png",
                "find": phrase,
                "paint": "a frog",
                "seed": row,
                "gate": "paint",
                "settings": quick,
            }
        )
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def case(given: dict[str, Any]) -> dict[str, Any]:
    """Run the batch here, and look at this process' memory on the way."""
    from groundbrush import Editor
    from groundbrush.editor.batch.manifest import read_manifest
    from groundbrush.editor.batch.run import BatchJob, run_batch

    common.one_thread()
    seen: list[tuple[int, int]] = []
    every = max(1, given["rows"] // _MARKS)

    def on_progress(progress: Any) -> None:
        if progress.stage == "painting" and progress.done % every == 0:
            seen.append((progress.done, common.resident()))

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        job = BatchJob(read_manifest(manifest_in(folder, given["rows"])), folder / "out")

        def load() -> Any:
            return Editor.load("miniature", device="cpu", offline=True)

        reports: list[Any] = []
        taken = common.clock_seconds(  # rows are flushed to the disk, which takes no CPU time
            lambda: reports.append(run_batch(job, load, on_progress=on_progress))
        )
    return {
        "rows": given["rows"],
        "seconds": taken,
        "memory": seen,
        "counts": dict(reports[0].counts),
    }


def growth(memory: Sequence[Sequence[int]]) -> float | None:
    """Most memory in the last quarter over the most in the second one."""
    quarter = len(memory) // 4
    if quarter < 1:
        return None
    first = max(b for _, b in memory[quarter : 2 * quarter])
    return max(b for _, b in memory[-quarter:]) / first


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write scaling.json."""
    parser = common.parser(__doc__ or "")
    parser.add_argument("--rows", type=int, default=1000)
    args = parser.parse_args(argv)
    if args.case:
        print(json.dumps(case(args.case)))
        return 0
    rows = 8 if args.tiny else args.rows
    found = common.whole(common.fresh("benchmarks.scaling", {"rows": rows}))
    grown = growth(found["memory"])
    print(
        f"{found['rows']} rows in {found['seconds']:.1f} s; memory, last quarter over second: "
        f"{grown}; {found['counts']}"
    )
    goals = [
        common.target(f"memory over {found['rows']} rows: last quarter over second", grown, 1.05)
    ]
    common.write("scaling", {**found, "targets": goals}, args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
