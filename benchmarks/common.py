"""Shared by the benchmarks: machine facts, timing, memory, tables, JSON results.

Every ratio is taken in one run on one machine. Alternatives are timed in turn, so that other load
affects all of them. On the CPU, one thread is used and its CPU time is measured, which other load
disturbs least; on a GPU, wall-clock time runs until the device is done, and the CPU may use all
threads.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
GPU_ROUNDS = 10
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4  # of mallopt(3)
_PACKAGES = ("torch", "transformers", "diffusers", "numpy", "scipy", "opencv-python", "pillow")
Rows = list[dict[str, Any]]


def script(
    name: str,
    about: str | None,
    measure: Callable[[argparse.Namespace], dict[str, Any]],
    *,
    rounds: int | None = 3,
    case: Callable[[dict[str, Any]], Any] | None = None,
    add_options: Callable[[argparse.ArgumentParser], Any] = lambda parser: None,
) -> Callable[[Sequence[str] | None], int]:
    """The `main` of a benchmark: parse, measure, print and write ``NAME.json``.

    Parameters
    ----------
    measure
        From the options to the result; it may hold another ``name``.
    rounds
        How often each alternative is timed on a CPU by default; None: one thread is not set up.
    case
        Measures one case in a new process, for `fresh`.
    add_options
        Adds options of the benchmark's own.
    """

    def main(argv: Sequence[str] | None = None) -> int:
        options = parser(about)
        add_options(options)
        args = options.parse_args(argv)
        if args.case is not None and case is not None:
            print(json.dumps(case(args.case)))
            return 0
        if rounds is not None:
            begin(args, rounds)
        found = measure(args)
        print("\n\n".join(tables(found)))
        write(topic(found.pop("name", name), args.device), found, args.out)
        return 0

    return main


def parser(about: str | None) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    made = argparse.ArgumentParser(description=(about or "").partition("\n")[0])
    made.add_argument("--out", type=Path, default=RESULTS, help="directory of the JSON")
    made.add_argument("--rounds", type=int, help="how often each alternative is timed")
    made.add_argument("--tiny", action="store_true", help="a second's worth, to try the script")
    made.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    made.add_argument("--case", type=json.loads, help=argparse.SUPPRESS)
    return made


def begin(args: argparse.Namespace, rounds: int = 3) -> None:
    """Set this process up for its device; `rounds` is the default on a CPU."""
    if args.device == "cpu":
        one_thread()
    else:
        import torch

        if not torch.cuda.is_available():
            raise SystemExit("--device cuda: torch sees no CUDA device here; leave it out")
    if args.rounds is None:
        args.rounds = rounds if args.device == "cpu" else GPU_ROUNDS


def one_thread() -> None:
    """Use one thread everywhere, so that CPU time is the time of the work."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def seconds(work: Callable[[], Any], device: str = "cpu") -> float:
    """CPU seconds of one call; on a GPU, wall-clock seconds until it is done."""
    if device == "cpu":
        start = time.process_time()
        work()
        return time.process_time() - start
    import torch

    torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def in_turn(
    ways: Mapping[Any, Callable[[], Any]],
    rounds: int,
    device: str = "cpu",
    *,
    warm: bool = True,
    before: Callable[[Any], Any] = lambda name: None,
) -> dict[Any, dict[str, Any]]:
    """Time alternatives, one after the other in each round; their timings by name.

    Parameters
    ----------
    ways
        Functions to call, by name.
    warm
        Call each once before: the first calls of a process are slower.
    before
        Called with a name before each of its calls, and not timed.
    """
    if warm:
        for name, way in ways.items():
            before(name)
            way()
    taken: dict[Any, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            before(name)
            taken[name].append(seconds(way, device))
    return {name: timing(values) for name, values in taken.items()}


def timing(values: Sequence[float]) -> dict[str, Any]:
    """Least and median of some seconds, and all of them."""
    return {
        "least": round(min(values), 6),
        "median": round(statistics.median(values), 6),
        "all": [round(v, 6) for v in values],
    }


class Peak:
    """Most memory that a block takes beyond what was there: of the process, or of the GPU."""

    def __init__(self, device: str = "cpu") -> None:
        self.device, self.bytes, self._before = device, 0, 0

    def __enter__(self) -> Peak:
        gc.collect()
        if self.device == "cpu":
            _libc("malloc_trim", 0)
            self._before = resident()
            with contextlib.suppress(OSError):  # Linux then counts the highest memory anew
                Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        else:
            import torch

            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            self._before = torch.cuda.memory_allocated()
        return self

    def __exit__(self, *_: object) -> None:
        if self.device == "cpu":
            self.bytes = max(0, _highest() - self._before)
        else:
            import torch

            self.bytes = torch.cuda.max_memory_allocated() - self._before


def resident() -> int:
    """Memory of this process now, in bytes."""
    import psutil

    return psutil.Process().memory_info().rss


def free_memory() -> int:
    """Bytes that a process can still get."""
    import psutil

    return psutil.virtual_memory().available


def _highest() -> int:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def return_large() -> None:
    """Return every large block at once, so that a peak is of what was held.

    Without it the same forward took 84 MB once and 139 another time.
    """
    _libc("mallopt", _M_MMAP_THRESHOLD, 1_000_000)
    _libc("mallopt", _M_TRIM_THRESHOLD, 1_000_000)


def keep_freed() -> None:
    """Keep freed memory in this process.

    The kernel clears new pages, and a virtual machine first fetches them from its host: up to three
    seconds a gigabyte, which says nothing about the work that is timed.
    """
    _libc("mallopt", _M_MMAP_MAX, 0)
    _libc("mallopt", _M_TRIM_THRESHOLD, 2**31 - 1)


def _libc(name: str, *arguments: int) -> None:
    """Call a function of GNU's C library, where there is one."""
    with contextlib.suppress(OSError, AttributeError):
        getattr(ctypes.CDLL(None), name)(*arguments)


def let_go() -> None:
    """Release memory of the GPU that nothing uses."""
    import torch

    gc.collect()
    torch.cuda.empty_cache()


def floor_seconds(work: Callable[[], Any], dtype: Any, device: str = "cpu") -> float:
    """Seconds of the operations of some work at the rate of a large matrix product here."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        work()
    return round(counter.get_total_flops() / rate(dtype, device), 6)


def rate(dtype: Any, device: str = "cpu") -> float:
    """Operations a second of a product of large matrices; the best of three."""
    import torch

    side = 2048 if device == "cpu" else 8192
    one = torch.randn(side, side, device=device).to(dtype)
    return 2 * side**3 / min(seconds(lambda: one @ one, device) for _ in range(3))


def fresh(
    module: str,
    case: Mapping[str, Any],
    limit: int = 900,
    environment: Mapping[str, str] | None = None,
) -> Any:
    """The last line that ``python -m module --case JSON`` prints, from a new process.

    Raises
    ------
    SystemExit
        With the reason, if that fails or takes longer than `limit` seconds.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", module, "--case", json.dumps(case)],
            cwd=ROOT,
            env={**quiet_environment(), **(environment or {})},
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SystemExit(f"not done after {limit} s") from None
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        tail = " / ".join(done.stderr.strip().splitlines()[-3:])
        raise SystemExit(f"exit {done.returncode}: {tail}"[:400])
    return json.loads(lines[-1])


def quiet_environment(device: str = "cpu") -> dict[str, str]:
    """This process's environment without network, with bytecode and, on a CPU, one thread."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    threads = {"OMP_NUM_THREADS": "1"} if device == "cpu" else {}
    return {**kept, **threads, "HF_HUB_OFFLINE": "1"}


def topic(name: str, device: str) -> str:
    """The name of a result's file."""
    return name if device == "cpu" else f"{name}_cuda"


def target(what: str, value: float | None, limit: float, *, most: bool = True) -> dict[str, Any]:
    """One target beside what was measured; `most`: the limit is an upper one."""
    met = None if value is None else (value <= limit if most else value >= limit)
    shown = None if value is None else round(value, 3)
    return {"what": what, "value": shown, "limit": limit, "most": most, "met": met}


def over(by: Mapping[Any, float], top: Any, bottom: Any) -> float | None:
    """The ratio of two entries; None if one is missing."""
    return by[top] / by[bottom] if top in by and bottom in by else None


def write(topic: str, found: Mapping[str, Any], folder: Path = RESULTS) -> Path:
    """Write a topic's JSON with the machine it was measured on, and print the targets."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{topic}.json"
    device = "cuda" if topic.endswith("_cuda") else "cpu"
    record = {"topic": topic, "machine": machine(device), **found}
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    for one in found.get("targets", ()):
        state = {True: "met", False: "MISSED", None: "not measured"}[one["met"]]
        sign = "at most" if one["most"] else "at least"
        print(f"  {state}: {one['what']}: {cell(one['value'])} ({sign} {one['limit']:g})")
    print(path)
    return path


def tables(found: Mapping[str, Any]) -> list[str]:
    """Markdown tables of a result: one for each of its lists of rows, without the targets."""
    return [
        table(rows)
        for name, rows in found.items()
        if name != "targets" and isinstance(rows, list) and rows and isinstance(rows[0], dict)
    ]


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a Markdown table; columns that hold lists or further rows are left out."""
    from groundbrush.editor.evaluation.report import markdown

    columns = dict.fromkeys(
        key for row in rows for key, value in row.items() if not isinstance(value, dict | list)
    )
    return markdown(list(columns), [[cell(row.get(key)) for key in columns] for row in rows])


def cell(value: Any) -> str:
    """A value of a table as text."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return "–" if value is None else f"{value:,}" if type(value) is int else str(value)


def machine(device: str = "cpu") -> dict[str, Any]:
    """The machine and the versions of a result; the GPU only if it was measured on one."""
    import psutil
    import torch
    from groundbrush.editor.machine import processor

    about: dict[str, Any] = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
        "threads": torch.get_num_threads(),
        "gpu": None,
    }
    if device == "cuda" and torch.cuda.is_available():
        facts = torch.cuda.get_device_properties(0)
        about["gpu"] = {"name": facts.name, "memory_gb": round(facts.total_memory / 1e9, 1)}
        about["cuda"] = torch.version.cuda
    return about
