"""``groundbrush edit``, ``remove`` and ``extend``: parse, call the API, print."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .options import (
    add_common_options,
    candidate_lines,
    check_folder,
    check_format,
    grounding_facts,
    load_editor,
    report,
    show,
    wrong_usage,
)

if TYPE_CHECKING:
    from ..editing.result import Edit
    from ..pictures.picture import Picture

DONE, UNMET = 0, 1
_IN_RECIPE = (
    "find",
    "paint",
    "mask",
    "box",
    "snap",
    "candidate",
    "level",
    "shadow",
    "grow",
    "invert",
    "seed",
    "variants",
    "retries",
    "draft",
    "steps",
    "guidance",
    "negative",
    "set",
    "check",
)
SIDES = ("left", "top", "right", "bottom")


def add_parsers(commands: Any) -> None:
    """Add the three commands to the program's subcommands."""
    edit = commands.add_parser("edit", help="repaint what a phrase names, or a place you give")
    edit.add_argument("image", nargs="?", help="a picture file")
    edit.add_argument("--find", metavar="PHRASE", help="what to replace")
    edit.add_argument("--paint", metavar="PROMPT", help="what to paint instead")
    edit.add_argument("--recipe", metavar="FILE", help="do again the edit saved in this file")
    edit.add_argument(
        "--check",
        action="store_true",
        help="look for what was painted and put the best variant first",
    )
    edit.add_argument(
        "--check-for", dest="check", metavar="PHRASE", help="the same, looking for this phrase"
    )
    _place_options(edit)
    _painting_options(edit, retries=0)
    add_common_options(edit)
    edit.set_defaults(run=run)

    remove = commands.add_parser(
        "remove", help="paint the background over what a phrase names, or a place you give"
    )
    remove.add_argument("image", help="a picture file")
    remove.add_argument("--find", metavar="PHRASE", help="what to remove")
    remove.add_argument(
        "--no-check",
        dest="check",
        action="store_false",
        help="do not look whether it is gone, and do not retry",
    )
    _place_options(remove)
    _painting_options(remove, retries=3)
    add_common_options(remove)
    remove.set_defaults(run=run, paint=None, recipe=None)

    extend = commands.add_parser("extend", help="add to a picture's sides and paint them")
    extend.add_argument("image", help="a picture file")
    for side in SIDES:
        extend.add_argument(
            f"--{side}", default="0", metavar="N", help="pixels to add, or a share such as 25%%"
        )
    extend.add_argument(
        "--paint", metavar="PROMPT", help="what to paint there (default: more background)"
    )
    _painting_options(extend, retries=0)
    add_common_options(extend)
    extend.set_defaults(run=run, recipe=None, check=False)


def _place_options(parser: argparse.ArgumentParser) -> None:
    place = parser.add_argument_group("where", "instead of --find, or to change what it finds")
    place.add_argument("--mask", metavar="FILE", help="paint where this picture is white")
    place.add_argument(
        "--box",
        action="append",
        metavar="X0,Y0,X1,Y1",
        help="paint in this rectangle of pixels; repeat it for more",
    )
    place.add_argument(
        "--snap", action="store_true", help="take the object in each box, not the rectangle"
    )
    place.add_argument(
        "--candidate",
        type=int,
        metavar="K",
        help="take this other place (0-based, as `ground` lists them)",
    )
    place.add_argument(
        "--level",
        choices=("subpart", "part", "whole"),
        help="take the whole thing, a part, or a part of that",
    )
    place.add_argument("--shadow", action="store_true", help="include the shadow it casts")
    place.add_argument(
        "--grow", type=int, metavar="N", help="grow the mask by N pixels; negative: shrink"
    )
    place.add_argument("--invert", action="store_true", help="paint everything else")


def _painting_options(parser: argparse.ArgumentParser, retries: int) -> None:
    parser.add_argument("--seed", type=int, default=0, help="same seed, same picture")
    parser.add_argument("--variants", type=int, default=1, metavar="N", help="paint N pictures")
    parser.add_argument(
        "--retries",
        type=int,
        default=retries,
        metavar="N",
        help="try up to N more seeds while the check fails (default: %(default)s)",
    )
    parser.add_argument("--draft", action="store_true", help="few steps: a quick look")
    parser.add_argument("--steps", type=int, help="denoising steps (default: the preset's)")
    parser.add_argument("--guidance", type=float, help="how strictly to follow the prompt")
    parser.add_argument("--negative", metavar="PROMPT", help="what not to paint")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any other setting, e.g. feather=4, blend=poisson, scheduler=euler",
    )
    parser.add_argument(
        "--format",
        default="png",
        choices=("png", "webp", "jpg"),
        help="of the result (default: %(default)s; jpg is lossy)",
    )


