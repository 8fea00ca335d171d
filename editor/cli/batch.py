"""``groundbrush batch``: parse, call `editor.batch`, print."""

from __future__ import annotations

import argparse
import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .options import (
    DONE,
    MODELS,
    RESULTS,
    STOPPED,
    UNMET,
    ProgressBar,
    add_command,
    add_options,
    check_engine,
    load_editor,
    print_result,
    wrong_usage,
)

if TYPE_CHECKING:
    from ..batch.manifest import Manifest
    from ..batch.run import BatchReport, MakeEngine

_REASONS = 5  # printed; results.jsonl has all
_INSTRUCTIONS = ("find", "paint", "remove", "apply", "ground_all")
_DEFAULTS = ("seed", "variants", "check", "retries", "draft")


def add_commands(commands: Any) -> None:
    """Add ``batch``."""
    parser = add_command(
        commands,
        "batch",
        _run,
        "process a whole manifest or folder; may be killed at any moment and resumed",
        epilog="Exit status: 0 every row is answered (done, absent, held or skipped), 1 a row "
        "failed or the batch could not be done, 2 wrong usage.",
    )
    parser.add_argument(
        "manifest", metavar="MANIFEST", help=".jsonl or .csv, or a folder of pictures"
    )
    parser.add_argument(
        "--root", metavar="DIR", help="must hold all pictures (default: the manifest's folder)"
    )
    group = parser.add_argument_group("what to do with every picture of a folder")
    group.add_argument("--find", metavar="PHRASE", help="what to find, or to replace")
    group.add_argument("--paint", metavar="PROMPT", help="what to paint instead")
    group.add_argument("--remove", metavar="PHRASE", help="what to remove")
    group.add_argument("--apply", metavar="SENTENCE", help="edits, in words")
    group.add_argument("--ground-all", metavar="SENTENCE", help="everything to find")
    group.add_argument("--recursive", action="store_true", help="include subfolders")
    _add_run_options(parser.add_argument_group("the run"))
    unset = {"default": None}
    group = parser.add_argument_group("for rows that do not say it themselves")
    add_options(group, "seed variants", seed=unset, variants=unset)
    group.add_argument(
        "--check",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="check that what was painted is found, or that it is gone",
    )
    retries = {**unset, "help": "try up to N more seeds while the check fails"}
    add_options(group, "retries draft steps guidance", retries=retries, draft=unset)
    group.add_argument("--settings", metavar="JSON", help='others, e.g. {"feather": 4}')
    add_options(group, "format")
    add_options(parser, f"{MODELS} memory {RESULTS}", out={"default": "out/batch"})


def _add_run_options(group: Any) -> None:
    group.add_argument(
        "--gate",
        choices=("skip", "hold", "paint"),
        default="hold",
        help="rows that are not plainly found: skip, hold for review, or paint the best guess "
        "(default: %(default)s)",
    )
    group.add_argument("--resume", action="store_true", help="resume the batch that --out holds")
    group.add_argument(
        "--retry-failed", action="store_true", help="the same, and do failed rows again"
    )
    group.add_argument(
        "--dry-run",
        action="store_true",
        help="check everything, read every picture and print what would be done; load no model, "
        "write nothing",
    )
    add_options(group, "engine workers")


def _run(args: argparse.Namespace) -> int:
    """Do the batch; 0 if no row failed."""
    from ..batch.engine import LocalEngine
    from ..batch.run import BatchJob, dry_run, run_batch

    check_engine(args)
    job = BatchJob(
        _manifest(args),
        Path(args.out),
        gate=args.gate,
        suffix=args.format,
        resume=args.resume,
        retry_failed=args.retry_failed,
    )
    load = partial(load_editor, args)
    if args.dry_run:
        with ProgressBar(args, "checking", "picture") as bar:
            plan = dry_run(job, load, on_progress=lambda at: bar(at.done, at.total))
        _print_dry_run(args, plan)
        return DONE
    engine: MakeEngine = LocalEngine
    if args.engine == "ray":
        from ..batch.ray_engine import RayEngine

        engine = partial(RayEngine, workers=args.workers, device=args.device)
    try:
        with ProgressBar(args, "", "row") as bar:
            show = lambda at: bar(at.done, at.total, at.stage, at.others)  # noqa: E731
            report = run_batch(job, load, on_progress=show, engine=engine)
    except KeyboardInterrupt:
        print("groundbrush: stopped; what is finished is kept, --resume continues", file=sys.stderr)
        return STOPPED
    _print_report(args, report)
    return UNMET if report.counts.get("failed") else DONE


def _print_report(args: argparse.Namespace, report: BatchReport) -> None:
    """Print how many rows came to what, and why some failed."""
    counts = dict(sorted(report.counts.items()))
    facts = {
        "counts": counts,
        "worked": report.worked,
        "notes": list(report.notes),
        "failures": [
            {"reason": r.words, "count": r.count, "rows": list(r.rows)} for r in report.reasons
        ],
        "seconds": round(report.seconds, 1),
    }
    lines = [
        *report.notes,
        f"{sum(counts.values())} rows: {', '.join(f'{n} {status}' for status, n in counts.items())}"
        f" ({report.worked} of them in this run, {report.seconds:.0f} s)",
        *_failure_lines(report),
    ]
    print_result(args, facts, lines, {"results": report.results, "review": report.review})


def _failure_lines(report: BatchReport) -> list[str]:
    """The most frequent reasons of failures."""
    if not report.reasons:
        return []
    lines = [f"  {reason}" for reason in report.reasons[:_REASONS]]
    rest = report.reasons[_REASONS:]
    if rest:
        count = sum(reason.count for reason in rest)
        lines.append(f"  {count:,} more for {len(rest):,} other reason{'s' * (len(rest) != 1)}")
    return ["failed:", *lines, f"each row's is in {report.results}"]


def _print_dry_run(args: argparse.Namespace, plan: Any) -> None:
    """Print what a dry run found."""
    lines = [
        *plan.notes,
        *(f"{n} to {action}" for action, n in sorted(plan.actions.items())),
        f"{plan.find} phrases to find",
        f"{plan.finished} rows finished already",
        "everything that could be checked without a model is in order",
    ]
    print_result(args, vars(plan), lines)


def _manifest(args: argparse.Namespace) -> Manifest:
    from ..batch.manifest import read_folder, read_manifest

    words = {name: value for name in _INSTRUCTIONS if (value := getattr(args, name)) is not None}
    defaults = _defaults(args)
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
            f"{name} is for a folder, and {args.manifest!r} is a file; a manifest's rows say what "
            "to do; for one picture use another command",
        )
    return read_manifest(args.manifest, root=args.root, defaults=defaults, refuse=False)


def _defaults(args: argparse.Namespace) -> dict[str, Any]:
    """What the options say for rows that do not say it."""
    given = {name: value for name in _DEFAULTS if (value := getattr(args, name)) is not None}
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
