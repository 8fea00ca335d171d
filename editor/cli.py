"""The command line: it parses, calls the API and prints; the work is elsewhere."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from editor import __version__
from editor.errors import GroundbrushError

if TYPE_CHECKING:
    from editor.api import Editor
    from editor.edit import Edit
    from grounding.result import Grounding

DONE, UNMET, USAGE = 0, 1, 2
Command = Callable[[argparse.Namespace], int]


def build_parser() -> argparse.ArgumentParser:
    """The parser with one subcommand for each job."""
    parser = argparse.ArgumentParser(
        prog="groundbrush",
        description="Find it in words, paint something else, touch nothing more.",
        epilog="Exit status: 0 done, 1 the request could not be met, 2 wrong usage.",
    )
    parser.add_argument("--version", action="version", version=f"groundbrush {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    ground = commands.add_parser("ground", help="say where something is in a picture")
    ground.add_argument("image", help="a picture file")
    ground.add_argument("phrase", help='what to find, e.g. "the red apple on the left"')
    _common(ground)
    ground.set_defaults(run=_ground)

    edit = commands.add_parser("edit", help="repaint what a phrase names")
    edit.add_argument("image", nargs="?", help="a picture file")
    edit.add_argument("--find", metavar="PHRASE", help="what to replace")
    edit.add_argument("--paint", metavar="PROMPT", help="what to paint instead")
    edit.add_argument("--recipe", metavar="FILE", help="do again the edit saved in this file")
    _painting(edit)
    _common(edit)
    edit.set_defaults(run=_edit)

    remove = commands.add_parser("remove", help="paint the background over what a phrase names")
    remove.add_argument("image", help="a picture file")
    remove.add_argument("--find", metavar="PHRASE", required=True, help="what to remove")
    _painting(remove)
    _common(remove)
    remove.set_defaults(run=_edit, paint=None, recipe=None)

    presets = commands.add_parser("presets", help="list the presets, or show one")
    presets.add_argument("name", nargs="?", help="a preset's name or file")
    presets.add_argument("--json", action="store_true", help="print JSON")
    presets.set_defaults(run=_presets)

    doctor = commands.add_parser("doctor", help="check this installation and a preset's models")
    _model_options(doctor)
    doctor.add_argument("--json", action="store_true", help="print JSON")
    doctor.set_defaults(run=_doctor)

    app = commands.add_parser("app", help="open the editor in a browser")
    app.add_argument("--port", type=int, default=8501)
    app.set_defaults(run=_app)
    return parser


def _model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", default="miniature", metavar="NAME|FILE",
                        help="which models (default: %(default)s)")  # fmt: skip
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
    parser.add_argument("--offline", action="store_true", help="never ask the network")


def _common(parser: argparse.ArgumentParser) -> None:
    _model_options(parser)
    parser.add_argument("--out", default="out", metavar="DIR",
                        help="folder for results (default: %(default)s)")  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="no progress, only the result")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--show", action="store_true", help="open the picture of what was found")


def _painting(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=0, help="same seed, same picture")
    parser.add_argument("--variants", type=int, default=1, metavar="N", help="paint N pictures")
    parser.add_argument("--candidate", type=int, metavar="K",
                        help="take this other place (0-based, as `ground` lists them)")  # fmt: skip
    parser.add_argument("--steps", type=int, help="denoising steps (default: the preset's)")
    parser.add_argument("--guidance", type=float, help="how strictly to follow the prompt")
    parser.add_argument("--format", default="png", choices=("png", "webp", "jpg"),
                        help="of the result (default: %(default)s; jpg is lossy)")  # fmt: skip


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


def _load(args: argparse.Namespace) -> Editor:
    from editor.api import Editor

    tell = None if args.quiet or args.json else lambda words: print(words, file=sys.stderr)
    return Editor.load(args.preset, device=args.device, offline=args.offline, on_load=tell)


def _ground(args: argparse.Namespace) -> int:
    from editor.images import open_picture, save_picture
    from editor.overlay import draw_grounding

    picture = open_picture(args.image)
    found = _load(args).ground(picture, args.phrase)
    overlay = Path(args.out) / f"{Path(args.image).stem}.found.png"
    save_picture(overlay, draw_grounding(picture.pixels, found))
    facts = {**_grounding_facts(found), "overlay": str(overlay)}
    _report(args, facts, [
        f"{found.status}: {found.reason}",
        *([f"box {facts['box']}"] if found.box else []),
        *(f"candidate {k}: box {c['box']}, score {c['score']}"
          for k, c in enumerate(facts["candidates"])),
        f"picture of what was found: {overlay}",
    ])  # fmt: skip
    _show(args, overlay)
    return DONE if found.found else UNMET


def _edit(args: argparse.Namespace) -> int:
    from editor.files import atomic_write

    _check_edit_usage(args)
    editor = _load(args)
    changes = {k: v for k in ("steps", "guidance") if (v := getattr(args, k)) is not None}
    with _Steps(args) as on_step:
        if args.recipe:
            edit = editor.run(args.recipe, args.image, on_step=on_step)
        else:
            options: dict[str, Any] = {
                "seed": args.seed, "variants": args.variants, "candidate": args.candidate,
                "settings": changes, "on_step": on_step,
            }  # fmt: skip
            if args.paint is None:
                edit = editor.remove(args.image, args.find, **options)
            else:
                edit = editor.edit(args.image, args.find, args.paint, **options)
    if not edit.done:
        _report(args, {"done": False, "reason": edit.notes[-1]}, [edit.notes[-1]])
        return UNMET
    files, notes = _save_all(edit, Path(args.out), args.format)
    atomic_write(files["recipe"], json.dumps(edit.recipe(), indent=1).encode())
    assert edit.grounding is not None  # an edit by words has one
    facts = {"done": True, **_grounding_facts(edit.grounding), **dict(edit.checks),
             "seed": edit.seed, "support_pixels": int(edit.support.sum()),
             "timings": {k: round(v, 2) for k, v in edit.timings.items()},
             "notes": [*edit.notes, *notes],
             **{k: str(v) for k, v in files.items()}}  # fmt: skip
    _report(args, facts, [
        f"{edit.grounding.status}: {edit.grounding.reason}",
        f"painted {facts['support_pixels']} pixels in {facts['timings']['paint']} s; every other "
        "pixel equals the input's",
        *facts["notes"],
        *(f"{name}: {path}" for name, path in files.items()),
    ])  # fmt: skip
    _show(args, files["overlay"])
    return DONE


def _check_edit_usage(args: argparse.Namespace) -> None:
    if args.recipe is None and not (args.image and args.find):
        message = "give IMAGE and --find PHRASE and --paint PROMPT, or --recipe FILE"
    elif args.recipe is None and args.command == "edit" and args.paint is None:
        message = "--paint PROMPT is missing; to take something away use `groundbrush remove`"
    else:
        return
    print(f"groundbrush {args.command}: {message}", file=sys.stderr)
    raise SystemExit(USAGE)


def _save_all(edit: Edit, out: Path, suffix: str) -> tuple[dict[str, Path], list[str]]:
    """Every variant, the overlay and the recipe's place; and notes on the files."""
    from editor.files import atomic_write
    from editor.overlay import contact_sheet

    stem = edit.picture.source.stem if edit.picture.source else "picture"
    files = {"result": out / f"{stem}.edited.{suffix}"}
    notes: list[str] = []
    for k, variant in enumerate(edit.variants):
        path = files["result"] if k == 0 else out / f"{stem}.edited-{variant.seed}.{suffix}"
        notes += edit.save(path, k)
        files["result" if k == 0 else f"variant {k}"] = path
    files |= {"overlay": out / f"{stem}.overlay.png", "recipe": out / f"{stem}.recipe.json"}
    sheet = contact_sheet(edit, edit.request.get("paint") or "removed")
    atomic_write(files["overlay"], lambda file: sheet.save(file, "PNG"))
    return files, list(dict.fromkeys(notes))


