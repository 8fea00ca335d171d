"""A plan -> edits, one after the other: each step on the picture that the one before left.

What the steps name is looked up in the picture as given first, all of it over one encoding: after
"replace the dog with a cat" the words "the cat" still mean the cat that was there. A step then
looks again in the picture it starts from, so that its recipe alone does it again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...grounding.metrics import mask_iou
from ..editing.pipeline import Callbacks, run_request, settings_for
from ..errors import GroundbrushError
from ..masks.source import encode_mask
from ..request import REMOVAL, make_request, recipe_for_file
from . import Plan, Step

if TYPE_CHECKING:
    from ...grounding.result import Grounding
    from ..editing.result import Edit
    from ..finder import Finder
    from ..pictures.picture import Picture
    from ..request import EditRequest

OnEdit = Callable[[int, Step, "Edit"], None]
SAME = 0.5
"""Places with at least this IoU are one thing, before and after other steps."""
AS_GIVEN = "the place is the one found in the picture as given; after other steps the words miss it"
TOUCHED = 0.3
"""The same for a thing that an earlier step has painted over or beside."""


def apply_plan(
    finder: Finder,
    picture: Picture,
    plan: Plan,
    *,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    on_edit: OnEdit | None = None,
    callbacks: Callbacks | None = None,
) -> list[Edit]:
    """Do a plan's steps in order; arguments as for `Editor.apply`.

    Returns
    -------
    list of Edit
        At least one for each step, in order, more where several things are meant; each starts
        from the picture that the one before left. ``done`` is False where nothing was found.

    Raises
    ------
    GroundbrushError
        For a plan without steps or with unread parts, words that the models do not know (before
        anything is painted), and as `Editor.edit` does.
    """
    if not isinstance(plan, Plan):
        raise GroundbrushError(
            f"a plan of type {type(plan).__name__} given; expected a sentence or an editor.Plan"
        )
    check_ready(plan)
    for step in plan.steps:
        finder.check_phrase(step.find)
        if step.paint is not None and finder.models.words:
            finder.models.words.check_prompt(step.paint)
    targets = find_targets(finder, picture, plan.steps)
    run = _Run(
        finder, picture, plan, targets, seed, settings or {}, callbacks or Callbacks(), on_edit
    )
    for k in range(len(plan.steps)):
        run.step(k)
    return run.edits


def check_ready(plan: Plan) -> None:
    """Refuse a plan that is empty or has parts that were not read.

    Raises
    ------
    GroundbrushError
        Naming the parts and what each lacks.
    """
    if plan.unread:
        raise GroundbrushError(
            f"not all of the sentence was understood; {'; '.join(map(str, plan.unread))}. Change "
            "the words, or save the plan, write its steps, empty its 'unread' and apply that"
        )
    if not plan.steps:
        notes = f" ({'; '.join(plan.notes)})" if plan.notes else ""
        raise GroundbrushError(
            f"the plan has no steps{notes}; expected at least one, as of 'replace the dog with a "
            "cat'"
        )


def find_targets(
    finder: Finder, picture: Picture, steps: Sequence[Step]
) -> list[list[np.ndarray] | None]:
    """Find each step's things in the picture as given, (H, W) bool each, best first.

    Empty where there are none; None for what only an earlier step makes. The picture is encoded
    once.
    """
    numbers = [k for k, step in enumerate(steps) if step.at is None]
    found = finder.find_masks(picture, [(steps[k].find, steps[k].count) for k in numbers])
    by_step = dict(zip(numbers, found, strict=True))
    return [by_step.get(k) for k in range(len(steps))]


@dataclass(eq=False)
class _Run:
    """What has been done so far."""

    finder: Finder
    picture: Picture
    plan: Plan
    targets: list[list[np.ndarray] | None]
    seed: int
    settings: Mapping[str, Any]
    callbacks: Callbacks
    on_edit: OnEdit | None
    edits: list[Edit] = field(default_factory=list)
    by_step: list[list[Edit]] = field(default_factory=list)

    def step(self, k: int) -> None:
        """Do one step, once for each thing it means."""
        step, targets = self.plan.steps[k], self.targets[k]
        self.by_step.append([])
        if step.at is not None:
            targets = [edit.support for edit in self.by_step[step.at] if edit.done]
        # where none are in the picture as given, an earlier step may have made one
        wanted = [None] if not targets else targets[: step.count]
        for target in wanted[:-1]:
            self._keep(k, self._counted(step, self._edit(step, target), len(wanted)))
        last = self._counted(step, self._edit(step, wanted[-1]), len(wanted), last=True)
        self._keep(k, last)

    def _counted(self, step: Step, edit: Edit, found: int, *, last: bool = False) -> Edit:
        """An edit of a step that means several things, with their numbers and what is missing."""
        if step.count == 1 or not edit.done:
            return edit
        checks: dict[str, Any] = {**edit.checks, "found": found}
        note = ""
        if last and step.count is not None:
            checks["named"] = step.count
            note = f"{found} found where the words say {step.count}" * (found < step.count)
        elif last and step.paint is None:
            left = self.finder.find_masks(self._after(edit), [(step.find, None)])[0]
            if left:
                checks["gone"], note = False, f"{len(left)} more of {step.find!r} still found"
        notes = (*edit.notes, note) if note else edit.notes
        return dataclasses.replace(edit, checks=checks, notes=notes)

    def _edit(self, step: Step, target: np.ndarray | None) -> Edit:
        """Do a step for one thing."""
        found: Grounding = self.finder.ground(self.picture, step.find)
        if found.status == "ambiguous" and (step.count != 1 or step.at is not None):
            # Several are meant, or it is known which one: nothing to choose.
            found = dataclasses.replace(found, status="found", reason="one of several that fit")
        place: dict[str, Any] = {}
        known: Grounding | None = found
        note: tuple[str, ...] = ()
        if target is not None:
            touched = bool((self._painted() & target).any())
            candidate, same = _choose(found, target, TOUCHED if touched else SAME)
            place = {"candidate": candidate}
            if not same and not touched:  # its pixels are as they were, so it is still there
                place, known, note = self._as_given(step, target), None, (AS_GIVEN,)
        request = self._request(step, **place)
        edit = run_request(self.finder, self.picture, request, self.callbacks, known)
        return dataclasses.replace(edit, notes=(*edit.notes, *note))

    def _request(self, step: Step, **place: Any) -> EditRequest:
        removing = step.paint is None
        return make_request(
            "remove" if removing else "edit",
            find=step.find,
            paint=step.paint,
            seed=self.seed + len(self.edits),
            **{"settings": self.settings, **(REMOVAL if removing else {}), **place},
        )

    def _as_given(self, step: Step, target: np.ndarray) -> dict[str, Any]:
        """The place found in the picture as given, as a mask that grows like a found one."""
        usual = settings_for(self.finder.models, self._request(step))
        grows = {"dilate": usual.dilate, "spare": usual.spare}
        return {"mask": encode_mask(target), "settings": {**grows, **self.settings}}

    def _keep(self, k: int, edit: Edit) -> None:
        self.edits.append(edit)
        self.by_step[k].append(edit)
        if edit.done:
            self.picture = self._after(edit)
        if self.on_edit is not None:
            self.on_edit(k, self.plan.steps[k], edit)

    def _after(self, edit: Edit) -> Picture:
        """The picture with an edit's pixels; what its file carries stays."""
        return dataclasses.replace(self.picture, pixels=edit.image, notes=())

    def _painted(self) -> np.ndarray:
        """Where earlier edits painted."""
        painted = np.zeros(self.picture.pixels.shape[:2], bool)
        for edit in self.edits:
            painted |= edit.support
        return painted