def run(args: argparse.Namespace) -> int:
    """Do one edit and save it; 0 where something was painted."""
    _check_usage(args)
    check_folder(args.out)
    with Steps(args) as on_step:
        edit = _edited(args, on_step)
    if not edit.done:
        _tell_undone(args, edit)
        return UNMET
    files, notes = save_edit(edit, Path(args.out), args.format)
    facts = edit_facts(edit, files, notes)
    report(args, facts, _lines(edit, facts, files))
    show(args, files["overlay"])
    return DONE


def _edited(args: argparse.Namespace, on_step: Callable[[int, int], None] | None) -> Edit:
    from ..editing.rerun import first_picture
    from ..pictures.picture import open_picture
    from ..request import read_request

    if args.recipe:
        picture = first_picture(read_request(args.recipe), args.image)
        check_format(args, picture)
        return load_editor(args).run(args.recipe, picture, on_step=on_step)
    picture = open_picture(args.image)
    check_format(args, picture)
    options: dict[str, Any] = {
        "seed": args.seed,
        "variants": args.variants,
        "draft": args.draft,
        "check": args.check,
        "retries": args.retries,
        "settings": _settings(args),
        "on_step": on_step,
    }
    if args.command == "extend":
        options |= _sides(args, picture)
    else:
        options |= {
            "mask": args.mask,
            "box": _boxes(args),
            "snap": args.snap,
            "candidate": args.candidate,
            "operations": _operations(args),
        }
    editor = load_editor(args)
    if args.command == "extend":
        return editor.extend(picture, args.paint, **options)
    if args.command == "remove":
        return editor.remove(picture, args.find, **options)
    return editor.edit(picture, args.find, args.paint, **options)


def _check_usage(args: argparse.Namespace) -> None:
    if args.recipe is not None:
        _check_alone(args)
        return
    if args.command == "extend":
        if all(getattr(args, side) == "0" for side in SIDES):
            wrong_usage(args, f"say where: {', '.join(f'--{side}' for side in SIDES)}")
        return
    placed = args.find or args.mask or args.box
    if args.command == "edit" and not (args.image and placed):
        message = (
            "give IMAGE and --find PHRASE (or --mask or --box) and --paint PROMPT, or --recipe FILE"
        )
    elif not placed:
        message = "give --find PHRASE, --mask FILE or --box X0,Y0,X1,Y1"
    elif args.command == "edit" and args.paint is None:
        message = "--paint PROMPT is missing; to take something away use `groundbrush remove`"
    elif args.snap and not args.box:
        message = "--snap takes the object in a --box; give one, or leave it out"
    else:
        return
    wrong_usage(args, message)


def _check_alone(args: argparse.Namespace) -> None:
    """Refuse what a recipe says already: it would have no effect."""
    usual = {"seed": 0, "variants": 1, "retries": 0, "set": []}
    told = [
        name
        for name in _IN_RECIPE
        if (value := getattr(args, name)) is not None
        and value is not False
        and value != usual.get(name)
    ]
    if told:
        names = ", ".join("--" + name for name in told)
        wrong_usage(
            args,
            f"{names} cannot be changed beside --recipe, which says it already; "
            "change it in a copy of the recipe's .json file",
        )


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    """The settings that differ from the preset's."""
    changes: dict[str, Any] = {}
    for given in args.set:
        name, equals, value = given.partition("=")
        if not equals or not name.strip():
            wrong_usage(args, f"--set {given!r} given; expected NAME=VALUE, e.g. feather=4")
        if name.strip() in changes:
            wrong_usage(args, f"--set {name.strip()} is given twice; leave one out")
        try:
            changes[name.strip()] = json.loads(value)
        except ValueError:
            changes[name.strip()] = value.strip()
    options = {"steps": args.steps, "guidance": args.guidance, "negative_prompt": args.negative}
    given_so = {name: value for name, value in options.items() if value is not None}
    if twice := sorted({*changes} & {*given_so}):
        wrong_usage(args, f"{twice[0]} is given by --set and by an option; leave one out")
    return changes | given_so


def _boxes(args: argparse.Namespace) -> list[list[float]] | None:
    if not args.box:
        return None
    boxes = []
    for given in args.box:
        try:
            x0, y0, x1, y1 = (float(v) for v in given.split(","))
        except ValueError:
            wrong_usage(
                args, f"--box {given!r} given; expected x0,y0,x1,y1 in pixels, e.g. 40,60,200,220"
            )
        boxes.append([x0, y0, x1, y1])
    return boxes


