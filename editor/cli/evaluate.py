"""``groundbrush evaluate``: parses, calls `editor.evaluation`, prints."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from .evaluate_narratives import run_png_command
from .options import Bar, add_engine_options, add_model_options, engine_pool, teller

if TYPE_CHECKING:
    from ..evaluation.arms import Arm
    from ..evaluation.job import Evaluation
    from ..models.presets import Preset

HELD_OUT = 500  # composed scenes
COMPARE = "compare"
PNG = "png"
NAMES = ("refcoco", "refcoco+", "refcocog", "reasonseg", "scenes", PNG)


def add_parsers(commands: Any) -> None:
    """Add the command to the program's subcommands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "evaluate", help="score a preset on a benchmark, beside the paper's numbers"
    )
    parser.add_argument(
        "benchmark",
        choices=(*NAMES, COMPARE),
        metavar="BENCHMARK",
        help=f"one of {', '.join(NAMES)}; scenes: your own examples.jsonl, or the "
        f"composed scenes without --data; {PNG}: Panoptic Narrative Grounding, or captions of "
        f"composed scenes without --data; or `{COMPARE} FILE FILE ...` of earlier results",
    )
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help=f"for {COMPARE}: the .json scores of two or more presets on one benchmark",
    )
    _add_data_options(parser)
    _add_arm_options(parser)
    parser.add_argument(
        "--failures",
        type=int,
        default=24,
        metavar="N",
        help="show the N worst in a picture (default: %(default)s)",
    )
    parser.add_argument("--fresh", action="store_true", help="measure again; do not resume")
    add_engine_options(parser)
    add_model_options(parser)
    parser.add_argument(
        "--out",
        default="out/evaluate",
        metavar="DIR",
        help="folder for results (default: %(default)s)",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress, only the result")
    parser.add_argument("--json", action="store_true", help="print the scores as JSON")
    parser.set_defaults(run=run)


def _add_data_options(parser: argparse.ArgumentParser) -> None:
    """Which items are asked."""
    parser.add_argument("--data", metavar="ROOT", help="folder that holds the benchmark")
    parser.add_argument("--split", help="one split (default: all that are reported)")
    parser.add_argument(
        "--partition",
        choices=("unc", "google", "umd"),
        help="another partition of RefCOCO or RefCOCOg than the usual",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only N items, drawn at random")
    parser.add_argument("--seed", type=int, default=0, help="of that draw")


def _add_arm_options(parser: argparse.ArgumentParser) -> None:
    """Which ways of grounding are measured."""
    parser.add_argument(
        "--ablate", action="store_true", help="measure every ablation too, in one table"
    )
    parser.add_argument(
        "--arm",
        action="append",
        metavar="NAME",
        help="only this ablation beside the preset, say --arm 'SAM: one box'; may be repeated",
    )
    parser.add_argument(
        "--calibration",
        metavar="DIR",
        help="what `calibrate` wrote, for the ablations that choose other heads "
        "(default: calibrate first)",
    )
    parser.add_argument("--paper", action="store_true", help="the paper's steps instead of ours")
    parser.add_argument(
        "--like-reference",
        action="store_true",
        help="the public code's choices instead, its slips included",
    )


def run(args: argparse.Namespace) -> int:
    """Evaluate, or compare evaluations; 0 where something was scored."""
    if (args.benchmark == COMPARE) != bool(args.files):
        _wrong(f"{COMPARE} takes FILEs, a benchmark takes none; see --help")
    if args.files:
        return _compare(args)
    if args.benchmark == PNG and args.engine != "local":
        _wrong(f"{PNG} is measured in this process only; leave --engine {args.engine} out")
    if args.benchmark == PNG:
        return run_png_command(args)
    from ..evaluation.job import EvaluationJob, run_evaluation
    from ..models.presets import load_preset

    preset = load_preset(args.preset)
    job = EvaluationJob(
        benchmark=args.benchmark,
        data=_data(args),
        out=Path(args.out) / preset.name,
        split=args.split,
        partition=args.partition,
        arms=_arms(args, preset),
        limit=args.limit,
        seed=args.seed,
        fresh=args.fresh,
        sheet=args.failures,
    )
    with Bar(args, "evaluating", "answer") as bar, engine_pool(args, job.out) as pool:
        found = run_evaluation(
            job,
            preset,
            device=args.device,
            offline=args.offline,
            on_load=teller(args),
            on_progress=bar,
            pool=pool,
        )
    _print(args, found)
    return 0 if any(row.count for row in found.by_group.values()) else 1


def _print(args: argparse.Namespace, found: Evaluation) -> None:
    if args.json:
        print(
            json.dumps(
                {
                    "groups": {k: v.as_dict() for k, v in found.by_group.items()},
                    "arms": {k: v.as_dict() for k, v in found.by_arm.items()},
                    "files": {k: str(v) for k, v in found.files.items()},
                    "notes": list(found.notes),
                }
            )
        )
    else:
        print(found.table)
        print("\n".join([*found.notes, *(f"{name}: {path}" for name, path in found.files.items())]))


def _compare(args: argparse.Namespace) -> int:
    from ..evaluation.compare import compare, write_comparison

    found = compare(args.files)
    files = write_comparison(found, Path(args.out))
    if args.json:
        print(json.dumps({**found.as_dict(), "files": {k: str(v) for k, v in files.items()}}))
    else:
        print("\n\n".join(f"{title}\n{table}" for title, table in found.tables))
        print("\n".join([*found.notes, *(f"{name}: {path}" for name, path in files.items())]))
    return 0


def _wrong(words: str) -> NoReturn:
    """Wrong usage: say so and leave with status 2."""
    print(f"groundbrush evaluate: {words}", file=sys.stderr)
    raise SystemExit(2)


def _data(args: argparse.Namespace) -> Path:
    if args.data is not None:
        return Path(args.data).expanduser()
    if args.benchmark != "scenes":
        _wrong(f"--data ROOT is missing; name the folder that holds {args.benchmark}")
    from ..calibration.bundled import bundled_scenes

    return bundled_scenes(HELD_OUT, split="heldout", on_compose=teller(args))


def _arms(args: argparse.Namespace, preset: Preset) -> list[Arm]:
    from ..evaluation.arms import PAPER, PRESET, like_reference

    if args.paper:
        return [PAPER]
    if args.like_reference:
        return [like_reference(preset.lvlm.get("prompt"))]
    if args.arm:
        from ..evaluation.ablations import ablation_arms, chosen_arms

        plain = ablation_arms(preset.lvlm)
        if {arm.name for arm in plain} >= set(args.arm):  # none of them needs a calibration
            return chosen_arms(plain, args.arm)
        return chosen_arms(_ablations(args, preset), args.arm)
    return _ablations(args, preset) if args.ablate else [PRESET]


def _ablations(args: argparse.Namespace, preset: Preset) -> list[Arm]:
    from ..calibration.job import ablations_of

    on_refcoco = args.data and (Path(args.data).expanduser() / "refcoco").is_dir()
    return ablations_of(
        preset,
        Path(args.calibration) if args.calibration else None,
        data=Path(args.data).expanduser() if on_refcoco else None,
        out=Path(args.out) / preset.name / "calibration",
        device=args.device,
        offline=args.offline,
        on_load=teller(args),
    )
