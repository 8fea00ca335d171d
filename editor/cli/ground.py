"""``groundbrush ground`` and ``ground-all``: parse, call the API, print."""

from __future__ import annotations

import argparse
import json
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
    wrong_usage,
)


def add_commands(commands: Any) -> None:
    """Add ``ground``, ``attention`` and ``ground-all``."""
    ground = add_command(commands, "ground", _ground, "find one thing in a picture")
    ground.add_argument("image", help="a picture file")
    ground.add_argument("phrase", help='what to find, e.g. "the red apple on the left"')
    ground.add_argument(
        "--why",
        action="store_true",
        help="also write the mask, and each head's map beside the combined one",
    )
    add_options(ground, f"{MODELS} memory {RESULTS} show")

    _add_attention(commands)

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


def _add_attention(commands: Any) -> None:
    attention = add_command(
        commands, "attention", _attention, "write a phrase's attention rows of all heads to a file"
    )
    attention.add_argument("image", help="a picture file")
    attention.add_argument("phrase", help="read as it stands")
    attention.add_argument(
        "-o",
        dest="file",
        required=True,
        metavar="FILE.npz",
        help="rows (layers, heads, P, Q), sums, entropies, region, tokens, query, heads",
    )
    attention.add_argument(
        "--pseudo-mask",
        action="store_true",
        help="also write FILE_mask.png and FILE_bbox.json of the preset's heads, before SAM, as "
        "the paper's public code does",
    )
    attention.add_argument("--figure", metavar="FILE.png", help="also draw every head's map")
    add_options(attention, f"{MODELS} memory quiet json")


def candidate_lines(found: Any) -> list[str]:
    """The other candidates of a grounding, one per line."""
    return [
        f"candidate {k}: box {[round(v) for v in one.box]}, score {one.score:.3g}"
        for k, one in enumerate(found.candidates)
    ]


def _ground(args: argparse.Namespace) -> int:
    from ..explain import explain
    from ..facts import grounding_facts
    from ..outputs import save_grounding
    from ..pictures.picture import open_picture

    check_directory(args.out)
    picture = open_picture(args.image)
    editor = load_editor(args)
    found = editor.ground(picture, args.phrase)
    why = explain(editor, picture, found) if args.why else None
    files = save_grounding(found, picture, Path(args.out), why)
    lines = [f"{found.status}: {found.reason}"]
    lines += [f"box {[round(v) for v in found.box]}"] if found.box else []
    lines += candidate_lines(found)
    print_result(args, grounding_facts(found), lines, files, show="overlay")
    return DONE if found.found else UNMET


def _attention(args: argparse.Namespace) -> int:
    import numpy as np

    from ...grounding.heads.figures import head_grid
    from ..explain import attention_arrays, pseudo_mask_of
    from ..files import atomic_write
    from ..pictures.picture import open_picture
    from ..pictures.saving import encode_png

    file = Path(args.file)
    if file.suffix != ".npz":
        wrong_usage(args, f"-o {args.file!r} given; expected a file that ends in .npz")
    picture = open_picture(args.image)
    arrays = attention_arrays(load_editor(args), picture, args.phrase)
    atomic_write(file, lambda out: np.savez_compressed(out, **arrays))  # type: ignore[arg-type]
    files = {"attention": file}
    heads = [tuple(head) for head in arrays["heads"].tolist()]
    if args.pseudo_mask:
        if not heads:
            wrong_usage(args, f"--pseudo-mask needs heads, and preset {args.preset!r} names none")
        mask, box = pseudo_mask_of(arrays)
        files["mask"] = file.with_name(f"{file.stem}_mask.png")
        files["bbox"] = file.with_name(f"{file.stem}_bbox.json")
        atomic_write(files["mask"], encode_png(np.repeat(mask[..., None], 3, 2) * np.uint8(255)))
        atomic_write(files["bbox"], json.dumps(box, indent=2).encode())
    if args.figure:
        figure = head_grid(picture.pixels, arrays["rows"], args.phrase, heads)
        files["figure"] = Path(args.figure)
        atomic_write(files["figure"], lambda out: figure.savefig(out, format="png", dpi=130))
    token = str(arrays["tokens"][arrays["query"]])
    facts = {"phrase": args.phrase, "shape": list(arrays["rows"].shape), "query": token}
    lines = [f"rows {facts['shape']} (layers, heads, P, Q) of the token {token!r}"]
    print_result(args, facts, lines, files)
    return DONE


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
    lines = lines or ["the sentence names nothing that can be found"]
    print_result(args, facts, lines, files, show="overlay")
    return DONE if found.found else UNMET
