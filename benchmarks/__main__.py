"""All benchmarks one after the other, then the page: ``python -m benchmarks``.

Where there is a CUDA device, ``--device cuda`` runs those that have something to measure there, at
the models' full size; ``--only NAME ...`` runs some of them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import common

CPU = {
    "rows": (),
    "phrases": (),
    "discovery": (),
    "masks": (),
    "painting": (),
    "startup": (),
    "batch_scaling": ("--long", "300"),
    "before_after": (),
}
"""Scripts and options of their own."""
CUDA = {"rows": (), "phrases": (), "full_size": (), "sdxl_steps": ()}


def main(argv: Sequence[str] | None = None) -> int:
    """Run each in a process of its own, so that none sees another's memory."""
    parser = common.parser(__doc__)
    parser.add_argument("--only", nargs="+", choices=list(CPU | CUDA), help="run these alone")
    parser.set_defaults(rounds=None)  # each has its own
    args = parser.parse_args(argv)
    there = CUDA if args.device == "cuda" else CPU
    names = args.only or there
    if not set(names) <= set(there):
        parser.error(f"--device {args.device} measures {', '.join(there)}")
    options = ["--out", str(args.out), "--device", args.device]
    options += [] if args.rounds is None else ["--rounds", str(args.rounds)]
    options += ["--tiny"] if args.tiny else []
    failed = [name for name in names if not run(name, [*options, *there[name]], args)]
    ours = Path(args.out).resolve() == common.RESULTS
    if ours or args.tiny:
        from benchmarks.page import DOCS, write_page

        print(write_page(args.out, DOCS if ours else args.out / "docs"))
    if failed:
        print(f"failed, so not measured anew: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def run(name: str, options: Sequence[str], args: argparse.Namespace) -> bool:
    """Run one; whether it went through."""
    started = time.perf_counter()
    print(f"== {name}", flush=True)
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *options],
        cwd=common.ROOT,
        env=common.quiet_environment(args.device),
        check=False,
    )
    print(f"   {time.perf_counter() - started:.0f} s", flush=True)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