def _presets(args: argparse.Namespace) -> int:
    from editor.presets import load_preset, preset_names, resolve
    from editor.words import load_words

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
    facts = {"name": preset.name, "about": preset.about, "licence": preset.licence,
             "lvlm": dict(preset.lvlm), "segmenter": dict(preset.segmenter),
             "inpainter": dict(preset.inpainter), "grounding": dict(preset.grounding),
             "knows": known}  # fmt: skip
    print(json.dumps(facts, indent=None if args.json else 1))
    return DONE


def _doctor(args: argparse.Namespace) -> int:
    from editor.doctor import examine

    findings = examine(args.preset, device=args.device, offline=args.offline)
    if args.json:
        print(json.dumps([f.__dict__ for f in findings]))
    else:
        print("\n".join(f"{'ok ' if f.ok else 'BAD'}  {f.what}: {f.words}" for f in findings))
    return DONE if all(f.ok for f in findings) else UNMET


def _app(args: argparse.Namespace) -> int:
    from importlib.util import find_spec

    script = Path(__file__).parents[1] / "app" / "main.py"
    if find_spec("streamlit") is None or not script.is_file():
        raise GroundbrushError("the editor needs streamlit: pip install -r requirements.txt")
    import subprocess

    flags = ["--server.port", str(args.port), "--server.fileWatcherType", "none",
             "--browser.gatherUsageStats", "false"]  # fmt: skip
    return subprocess.call([sys.executable, "-m", "streamlit", "run", str(script), *flags])


def _grounding_facts(found: Grounding) -> dict[str, Any]:
    return {
        "phrase": found.phrase,
        "status": found.status,
        "reason": found.reason,
        "score": round(found.score, 3),
        "box": None if found.box is None else [round(v) for v in found.box],
        "candidates": [
            {"box": [round(v) for v in c.box], "score": round(c.score, 3)} for c in found.candidates
        ],
    }


def _report(args: argparse.Namespace, facts: dict[str, Any], lines: list[str]) -> None:
    print(json.dumps(facts) if args.json else "\n".join(lines))


def _show(args: argparse.Namespace, path: Path) -> None:
    if args.show:
        from PIL import Image

        Image.open(path).show()


class _Steps:
    """A progress bar over denoising steps, as a callback."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._silent = args.quiet or args.json
        self._bar: Any = None

    def __enter__(self) -> Callable[[int, int], None] | None:
        return None if self._silent else self._step

    def _step(self, step: int, total: int) -> None:
        from tqdm import tqdm

        if self._bar is None or step == 1:
            self._close()
            self._bar = tqdm(total=total, desc="painting", unit="step", leave=False)
        self._bar.update(1)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def __exit__(self, *_: object) -> None:
        self._close()
