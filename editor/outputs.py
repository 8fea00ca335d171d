"""Write a result's files beside those of earlier results of the same picture.

The same result is written where it was before; another one takes the next free name.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import GroundbrushError, printable
from .files import atomic_write, free_stem, holds, relative_path

if TYPE_CHECKING:
    from ..grounding.result import Grounding
    from ..multiobject.panoptic import PanopticGrounding
    from .editing.result import Edit
    from .explain import Why
    from .pictures.picture import Picture
    from .plan import Plan

_LONGEST_STEM = 190  # bytes; file systems take 255 with what follows
EXPORTS = ("coco-panoptic", "coco-instances", "labelme")


def save_grounding(
    found: Grounding, picture: Picture, out: Path, why: Why | None = None
) -> dict[str, Path]:
    """Write the picture with what was found drawn on it; with `why` the mask and the maps too."""
    from .pictures.overlay import draw_grounding
    from .pictures.saving import encode_png

    made = {"overlay": (".found.png", encode_png(draw_grounding(picture.pixels, found)))}
    if why is not None:
        import numpy as np

        from .explain import why_sheet

        mask = np.repeat(found.mask[..., None].astype(np.uint8) * 255, 3, axis=2)
        made |= {
            "mask": (".found.mask.png", encode_png(mask)),
            "why": (".found.why.png", encode_png(why_sheet(why))),
        }
    return _write(out, _name(picture), (".found*.png",), lambda s: made)


def save_panoptic(
    found: PanopticGrounding, picture: Picture, out: Path, exports: Sequence[str] = ()
) -> dict[str, Path]:
    """Write the picture with every segment drawn on it, and some of `EXPORTS`."""
    from .pictures.panoptic_overlay import panoptic_sheet
    from .pictures.saving import encode_png

    sheet = encode_png(panoptic_sheet(picture.pixels, found))

    def files(stem: str) -> dict[str, tuple[str, bytes]]:
        made = {"overlay": (".all.png", sheet)}
        for kind in exports:
            made |= _export(found, kind, picture, out, stem)
        return made

    endings = (".all.png", "_panoptic.*", ".instances.json", ".labelme.json")
    # without further dots, at which panopticapi would cut the panoptic PNG's name
    return _write(out, _name(picture).replace(".", "_"), endings, files)


def save_edit(edit: Edit, out: Path, suffix: str) -> tuple[dict[str, Path], list[str]]:
    """Write every variant, the overlay and the recipe; returns the files, and notes."""
    from .pictures.overlay import contact_sheet
    from .pictures.saving import encode_png

    recipe = json.dumps(edit.recipe(out), indent=1).encode()
    stem = free_stem(
        out,
        _name(edit.picture),
        (".recipe.json", ".overlay.png", ".edited*"),
        lambda name: holds(out / f"{name}.recipe.json", recipe),
    )
    files, notes = {"result": out / f"{stem}.edited.{suffix}"}, list[str]()
    for k, variant in enumerate(edit.variants):
        name = "result" if k == 0 else f"variant {k}"
        if k:
            files[name] = out / f"{stem}.edited-{variant.seed}.{suffix}"
        notes += edit.save(files[name], k)
    files |= {"overlay": out / f"{stem}.overlay.png", "recipe": out / f"{stem}.recipe.json"}
    paintings = [(f"seed {v.seed}", v.image) for v in edit.variants]
    paintings[0] = (edit.request.paint or "removed", edit.image)
    sheet = contact_sheet(edit.picture.pixels, edit.grounding, edit.support, paintings)
    atomic_write(files["overlay"], encode_png(sheet))
    atomic_write(files["recipe"], recipe)
    return files, list(dict.fromkeys(notes))


def save_plan_edits(
    picture: Picture, plan: Plan, edits: Sequence[Edit], out: Path, suffix: str
) -> tuple[dict[str, Path], list[str]]:
    """Write what a plan came to (`save_applied`); returns files and notes."""
    from .pictures.picture import read_recipe
    from .plan import Plan
    from .request import recipe_for_file

    done = [edit.recipe(out) for edit in edits if edit.done]
    recipe = json.loads(json.dumps(recipe_for_file(done)[0])) if done else None

    def is_same(name: str) -> bool:
        results = out.glob(f"{escape(name)}.applied.*")
        try:
            return Plan.load(out / f"{name}.plan.json") == plan and all(
                read_recipe(result) == recipe for result in results
            )
        except GroundbrushError:  # not files of ours
            return False

    stem = free_stem(out, _name(picture), (".plan.json", ".applied.*", ".steps.png"), is_same)
    return save_applied(picture, plan, edits, out, stem, suffix)


def save_applied(
    picture: Picture, plan: Plan, edits: Sequence[Edit], out: Path, stem: str, suffix: str = "png"
) -> tuple[dict[str, Path], list[str]]:
    """Write the result, a strip of what each edit did, and the plan.

    Parameters
    ----------
    picture, plan, edits
        What `editor.plan.apply.apply_plan` was given, and gave.
    out, stem
        The folder, and how the files' names begin.
    suffix
        ``png``, ``webp`` or ``jpg``, of the result.

    Returns
    -------
    files : dict of str to Path
        ``plan``; ``result`` and ``strip`` where anything was painted.
    notes : list of str
        What the user should know.

    Raises
    ------
    GroundbrushError
        When a pixel outside the edits' supports differs from the input's, or a file cannot be
        written.
    """
    import numpy as np

    from .pictures.panoptic_overlay import steps_strip
    from .pictures.saving import encode_png, save_picture
    from .request import recipe_for_file

    files = {"plan": out / f"{stem}.plan.json"}
    plan.save(files["plan"])
    done = [edit for edit in edits if edit.done]
    if not done:
        return files, []
    support = np.any([edit.support for edit in done], axis=0)
    changed = int(((done[-1].image != picture.pixels).any(2) & ~support).sum())
    if changed:
        raise GroundbrushError(
            f"{changed} pixels outside the edits' supports differ from the input's; the picture "
            "was not saved: please report this"
        )
    files |= {"result": out / f"{stem}.applied.{suffix}", "strip": out / f"{stem}.steps.png"}
    notes = [note for edit in done for note in edit.notes]
    recipe, more = recipe_for_file([edit.recipe(out) for edit in done])
    notes += more
    notes += save_picture(files["result"], done[-1].image, like=picture, recipe=recipe)
    strip = steps_strip([picture.pixels, *(edit.image for edit in done)])
    atomic_write(files["strip"], encode_png(strip))
    return files, list(dict.fromkeys(notes))


def _write(
    out: Path,
    name: str,
    endings: Sequence[str],
    files: Callable[[str], Mapping[str, tuple[str, bytes]]],
) -> dict[str, Path]:
    """Write files, each given by its ending and content, under a stem that is free."""

    def is_same(stem: str) -> bool:
        paths = [(out / f"{stem}{ending}", held) for ending, held in files(stem).values()]
        return all(not path.exists() or holds(path, held) for path, held in paths)

    stem = free_stem(out, name, endings, is_same)
    return {
        kind: atomic_write(out / f"{stem}{ending}", held)
        for kind, (ending, held) in files(stem).items()
    }


def _export(
    found: PanopticGrounding, kind: str, picture: Picture, out: Path, stem: str
) -> dict[str, tuple[str, bytes]]:
    from ..multiobject.export.coco import coco_instances
    from ..multiobject.export.labelme import to_labelme

    source = picture.source or Path("picture.png")
    if kind == "coco-panoptic":
        png, document = panoptic_files(found, source.name, f"{stem}_panoptic.png")
        return {
            "panoptic PNG": ("_panoptic.png", png),
            "panoptic JSON": ("_panoptic.json", document),
        }
    if kind == "coco-instances":
        ending, content = ".instances.json", coco_instances(found, file_name=source.name)
    else:
        ending = ".labelme.json"
        content = to_labelme(found, image_path=relative_path(Path(source), out))
    return {kind: (ending, json.dumps(content).encode())}


def panoptic_files(
    found: PanopticGrounding, file_name: str, png_name: str, indent: int | None = None
) -> tuple[bytes, bytes]:
    """Return COCO's panoptic PNG and JSON of what was found in the picture `file_name`."""
    from ..multiobject.export.coco import coco_panoptic

    panoptic = coco_panoptic(found, file_name=file_name, png_name=png_name)
    return panoptic.png(), json.dumps(panoptic.document, indent=indent).encode()


def _name(picture: Picture) -> str:
    """How the names of a picture's results begin: as its own, or its beginning if that is long."""
    # other programs show a file's name, too: no control characters in it
    name = printable(picture.source.stem).replace("\\", "-") if picture.source else "picture"
    while len(os.fsencode(name)) > _LONGEST_STEM:
        name = name[:-1]
    return name
