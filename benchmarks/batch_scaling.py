"""How a batch grows with workers of Ray: measured with 1 and 2 on this machine, modelled beyond.

    python -m benchmarks.batch_scaling [--rows 48]

The same manifest in this process alone and on 1 and 2 workers, each a whole command of its own, at
two lengths: the difference gives what a row costs, and what remains is the cost of starting. Both
together give the model (Amdahl's law with a fixed cost); what it says of more workers than were
measured is a calculation and not a measurement. One thread each, as Ray gives it.
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
from pathlib import Path
from typing import Any

from benchmarks import common

ENGINES = {
    "this process": ["--engine", "local"],
    "1 worker": ["--engine", "ray", "--workers", "1"],
    "2 workers": ["--engine", "ray", "--workers", "2"],
}
SHORT = 8  # rows of the shorter run
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
        Of a row in the one process that keeps the journal.
    shared
        Of a row in whatever worker has it.
    """

    fixed: float
    alone: float
    shared: float

    @classmethod
    def fit(cls, short: Mapping[str, float], long: Mapping[str, float], rows: int) -> Model:
        """From the seconds of two lengths on one and on two workers.

        Examples
        --------
        >>> Model.fit({"1 worker": 18, "2 workers": 14}, {"1 worker": 98, "2 workers": 54}, 48)
        Model(fixed=10.0, alone=0.0, shared=1.0)
        """
        one, two = ((long[name] - short[name]) / (rows - SHORT)
                    for name in ("1 worker", "2 workers"))  # fmt: skip
        shared = min(one, max(0.0, 2 * (one - two)))
        return cls(short["1 worker"] - SHORT * one + 0.0, one - shared, shared)

    def seconds(self, rows: int, workers: int) -> float:
        """Of a whole batch."""
        return self.fixed + rows * (self.alone + self.shared / workers)


def compose(folder: Path, count: int) -> None:
    """So many composed scenes with a phrase each."""
    command = [sys.executable, "-m", "miniature.calibration", str(folder), "--count", str(count)]
    subprocess.run(command, cwd=common.ROOT, env=common.quiet_environment(), check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip


def manifest_in(folder: Path, rows: int) -> Path:
    """The first scenes as a manifest of edits: every row has a picture and a phrase of its own."""
    told = [json.loads(line) for line in (folder / "examples.jsonl").read_text().splitlines()]
    lines = [
        json.dumps({"image": one["image"], "find": one["phrase"], "paint": "a red apple",
                    "seed": row, "gate": "paint"})
        for row, one in enumerate(told[:rows])
    ]  # fmt: skip
    path = folder / f"{rows}.jsonl"
    path.write_text("\n".join(lines))
    return path


def run(manifest: Path, out: Path, engine: Sequence[str], steps: int) -> float:
    """Seconds of one command, from its start to its end."""
    command = [sys.executable, "-m", "editor", "batch", str(manifest), "--out", str(out),
               "--steps", str(steps), "--device", "cpu", "--offline", "--quiet",
               *engine]  # fmt: skip
    # Ray's workers make room for all others by default, and would be compared with a process that
    # does not.
    environment = {**common.quiet_environment(), "RAY_worker_niceness": "0"}
    started = time.perf_counter()
    done = subprocess.run(command, cwd=common.ROOT, env=environment, capture_output=True, text=True,
                          check=False)  # fmt: skip
    if done.returncode not in (0, 1) or not (out / "results.jsonl").is_file():
        raise SystemExit(f"{' '.join(engine)}: {done.stderr[-2000:]}")
    return time.perf_counter() - started


def same(here: Path, there: Path) -> bool:
    """Whether two batches left the same pictures, byte for byte."""
    return all(
        path.read_bytes() == (there / path.relative_to(here)).read_bytes()
        for path in here.rglob("*")
        if path.suffix in (".png", ".jpg")
    )


def measure(rows: int, steps: int) -> dict[str, Any]:
    """Seconds of every engine at both lengths, and whether the pictures are the same."""
    seconds: dict[int, dict[str, float]] = {SHORT: {}, rows: {}}
    equal = True
    with tempfile.TemporaryDirectory() as folder:
        compose(Path(folder), rows)
        for length in seconds:
            manifest = manifest_in(Path(folder), length)
            outs = {name: Path(folder) / f"{length} {name}" for name in ENGINES}
            for name, engine in ENGINES.items():
                seconds[length][name] = round(run(manifest, outs[name], engine, steps), 1)
                equal &= same(outs["this process"], outs[name])
    return {"short": seconds[SHORT], "long": seconds[rows], "rows": rows, "equal": equal}


def table(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was measured: rows a minute with and without the start, and ratios to one worker."""
    rows, extra = found["rows"], found["rows"] - SHORT
    each = {name: (found["long"][name] - found["short"][name]) / extra for name in ENGINES}
    return [
        {"who": name, "seconds": found["long"][name],
         "rows a minute": round(60 * rows / found["long"][name], 1),
         "start": round(found["short"][name] - SHORT * each[name], 1),
         "rows a minute after it": round(60 / each[name], 1),
         "ratio to 1 worker": round(each["1 worker"] / each[name], 2)}
        for name in ENGINES
    ]  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, model and write JSON."""
    parser = common.parser(__doc__ or "")
    parser.add_argument("--rows", type=int, default=48, help="of the longer run")
    args = parser.parse_args(argv)
    rows = SHORT + 4 if args.tiny else max(SHORT + 1, args.rows)
    found = measure(rows, 2 if args.tiny else 20)
    measured = table(found)
    for row in measured:
        print("  ".join(f"{name}: {value}" for name, value in row.items()))
    print(f"the same pictures byte for byte: {'yes' if found['equal'] else 'NO'}")
    model = Model.fit(found["short"], found["long"], rows)
    print(f"model: {model.fixed:.1f} s to start, {model.alone:.3f} s a row in the one process that "
          f"keeps the journal, {model.shared:.3f} s a row in a worker")  # fmt: skip
    beyond = [
        {"workers": count, "seconds": round(model.seconds(LONG, count), 1),
         "rows a minute": round(60 * LONG / model.seconds(LONG, count), 1),
         "ratio": round(model.seconds(LONG, 1) / model.seconds(LONG, count), 2),
         "how": "modelled"}
        for count in WORKERS
    ]  # fmt: skip
    for row in beyond:
        print("  ".join(f"{name}: {value}" for name, value in row.items()))
    facts = {"measured": measured, "model": asdict(model), "modelled": beyond,
             "modelled rows": LONG, "cores": os.cpu_count(), **found}  # fmt: skip
    common.write("batch_scaling", facts, args.out)
    if not found["equal"]:
        raise SystemExit("the engines left different pictures")


if __name__ == "__main__":
    main()
