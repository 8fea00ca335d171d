"""Start-up: importing, asking for help, the first edit from cold and the second one.

    python -m benchmarks.startup

The commands each in a process of its own: CPU time of all of it, Python's own start included. The
rest in one process, one after the other: loading the editor, a first edit with all that loads for
it, an edit of another picture, and an edit of that picture again, which is then read already.
Models are the miniature's.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.common import ROOT

PICTURE, FIND, PAINT = "examples/demo.png", "the red apple", "a frog"


def commands(folder: Path) -> dict[str, list[str]]:
    """What is run, by name."""
    python = sys.executable
    edit = ["edit", PICTURE, "--find", FIND, "--paint", PAINT, "--seed", "7", "--out", str(folder)]
    return {
        "python alone": [python, "-c", "pass"],
        "import groundbrush": [python, "-c", "import groundbrush"],
        "groundbrush --help": [python, "-m", "groundbrush", "--help"],
        "groundbrush edit, from cold": [python, "-m", "groundbrush", *edit],
    }


def cpu_seconds(command: Sequence[str]) -> float:
    """CPU time of a process and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=common.quiet_environment(),
        check=False,
        capture_output=True,
        text=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed: {done.stderr.strip()[-400:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def case(given: dict[str, Any]) -> dict[str, Any]:
    """Three edits of two pictures in this process, the first with all that loads for it."""
    common.one_thread()

    def load() -> Any:
        from groundbrush import Editor

        return Editor.load("miniature", device="cpu", offline=True)

    found: dict[str, Any] = {}
    editor: list[Any] = []
    found["editor loaded"] = common.seconds(lambda: editor.append(load()))
    import numpy as np
    from PIL import Image

    picture = np.asarray(Image.open(ROOT / PICTURE).convert("RGB"))
    from benchmarks.painting import QUICK

    settings = QUICK if given["quick"] else None
    mirrored = picture[:, ::-1].copy()
    for name, image in (
        ("first edit", picture),
        ("second edit", mirrored),
        ("third edit, of the second's picture", mirrored),
    ):
        found[name] = common.seconds(
            lambda image=image: editor[0].edit(image, FIND, PAINT, seed=1, settings=settings)
        )
    return found


def measure(rounds: int, tiny: bool) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Seconds of each command, and of edits in one process."""
    with tempfile.TemporaryDirectory() as folder:
        told = commands(Path(folder))
        if tiny:
            del told["groundbrush edit, from cold"]
        for name in ("import groundbrush", "groundbrush --help"):
            cpu_seconds(told[name])  # so that what Python compiles is kept
        taken: dict[str, list[float]] = {name: [] for name in told}
        for _ in range(rounds):
            for name, command in told.items():
                taken[name].append(cpu_seconds(command))
    rows = [
        {"what": name, "seconds": min(v), "times": common.timing(v)} for name, v in taken.items()
    ]
    return rows, common.whole(common.fresh("benchmarks.startup", {"quick": tiny}))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write startup.json."""
    parser = common.parser(__doc__ or "")
    parser.set_defaults(rounds=1)
    args = parser.parse_args(argv)
    if args.case is not None:
        print(json.dumps(case(args.case)))
        return 0
    rows, edits = measure(args.rounds, args.tiny)
    rows += [{"what": name, "seconds": taken} for name, taken in edits.items()]
    common.show(rows, {"seconds": ".3f", "what": "s"})
    by = {r["what"]: r["seconds"] for r in rows}
    goals = [
        common.target("groundbrush --help, seconds", by["groundbrush --help"], 0.5),
        common.target("import groundbrush, seconds", by["import groundbrush"], 0.5),
    ]
    common.write("startup", {"rows": rows, "targets": goals}, args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
