"""How much of the things beside a named one an edit paints over, with and without sparing them.

    python -m benchmarks.sparing --neighbours 100 --edits 40

On composed validation scenes in which another thing reaches into the support that the found mask
would have: the share of that thing's true pixels that lie in the support, and what sparing it costs
the edit: whether the new phrase is then found in the hole and the old one gone, judged over the
same area both times.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from groundbrush import Editor
from groundbrush.editor.editing.protect import find_protected
from groundbrush.editor.editing.verify import Verifier
from groundbrush.editor.machine import measured_on
from groundbrush.editor.pictures.picture import open_picture
from groundbrush.grounding.metrics import mask_iou
from groundbrush.inpaint import InpaintSettings, fill
from groundbrush.inpaint.support import (
    RIM,
    dilate,
    dilation_radius,
    fill_holes,
    support,
    support_without,
)
from groundbrush.miniature.phrases import expressions
from groundbrush.miniature.scenes import Scene, compose
from groundbrush.miniature.scores.painting import edit_of

from benchmarks.common import one_thread

SEEDS = 30_000  # the thresholds were chosen on scenes from 20,000 on
LEAST = 15  # pixels of a thing in the support: fewer are its soft edge
CHANGED = 8  # grey levels that are seen


@dataclass(frozen=True, eq=False)
class Neighbours:
    """A found thing with others in the area around it."""

    scene: Scene
    target: int
    phrase: str
    mask: np.ndarray
    seed: int

    def beside(self, area: np.ndarray) -> list[np.ndarray]:
        """True masks of the other things that reach into an area."""
        others = (self.scene.mask(k) for k in range(len(self.scene.objects)) if k != self.target)
        return [other for other in others if (other & area).sum() >= LEAST]


@dataclass(frozen=True)
class Shares:
    """Shares of one thing in the support: before, after, and of what must be painted anyway."""

    before: float
    after: float
    needed: float
    seconds: float


def found_case(editor: Editor, scene: Scene, target: int, seed: int) -> Neighbours | None:
    """The thing as the product finds it, None where it is not found or is another one."""
    said = expressions(scene, target)
    if not said:
        return None
    found = editor.ground(scene.image, said[0].text)
    right = found.found and mask_iou(found.mask, scene.mask(target)) >= 0.5
    return Neighbours(scene, target, said[0].text, found.mask, seed) if right else None


def cases(editor: Editor, settings: InpaintSettings, first: int = SEEDS) -> Iterator[Neighbours]:
    """Every thing of scene after scene that has another one in its support."""
    for seed in range(first, first + 10_000):
        scene = compose("validation", seed)
        for target in range(len(scene.objects)):
            near = Neighbours(scene, target, "", scene.mask(target), seed)
            if near.beside(support(near.mask, settings)):
                case = found_case(editor, scene, target, seed)
                if case is not None and case.beside(support(case.mask, settings)):
                    yield case


def spare_of(editor: Editor, case: Neighbours, settings: InpaintSettings) -> np.ndarray | None:
    """What the product spares."""
    return find_protected(editor.finder, open_picture(case.scene.image), case.mask, settings)


def rows(
    editor: Editor, case: Neighbours, settings: InpaintSettings
) -> tuple[list[Shares], tuple[float, float]]:
    """A row for each thing beside; shares lost of the ring's ground and of the named thing."""
    editor.finder.look(open_picture(case.scene.image))
    start = time.process_time()
    spare = spare_of(editor, case, settings)
    seconds = time.process_time() - start
    before = support(case.mask, settings)
    after = support_without(case.mask, settings, spare)
    core = fill_holes(case.mask, settings.fill_holes)
    needed = before & dilate(core, dilation_radius(case.mask, RIM))
    made = [
        Shares(
            *(float((other & area).sum() / other.sum()) for area in (before, after, needed)),
            seconds,
        )
        for other in case.beside(before)
    ]
    ground = before & (case.scene.instances == 0)
    thing = before & case.scene.mask(case.target)
    lost = [float((area & ~after).sum() / max(1, area.sum())) for area in (ground, thing)]
    return made, (lost[0], lost[1])


