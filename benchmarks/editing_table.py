"""Our defaults against diffusers' own ways on the miniature; writes docs/measured/editing_table.md.

Every method gets the same picture, the same support as its mask, the same prompt, seed, steps and
guidance, on held-out scenes with the true mask. The strength is the preset's for ours, which fills
the hole with its surroundings' colours first, and 1.0 for diffusers' calls, which do not: below it
they would start from the old object. Measured on what each gives back:
pixels changed outside the support, seam and ring colour error (`inpaint.quality`), whether the
miniature LVLM finds the new phrase in the hole, and whether the old phrase is gone from it.

    python -m benchmarks.editing_table --scenes 40
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from groundbrush import Editor
from groundbrush.editor.editing.verify import Verifier
from groundbrush.editor.machine import measured_on
from groundbrush.editor.pictures.picture import open_picture
from groundbrush.inpaint import InpaintSettings, fill_many
from groundbrush.inpaint.painter.inpainter import Inpainter
from groundbrush.inpaint.prefill import resize_image
from groundbrush.inpaint.quality import seam_error
from groundbrush.inpaint.support import support as declared_support
from groundbrush.miniature.scores.painting import edit_of
from PIL import Image

from benchmarks.common import ROOT, machine
from benchmarks.sections import table

PAGE, RESULTS = (
    ROOT / "docs" / "measured" / "editing_table.md",
    ROOT / "benchmarks" / "editing_table.json",
)
SEEDS = 10_000  # the scores' own scenes start at 0
PADDING = 32
CHOICES = 4
METHODS = {
    "ours, default settings": "`Editor.edit`: crop, paint, colour fit, composite",
    f"ours, best of {CHOICES}": f"the same with `variants={CHOICES}, check=True`, in one batch",
    "diffusers, plain call": "`pipe(prompt, image, mask_image)`, at the model's size, resized back",
    "diffusers, at picture size": "the same with the picture's `height` and `width`",
    f"diffusers, padding_mask_crop={PADDING}": "its own crop and overlay",
}


@dataclass(frozen=True, eq=False)
class EditTask:
    """One edit of a held-out scene; arrays as everywhere, `prompt` and phrases in words."""

    image: np.ndarray
    mask: np.ndarray
    support: np.ndarray
    prompt: str
    new: str
    old: str
    seed: int


Paint = Callable[[EditTask], np.ndarray]


@dataclass
class MethodRow:
    """The result of one method on one scene."""

    method: str
    seed: int
    outside: int
    seam: float
    own_seam: float
    ring_colour: float
    grounded: bool
    gone: bool
    seconds: float = field(default=0.0)


def tasks(count: int, settings: InpaintSettings) -> Iterator[EditTask]:
    """The first `count` scenes in which one object has no twin, and something to put instead."""
    seed = SEEDS
    while count:
        chosen = edit_of(seed)
        if chosen is not None:
            scene, target, noun, colour = chosen
            mask = scene.mask(target)
            said = f"{colour} {noun}" if colour else noun
            yield EditTask(
                scene.image,
                mask,
                declared_support(mask, settings),
                said,
                f"the {noun}",
                f"the {scene.objects[target].noun}",
                seed,
            )
            count -= 1
        seed += 1


def plain(inpainter: Inpainter, task: EditTask, settings: InpaintSettings, **options: Any) -> Any:
    """diffusers' own call with our words and numbers, as its documentation writes it."""
    return inpainter.pipe(
        prompt=task.prompt,
        image=Image.fromarray(task.image),
        mask_image=Image.fromarray(task.support.astype(np.uint8) * 255),
        num_inference_steps=settings.steps,
        guidance_scale=settings.guidance,
        strength=1.0,
        generator=torch.Generator("cpu").manual_seed(task.seed),
        **options,
    ).images[0]


def methods(
    editor: Editor, settings: InpaintSettings
) -> dict[str, Callable[[EditTask], np.ndarray]]:
    """Each way to paint a task, by the names in `METHODS`."""
    inpainter = editor.models.inpainter()
    side = settings.size

    def ours(task: EditTask, choices: int = 1) -> np.ndarray:
        verifier = Verifier(
            editor.finder, open_picture(task.image), task.new, gone=False, old=task.old
        )
        seeds = range(task.seed, task.seed + choices)
        fills = fill_many(
            inpainter, task.image, task.mask, task.prompt, seeds=seeds, settings=settings
        )
        if choices == 1:
            return fills[0].image
        return max(fills, key=lambda f: verifier.check(f.image, f.support).rank).image

    def best(task: EditTask) -> np.ndarray:
        return ours(task, CHOICES)

    def own_size(task: EditTask) -> np.ndarray:
        painted = plain(inpainter, task, settings, height=side, width=side)
        return resize_image(np.asarray(painted), task.image.shape[1::-1])

    def picture_size(task: EditTask) -> np.ndarray:
        height, width = task.image.shape[:2]
        return np.asarray(plain(inpainter, task, settings, height=height, width=width))

    def crop(task: EditTask) -> np.ndarray:
        painted = plain(
            inpainter, task, settings, height=side, width=side, padding_mask_crop=PADDING
        )
        return np.asarray(painted.convert("RGB"))

    return dict(zip(METHODS, (ours, best, own_size, picture_size, crop), strict=True))


