"""``groundbrush ground`` and ``ground-all``: parse, call the API, print."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..outputs import EXPORTS
from .options import (
    DONE,
    MODELS,
    RESULTS,
    UNMET,
    add_command,
    add_options,
    check_directory,
    load_editor,
    print_result,
)


def add_commands(commands: Any) -> None:
    """Add ``ground`` and ``ground-all``."""
    ground = add_command(commands, "ground", _ground, "find one thing in a picture")
    ground.add_argument("image", help="a picture file")
    ground.add_argument("phrase", help='what to find, e.g. "the red apple on the left"')
    add_options(ground, f"{MODELS} memory {RESULTS} show")

    everything = add_command(
        commands, "ground-all", _ground_all, "find everything that a sentence names"
    )
    everything.add_argument("image", help="a picture file")
    everything.add_argument("sentence", help='e.g. "a dog next to two red cars"')
    everything.add_argument(
        "--mode",
        choices=("phrases", "caption"),
        default="phrases",
        help="query phrase by phrase, or read the sentence once, as the paper does "
        "(default: %(default)s)",
    )
    everything.add_argument(
        "--export",
        action="append",
        choices=EXPORTS,
        default=[],
        metavar="FORMAT",
        help=f"also write the result as one of {', '.join(EXPORTS)}; may be repeated",
    )
    add_options(everything, f"{MODELS} memory {RESULTS} show")


def candidate_lines(found: Any) -> list[str]:
    """The other candidates of a grounding, one per line."""
    return [
        f"candidate {k}: box {[round(v) for v in one.box]}, score {one.score:.3g}"
        for k, one in enumerate(found.candidates)
    ]


def _ground(args: argparse.Namespace) -> int:
    from ..facts import grounding_facts
    from ..outputs import save_grounding
    from ..pictures.picture import open_picture

    check_directory(args.out)
    picture = open_picture(args.image)
    found = load_editor(args).ground(picture, args.phrase)
    files = save_grounding(found, picture, Path(args.out))
    lines = [f"{found.status}: {found.reason}"]
    lines += [f"box {[round(v) for v in found.box]}"] if found.box else []
    lines += candidate_lines(found)
    print_result(args, grounding_facts(found), lines, files, show="overlay")
    return DONE if found.found else UNMET


def _ground_all(args: argparse.Namespace) -> int:
    from ..facts import segment_facts
    from ..outputs import save_panoptic
    from ..pictures.picture import open_picture

    check_directory(args.out)
    picture = open_picture(args.image)
    found = load_editor(args).ground_all(picture, args.sentence, mode=args.mode)
    files = save_panoptic(found, picture, Path(args.out), args.export)
    facts = {
        "caption": found.caption,
        "segments": [segment_facts(segment) for segment in found.segments],
        "timings": {k: round(v, 3) for k, v in found.timings.items()},
    }
    lines = []
    for segment in found.segments:
        numbers = f" ({', '.join(map(str, segment.ids))})" if segment.ids else ""
        lines.append(f"{segment.phrase}: {segment.status}{numbers}; {segment.reason}")
    lines = lines or ["the sentence names nothing that could be pointed at"]
    print_result(args, facts, lines, files, show="overlay")
    return DONE if found.found else UNMET