def _operations(args: argparse.Namespace) -> list[dict[str, Any]]:
    """The operations on the mask, in the order a retoucher would do them."""
    operations: list[dict[str, Any]] = []
    if args.level:
        operations.append({"op": "level", "level": args.level})
    if args.shadow:
        operations.append({"op": "shadow"})
    if args.grow:
        operations.append({"op": "dilate" if args.grow > 0 else "erode", "pixels": abs(args.grow)})
    if args.invert:
        operations.append({"op": "invert"})
    return operations


def _sides(args: argparse.Namespace, picture: Picture) -> dict[str, int]:
    """Pixels by side; shares are of the picture's width or height."""
    sides = {}
    for side in SIDES:
        given = getattr(args, side)
        try:
            number = float(given.removesuffix("%"))
        except ValueError:
            wrong_usage(
                args, f"--{side} {given!r} given; expected pixels such as 128 or a share like 25%"
            )
        if given.endswith("%"):
            number *= picture.size[side in ("top", "bottom")] / 100
        sides[side] = round(number)
    return sides


def save_edit(edit: Edit, out: Path, suffix: str) -> tuple[dict[str, Path], list[str]]:
    """Save every variant, the overlay and the recipe; gives the files, and notes.

    The same edit goes where it went before; another one of the same picture beside it.
    """
    from ..files import atomic_write, free_stem, holds
    from ..pictures.overlay import contact_sheet

    recipe = json.dumps(edit.recipe(), indent=1).encode()
    stem = edit.picture.source.stem if edit.picture.source else "picture"
    stem = free_stem(
        out,
        stem,
        (".recipe.json", ".overlay.png", ".edited*"),
        lambda name: holds(out / f"{name}.recipe.json", recipe),
    )
    files = {"result": out / f"{stem}.edited.{suffix}"}
    notes: list[str] = []
    for k, variant in enumerate(edit.variants):
        path = files["result"] if k == 0 else out / f"{stem}.edited-{variant.seed}.{suffix}"
        notes += edit.save(path, k)
        files["result" if k == 0 else f"variant {k}"] = path
    files |= {"overlay": out / f"{stem}.overlay.png", "recipe": out / f"{stem}.recipe.json"}
    sheet = contact_sheet(edit, edit.request.get("paint") or "removed")
    atomic_write(files["overlay"], lambda file: sheet.save(file, "PNG"))
    atomic_write(files["recipe"], recipe)
    return files, list(dict.fromkeys(notes))


def edit_facts(edit: Edit, files: dict[str, Path], notes: list[str]) -> dict[str, Any]:
    """What ``--json`` prints of an edit."""
    found = {} if edit.grounding is None else grounding_facts(edit.grounding)
    return {
        "done": True,
        **found,
        **dict(edit.checks),
        "seed": edit.variants[0].seed,
        "support_pixels": int(edit.support.sum()),
        "variants": [{"seed": v.seed, **dict(v.checks)} for v in edit.variants],
        "timings": {k: round(v, 2) for k, v in edit.timings.items()},
        "notes": [*edit.notes, *notes],
        **{k: str(v) for k, v in files.items()},
    }


def _tell_undone(args: argparse.Namespace, edit: Edit) -> None:
    """Why nothing was painted, and what could be."""
    found = {} if edit.grounding is None else grounding_facts(edit.grounding)
    lines = [edit.notes[-1]]
    if found.get("candidates"):
        lines += [*candidate_lines(found), "--candidate K paints one of these all the same"]
    report(args, {"done": False, **found, "reason": edit.notes[-1]}, lines)


def _lines(edit: Edit, facts: dict[str, Any], files: dict[str, Path]) -> list[str]:
    lines = []
    if edit.grounding is not None:
        lines.append(f"{edit.grounding.status}: {edit.grounding.reason}")
    lines.append(
        f"painted {facts['support_pixels']} pixels in {facts['timings']['paint']} s; every other "
        "pixel equals the input's"
    )
    passed, words = edit.variants[0].checks.get("passed"), edit.variants[0].checks.get("words")
    if passed:
        lines.append(f"checked: {words}")
    lines = list(dict.fromkeys([*lines, *facts["notes"]]))  # a note may be the grounding's reason
    return [*lines, *(f"{name}: {path}" for name, path in files.items())]


class Steps:
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