def measure(
    editor: Editor, task: EditTask, image: np.ndarray, method: str, seconds: float
) -> MethodRow:
    """Look at one result with the same eyes for all."""
    picture = open_picture(task.image)
    new = Verifier(editor.finder, picture, task.new, gone=False).check(image, task.support)
    old = Verifier(editor.finder, picture, task.old, gone=True).check(image, task.support)
    outside = int(((image != task.image).any(2) & ~task.support).sum())
    kept = np.where(task.support[..., None], image, task.image)
    return MethodRow(
        method,
        task.seed,
        outside,
        seam_error(kept, task.support),
        new.seam,
        new.ring_colour,
        bool(new.passed),
        bool(old.passed),
        seconds,
    )


def page(rows: list[MethodRow], scenes: int, where: str) -> str:
    """The table as Markdown; `where` names the day and the machine."""
    formats = dict(outside=",.0f", seam=".1f", ring_colour=".1f")
    formats |= dict(grounded=".2f", gone=".2f", seconds=".1f")
    means = {
        method: {
            name: float(np.mean([getattr(r, name) for r in rows if r.method == method]))
            for name in (*formats, "own_seam")
        }
        for method in METHODS
        if any(r.method == method for r in rows)
    }
    heads = "method|pixels changed outside the support|seam error|ring colour error"
    heads += "|new phrase grounded in the hole|old phrase gone|seconds"
    cells = [
        (method, *(format(mean[name], form) for name, form in formats.items()))
        for method, mean in means.items()
    ]
    own = [f"{mean['own_seam']:.2f} ({method})" for method, mean in means.items()]
    lines = [
        "# Editing: ours beside diffusers' own ways",
        "",
        f"Written by `python -m benchmarks.editing_table --scenes {scenes}`, {where}, on the "
        f"miniature pipeline: {scenes} held-out scenes, true mask given, the same support, prompt, "
        "seed, steps and guidance for all; strength 1.0 for diffusers' calls, the preset's for "
        "ours, which prefills the hole. Seam and ring colour error are in grey levels "
        "(0 to 255, smaller is better; `inpaint/quality.py` says what they are), both against the "
        "true surroundings; the miniature LVLM judges the two columns after them, with its own "
        "errors.",
        "",
        *table(cells, heads.split("|")),
        *(f"- **{name}**: {words}." for name, words in METHODS.items()),
        "",
        "A call that repaints the whole picture has next to no seam in its own output, at "
        "the price of the first column: seam error without the true surroundings "
        f"{', '.join(own)}. "
        "The old phrase counts as gone wherever the judge no longer "
        "finds it in the hole: a picture blurred all over passes too, so read that column "
        "beside the one before. Seconds with other work on the machine.",
        "",
    ]
    return "\n".join([*lines, *paired(rows)])


def paired(rows: list[MethodRow]) -> list[str]:
    """Differences scene by scene, which show where ours is not clearly better."""
    ours, _, *others = METHODS
    by = {(r.method, r.seed): r for r in rows}
    seeds = sorted({r.seed for r in rows})
    lines = []
    for other in others:
        cells = []
        for key in ("seam", "ring_colour", "grounded", "gone"):
            pairs = [(by[ours, s], by[other, s]) for s in seeds if (other, s) in by]
            gaps = np.array([float(getattr(a, key)) - getattr(b, key) for a, b in pairs])
            error = gaps.std(ddof=1) / len(gaps) ** 0.5 if len(gaps) > 1 else 0
            cells.append(f"{gaps.mean():+.2f} ± {error:.2f}")
        lines.append((other, *cells))
    return [
        "Ours (default settings) minus the other, mean over the same scenes with its standard "
        "error; negative is better in the errors, positive in the shares:",
        "",
        *table(lines, ("against", "seam error", "ring colour error", "grounded", "gone")),
    ]


def main(argv: list[str] | None = None) -> int:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=40)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--resume", action="store_true", help="keep the scenes already measured")
    args = parser.parse_args(argv)
    editor = Editor.load("miniature", device=args.device, offline=True)
    settings = editor.models.inpaint_settings(removing=False, changes={})
    ways, rows = methods(editor, settings), []
    if args.resume and args.results.exists():
        kept = json.loads(args.results.read_text(encoding="utf-8"))
        rows = [MethodRow(**row) for row in kept["rows"]]
    done = {row.seed for row in rows}
    for number, task in enumerate(tasks(args.scenes, settings), 1):
        if task.seed in done:
            continue
        for name, way in ways.items():
            start = time.perf_counter()
            image = way(task)
            seconds = time.perf_counter() - start
            rows.append(measure(editor, task, image, name, seconds))
        found = {
            "machine": machine(),
            "settings": settings.as_dict(),
            "rows": [asdict(row) for row in rows],
        }
        args.results.write_text(json.dumps(found, indent=0), encoding="utf-8")
        print(f"{number} of {args.scenes}", file=sys.stderr, flush=True)
    args.page.write_text(page(rows, args.scenes, measured_on(args.device)), encoding="utf-8")
    print(args.page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
