"""What was made faster: an earlier commit and this checkout, taking turns on one machine.

    python -m benchmarks.before_after [--base COMMIT]

A cold ``groundbrush edit`` is CPU seconds of a process; edits of 1 and 48 megapixels and saving are
CPU seconds in a process with models loaded, freed memory kept. A batch's rows are wall-clock time,
since files are written while the next row is painted. One thread; medians.
"""

from __future__ import annotations

import io
import json
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.startup import FIND, PAINT, PICTURE, cpu_seconds

BASE = "1c44bfc"
"""The last commit before this work on speed, with today's weights."""
NAMES = {
    "cold": "`groundbrush edit`, cold process, warm files, s",
    "edit": "an edit of 48 megapixels by words, s",
    "larger": "the same over an edit of 1 megapixel",
    "save": "saving it as a PNG, s",
    "row": "a batch's row of 12 megapixels, s of wall-clock time",
}


def unpack(commit: str, folder: Path) -> Path:
    """Write a commit's files into a folder of the package's name; return what holds it."""
    made = subprocess.run(
        ["git", "archive", commit], cwd=common.ROOT, capture_output=True, check=False
    )
    if made.returncode:
        why = made.stderr.decode().strip()
        raise SystemExit(f"--base {commit} given ({why}); expected a commit of this repository")
    with tarfile.open(fileobj=io.BytesIO(made.stdout)) as archive:
        archive.extractall(folder / "groundbrush", filter="data")
    return folder


def case(given: dict[str, Any]) -> dict[str, float]:
    """Edits and saving, or rows, with the `groundbrush` that this process imports."""
    from groundbrush import Editor

    common.one_thread()
    with tempfile.TemporaryDirectory() as folder:
        if "rows" in given:
            return {"row": row_seconds(Editor, Path(folder), given["megapixels"], given["rows"])}
        common.keep_freed()
        editor = Editor.load("miniature", device="cpu", offline=True)
        taken = []
        for megapixels in (1, given["megapixels"]):
            image = picture(megapixels)
            for _ in range(3):  # turned, so that the picture is read anew; until memory is there
                turned = editor.edit(image[:, ::-1].copy(), FIND, PAINT, seed=1)
            taken.append(common.seconds(partial(editor.edit, image, FIND, PAINT, seed=1)))
        save = common.seconds(lambda: turned.save(Path(folder) / "edit.png"))
    return {"edit": taken[1], "larger": taken[1] / taken[0], "save": save}


def row_seconds(editor: Any, folder: Path, megapixels: float, rows: int) -> float:
    """Seconds of a row of a batch, the first left out."""
    from groundbrush.editor.batch import BatchJob, read_manifest, run_batch
    from PIL import Image

    Image.fromarray(picture(megapixels)).save(folder / "a.png", compress_level=1)
    same = {"image": "a.png", "find": FIND, "paint": PAINT, "gate": "paint"}
    manifest = folder / "rows.jsonl"
    manifest.write_text("\n".join(json.dumps({**same, "seed": k}) for k in range(rows)))
    stamps = []
    run_batch(
        BatchJob(read_manifest(manifest), folder / "out"),
        lambda: editor.load("miniature", device="cpu", offline=True),
        on_progress=lambda at: stamps.append(time.perf_counter()) if at.stage == "painting" else 0,
    )
    return (stamps[-1] - stamps[0]) / (rows - 1)


def picture(megapixels: float) -> Any:
    """The demo's picture as a square of so many million pixels."""
    import numpy as np
    from PIL import Image

    from benchmarks.painting import picture

    return picture(np.asarray(Image.open(common.ROOT / PICTURE).convert("RGB")), megapixels)


def once(environment: Mapping[str, str], cases: list[dict[str, Any]]) -> dict[str, float]:
    """Every time of one checkout, once."""
    with tempfile.TemporaryDirectory() as out:
        edit = ["edit", PICTURE, "--find", FIND, "--paint", PAINT, "--seed", "7", "--out", out]
        found = {"cold": cpu_seconds([sys.executable, "-m", "groundbrush", *edit], environment)}
    for one in cases:
        found |= common.fresh("benchmarks.before_after", one, environment=environment)
    return found


def measure(args: Namespace) -> dict[str, Any]:
    """Both in turn; medians and their ratios."""
    cases: list[dict[str, Any]] = [{"megapixels": 48}, {"megapixels": 12, "rows": 4}]
    if args.tiny:
        cases = [{"megapixels": 1.2}, {"megapixels": 0.1, "rows": 2}]
    taken: dict[str, list[dict[str, float]]] = {"before": [], "after": []}
    with tempfile.TemporaryDirectory() as folder:
        base = {"PYTHONPATH": str(unpack(args.base, Path(folder)))}
        for _ in range(args.rounds):
            for when, environment in (("before", base), ("after", {})):
                taken[when].append(once(environment, cases))
                print(when, taken[when][-1], flush=True)
    found = []
    for key, words in NAMES.items():
        every = {when: [round(one[key], 3) for one in runs] for when, runs in taken.items()}
        before, after = map(statistics.median, every.values())
        row = {"what": words, "before": before, "after": after, "ratio": round(after / before, 3)}
        found.append({**row, "all": every})
    goals = [common.target("a cold edit over one of the earlier commit", found[0]["ratio"], 0.72)]
    return {"base": args.base, "rounds": args.rounds, "rows": found, "targets": goals}


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--base", default=BASE, help="the earlier commit")


main = common.script(
    "before_after", __doc__, measure, rounds=1, case=case, add_options=_add_options
)

if __name__ == "__main__":
    sys.exit(main())
