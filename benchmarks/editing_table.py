"""Edits of the miniature beside diffusers' own ways; writes docs/measured/editing_table.md.

    python -m benchmarks.editing_table [--scenes 40]

Held-out scenes, true mask given; the same support, prompt, seed, steps and guidance for all;
strength 1.0 for diffusers' calls, the preset's for ours, which prefills the hole. Seam and ring
colour error are in grey levels, 0 to 255 (`inpaint/quality.py` says what they are), both against
the true surroundings: a call that repaints the whole picture has no seam of its own. The miniature
LVLM judges whether the new phrase is found in the hole and the old one is gone, with its own
errors: a picture that is blurred all over passes the second.
"""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from benchmarks import common

PAGE = common.ROOT / "docs" / "measured" / "editing_table.md"
SEEDS = 10_000  # the scores' own scenes start at 0
PADDING = 32
METHODS = {
    "ours": "`Editor.edit`: crop, paint, colour fit, composite",
    "diffusers, plain call": "at the model's size, resized back",
    "diffusers, at picture size": "with the picture's `height` and `width`",
    f"diffusers, padding_mask_crop={PADDING}": "its own crop and overlay",
}


class EditTask(NamedTuple):
    """One edit that every method does."""

    image: np.ndarray
    mask: np.ndarray
    support: np.ndarray
    prompt: str
    new: str
    old: str
    seed: int


def tasks(count: int, settings: Any) -> Iterator[EditTask]:
    """The first `count` scenes in which one object has no twin, and something to put instead."""
    from groundbrush.inpaint.support import support
    from groundbrush.miniature.scores.painting import edit_of

    seed = SEEDS
    while count:
        if chosen := edit_of(seed):
            scene, target, noun, colour = chosen
            mask, said = scene.mask(target), f"{colour} {noun}" if colour else noun
            old, area = f"the {scene.objects[target].noun}", support(mask, settings)
            yield EditTask(scene.image, mask, area, said, f"the {noun}", old, seed)
            count -= 1
        seed += 1


def methods(inpainter: Any, settings: Any) -> dict[str, Callable[[EditTask], np.ndarray]]:
    """Each way to paint a task, by the names in `METHODS`."""
    import torch
    from groundbrush.inpaint import fill
    from groundbrush.inpaint.prefill import resize_image
    from PIL import Image

    def ours(task: EditTask) -> np.ndarray:
        return fill(
            inpainter, task.image, task.mask, task.prompt, seed=task.seed, settings=settings
        ).image

    def plain(task: EditTask, height: int, width: int, **options: Any) -> np.ndarray:
        painted = inpainter.pipe(
            prompt=task.prompt,
            image=Image.fromarray(task.image),
            mask_image=Image.fromarray(task.support.astype(np.uint8) * 255),
            height=height,
            width=width,
            num_inference_steps=settings.steps,
            guidance_scale=settings.guidance,
            strength=1.0,
            generator=torch.Generator("cpu").manual_seed(task.seed),
            **options,
        ).images[0]
        return resize_image(np.asarray(painted.convert("RGB")), task.image.shape[1::-1])

    side = settings.size
    theirs = (
        lambda task: plain(task, side, side),
        lambda task: plain(task, *task.image.shape[:2]),
        lambda task: plain(task, side, side, padding_mask_crop=PADDING),
    )
    return dict(zip(METHODS, (ours, *theirs), strict=True))


def judge(finder: Any, task: EditTask, image: np.ndarray) -> dict[str, float]:
    """Look at one result with the same eyes for all."""
    from groundbrush.editor.editing.verify import Verifier
    from groundbrush.editor.pictures.picture import open_picture
    from groundbrush.inpaint.quality import seam_error

    picture = open_picture(task.image)
    kept = np.where(task.support[..., None], image, task.image)
    new = Verifier(finder, picture, task.new, gone=False).check(image, task.support)
    old = Verifier(finder, picture, task.old, gone=True).check(image, task.support)
    return {
        "pixels changed outside the support": ((image != task.image).any(2) & ~task.support).sum(),
        "seam error": seam_error(kept, task.support),
        "ring colour error": new.ring_colour,
        "new phrase found in the hole": bool(new.passed),
        "old phrase gone": bool(old.passed),
    }


def measure(args: Namespace) -> dict[str, Any]:
    """Means of every method."""
    from groundbrush import Editor

    editor = Editor.load("miniature", device=args.device, offline=True)
    settings = editor.models.inpaint_settings(removing=False, changes={})
    ways = methods(editor.models.inpainter(), settings)
    results: dict[str, common.Rows] = {name: [] for name in ways}
    count = 1 if args.tiny else args.scenes
    for task in tasks(count, settings):
        for name, way in ways.items():
            start = time.process_time()
            image = way(task)
            taken = time.process_time() - start
            results[name].append({**judge(editor.finder, task, image), "CPU seconds": taken})
    rows = [
        {
            "method": name,
            **{key: round(float(np.mean([r[key] for r in found])), 3) for key in found[0]},
        }
        for name, found in results.items()
    ]
    if not args.tiny:
        PAGE.write_text(page(rows, count), encoding="utf-8")
    return {"scenes": count, "rows": rows}


def page(rows: common.Rows, scenes: int) -> str:
    """docs/measured/editing_table.md."""
    machine, about = common.machine(), (__doc__ or "").strip().split("\n\n")[-1]
    return f"""# Editing: ours beside diffusers' own ways

Written by `python -m benchmarks.editing_table` on {machine["date"]}, {machine["cpu"]}, one thread:
{scenes} scenes.

{about}

{common.table(rows)}

{chr(10).join(f"- **{name}**: {words}." for name, words in METHODS.items())}
"""


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--scenes", type=int, default=40)


main = common.script("editing_table", __doc__, measure, add_options=_add_options)

if __name__ == "__main__":
    sys.exit(main())
