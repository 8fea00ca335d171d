"""A plan -> edits, one after the other: each step on the picture that the one before left.

What the steps name is found first in the picture as given, all of it over one encoding: after
"replace the dog with a cat" the words "the cat" still mean the cat that was there. A step then
searches again in the picture it starts from, so that its recipe alone reproduces it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...grounding.result import Grounding
from ...inpaint.support import dilate, dilation_radius, support
from ..editing.pipeline import Callbacks, run_request, settings_for
from ..editing.region import choose_candidate, chosen_mask
from ..editing.result import Edit
from ..editing.verify import find_thing, spoken, touches
from ..errors import GroundbrushError
from ..finder import Finder
from ..masks.operations import Spare
from ..masks.source import encode_mask
from ..pictures.picture import Picture
from ..request import REMOVAL, EditRequest, make_request
from . import Plan, Step

OnEdit = Callable[[int, Step, "Edit"], None]
SAME = 0.5
"""Places with at least this IoU are one thing, before and after other steps."""
AS_GIVEN = "the place is the one found in the picture as given; after other steps the words miss it"
REST = "found when the others were gone: another one, or a part that was left"
DOUBTFUL = "{!r} may still stand elsewhere: the model finds one, but is not sure of it"
MOST_FURTHER = 2
"""How often "all" is searched again for what is left, and that is edited, too."""
GONE_NOW = "after the later steps it is no longer found there"
RIM = 0.03
"""Width of the rim of a new thing that a later step spares, over the thing's size."""
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

    There is at least one edit for each step, more where several things are meant; each starts from
    the picture that the one before left. ``done`` is False where nothing was found. Raises
    GroundbrushError for a plan without steps or with unread parts, words that the models do not
    know (before anything is painted), and as `Editor.edit` does.
    """
    if not isinstance(plan, Plan):
        raise GroundbrushError(
            f"a plan of type {type(plan).__name__} given; expected a sentence or an editor.Plan"
        )
    check_ready(plan)
    settings = {} if settings is None else settings
    given = make_request("edit", find="a step", paint="a step", seed=seed, settings=settings)
    for step in plan.steps:
        finder.check_phrase(step.find)
        if step.paint is not None and finder.models.words:
            finder.models.words.check_prompt(step.paint)
    # each step's things, best first; none are looked for that only an earlier step makes
    numbers = [k for k, step in enumerate(plan.steps) if step.at is None]
    wanted = [(plan.steps[k].find, plan.steps[k].count) for k in numbers]
    found = dict(zip(numbers, finder.find_masks(picture, wanted), strict=True))
    targets = [found.get(k) for k in range(len(plan.steps))]
    callbacks = callbacks or Callbacks()
    run = _Run(finder, picture, plan, targets, given.seed, given.settings, callbacks, on_edit)
    for k in range(len(plan.steps)):
        run.step(k)
    run.check_again()
    return run.edits


def check_ready(plan: Plan) -> None:
    """Refuse a plan that is empty or has parts that were not read.

    Raises GroundbrushError naming the parts and what each lacks.
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
    meant: set[tuple[int, int]] = field(default_factory=set)
    """Numbers of two edits of which the first paints over the second's new thing on purpose."""

    def step(self, k: int) -> None:
        """Do one step, once for each thing it means."""
        step, targets = self.plan.steps[k], self.targets[k]
        self.by_step.append([])
        if step.at is not None:
            targets = [edit.support for edit in self.by_step[step.at] if edit.done]
        # where none are in the picture as given, an earlier step may have made one
        wanted: list[np.ndarray | None] = [*targets[: step.count]] if targets else [None]
        every = step.count is None
        first, further = len(wanted), MOST_FURTHER if every else 0
        for n, target in enumerate(wanted):
            edit = self._edit(step, target, rest=n >= first)
            left: list[np.ndarray] = []
            doubtful = False
            if edit.done and n + 1 == len(wanted) and every:
                left, doubtful = self._left(step, edit, targets or ())
            if further and left:
                further -= 1
                wanted += left  # further turns of this loop
                left = []
            last = n + 1 == len(wanted)
            edit = self._counted(step, edit, len(wanted), left, last=last)
            if last and doubtful and edit.checks.get("gone"):
                checks, note = {**edit.checks, "gone": None}, DOUBTFUL.format(step.find)
                edit = dataclasses.replace(edit, checks=checks, notes=(*edit.notes, note))
            self._keep(k, edit)

    def _left(
        self, step: Step, edit: Edit, targets: Sequence[np.ndarray]
    ) -> tuple[list[np.ndarray], bool]:
        """What is left of all that a step means after an edit, and whether there may be more.

        After a replacement what is unpainted of the places as given: one may have held two things.
        After a removal what is found; apart from its paintings only if the model is sure of it.
        """
        painted = np.any([one.support for one in (*self.by_step[-1], edit)], axis=0)
        if step.paint is not None:
            if step.at is None:  # of what earlier steps painted nothing is left
                painted = painted | self._painted()
            rests = [(mask & ~painted, TOUCHED * mask.sum()) for mask in targets]
            return [rest for rest, least in rests if rest.sum() > least], False
        picture = self._after(edit)
        (left,) = self.finder.find_masks(picture, [(step.find, None)])
        if not left or self.finder.is_sure(picture, step.find):
            return left, False
        near = [mask for mask in left if touches(mask, painted)]
        return near, len(near) < len(left)

    @staticmethod
    def _counted(
        step: Step, edit: Edit, found: int, left: Sequence[np.ndarray], *, last: bool
    ) -> Edit:
        """An edit of a step that means several things, with their numbers and what is missing."""
        if step.count == 1 or not edit.done:
            return edit
        checks: dict[str, Any] = {**edit.checks, "found": found}
        note = ""
        if last and step.count is not None:
            checks["named"] = step.count
            note = f"{found} found where the words say {step.count}" * (found < step.count)
        elif left:
            failed = "gone" if step.paint is None else "grounded"
            checks[failed], note = False, f"{len(left)} more of {step.find!r} still found"
        notes = (*edit.notes, note) if note else edit.notes
        return dataclasses.replace(edit, checks=checks, notes=notes)

    def _edit(self, step: Step, target: np.ndarray | None, *, rest: bool) -> Edit:
        """Do a step for one thing; `rest`: one that is found when the others are gone."""
        found: Grounding = self.finder.ground(self.picture, step.find)
        # Several are meant, or it is known which one: nothing to choose.
        chosen = step.count != 1 or step.at is not None
        if found.status == "ambiguous" and chosen:
            found = dataclasses.replace(found, status="found", reason="one of several that fit")
        place: dict[str, Any] = {}
        known: Grounding | None = found
        note = ""
        if target is not None:
            touched = bool((self._painted() & target).any())
            candidate, same = choose_candidate(found, target, TOUCHED if touched else SAME)
            place = {"candidate": candidate}
            if rest or (not same and not touched):
                # its pixels are as they were, so it is still there
                place, known = self._as_given(step, target), None
                note = REST if rest else AS_GIVEN
        request = self._request(step, **place)
        mask = chosen_mask(found, request.candidate) if known or target is None else target
        if step.paint is None:
            mask = self.finder.whole(self.picture, mask)
        request, spared = self._sparing(step, request, mask, made=target is None)
        edit = run_request(self.finder, self.picture, request, self.callbacks, known, chosen=chosen)
        # first, for an edit's last note says what of it failed
        return dataclasses.replace(edit, notes=(*filter(None, [note, spared]), *edit.notes))

    def _request(self, step: Step, **place: Any) -> EditRequest:
        removing = step.paint is None
        return make_request(
            "remove" if removing else "edit",
            find=step.find,
            paint=step.paint,
            seed=self.seed + len(self.edits),
            **{"settings": self.settings, **(REMOVAL if removing else {}), **place},
        )

    def _sparing(
        self, step: Step, request: EditRequest, mask: np.ndarray, made: bool
    ) -> tuple[EditRequest, str]:
        """A request that leaves out what earlier steps painted, and a note that names it.

        What the request means is not left out: it names the result of a step, or (`made`) it was
        not in the picture as given.
        """
        if not mask.any():
            return request, ""
        wide = support(mask, settings_for(self.finder.models, request))
        named = [] if step.at is None else self.by_step[step.at]
        spared, names = np.zeros_like(mask), []
        for n, edit in enumerate(self.edits):
            if not (edit.done and edit.request.paint and (wide & edit.support).any()):
                continue
            if edit in named or (made and (mask & edit.support).sum() >= SAME * mask.sum()):
                self.meant.add((len(self.edits), n))
            else:
                thing = self._thing(edit)
                names += [repr(spoken(edit.request.paint))] * bool((wide & thing).any())
                spared |= thing
        if not names:
            return request, ""
        spare = Spare(mask=encode_mask(spared))
        note = f"left out what earlier steps painted: {', '.join(names)}"
        return request.model_copy(update={"operations": (*request.operations, spare)}), note

    def _thing(self, edit: Edit) -> np.ndarray:
        """The new thing of an edit, with a rim; its whole support where it is not found there."""
        view = self.finder.look(self.picture)
        thing = find_thing(self.finder, view, spoken(edit.request.paint or ""), edit.support)
        if thing is None:
            return edit.support
        return dilate(thing, dilation_radius(thing, RIM)) & edit.support

    def check_again(self) -> None:
        """Repeat the checks that later edits may have changed, on the last picture."""
        # Of "all" the last one also says whether any stands elsewhere.
        steps = zip(self.by_step, self.plan.steps, strict=True)
        counted = [edits[-1] for edits, step in steps if edits and step.count is None]
        for n, edit in enumerate(self.edits):
            later = [k for k in range(n + 1, len(self.edits)) if self.edits[k].done]
            if not edit.done or not later:
                continue
            into = any(
                (k, n) not in self.meant and (self.edits[k].support & edit.support).any()
                for k in later
            )
            checks, note = dict(edit.checks), ""
            if (
                checks.get("gone") is False and edit not in counted
            ):  # a twin or a part beside the hole may be gone by now
                last, find = self.finder.look(self.picture), edit.request.find
                if find_thing(self.finder, last, find, edit.support, touching=True) is None:
                    checks["gone"], note = True, GONE_NOW
            elif into and (note := self._lost(edit)):
                checks["gone" if edit.request.paint is None else "grounded"] = False
            if note:
                self.edits[n] = dataclasses.replace(edit, checks=checks, notes=(*edit.notes, note))

    def _lost(self, edit: Edit) -> str:
        """What of an edit no longer holds in the last picture, or empty."""
        request, last = edit.request, self.finder.look(self.picture)
        if request.paint is None:
            phrase = request.find if edit.checks.get("gone") else None
            stands = find_thing(self.finder, last, phrase, edit.support) is not None
            return f"{phrase!r} is found there again after later steps" if stands else ""
        phrase = spoken(request.paint)
        if find_thing(self.finder, last, phrase, edit.support) is not None:
            return ""
        then = self.finder.look_once(edit.image)
        if find_thing(self.finder, then, phrase, edit.support) is None:
            return ""  # the model did not recognise it in the first place
        return f"{phrase!r} is no longer found there after later steps"

    def _as_given(self, step: Step, target: np.ndarray) -> dict[str, Any]:
        """The place found in the picture as given, as a mask that grows like a found one."""
        usual = settings_for(self.finder.models, self._request(step))
        grows = {"dilate": usual.dilate, "spare": usual.spare}
        if step.paint is None:
            target = self.finder.whole(self.picture, target)
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
