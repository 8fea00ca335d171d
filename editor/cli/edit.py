"""``groundbrush edit``, ``remove``, ``extend`` and ``apply``: parse, call the API, print."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import GroundbrushError, printable
from .ground import candidate_lines
from .options import (
    DONE,
    MODELS,
    RESULTS,
    UNMET,
    ProgressBar,
    add_command,
    add_options,
    check_directory,
    check_format,
    load_editor,
    print_result,
    read_pixels,
    read_settings,
    wrong_usage,
)

if TYPE_CHECKING:
    from ..editing.result import Edit
    from ..pictures.picture import Picture
    from ..plan import Plan

SIDES = ("left", "top", "right", "bottom")
_BESIDE_RECIPE = {*f"help image recipe format memory show {MODELS} {RESULTS}".split()}


def add_commands(commands: Any) -> None:
    """Add ``edit``, ``remove``, ``extend`` and ``apply``."""
    for add in (_add_edit, _add_remove, _add_extend, _add_apply):
        add(commands)


def _add_edit(commands: Any) -> None:
    edit = add_command(commands, "edit", _run, "repaint what a phrase names, or a region you give")
    edit.add_argument("image", nargs="?", help="a picture file")
    edit.add_argument("--find", metavar="PHRASE", help="what to replace")
    edit.add_argument("--paint", metavar="PROMPT", help="what to paint instead")
    edit.add_argument("--recipe", metavar="FILE", help="repeat the edit saved in this file")
    edit.add_argument(
        "--check",
        action="store_true",
        help="check that what was painted is found, and put the best variant first",
    )
    edit.add_argument(
        "--check-for", dest="check", metavar="PHRASE", help="the same, finding this phrase"
    )
    _add_region_options(edit)
    add_options(edit, "retries")
    _add_painting_options(edit)


def _add_remove(commands: Any) -> None:
    remove = add_command(
        commands, "remove", _run, "paint the background over what a phrase names, or a region"
    )
    remove.add_argument("image", help="a picture file")
    remove.add_argument("--find", metavar="PHRASE", help="what to remove")
    remove.add_argument(
        "--no-check",
        dest="check",
        action="store_false",
        help="do not check that it is gone, and do not retry",
    )
    _add_region_options(remove)
    add_options(remove, "retries", retries={"default": 3})
    _add_painting_options(remove)
    remove.set_defaults(paint=None, recipe=None)


def _add_extend(commands: Any) -> None:
    extend = add_command(commands, "extend", _run, "add to a picture's sides and paint them")
    extend.add_argument("image", help="a picture file")
    for side in SIDES:
        extend.add_argument(
            f"--{side}", default="0", metavar="N", help="pixels to add, or a share such as 25%%"
        )
    extend.add_argument(
        "--paint", metavar="PROMPT", help="what to paint there (default: more background)"
    )
    _add_painting_options(extend)
    extend.set_defaults(recipe=None, check=False, retries=0)


def _add_apply(commands: Any) -> None:
    apply = add_command(
        commands,
        "apply",
        _apply,
        "carry out a sentence: replace, turn into, recolour, remove, put on",
    )
    apply.add_argument("image", help="a picture file")
    apply.add_argument(
        "sentence", nargs="?", help='e.g. "replace the dog with a cat and remove the cup"'
    )
    apply.add_argument(
        "--plan",
        metavar="FILE",
        help="with SENTENCE: write its plan there; without: carry out this plan",
    )
    apply.add_argument("--plan-only", action="store_true", help="print the plan and stop")
    add_options(apply, f"seed steps guidance format {MODELS} memory {RESULTS} show")


def _add_region_options(parser: argparse.ArgumentParser) -> None:
    region = parser.add_argument_group("where", "instead of --find, or to change what it finds")
    region.add_argument("--mask", metavar="FILE", help="paint where this picture is white")
    region.add_argument(
        "--box",
        action="append",
        metavar="X0,Y0,X1,Y1",
        help="paint in this rectangle of pixels; may be repeated",
    )
    region.add_argument(
        "--click",
        action="append",
        metavar="X,Y",
        help="take the object under this pixel, or add it; may be repeated",
    )
    region.add_argument(
        "--snap", action="store_true", help="take the object in each box, not the rectangle"
    )
    region.add_argument(
        "--candidate",
        type=int,
        metavar="K",
        help="take this other candidate (0-based, as `ground` lists them)",
    )
    region.add_argument(
        "--level",
        choices=("subpart", "part", "whole"),
        help="take the whole thing, a part, or a part of that",
    )
    region.add_argument("--shadow", action="store_true", help="include the shadow it casts")
    region.add_argument(
        "--grow", type=int, metavar="N", help="grow the mask by N pixels; negative: shrink"
    )
    region.add_argument("--invert", action="store_true", help="paint everything else")


def _add_painting_options(parser: argparse.ArgumentParser) -> None:
    add_options(parser, "seed variants draft steps guidance")
    parser.add_argument("--negative", metavar="PROMPT", help="what not to paint")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any other setting, e.g. feather=4, blend=poisson, scheduler=euler",
    )
    add_options(parser, f"format {MODELS} memory {RESULTS} show")


def _run(args: argparse.Namespace) -> int:
    """Do one edit and save it; 0 if all that it names was painted."""
    from ..facts import edit_facts, grounding_facts
    from ..outputs import save_edit

    _check_usage(args)
    check_directory(args.out)
    edit = _edited(args)
    facts = edit_facts(edit)
    if edit.grounding is not None:
        facts = {**grounding_facts(edit.grounding), **facts}
        facts["reason"] = facts["reason"] or edit.grounding.reason
    if not edit.done:
        lines = [edit.notes[-1]]
        if edit.grounding is not None and edit.grounding.candidates:
            lines += candidate_lines(edit.grounding)
            lines.append("--candidate K paints one of these all the same")
        print_result(args, facts, lines)
        return UNMET
    files, notes = save_edit(edit, Path(args.out), args.format)
    notes = [*edit.notes, *notes]
    facts |= {
        **edit.checks,
        "variants": [{"seed": v.seed, **v.checks} for v in edit.variants],
        "timings": {k: round(v, 2) for k, v in edit.timings.items()},
        "notes": notes,
    }
    print_result(args, facts, _lines(edit, notes), files, show="overlay")
    return UNMET if edit.unmet else DONE


def _lines(edit: Edit, notes: list[str]) -> list[str]:
    lines = []
    if edit.grounding is not None:
        chosen = edit.request.candidate
        words = f"{edit.grounding.status}: {edit.grounding.reason}"
        lines.append(words if chosen is None else f"candidate {chosen} was taken, as requested")
    lines.append(
        f"painted {int(edit.support.sum())} pixels in {round(edit.timings['paint'], 2)} s; every "
        "other pixel equals the input's"
    )
    checks = edit.variants[0].checks
    if checks.get("passed"):
        lines.append(f"checked: {checks.get('words')}")
    return list(dict.fromkeys([*lines, *notes]))  # a note may repeat the grounding's reason


def _edited(args: argparse.Namespace) -> Edit:
    from ..editing.rerun import first_picture
    from ..pictures.picture import open_picture
    from ..request import read_request

    with ProgressBar(args, "painting", "step", leave=False) as on_step:
        if args.recipe:
            picture = first_picture(read_request(args.recipe), args.image)
            check_format(args, picture)
            return load_editor(args).run(args.recipe, picture, on_step=on_step)
        picture = open_picture(args.image)
        check_format(args, picture)
        options = {**edit_options(args), "on_step": on_step}
        if args.command == "extend":
            options |= _sides(args, picture)
            return load_editor(args).extend(picture, args.paint, **options)
        editor = load_editor(args)
        if args.command == "remove":
            return editor.remove(picture, args.find, **options)
        return editor.edit(picture, args.find, args.paint, **options)


def edit_options(args: argparse.Namespace) -> dict[str, Any]:
    """The options as keyword arguments of `Editor.edit`, `remove` or `extend`."""
    painting = {
        "seed": args.seed,
        "variants": args.variants,
        "draft": args.draft,
        "check": args.check,
        "retries": args.retries,
        "settings": read_settings(args),
    }
    if args.command == "extend":
        return painting
    return {
        **painting,
        "mask": args.mask,
        "box": read_pixels(args, "--box", args.box, "40,60,200,220") or None,
        "snap": args.snap,
        "candidate": args.candidate,
        "operations": _operations(args),
    }


def _check_usage(args: argparse.Namespace) -> None:
    if args.recipe is not None:
        _check_recipe_alone(args)
    elif args.command == "extend":
        if all(getattr(args, side) == "0" for side in SIDES):
            wrong_usage(args, f"say where: {', '.join(f'--{side}' for side in SIDES)}")
    elif args.command == "edit" and not (args.image and _says_where(args)):
        wrong_usage(
            args,
            "give IMAGE and --find PHRASE (or --mask, --box or --click) and --paint PROMPT, or "
            "--recipe FILE",
        )
    elif not _says_where(args):
        wrong_usage(args, "give --find PHRASE, --mask FILE, --box X0,Y0,X1,Y1 or --click X,Y")
    elif args.command == "edit" and args.paint is None:
        wrong_usage(
            args, "--paint PROMPT is missing; to take something away use `groundbrush remove`"
        )
    elif not args.check and args.retries != args.parser.get_default("retries"):
        wrong_usage(args, "--retries repeats while a check fails, and there is none; give both")
    elif args.snap and not args.box:
        wrong_usage(args, "--snap takes the object in a --box; give one, or leave it out")


def _check_recipe_alone(args: argparse.Namespace) -> None:
    """Refuse options that the recipe contains: they would have no effect."""
    options = {
        action.dest: action.option_strings[0]
        for action in reversed(args.parser._actions)
        if action.dest not in _BESIDE_RECIPE
    }
    given = [n for d, n in options.items() if getattr(args, d) != args.parser.get_default(d)]
    if given:
        wrong_usage(
            args,
            f"{', '.join(reversed(given))} cannot be changed beside --recipe, which says it "
            "already; change it in a copy of the recipe's .json file",
        )


def _says_where(args: argparse.Namespace) -> bool:
    return bool(args.find or args.mask or args.box or args.click)


def _operations(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Operations on the mask, in the order that a retoucher applies them."""
    clicks = read_pixels(args, "--click", args.click, "120,80")
    operations: list[dict[str, Any]] = [{"op": "points", "points": [click]} for click in clicks]
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
    """Pixels to add by side; shares are of the picture's width or height."""
    sides = {}
    for side in SIDES:
        given = getattr(args, side)
        share = picture.size[side in ("top", "bottom")] / 100 if given.endswith("%") else 1
        try:
            sides[side] = round(float(given.removesuffix("%")) * share)
        except (ValueError, OverflowError):  # of "nan" and "inf", too
            wrong_usage(
                args, f"--{side} {given!r} given; expected pixels such as 128 or a share like 25%"
            )
    return sides