def _choose(found: Grounding, target: np.ndarray, needed: float) -> tuple[int | None, bool]:
    """Which candidate is the target (None = the first choice), and whether any is."""
    from ...multiobject.instances import full_size_mask

    best, candidate = (mask_iou(found.mask, target) if found.found else 0.0), None
    if best >= needed:
        return None, True
    for k, other in enumerate(found.candidates):
        overlap = mask_iou(full_size_mask(other.mask, found.size_wh), target)
        if overlap > best:
            best, candidate = overlap, k
    return (candidate, True) if best >= needed else (None, False)


def save_applied(
    picture: Picture, plan: Plan, edits: Sequence[Edit], out: Path, stem: str, suffix: str = "png"
) -> tuple[dict[str, Path], list[str]]:
    """Write the result, a strip of what each edit did, and the plan.

    Parameters
    ----------
    picture, plan, edits
        What `apply_plan` was given, and gave.
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
    from PIL import Image

    from ..files import atomic_write
    from ..pictures.panoptic_overlay import steps_strip
    from ..pictures.saving import save_picture

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
    recipe, more = recipe_for_file([edit.recipe() for edit in done])
    notes += more
    notes += save_picture(files["result"], done[-1].image, like=picture, recipe=recipe)
    strip = Image.fromarray(steps_strip([picture.pixels, *(edit.image for edit in done)]))
    atomic_write(files["strip"], lambda file: strip.save(file, "PNG"))
    return files, list(dict.fromkeys(notes))
