"""``groundbrush batch``: parses, calls `editor.batch`, prints."""

from __future__ import annotations

import argparse
import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .options import (
    add_engine_options,
    add_memory_option,
    add_model_options,
    check_engine_options,
    teller,
    wrong_usage,
)

if TYPE_CHECKING:
    from ..batch.engine import Load
    from ..batch.manifest import Manifest
    from ..batch.progress import Ticker
    from ..batch.run import BatchReport, Job, MakeEngine

DONE, UNMET, STOPPED = 0, 1, 130
_REASONS = 5  # told of failures; results.jsonl has all
_WORDS = ("find", "paint", "remove", "apply", "ground_all")


def add_parsers(commands: Any) -> None:
    """Add the command to the program's subcommands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "batch",
        help="do a whole manifest or folder; may be killed at any moment and resumed",
        epilog="Exit status: 0 every row is answered (done, absent, held or skipped), 1 a row "
        "failed or the batch could not be done, 2 wrong usage.",
    )
    parser.add_argument(
        "manifest", metavar="MANIFEST", help=".jsonl or .csv, or a folder of pictures"
    )
    parser.add_argument(
        "--root", metavar="DIR", help="must hold all pictures (default: the manifest's folder)"
    )
    _instruction(parser)
    run = parser.add_argument_group("the run")
    run.add_argument(
        "--gate",
        choices=("skip", "hold", "paint"),
        default="hold",
        help="rows that are not plainly found: skip, hold for a person to look, or "
        "paint the best guess (default: %(default)s)",
    )
    run.add_argument("--resume", action="store_true", help="go on with the batch that --out holds")
    run.add_argument(
        "--retry-failed", action="store_true", help="the same, and do failed rows again"
    )
    run.add_argument(
        "--dry-run",
        action="store_true",
        help="check everything, read every picture and say what would be done; load "
        "no model, write nothing",
    )
    add_engine_options(run)
    _defaults(parser)
    add_model_options(parser)
    add_memory_option(parser)
    parser.add_argument(
        "--out",
        default="out/batch",
        metavar="DIR",
        help="folder for results (default: %(default)s)",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress, only the result")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(run=run_command)


def _instruction(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what to do with every picture of a folder")
    group.add_argument("--find", metavar="PHRASE", help="what to look for, or to replace")
    group.add_argument("--paint", metavar="PROMPT", help="what to paint instead")
    group.add_argument("--remove", metavar="PHRASE", help="what to remove")
    group.add_argument("--apply", metavar="SENTENCE", help="what to do, in words")
    group.add_argument("--ground-all", metavar="SENTENCE", help="everything to look for")
    group.add_argument("--recursive", action="store_true", help="folders in it as well")


def _defaults(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("for rows that do not say it themselves")
    group.add_argument("--seed", type=int, help="same seed, same picture")
    group.add_argument("--variants", type=int, metavar="N", help="paint N pictures")
    group.add_argument(
        "--check",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="look for what was painted, or whether it is gone",
    )
    group.add_argument(
        "--retries", type=int, metavar="N", help="try up to N more seeds while the check fails"
    )
    group.add_argument("--draft", action="store_true", default=None, help="few steps: a quick look")
    group.add_argument("--steps", type=int, help="denoising steps (default: the preset's)")
    group.add_argument("--guidance", type=float, help="how strictly to follow the prompt")
    group.add_argument("--settings", metavar="JSON", help='others, e.g. {"feather": 4}')
    group.add_argument(
        "--format",
        default="png",
        choices=("png", "webp", "jpg"),
        help="of painted pictures (default: %(default)s; jpg is lossy)",
    )


def run_command(args: argparse.Namespace) -> int:
    """Do the batch; 0 where no row failed."""
    from ..api import Editor
    from ..batch.progress import Ticker
    from ..batch.run import Job, run_batch

    check_engine_options(args)
    manifest = _manifest(args)
    job = Job(
        manifest,
        Path(args.out),
        gate=args.gate,
        suffix=args.format,
        resume=args.resume,
        retry_failed=args.retry_failed,
    )

    def load() -> Editor:
        return Editor.load(
            args.preset,
            device=args.device,
            offline=args.offline,
            memory=args.memory,
            on_load=teller(args),
        )

    ticker = None if args.quiet or args.json else Ticker()
    if args.dry_run:
        return _dry_run(args, job, load, ticker)
    try:
        report = run_batch(job, load, on_progress=ticker, engine=_engine(args))
    except KeyboardInterrupt:
        print("groundbrush: stopped; what is finished is kept, --resume goes on", file=sys.stderr)
        return STOPPED
    _report(args, report)
    return UNMET if report.counts.get("failed") else DONE


def _report(args: argparse.Namespace, report: BatchReport) -> None:
    """Print what became of the rows, and why some failed."""
    counts = dict(sorted(report.counts.items()))
    reasons = [{"reason": r.words, "count": r.count, "rows": list(r.rows)} for r in report.reasons]
    facts = {
        "counts": counts,
        "worked": report.worked,
        "results": str(report.results),
        "review": str(report.review),
        "notes": list(report.notes),
        "failures": reasons,
        "seconds": round(report.seconds, 1),
    }
    lines = [
        *report.notes,
        f"{sum(counts.values())} rows: {', '.join(f'{n} {status}' for status, n in counts.items())}"
        f" ({report.worked} done now in {report.seconds:.0f} s)",
        *_why(report),
        f"results: {report.results}",
        f"review: {report.review}",
    ]
    print(json.dumps(facts) if args.json else "\n".join(lines))


def _why(report: BatchReport) -> list[str]:
    """The most frequent reasons of failures, and where the others are."""
    if not report.reasons:
        return []
    lines = [f"  {reason}" for reason in report.reasons[:_REASONS]]
    rest = report.reasons[_REASONS:]
    if rest:
        count = sum(reason.count for reason in rest)
        lines.append(f"  {count:,} more for {len(rest):,} other reason{'s' * (len(rest) != 1)}")
    return ["failed:", *lines, f"each row's is in {report.results}"]


def _engine(args: argparse.Namespace) -> MakeEngine:
    from ..batch.engine import LocalEngine

    if args.engine == "local":
        return LocalEngine
    from ..batch.ray_engine import RayEngine

    return partial(RayEngine, workers=args.workers, device=args.device)


def _manifest(args: argparse.Namespace) -> Manifest:
    from ..batch.manifest import read_folder, read_manifest

    words = {name: value for name in _WORDS if (value := getattr(args, name)) is not None}
    defaults = _given_defaults(args)
    if os.path.isdir(args.manifest):
        if not words:
            wrong_usage(
                args, "a folder needs --find, --find and --paint, --remove, --apply or --ground-all"
            )
        return read_folder(
            args.manifest,
            {**words, **defaults},
            recursive=args.recursive,
            root=args.root,
            without=args.out,
            refuse=False,
        )
    if (words or args.recursive) and os.path.exists(args.manifest):
        name = f"--{next(iter(words), 'recursive').replace('_', '-')}"
        wrong_usage(
            args,
            f"{name} is for a folder, and {args.manifest!r} is a file; a manifest's "
            "rows say what to do; for one picture use another command",
        )
    return read_manifest(args.manifest, root=args.root, defaults=defaults, refuse=False)


def _given_defaults(args: argparse.Namespace) -> dict[str, Any]:
    names = ("seed", "variants", "check", "retries", "draft")
    given = {name: value for name in names if (value := getattr(args, name)) is not None}
    settings: Any = {}
    if args.settings is not None:
        try:
            settings = json.loads(args.settings)
        except (ValueError, RecursionError):
            settings = None
        if not isinstance(settings, dict):
            wrong_usage(
                args,
                f"--settings {args.settings!r} given; expected an object in JSON, "
                'e.g. {"feather": 4}',
            )
    settings |= {n: v for n in ("steps", "guidance") if (v := getattr(args, n)) is not None}
    return {**given, **({"settings": settings} if settings else {})}


def _dry_run(args: argparse.Namespace, job: Job, load: Load, ticker: Ticker | None) -> int:
    from ..batch.run import examine

    outlook = examine(job, load, on_progress=ticker)
    facts = {
        "actions": dict(outlook.actions),
        "finished": outlook.finished,
        "find": outlook.find,
        "notes": list(outlook.notes),
    }
    lines = [*outlook.notes, *(f"{n} to {action}" for action, n in sorted(outlook.actions.items()))]
    lines += [
        f"{outlook.find} phrases to find",
        f"{outlook.finished} rows finished already",
        "everything that could be checked without a model is in order",
    ]
    print(json.dumps(facts) if args.json else "\n".join(lines))
    return DONE
