"""``groundbrush ground-all`` and ``groundbrush apply``: they parse, call the API and print."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import GroundbrushError
from .options import (
    Bar,
    add_common_options,
    check_folder,
    check_format,
    load_editor,
    report,
    show,
    wrong_usage,
)

if TYPE_CHECKING:
    from ...multiobject import PanopticGrounding
    from ..editing.result import Edit
    from ..plan import Plan

DONE, UNMET = 0, 1
_OF_GROUND_ALL = (".all.png", ".panoptic.*", ".instances.json", ".labelme.json")
EXPORTS = ("coco-panoptic", "coco-instances", "labelme")


def add_parsers(commands: Any) -> None:
    """Add the two commands to the program's subcommands."""
    everything: argparse.ArgumentParser = commands.add_parser(
        "ground-all", help="say where everything is that a sentence names"
    )
    everything.add_argument("image", help="a picture file")
    everything.add_argument("sentence", help='e.g. "a dog next to two red cars"')
    everything.add_argument(
        "--mode",
        choices=("phrases", "caption"),
        default="phrases",
        help="ask phrase by phrase, or read the sentence once, as the paper "
        "does (default: %(default)s)",
    )
    everything.add_argument(
        "--export",
        action="append",
        choices=EXPORTS,
        default=[],
        metavar="FORMAT",
        help=f"also write the result as one of {', '.join(EXPORTS)}; may be repeated",
    )
    add_common_options(everything, shown="the result")
    everything.set_defaults(run=run_ground_all)

    apply: argparse.ArgumentParser = commands.add_parser(
        "apply", help="do what a sentence asks for: replace, turn into, recolour, remove, put on"
    )
    apply.add_argument("image", help="a picture file")
    apply.add_argument(
        "sentence", nargs="?", help='e.g. "replace the dog with a cat and remove the cup"'
    )
    apply.add_argument(
        "--plan", metavar="FILE", help="with SENTENCE: write its plan there; without: do this plan"
    )
    apply.add_argument("--plan-only", action="store_true", help="show the plan and stop")
    apply.add_argument("--seed", type=int, default=0, help="same seed, same picture")
    apply.add_argument("--steps", type=int, help="denoising steps (default: the preset's)")
    apply.add_argument("--guidance", type=float, help="how strictly to follow the prompt")
    apply.add_argument(
        "--format",
        default="png",
        choices=("png", "webp", "jpg"),
        help="of the result (default: %(default)s; jpg is lossy)",
    )
    add_common_options(apply, shown="the result")
    apply.set_defaults(run=run_apply)


def run_ground_all(args: argparse.Namespace) -> int:
    """Ground a sentence; 0 where at least one of its phrases is there."""
    from ..files import atomic_write, free_stem, holds
    from ..pictures.panoptic_overlay import panoptic_sheet
    from ..pictures.picture import open_picture
    from ..pictures.saving import encode_png

    check_folder(args.out)
    picture = open_picture(args.image)
    found = load_editor(args).ground_all(picture, args.sentence, mode=args.mode)
    out, sheet = Path(args.out), encode_png(panoptic_sheet(picture.pixels, found))

    def made(stem: str) -> dict[str, tuple[Path, bytes]]:
        files = {"overlay": (out / f"{stem}.all.png", sheet)}
        for kind in args.export:
            files |= _export(found, kind, out, Path(args.image), stem)
        return files

    def is_same(stem: str) -> bool:
        return all(not path.exists() or holds(path, held) for path, held in made(stem).values())

    stem = free_stem(out, Path(args.image).stem, _OF_GROUND_ALL, is_same)
    files = {name: atomic_write(path, held) for name, (path, held) in made(stem).items()}
    facts = {
        "caption": found.caption,
        "segments": [_facts(s) for s in found.segments],
        "timings": {k: round(v, 3) for k, v in found.timings.items()},
        **{k: str(v) for k, v in files.items()},
    }
    lines = [f"{s.phrase}: {s.status}{_numbers(s)}; {s.reason}" for s in found.segments]
    lines = lines or ["the sentence names nothing that could be pointed at"]
    report(args, facts, [*lines, *(f"{name}: {path}" for name, path in files.items())])
    show(args, files["overlay"])
    return DONE if found.found else UNMET


