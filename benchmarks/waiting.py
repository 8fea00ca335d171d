"""Two threads beside another program: how long finished threads spin for the last one.

    python -m benchmarks.waiting

A step of a model is hundreds of short pieces that all threads of a team must end together. In
libgomp the threads that finish first spin (300,000 turns, some milliseconds, unless the environment
says otherwise); if another program has the CPU of the last one, they hold the CPU that it could
have. Workers of a cluster spin for fewer turns; for a program beside others, set
`GOMP_SPINCOUNT=1000`. An edit with the miniature models on two threads, in a new process for each
number of turns, in wall-clock time: alone, then beside one and two programs that only compute.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

from groundbrush.editor.workers.threads import SPIN_COUNT

from benchmarks import common

THREADS = 2
WAYS = {
    "libgomp's turns": {},
    "a worker's": {"GOMP_SPINCOUNT": str(SPIN_COUNT)},
    "none": {"OMP_WAIT_POLICY": "passive"},
}
BESIDE = (0, 1, 2)


@contextlib.contextmanager
def busy(programs: int) -> Iterator[None]:
    """So many programs that compute without end, while the block runs."""
    command = [sys.executable, "-c", "while True: pass"]
    running = [subprocess.Popen(command) for _ in range(programs)]
    try:
        yield
    finally:
        for one in running:
            one.kill()
            one.wait()


def case(given: dict[str, Any]) -> common.Rows:
    """Seconds of an edit in this process, beside each number of programs."""
    from groundbrush import Editor

    from benchmarks.painting import QUICK, scene

    editor = Editor.load("miniature", device="cpu", offline=True)
    image, phrase = scene()
    settings = QUICK if given["tiny"] else None

    def edit() -> None:
        editor.edit(image, phrase, "a frog", seed=1, settings=settings)

    edit()
    found = []
    for programs in given["beside"]:
        with busy(programs):
            taken = [common.clock_seconds(edit) for _ in range(given["rounds"])]
        about = {"programs": programs, "turns": os.environ.get("GOMP_SPINCOUNT")}
        found.append({**about, **common.timing(taken), "most": round(max(taken), 6)})
    return found


def measure(args: Namespace) -> dict[str, Any]:
    """A row for each way and number of programs, and libgomp's turns over a worker's."""
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        os.environ.pop(name, None)
    beside = (0, 1) if args.tiny else BESIDE
    given = {"rounds": args.rounds or 8, "beside": list(beside), "tiny": args.tiny}
    rows: common.Rows = []
    for way, variables in WAYS.items():
        environment = {"OMP_NUM_THREADS": str(THREADS), **variables}
        found = common.whole(common.fresh("benchmarks.waiting", given, environment=environment))
        rows += [{"way": way, **one} for one in found]
    common.show(rows, "programs d, median .3f, most .3f, way s")
    by = {(row["way"], row["programs"]): row for row in rows}
    default, few = list(WAYS)[:2]
    gains = [
        {
            "programs": count,
            **{
                name: round(by[default, count][name] / by[few, count][name], 3)
                for name in ("median", "most")
            },
        }
        for count in beside
    ]
    return {"rows": rows, "gains": gains}


main = common.script("waiting", __doc__, measure, rounds=None, case=case)

if __name__ == "__main__":
    sys.exit(main())
