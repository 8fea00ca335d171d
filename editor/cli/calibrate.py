"""``groundbrush calibrate``: parses, calls `editor.calibration`, prints."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from ..errors import GroundbrushError
from .options import Bar, add_engine_options, add_model_options, engine_pool, teller

_ELBOW, _PER_SAMPLE = "elbow", "per-sample"


def add_parsers(commands: Any) -> None:
    """Add the command to the program's subcommands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "calibrate", help="find a model's localization heads, without labels"
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
        help="whose segmenter and inpainter a MODEL gets (default: %(default)s)",
    )
    parser.add_argument("--fresh", action="store_true", help="measure again; do not resume")
    parser.add_argument("--no-figures", action="store_true", help="only numbers")
    add_engine_options(parser)
    add_model_options(parser, preset=False)
    parser.add_argument(
        "--out", metavar="DIR", help="folder for the report (default: out/calibrate/NAME)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress, only the result")
    parser.add_argument("--json", action="store_true", help="print the ranking as JSON")
    parser.set_defaults(run=run)


def _add_ranking_options(parser: argparse.ArgumentParser) -> None:
    """How heads are measured and chosen; None = the preset's own, else the paper's."""
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
        help="what admits a head: its attention sum (default), or how differently "
        "it looks for two phrases",
    )
    parser.add_argument(
        "--binarise",
        choices=("mean", "public-code"),
        help="cells that count for the entropy (default: above the mean)",
    )
    parser.add_argument(
        "--query",
        choices=("expression", "prompt"),
        help="whose last token asks (default: the preset's)",
    )
    parser.add_argument("--padding", help="how the picture meets the square: pad, crop, squash")
    parser.add_argument("--seed", type=int, help="of the draw of pairs (default: 0)")


def run(args: argparse.Namespace) -> int:
    """Calibrate; 0 where heads were found."""
    from ..calibration.job import preset_for, run_calibration
    from ..calibration.report import ranking_facts, summary_lines
    from ..calibration.settings import CalibrationSettings

    preset = preset_for(args.model, family=args.family, like=args.like)
    own = dict(preset.lvlm.get("calibration", {}))
    fields = {field.name for field in dataclasses.fields(CalibrationSettings)}
    given = {
        name: value for name, value in vars(args).items() if name in fields and value is not None
    }
    if args.tau is not None:
        given["threshold"] = _tau(args.tau)
    settings = CalibrationSettings.from_dict({**own, **given})
    out = Path(args.out) if args.out else Path("out/calibrate") / preset.name
    with Bar(args, "calibrating", "pair") as bar, engine_pool(args, out) as pool:
        done = run_calibration(
            preset,
            out,
            settings,
            data=Path(args.data).expanduser() if args.data else None,
            device=args.device,
            offline=args.offline,
            fresh=args.fresh,
            figures=not args.no_figures,
            on_load=teller(args),
            on_pair=bar,
            pool=pool,
        )
    if args.json:
        files = {name: str(path) for name, path in done.files.items()}
        print(json.dumps({**ranking_facts(done.found), "files": files}))
    else:
        print(
            "\n".join(
                [
                    done.found.table(),
                    "",
                    *summary_lines(done.found),
                    f"preset with these heads: {done.files['preset']}",
                    f"report: {done.files['page']}",
                ]
            )
        )
    return 0


def _tau(given: str) -> float | str | None:
    if given in (_ELBOW, _PER_SAMPLE):
        return None if given == _ELBOW else given
    try:
        return float(given)
    except ValueError:
        raise GroundbrushError(
            f"--tau {given!r} given; expected {_ELBOW}, {_PER_SAMPLE} or a number such as 0.24"
        ) from None
