"""What the benchmarks share: machine facts, timing in turn, memory of a fresh process, JSON.

Ratios are of one run on one machine, the ways measured in turn, so that what else goes on there
falls on all of them alike. On the CPU one thread is used and its CPU time is taken, which other
work on the machine disturbs least; on a GPU the clock runs until the device is done, and what runs
on the CPU beside it may use all threads.
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
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
GPU_ROUNDS = 10
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of mallopt(3)
EXACT_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "1000000", "MALLOC_TRIM_THRESHOLD_": "1000000"}
"""Lets glibc hand every large block back at once, so that the peak of a process is of what it held;
without it the same forward was seen to take 84 MB once and 139 another time."""
_PACKAGES = ("torch", "transformers", "diffusers", "numpy", "scipy", "opencv-python", "pillow")


def machine(device: str = "cpu") -> dict[str, Any]:
    """Where and with what a result was measured; of a GPU only where it was measured on one."""
    import torch

    about: dict[str, Any] = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "memory_gb": round(_meminfo("MemTotal") / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "threads": torch.get_num_threads(),
        "gpu": None,
    }
    if device == "cuda" and torch.cuda.is_available():
        facts = torch.cuda.get_device_properties(0)
        about["gpu"] = {"name": facts.name, "memory_gb": round(facts.total_memory / 1e9, 1)}
        about["cuda"] = torch.version.cuda
    return about


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _meminfo(name: str, file: str = "/proc/meminfo") -> int:
    """A line of Linux' memory files in bytes; 0 where there is none."""
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":")), 0)


def free_memory() -> int:
    """Bytes that a process can still get; very many where the system does not say."""
    return _meminfo("MemAvailable") or 1 << 60


def begin(args: argparse.Namespace, rounds: int = 3) -> None:
    """Set this process up for its device; `rounds` are those on a CPU, where `args` has None."""
    if args.device == "cpu":
        one_thread()
    else:
        import torch

        if not torch.cuda.is_available():
            raise SystemExit("--device cuda: torch sees no CUDA device here; leave it out")
    if args.rounds is None:
        args.rounds = rounds if args.device == "cpu" else GPU_ROUNDS


def needs_gpu(args: argparse.Namespace) -> None:
    """Refuse a CPU, but to try a script out."""
    if args.device == "cpu" and not args.tiny:
        raise SystemExit("measures models at full size: add --device cuda, or --tiny to try it out")


def one_thread() -> None:
    """Use one thread everywhere, so that CPU time is the time of the work."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def clock_seconds(work: Callable[[], Any]) -> float:
    """Seconds of one call by the clock, for what waits: for the disk, or for other threads."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def seconds(work: Callable[[], Any], device: str = "cpu") -> float:
    """Seconds of one call: of CPU time, or on a GPU until it is done."""
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
    before: Callable[[str], Any] = lambda name: None,
) -> dict[Any, dict[str, Any]]:
    """Time some ways, one after the other in each round.

    Parameters
    ----------
    ways
        What to call, by name.
    rounds
        How often.
    device
        As for `seconds`.
    warm
        Call each once before: the first calls of a process are slower.
    before
        Called with a way's name before each of its calls, and not timed.

    Returns
    -------
    dict
        For each way its least and median seconds, and all of them in order.
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
    """Most memory that a block takes beyond what was there: of the process, or of the GPU.

    >>> with Peak("cpu") as peak:                                              # doctest: +SKIP
    ...     work()
    >>> peak.bytes                                                             # doctest: +SKIP
    """

    def __init__(self, device: str = "cpu") -> None:
        self.device, self.bytes, self._before = device, 0, 0

    def __enter__(self) -> Peak:
        gc.collect()
        if self.device == "cpu":
            _return_freed()
            self._before = resident()
            _forget_peak()
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
    return _meminfo("VmRSS", "/proc/self/status") or _highest()


def _highest() -> int:
    found = _meminfo("VmHWM", "/proc/self/status")
    if found:
        return found
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _forget_peak() -> None:
    """Start the count of the highest memory anew, where Linux allows it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def keep_freed() -> None:
    """Let memory that was freed stay with this process, where the C library is GNU's.

    What the kernel gives anew is cleared page by page, and in a virtual machine first fetched from
    its host: up to three seconds a gigabyte, which says nothing about the work that is timed.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def _return_freed() -> None:
    """Give freed memory back to the system, so that it is not counted as held."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def let_go(device: str) -> None:
    """Give memory back that nothing uses any more: the next model's process may need it."""
    gc.collect()
    if device == "cpu":
        _return_freed()
    else:
        import torch

        torch.cuda.empty_cache()


