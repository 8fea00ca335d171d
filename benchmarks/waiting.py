"""Two threads beside another program: how long those that are done wait awake for the other.

    python -m benchmarks.waiting

A step of a model is hundreds of short pieces that all threads of a team must end together. libgomp
lets those that are done first wait awake (300,000 turns, some milliseconds, unless the environment
says otherwise); where another program has the CPU of the last one, they hold the CPU that it could
have. Workers of a cluster ask for fewer turns; for a program beside others `GOMP_SPINCOUNT=1000` in
the environment does. An edit with the miniature models on two threads, in a process of its own for
each number of turns, by the clock: alone, then beside one and two programs that do nothing but
compute.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
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
_NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


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


def case(given: dict[str, Any]) -> list[dict[str, Any]]:
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
        turns = os.environ.get("GOMP_SPINCOUNT")
        found.append(
            {
                "programs": programs,
                "turns": turns,
                **common.timing(taken),
                "most": round(max(taken), 6),
            }
        )
    return found


def measure(rounds: int, beside: Sequence[int] = BESIDE, tiny: bool = False) -> list[dict]:
    """A row for each way and number of programs."""
    told = {"rounds": rounds, "beside": list(beside), "tiny": tiny}
    rows = []
    for way, said in WAYS.items():
        environment = {"OMP_NUM_THREADS": str(THREADS), **said}
        found = common.whole(common.fresh("benchmarks.waiting", told, environment=environment))
        rows += [{"way": way, **one} for one in found]
        print(f"{way}: {found}", flush=True)
    return rows


def gains(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each number of programs, what libgomp's turns cost over a worker's: median and most."""
    by = {(row["way"], row["programs"]): row for row in rows}
    default, few = list(WAYS)[:2]

    def over(count: int, name: str) -> float:
        return round(by[default, count][name] / by[few, count][name], 3)

    return [
        {"programs": count, "median": over(count, "median"), "most": over(count, "most")}
        for way, count in by
        if way == few
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and write waiting.json."""
    parser = common.parser(__doc__)
    parser.set_defaults(rounds=8)
    args = parser.parse_args(argv)
    if args.case:
        print(json.dumps(case(args.case)))
        return 0
    for name in _NAMES:
        os.environ.pop(name, None)
    rows = measure(args.rounds, (0, 1) if args.tiny else BESIDE, args.tiny)
    common.show(rows, {"programs": "d", "median": ".3f", "most": ".3f", "way": "s"})
    common.write("waiting", {"rows": rows, "gains": gains(rows)}, args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
