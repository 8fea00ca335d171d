"""All benchmarks one after the other, then the page: ``python -m benchmarks``.

On the CPU they take less than ten minutes. Where there is a CUDA device, ``--device cuda`` runs
those that have something to measure there, at the models' full size.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import common

CPU = ("rows", "phrases", "several_phrases", "discovery", "masks", "painting", "startup", "scaling")
CUDA = ("rows", "phrases", "masks", "painting")


def main(argv: Sequence[str] | None = None) -> int:
    """Run each in a process of its own, so that none sees another's memory."""
    parser = common.parser(__doc__ or "")
    parser.add_argument("--only", nargs="+", choices=CPU, help="run these alone")
    parser.set_defaults(rounds=None)  # each has its own
    args = parser.parse_args(argv)
    names = CUDA if args.device == "cuda" else CPU
    failed = []
    for name in (n for n in names if not args.only or n in args.only):
        started, began = time.perf_counter(), time.time() - 1
        print(f"== {name}", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}", "--out", str(args.out)]
        if args.rounds is not None:
            command += ["--rounds", str(args.rounds)]
        if args.tiny:
            command.append("--tiny")
        if args.device == "cuda":
            command += ["--device", "cuda"]
        subprocess.run(command, cwd=common.ROOT, env=common.quiet_environment(), check=False)
        # A script may tell a missed target by its status: what counts is that it wrote its result.
        ending = "_cuda" if args.device == "cuda" else ""
        written = Path(args.out) / f"{name}{ending}.json"
        if not written.is_file() or written.stat().st_mtime < began:
            failed.append(name)
        print(f"   {time.perf_counter() - started:.0f} s", flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
        return 1
    if Path(args.out).resolve() == common.RESULTS:
        from benchmarks.page import write_page

        print(write_page(common.RESULTS))
    return 0


if __name__ == "__main__":
    sys.exit(main())
