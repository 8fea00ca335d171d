"""Start-up: importing, `--help`, the first edit in a process and the second one.

    python -m benchmarks.startup

Each command in a new process: CPU time of all of it, Python's own start included. The rest in one
process, one after the other: loading the editor, a first edit with all that loads for it, an edit
of another picture, and an edit of that picture again, which is then read already. Models are the
miniature's.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import common
from benchmarks.common import ROOT

PICTURE, FIND, PAINT = "examples/demo.png", "the red apple", "a frog"
IMPORT, HELP = "import groundbrush", "groundbrush --help"
COMMANDS = {
    "python alone": ["-c", "pass"],
    IMPORT: ["-c", "import groundbrush"],
    HELP: ["-m", "groundbrush", "--help"],
}


def cpu_seconds(command: Sequence[str], environment: Mapping[str, str] | None = None) -> float:
    """CPU time of a process and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**common.quiet_environment(), **(environment or {})},
        check=False,
        capture_output=True,
        text=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed: {done.stderr.strip()[-400:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def case(given: dict[str, Any]) -> dict[str, Any]:
    """Seconds of three edits of two pictures in this process, and of loading before."""
    common.one_thread()

    started = time.process_time()
    from groundbrush import Editor

    editor = Editor.load("miniature", device="cpu", offline=True)
    found = {"editor loaded": time.process_time() - started}
    import numpy as np
    from PIL import Image

    from benchmarks.painting import QUICK

    picture = np.asarray(Image.open(ROOT / PICTURE).convert("RGB"))
    settings = QUICK if given["quick"] else None
    mirrored = picture[:, ::-1].copy()
    for name, image in (
        ("first edit", picture),
        ("second edit", mirrored),
        ("third edit, of the second's picture", mirrored),
    ):
        found[name] = common.seconds(
            lambda image=image: editor.edit(image, FIND, PAINT, seed=1, settings=settings)
        )
    return found


def measure(args: Namespace) -> dict[str, Any]:
    """Seconds of each command, and of edits in one process."""
    chosen = {name: [sys.executable, *rest] for name, rest in COMMANDS.items()}
    for command in chosen.values():
        cpu_seconds(command)  # Python then has its bytecode
    taken: dict[str, list[float]] = {name: [] for name in chosen}
    for _ in range(args.rounds or 3):
        for name, command in chosen.items():
            taken[name].append(cpu_seconds(command))
    rows = [
        {"what": name, "seconds": min(v), "times": common.timing(v)} for name, v in taken.items()
    ]
    edits = common.fresh("benchmarks.startup", {"quick": args.tiny})
    rows += [{"what": name, "seconds": value} for name, value in edits.items()]
    by = {r["what"]: r["seconds"] for r in rows}
    goals = [common.target(f"{name}, seconds", by[name], 0.2) for name in (HELP, IMPORT)]
    return {"rows": rows, "targets": goals}


main = common.script("startup", __doc__, measure, rounds=None, case=case)

if __name__ == "__main__":
    sys.exit(main())