def _apply(args: argparse.Namespace) -> int:
    """Print or carry out a plan; 0 if every step was done."""
    from ..facts import edit_facts
    from ..outputs import save_plan_edits
    from ..pictures.picture import open_picture
    from ..plan.apply import check_ready

    plan = _plan(args)
    if args.plan_only:
        print_result(args, plan.as_dict(), [str(plan)])
        return DONE if plan.steps and not plan.unread else UNMET
    if not (args.quiet or args.json):
        print(printable(str(plan)), file=sys.stderr)
    check_ready(plan)
    check_directory(args.out)
    picture = open_picture(args.image)
    check_format(args, picture)
    changes = {k: v for k in ("steps", "guidance") if (v := getattr(args, k)) is not None}
    with ProgressBar(args, "painting", "step") as bar:
        edits = load_editor(args).apply(
            picture, plan, seed=args.seed, settings=changes, on_step=bar
        )
    files, notes = save_plan_edits(picture, plan, edits, Path(args.out), args.format)
    done = not any(edit.unmet for edit in edits)
    steps = [
        {"find": e.request.find, "paint": e.request.paint, **edit_facts(e), "recipe": e.recipe()}
        for e in edits
    ]
    lines = [
        f"{e.request.find}: {'; '.join(['painted'] * e.done + [e.unmet] * bool(e.unmet))}"
        for e in edits
    ]
    facts = {"done": done, "steps": steps, "notes": notes}
    print_result(args, facts, [*lines, *notes], files, show="result")
    return DONE if done else UNMET


def _plan(args: argparse.Namespace) -> Plan:
    """The plan of the sentence, written to --plan if given, or the plan that --plan holds."""
    from ..plan import Plan
    from ..plan.reader import read_plan

    if args.sentence is None:
        if args.plan is None:
            wrong_usage(args, "give a SENTENCE or --plan FILE")
        return Plan.load(args.plan)
    plan = read_plan(args.sentence)
    if args.plan is not None:
        _check_target(args.plan)
        plan.save(args.plan)
    return plan


def _check_target(file: str) -> None:
    """Refuse to write a plan over anything but a plan."""
    from ..plan import Plan

    if not Path(file).exists():
        return
    try:
        Plan.load(file)
    except GroundbrushError:
        raise GroundbrushError(
            f"--plan {file!r} is there already and is no plan; with a SENTENCE its plan is written "
            "there: give another name"
        ) from None