def run_apply(args: argparse.Namespace) -> int:
    """Show or do a plan; 0 where every step was done."""
    from ..pictures.picture import open_picture
    from ..plan.apply import check_ready, save_applied

    plan = _plan(args)
    if args.plan_only:
        report(args, plan.as_dict(), [str(plan)])
        return DONE if plan.steps and not plan.unread else UNMET
    if not (args.quiet or args.json):
        print(plan, file=sys.stderr)
    check_ready(plan)
    check_folder(args.out)
    picture = open_picture(args.image)
    check_format(args, picture)
    changes = {k: v for k in ("steps", "guidance") if (v := getattr(args, k)) is not None}
    with Bar(args, "painting", "step") as bar:
        edits = load_editor(args).apply(
            picture, plan, seed=args.seed, settings=changes, on_step=bar
        )
    out, stem = Path(args.out), _stem(args, plan, edits)
    files, notes = save_applied(picture, plan, edits, out, stem, args.format)
    reasons = [e.notes[-1] for e in edits if not e.done]
    facts = {
        "done": not reasons,
        "steps": [_edit_facts(e) for e in edits],
        "notes": notes,
        **{k: str(v) for k, v in files.items()},
    }
    lines = [
        f"{e.request['find']}: {'painted' if e.done else 'not done, ' + e.notes[-1]}" for e in edits
    ]
    report(args, facts, [*lines, *notes, *(f"{name}: {path}" for name, path in files.items())])
    if "result" in files:
        show(args, files["result"])
    return UNMET if reasons else DONE


def _stem(args: argparse.Namespace, plan: Plan, edits: Sequence[Edit]) -> str:
    """How the files' names begin: the same plan's go where they went, another's beside them."""
    from ..files import free_stem
    from ..pictures.picture import read_recipe
    from ..plan import Plan
    from ..request import carried

    out, done = Path(args.out), [edit.recipe() for edit in edits if edit.done]
    recipe = json.loads(json.dumps(carried(done)[0])) if done else None

    def is_same(name: str) -> bool:
        results = out.glob(f"{escape(name)}.applied.*")
        try:
            return Plan.load(out / f"{name}.plan.json") == plan and all(
                read_recipe(result) == recipe for result in results
            )
        except GroundbrushError:  # none of ours
            return False

    return free_stem(
        out, Path(args.image).stem, (".plan.json", ".applied.*", ".steps.png"), is_same
    )


def _plan(args: argparse.Namespace) -> Plan:
    """The sentence's plan, written where asked, or the one of a file."""
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
    """Refuse to write a plan over anything but a plan: with SENTENCE, --plan is where it goes."""
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


def _export(
    found: PanopticGrounding, kind: str, out: Path, image: Path, stem: str
) -> dict[str, tuple[Path, bytes]]:
    """The files of an export, and what they hold."""
    from ...multiobject.export.coco import coco_instances
    from ...multiobject.export.labelme import to_labelme

    if kind == "coco-panoptic":
        made = found.to_coco_panoptic(file_name=image.name)
        png = out / f"{stem}.panoptic.png"
        made.document["annotations"][0]["file_name"] = png.name
        document = json.dumps(made.document).encode()
        return {
            "panoptic PNG": (png, made.png()),
            "panoptic JSON": (out / f"{stem}.panoptic.json", document),
        }
    if kind == "coco-instances":
        document = json.dumps(coco_instances(found, file_name=image.name)).encode()
        return {kind: (out / f"{stem}.instances.json", document)}
    document = json.dumps(to_labelme(found, image_path=str(image.resolve()))).encode()
    return {kind: (out / f"{stem}.labelme.json", document)}


def _numbers(segment: Any) -> str:
    return f" ({', '.join(map(str, segment.ids))})" if segment.ids else ""


def _facts(segment: Any) -> dict[str, Any]:
    return {
        "phrase": segment.phrase,
        "span": list(segment.span),
        "name": segment.name,
        "is_thing": segment.is_thing,
        "plural": segment.plural,
        "status": segment.status,
        "reason": segment.reason,
        "score": round(segment.score, 3),
        "ids": list(segment.ids),
        "boxes": [[round(v) for v in i.box] for i in segment.instances],
        "area": int(segment.mask.sum()),
    }


def _edit_facts(edit: Edit) -> dict[str, Any]:
    return {
        "find": edit.request["find"],
        "paint": edit.request["paint"],
        "done": edit.done,
        "reason": "" if edit.done else edit.notes[-1],
        "seed": edit.seed,
        "support_pixels": int(edit.support.sum()),
        "checks": dict(edit.checks),
        "recipe": edit.recipe(),
    }
