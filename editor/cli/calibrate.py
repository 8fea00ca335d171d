"""``groundbrush calibrate``: parse, call `editor.evaluation.calibration`, print."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from ..errors import GroundbrushError
from .options import (
    DONE,
    RESULTS,
    ProgressBar,
    add_command,
    add_options,
    fetch_first,
    open_workers,
    print_result,
    progress_line,
)

_ELBOW, _PER_SAMPLE = "elbow", "per-sample"


def add_commands(commands: Any) -> None:
    """Add ``calibrate``."""
    parser = add_command(
        commands, "calibrate", _run, "find a model's localization heads, without labels"
    )
    parser.add_argument(
        "model",
        metavar="PRESET|MODEL",
        help="a preset's name or file, a model folder, or a repository",
    )
    parser.add_argument(
        "--data",
        metavar="FILE|FOLDER",
        help="pictures with phrases: a .jsonl, a folder with examples.jsonl, or "
        "the folder that holds refcoco/ (default: the composed scenes)",
    )
    _add_ranking_options(parser)
    parser.add_argument("--family", help="of a MODEL (default: by its config)")
    parser.add_argument(
        "--like",
        default="llava-1.5-7b",
        metavar="PRESET",
        help="preset with the segmenter and inpainter for a MODEL (default: %(default)s)",
    )
    parser.add_argument("--no-figures", action="store_true", help="only numbers")
    out = {"default": None, "help": "directory for the report (default: out/calibrate/NAME)"}
    add_options(parser, f"fresh engine workers device offline yes {RESULTS}", out=out)


def _add_ranking_options(parser: argparse.ArgumentParser) -> None:
    """How heads are measured and chosen; unset ones are the preset's, else the paper's."""
    parser.add_argument("--samples", type=int, metavar="N", help="pairs a trial (default: 1000)")
    parser.add_argument("--trials", type=int, metavar="T", help="trials (default: 5)")
    parser.add_argument(
        "--tau",
        metavar="VALUE",
        help=f"attention sum a head needs: {_ELBOW} (default), {_PER_SAMPLE}, or "
        "a number; 0 = none",
    )
    parser.add_argument(
        "--lowest",
        type=int,
        metavar="K",
        help="heads of lowest entropy counted in a sample (default: 10)",
    )
    parser.add_argument(
        "--skip-layers", type=int, metavar="N", help="first layers left out (default: 2)"
    )
    parser.add_argument("--heads", type=int, metavar="K", help="heads to choose (default: 3)")
    parser.add_argument(
        "--criterion",
        choices=("sum", "contrast"),
        help="what admits a head: its attention sum (default), or how much its maps of two "
        "phrases differ",
    )
    parser.add_argument(
        "--binarise",
        choices=("mean", "public-code"),
        help="cells that count for the entropy (default: above the mean)",
    )
    parser.add_argument(
        "--query",
        choices=("stop", "expression", "prompt"),
        help="query with the full stop after the expression, its last word piece, or the "
        "prompt's last token (default: the preset's)",
    )
    parser.add_argument("--padding", help="how the picture meets the square: pad, crop, squash")
    parser.add_argument("--seed", type=int, help="of the draw of pairs (default: 0)")


def _run(args: argparse.Namespace) -> int:
    from ...grounding.heads.discovery import DiscoverySettings
    from ...grounding.heads.report import ranking_facts, summary_lines
    from ..evaluation.calibration import discovery_settings, preset_for, run_calibration

    preset = preset_for(args.model, family=args.family, like=args.like)
    fields = {field.name for field in dataclasses.fields(DiscoverySettings)}
    given = {name: v for name, v in vars(args).items() if name in fields and v is not None}
    if args.tau is not None:
        given["threshold"] = _threshold(args.tau)
    settings = discovery_settings(preset, **given)
    out = Path(args.out) if args.out else Path("out/calibrate") / preset.name
    fetch_first(args, preset, lvlm_only=True)
    with ProgressBar(args, "calibrating", "pair") as bar, open_workers(args) as pool:
        done = run_calibration(
            preset,
            out,
            settings,
            data=Path(args.data).expanduser() if args.data else None,
            device=args.device,
            offline=args.offline,
            fresh=args.fresh,
            figures=not args.no_figures,
            on_load=progress_line(args),
            on_pair=bar,
            pool=pool,
        )
    lines = [done.found.table(), "", *summary_lines(done.found)]
    print_result(args, ranking_facts(done.found), lines, done.files, nested=True)
    return DONE


def _threshold(given: str) -> float | str | None:
    if given in (_ELBOW, _PER_SAMPLE):
        return None if given == _ELBOW else given
    try:
        return float(given)
    except ValueError:
        raise GroundbrushError(
            f"--tau {given!r} given; expected {_ELBOW}, {_PER_SAMPLE} or a number such as 0.24"
        ) from None
