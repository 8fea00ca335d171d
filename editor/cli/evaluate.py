"""``groundbrush evaluate``: parse, call `editor.evaluation`, print."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .options import (
    DONE,
    MODELS,
    RESULTS,
    UNMET,
    ProgressBar,
    add_command,
    add_options,
    fetch_first,
    open_workers,
    print_result,
    progress_line,
    wrong_usage,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..evaluation.arms import Arm
    from ..evaluation.job import Evaluation
    from ..evaluation.paper import PaperTable
    from ..evaluation.tables import TableJob
    from ..models.presets import Preset

HELD_OUT, HELD_OUT_CAPTIONS = 500, 200  # composed scenes
COMPARE, PNG = "compare", "png"
NAMES = ("refcoco", "refcoco+", "refcocog", "reasonseg", "scenes", PNG)
_CAPTION_FIGURE = 10
_DRAWN = ("limit", "seed", "fresh")
_OF_ARMS = ("ablate", "arm", "set", "paper", "like_reference", "partition")


def add_commands(commands: Any) -> None:
    """Add ``evaluate``."""
    parser = add_command(
        commands, "evaluate", _run, "score a preset on a benchmark, beside the paper's numbers"
    )
    parser.add_argument(
        "benchmark",
        nargs="?",
        choices=(*NAMES, COMPARE),
        metavar="BENCHMARK",
        help=f"one of {', '.join(NAMES)}; scenes (your examples.jsonl) and {PNG} (Panoptic "
        f"Narrative Grounding) are composed without --data; or `{COMPARE} FILE FILE ...` of "
        "earlier results; with --table: another benchmark than the paper's",
    )
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help=f"for {COMPARE}: the .json scores of two or more presets on one benchmark",
    )
    parser.add_argument("--data", metavar="ROOT", help="folder that holds the benchmark")
    parser.add_argument("--split", help="one split (default: all that are reported)")
    parser.add_argument(
        "--partition",
        choices=("unc", "google", "umd"),
        help="another partition of RefCOCO or RefCOCOg than the usual",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only N items, drawn at random")
    add_options(parser, "seed", seed={"help": "of that draw"})
    _add_arm_options(parser)
    parser.add_argument(
        "--failures",
        type=int,
        default=24,
        metavar="N",
        help="show the N worst in a picture (default: %(default)s)",
    )
    out = {"default": "out/evaluate"}
    add_options(parser, f"fresh engine workers {MODELS} {RESULTS}", out=out)


def _add_arm_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ablate", action="store_true", help="measure every ablation too, in one table"
    )
    parser.add_argument(
        "--arm",
        action="append",
        metavar="NAME",
        help="only this ablation beside the preset, e.g. --arm 'SAM: one box'; may be repeated",
    )
    parser.add_argument(
        "--table",
        type=int,
        metavar="N",
        help="one of the paper's tables, 1 to 9, with its numbers beside ours where the pictures, "
        "the metric and the step are the same; several presets: --preset A,B",
    )
    parser.add_argument(
        "--figure",
        type=int,
        metavar="N",
        help="draw one of the paper's figures: 1, 3 to 6, 9 to 14",
    )
    parser.add_argument(
        "--set",
        action="append",
        metavar="NAME=VALUE",
        help="settings of one arm of your own beside the preset, e.g. --set sigma=.4 --set "
        "query=stop; may be repeated",
    )
    parser.add_argument(
        "--calibration",
        metavar="DIR",
        help="output of `calibrate`, for the ablations that choose other heads (default: "
        "calibrate first)",
    )
    parser.add_argument("--paper", action="store_true", help="the paper's steps instead of ours")
    parser.add_argument(
        "--like-reference",
        action="store_true",
        help="the public code's choices instead, its slips included",
    )


def _run(args: argparse.Namespace) -> int:
    """Evaluate, or compare evaluations; 0 if something was scored."""
    if (args.table, args.figure) != (None, None) and args.benchmark != COMPARE:
        return _of_the_paper(args)
    if args.benchmark is None:
        wrong_usage(args, f"name a BENCHMARK ({', '.join(NAMES)}), --table N or --figure N")
    if (args.benchmark == COMPARE) != bool(args.files):
        wrong_usage(args, f"{COMPARE} takes FILEs, a benchmark takes none; see --help")
    if args.files:
        return _compare(args)
    return _evaluate_png(args) if args.benchmark == PNG else _evaluate(args)


def _evaluate(args: argparse.Namespace) -> int:
    from ..evaluation.job import EvaluationJob, run_evaluation, with_trained_heads
    from ..models.presets import load_preset

    data = _data(args, args.benchmark)
    preset = fetch_first(args, load_preset(args.preset))
    preset = with_trained_heads(
        preset, data, Path(args.out) / preset.name / "calibration", **_run_options(args)
    )
    job = EvaluationJob(
        benchmark=args.benchmark,
        data=data,
        partition=args.partition,
        arms=_arms(args, preset),
        split=args.split,
        **_job_options(args, preset),
    )
    with ProgressBar(args, "evaluating", "answer") as bar, open_workers(args) as pool:
        found = run_evaluation(job, preset, on_progress=bar, pool=pool, **_run_options(args))
    return _print(args, found)


def _of_the_paper(args: argparse.Namespace) -> int:
    from ..evaluation.figures import paper_figure
    from ..evaluation.paper import paper_table
    from ..models.presets import load_preset

    _refuse(args, ("files", *_OF_ARMS), "with --table or --figure")
    table = None if args.table is None else paper_table(args.table)
    if args.figure is not None:
        paper_figure(args.figure)
    presets = [fetch_first(args, load_preset(name)) for name in args.preset.split(",")]
    if table is not None:
        return _measure_table(args, table, presets)
    name = PNG if args.figure == _CAPTION_FIGURE else args.benchmark or "refcoco"
    return _draw_figure(args, _table_job(args, [name]), presets)


def _measure_table(args: argparse.Namespace, table: PaperTable, presets: Sequence[Preset]) -> int:
    from ..evaluation.tables import measure_table

    if table.benchmarks != [PNG]:
        if args.benchmark or args.split:
            table = table.on(args.benchmark or table.benchmarks[0], args.split)
    elif args.split or not args.data:
        table = table.unprinted()
    job = _table_job(args, table.benchmarks)
    with ProgressBar(args, "evaluating", "answer") as bar, open_workers(args) as pool:
        found = measure_table(table, presets, job, on_progress=bar, pool=pool)
    return _print(args, found)


def _table_job(args: argparse.Namespace, benchmarks: Sequence[str]) -> TableJob:
    from ..evaluation.tables import TableJob

    return TableJob(
        data={name: _data(args, name) for name in benchmarks},
        out=Path(args.out),
        narratives=args.split or ("val2017" if args.data else "heldout"),
        calibration=Path(args.calibration) if args.calibration else None,
        options={name: getattr(args, name) for name in _DRAWN},
        run=_run_options(args),
    )


def _draw_figure(args: argparse.Namespace, job: TableJob, presets: Sequence[Preset]) -> int:
    from ..evaluation.figures import FigureSource, write_figure

    benchmark = next(iter(job.data))
    with ProgressBar(args, "measuring", "answer") as bar:
        sources = [FigureSource(one, job, benchmark, args.split, bar) for one in presets]
        files = write_figure(args.figure, sources)
    print_result(args, {"figure": args.figure}, [f"figure {args.figure}"], files, nested=True)
    return DONE


def _evaluate_png(args: argparse.Namespace) -> int:
    from ..evaluation.png import ARMS, PngJob, run_png
    from ..models.presets import load_preset

    if args.engine != "local":
        wrong_usage(args, f"{PNG} is measured in this process only; leave --engine out")
    _refuse(args, (*_OF_ARMS, "calibration"), "here")
    preset = fetch_first(args, load_preset(args.preset))
    job = PngJob(
        data=_data(args, PNG),
        split=args.split or ("val2017" if args.data else "heldout"),
        arms=[arm for arm in ARMS if preset.lvlm or arm != "caption"],
        **_job_options(args, preset),
    )
    with ProgressBar(args, "evaluating", "answer") as bar:
        found = run_png(job, preset, on_progress=bar, **_run_options(args))
    return _print(args, found)


def _compare(args: argparse.Namespace) -> int:
    from ..evaluation.compare import compare, write_comparison

    found = compare(args.files)
    files = write_comparison(found, Path(args.out))
    lines = ["\n\n".join(f"{title}\n{table}" for title, table in found.tables), *found.notes]
    print_result(args, found.as_dict(), lines, files, nested=True)
    return DONE


def _refuse(args: argparse.Namespace, options: Sequence[str], where: str) -> None:
    if given := [name for name in options if getattr(args, name)]:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        wrong_usage(args, f"{names} cannot be given {where}")


def _print(args: argparse.Namespace, found: Evaluation) -> int:
    facts = {**found.scores, "notes": found.notes}
    print_result(args, facts, [found.table, *found.notes], found.files, nested=True)
    return UNMET if all("error" in record for record in found.records) else DONE


def _job_options(args: argparse.Namespace, preset: Preset) -> dict[str, Any]:
    own = {"out": Path(args.out) / preset.name, "sheet": args.failures}
    return {**own, **{name: getattr(args, name) for name in _DRAWN}}


def _run_options(args: argparse.Namespace) -> dict[str, Any]:
    return {"device": args.device, "offline": args.offline, "on_load": progress_line(args)}


def _data(args: argparse.Namespace, benchmark: str) -> Path:
    from ..models.bundled import bundled_narratives, bundled_scenes

    if args.data is not None:
        return Path(args.data).expanduser()
    if benchmark == PNG:
        tell = progress_line(args)
        return bundled_narratives(HELD_OUT_CAPTIONS, split="heldout", on_compose=tell)
    if benchmark != "scenes":
        wrong_usage(args, f"--data ROOT is missing; name the folder that holds {benchmark}")
    return bundled_scenes(HELD_OUT, split="heldout", on_compose=progress_line(args))


def _arms(args: argparse.Namespace, preset: Preset) -> list[Arm]:
    from ..evaluation.ablations import ablation_arms
    from ..evaluation.arms import PAPER, PRESET, chosen_arms, free_arm, like_reference

    ways = ["paper", "like_reference", "set", "arm" if args.arm else "ablate"]
    if len(given := [f"--{n.replace('_', '-')}" for n in ways if getattr(args, n)]) > 1:
        wrong_usage(args, f"{' and '.join(given)} given; expected one of them a run")
    if args.paper:
        return [PAPER]
    if args.like_reference:
        return [like_reference(preset.lvlm.get("prompt"))]
    if args.set:
        return [PRESET, free_arm(args.set)]
    if not args.arm:
        return _ablations(args, preset) if args.ablate else [PRESET]
    arms = ablation_arms(preset.lvlm)
    if not {arm.name for arm in arms} >= set(args.arm):  # some need a calibration
        arms = _ablations(args, preset)
    return chosen_arms(arms, args.arm)


def _ablations(args: argparse.Namespace, preset: Preset) -> list[Arm]:
    from ..evaluation.ablations import CONTRASTIVE
    from ..evaluation.calibration import ablations_of

    data = Path(args.data).expanduser() if args.data else None
    return ablations_of(
        preset,
        Path(args.calibration) if args.calibration else None,
        data=data if data and (data / "refcoco").is_dir() else None,
        out=Path(args.out) / preset.name / "calibration",
        contrast=args.ablate or any(name.startswith(CONTRASTIVE) for name in args.arm or ()),
        **_run_options(args),
    )