def measure_masks(editor: Editor, count: int, removing: bool) -> str:
    """The first line of the report, of at least so many things beside others."""
    settings = editor.models.inpaint_settings(removing=removing, changes={})
    made: list[Shares] = []
    losses: list[tuple[float, float]] = []
    for case in cases(editor, settings):
        shares, lost = rows(editor, case, settings)
        made += shares
        losses.append(lost)
        if len(made) >= count:
            break
    before, after, needed, seconds = np.mean([astuple(one) for one in made], axis=0)
    ground, thing = np.mean(losses, axis=0)
    kind = "removal" if removing else "repainting"
    return (
        f"{kind}: of {len(made)} things beside {len(losses)} named ones the support held "
        f"{100 * before:.1f}% of their pixels, and holds {100 * after:.1f}% "
        f"({100 * needed:.1f}% lie in the found mask and its rim, which stay); it gave up "
        f"{100 * ground:.1f}% of its ground and {100 * thing:.1f}% of the named thing; "
        f"{1000 * seconds:.0f} ms each"
    )


def edit_cases(editor: Editor, settings: InpaintSettings) -> Iterator[tuple[Neighbours, str, str]]:
    """Cases without a twin, with the prompt, and the phrase that is found afterwards."""
    for seed in range(SEEDS, SEEDS + 10_000):
        chosen = edit_of(seed, "validation")
        if chosen is None:
            continue
        scene, target, noun, colour = chosen
        case = found_case(editor, scene, target, seed)
        if case is not None and case.beside(support(case.mask, settings)):
            yield case, f"{colour} {noun}" if colour else noun, f"the {noun}"


def measure_edits(editor: Editor, count: int) -> str:
    """The second line: does the edit still succeed, and what became of what stood beside it?"""
    settings = editor.models.inpaint_settings(removing=False, changes={})
    seen: dict[bool, list[tuple[float, ...]]] = {False: [], True: []}
    for number, (case, prompt, new) in enumerate(edit_cases(editor, settings), 1):
        picture, whole = open_picture(case.scene.image), support(case.mask, settings)
        old = f"the {case.scene.objects[case.target].noun}"
        for spares in seen:
            spare = spare_of(editor, case, settings) if spares else None
            image = fill(
                editor.models.inpainter(),
                case.scene.image,
                case.mask,
                prompt,
                seed=case.seed,
                settings=settings,
                spare=spare,
            ).image
            there = Verifier(editor.finder, picture, new, gone=False).check(image, whole).passed
            gone = Verifier(editor.finder, picture, old, gone=True).check(image, whole).passed
            change = np.abs(image.astype(int) - case.scene.image).max(2) > CHANGED
            hurt = np.mean([change[other].mean() for other in case.beside(whole)])
            seen[spares].append((float(bool(there)), float(bool(gone)), float(hurt)))
        print(f"{number} of {count}", file=sys.stderr, flush=True)
        if number == count:
            break
    words = []
    for spares, name in ((False, "without sparing"), (True, "with it")):
        there, gone, hurt = np.mean(seen[spares], axis=0)
        words.append(
            f"{name}: new phrase found in the hole {there:.3f}, old phrase gone "
            f"{gone:.3f}, {100 * hurt:.1f}% of the things beside it changed"
        )
    return f"{len(seen[True])} edits, the same seeds; {'; '.join(words)}"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser: Any = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--neighbours", type=int, default=100)
    parser.add_argument("--edits", type=int, default=40)
    args = parser.parse_args(argv)
    one_thread()
    editor = Editor.load("miniature", device="cpu", offline=True)
    if args.neighbours:
        for removing in (False, True):
            print(measure_masks(editor, args.neighbours, removing), flush=True)
    if args.edits:
        print(measure_edits(editor, args.edits), flush=True)
    print(f"python -m benchmarks.sparing, {measured_on('cpu')}, composed validation scenes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