def fresh(
    module: str,
    case: Mapping[str, Any],
    limit: int = 900,
    environment: Mapping[str, str] | None = None,
) -> Any:
    """What ``python -m module --case JSON`` prints as its last line, from a new process.

    Where that fails or takes longer than `limit` seconds: ``{"failed": why}``; see `whole`.
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
        return {"failed": f"not done after {limit} s"}
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        tail = " / ".join(done.stderr.strip().splitlines()[-3:])
        return {"failed": f"exit {done.returncode}: {tail}"[:400]}
    return json.loads(lines[-1])


def whole(found: Any) -> Any:
    """What `fresh` gave, where it did not fail; otherwise the benchmark ends with the reason."""
    if isinstance(found, dict) and "failed" in found:
        raise SystemExit(found["failed"])
    return found


def quiet_environment(device: str = "cpu") -> dict[str, str]:
    """This process' environment with no network, kept bytecode and, on a CPU, one thread."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    threads = {"OMP_NUM_THREADS": "1"} if device == "cpu" else {}
    return {**kept, **threads, "HF_HUB_OFFLINE": "1"}


def topic(name: str, device: str) -> str:
    """What a result's file is called."""
    return name if device == "cpu" else f"{name}_cuda"


def target(what: str, value: float | None, limit: float, *, most: bool = True) -> dict[str, Any]:
    """One target beside what was measured; `most` says whether the limit is an upper one."""
    met = None if value is None else (value <= limit if most else value >= limit)
    shown = None if value is None else round(value, 3)
    return {"what": what, "value": shown, "limit": limit, "most": most, "met": met}


def write(
    topic: str,
    found: Mapping[str, Any],
    folder: Path = RESULTS,
    *,
    say: Callable[[str], None] = print,
) -> Path:
    """Write a topic's JSON with the machine it was measured on, and say how the targets stand."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{topic}.json"
    device = "cuda" if topic.endswith("_cuda") else "cpu"
    record = {"topic": topic, "machine": machine(device), **found}
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    for one in found.get("targets", ()):
        say(target_line(one))
    say(str(path))
    return path


def target_line(one: Mapping[str, Any]) -> str:
    """A target in words."""
    if one["value"] is None:
        return f"  not measured: {one['what']}"
    sign = "at most" if one["most"] else "at least"
    state = "met" if one["met"] else "MISSED"
    return f"  {state}: {one['what']}: {one['value']:g} ({sign} {one['limit']:g})"


def show(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
    """Print rows as a table; `columns` maps names to formats such as ``.2f``."""
    print("  ".join(f"{name:>14}" for name in columns))
    for row in rows:
        cells = []
        for name, form in columns.items():
            value = row.get(name)
            cells.append("-" if value is None else format(value, form))
        print("  ".join(f"{cell:>14}" for cell in cells))


def parser(about: str | None) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    made = argparse.ArgumentParser(description=(about or "").partition("\n")[0])
    made.add_argument("--out", type=Path, default=RESULTS, help="folder of the JSON")
    made.add_argument("--rounds", type=int, default=3, help="how often each way is timed")
    made.add_argument("--tiny", action="store_true", help="a second's worth, to try the script")
    made.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    made.add_argument("--case", type=json.loads, help=argparse.SUPPRESS)
    return made
