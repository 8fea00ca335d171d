"""The command line: it parses, calls the API and prints; the work is elsewhere."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ...app.http import command as serve
from .. import __version__
from ..errors import GroundbrushError
from . import batch, calibrate, edit, evaluate, several
from .options import (
    add_common_options,
    add_model_options,
    candidate_lines,
    check_folder,
    grounding_facts,
    load_editor,
    report,
    show,
)
from .parser import Parser

DONE, UNMET, USAGE = 0, 1, 2
Command = Callable[[argparse.Namespace], int]


def build_parser() -> argparse.ArgumentParser:
    """The parser with one subcommand for each job."""
    parser = Parser(
        prog="groundbrush",
        description="Find it in words, paint something else, touch nothing more.",
        epilog="Exit status: 0 done, 1 the request could not be met, 2 wrong usage.",
    )
    parser.add_argument("--version", action="version", version=f"groundbrush {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    ground = commands.add_parser("ground", help="say where something is in a picture")
    ground.add_argument("image", help="a picture file")
    ground.add_argument("phrase", help='what to find, e.g. "the red apple on the left"')
    add_common_options(ground)
    ground.set_defaults(run=_ground)

    edit.add_parsers(commands)
    several.add_parsers(commands)
    batch.add_parsers(commands)

    presets = commands.add_parser("presets", help="list the presets, or show one")
    presets.add_argument("name", nargs="?", help="a preset's name or file")
    presets.add_argument("--json", action="store_true", help="print JSON")
    presets.set_defaults(run=_presets)

    doctor = commands.add_parser("doctor", help="check this installation and a preset's models")
    add_model_options(doctor)
    doctor.add_argument("--json", action="store_true", help="print JSON")
    doctor.set_defaults(run=_doctor)

    calibrate.add_parsers(commands)
    evaluate.add_parsers(commands)

    app = commands.add_parser("app", help="open the editor in a browser")
    app.add_argument("--port", type=int, default=8501)
    app.add_argument(
        "--host",
        default="localhost",
        metavar="ADDRESS",
        help="who may open it (default: this machine only; 0.0.0.0: everyone who "
        "reaches it, without a password)",
    )
    app.set_defaults(run=_app)

    serve.add_parsers(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    args = build_parser().parse_args(argv)
    try:
        return int(args.run(args))
    except GroundbrushError as error:
        print(f"groundbrush: {error}", file=sys.stderr)
        return UNMET
    except KeyboardInterrupt:
        print("groundbrush: stopped; nothing half-written was left", file=sys.stderr)
        return 130


def _ground(args: argparse.Namespace) -> int:
    from ..files import atomic_write, free_stem, holds
    from ..pictures.overlay import draw_grounding
    from ..pictures.picture import open_picture
    from ..pictures.saving import encode_png

    check_folder(args.out)
    picture, out = open_picture(args.image), Path(args.out)
    found = load_editor(args).ground(picture, args.phrase)
    drawn = encode_png(draw_grounding(picture.pixels, found))
    stem = free_stem(
        out,
        Path(args.image).stem,
        (".found.png",),
        lambda name: holds(out / f"{name}.found.png", drawn),
    )
    overlay = atomic_write(out / f"{stem}.found.png", drawn)
    facts = {**grounding_facts(found), "overlay": str(overlay)}
    report(
        args,
        facts,
        [
            f"{found.status}: {found.reason}",
            *([f"box {facts['box']}"] if found.box else []),
            *candidate_lines(facts),
            f"picture of what was found: {overlay}",
        ],
    )
    show(args, overlay)
    return DONE if found.found else UNMET


def _presets(args: argparse.Namespace) -> int:
    from ..models.presets import load_preset, preset_names, resolve
    from ..models.vocabulary import load_words

    if args.name is None:
        rows = [load_preset(name) for name in preset_names()]
        if args.json:
            print(json.dumps([{"name": p.name, "about": p.about} for p in rows]))
        else:
            print("\n".join(f"{p.name:16} {p.about}" for p in rows))
        return DONE
    preset = load_preset(args.name)
    known = None
    if preset.vocabulary:
        words = load_words(resolve(preset.vocabulary, f"preset {preset.name!r}"))
        known = {"nouns": words.nouns, "colours": words.colours}
    facts = {
        "name": preset.name,
        "about": preset.about,
        "licence": preset.licence,
        preset.finder: dict(preset.find or preset.lvlm),
        "segmenter": dict(preset.segmenter),
        "inpainter": dict(preset.inpainter),
        "grounding": dict(preset.grounding),
        "knows": known,
    }
    print(json.dumps(facts, indent=None if args.json else 1))
    return DONE


def _doctor(args: argparse.Namespace) -> int:
    from .doctor import examine

    findings = examine(args.preset, device=args.device, offline=args.offline)
    if args.json:
        print(json.dumps([f.__dict__ for f in findings]))
    else:
        print("\n".join(f"{'ok ' if f.ok else 'BAD'}  {f.what}: {f.words}" for f in findings))
    return DONE if all(f.ok for f in findings) else UNMET


def _app(args: argparse.Namespace) -> int:
    from importlib.util import find_spec

    script = Path(__file__).parents[2] / "app" / "page" / "script.py"
    if find_spec("streamlit") is None or not script.is_file():
        raise GroundbrushError("the editor needs streamlit: pip install streamlit")
    import os
    import subprocess

    from ...app.session.session_file import MAX_UPLOAD_BYTES

    flags = [
        "--server.address",
        args.host,
        "--server.port",
        str(args.port),
        "--server.fileWatcherType",
        "none",
        "--server.showEmailPrompt",
        "false",
        "--server.maxUploadSize",
        str(MAX_UPLOAD_BYTES // 1_000_000),
        "--client.toolbarMode",
        "minimal",
        "--browser.gatherUsageStats",
        "false",
        # collecting garbage after every run takes half a second with the models in memory,
        # and painting waits for it
        "--runner.postScriptGC",
        "false",
    ]
    command = [sys.executable, "-m", "streamlit", "run", str(script), *flags]
    if os.name == "posix":  # in this process's place: a signal to it must reach the server
        os.execv(sys.executable, command)
    return subprocess.call(command)
