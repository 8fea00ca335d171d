"""The steps of an edit: find the region -> fill it -> verify -> choose -> Edit."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ...inpaint.callbacks import CancelledBy, OnPreview, OnStep, watch_cancelled
from ...inpaint.errors import InpaintError
from ...inpaint.paste import assert_preserved
from ..errors import translate
from ..models.presets import half_precisions
from ..pictures.picture import open_picture
from .protect import find_protected, protection_key, touching_piece
from .region import Region, find_region
from .result import Edit, Variant
from .verify import Verdict, Verifier, surroundings

if TYPE_CHECKING:
    from ...grounding.result import Grounding
    from ...inpaint import Fill, Inpainter, InpaintSettings
    from ..finder import Finder
    from ..models.models import Models
    from ..pictures.picture import Picture, Source
    from ..request import EditRequest

_Attempt = tuple["Fill", Verdict]  # a painting, and what was verified about it
Protected = Mapping[str, np.ndarray | None]
"""Masks of neighbours to spare, by `protection_key`; see `find_protection`."""
DRAFT_SHARE = 3
"""A draft paints a third of the steps, at least `MIN_DRAFT_STEPS`."""
MIN_DRAFT_STEPS = 4
PART_LEFT = 0.1
"""With a spared piece of this share of its mask beside it, a thing is not known to be gone."""
DRAFT_NOTE = "draft: few steps, so worse than it could be; paint it again without draft to keep it"


@dataclass(frozen=True, eq=False)
class Callbacks:
    """Progress, cancellation and preview callbacks; see `Editor.edit`."""

    on_step: OnStep | None = None
    cancelled: CancelledBy | None = None
    on_preview: OnPreview | None = None

    def watched(self) -> AbstractContextManager[None]:
        """A context in which work without steps stops, too, once `cancelled` says so."""
        return watch_cancelled(self.cancelled)


@dataclass(frozen=True, eq=False)
class _Task:
    """What all attempts of one request share."""

    finder: Finder
    request: EditRequest
    region: Region
    settings: InpaintSettings
    verifier: Verifier
    inpainter: Inpainter
    spare: np.ndarray | None = None
    around: tuple[str, ...] = ()

    @property
    def prompt(self) -> str:
        """What to paint: the request's words, or the surroundings and the preset's background."""
        return self.request.paint or ", ".join((*self.around, self.finder.models.removal_prompt))


def run_request(
    finder: Finder,
    image: Source,
    request: EditRequest,
    callbacks: Callbacks,
    grounding: Grounding | None = None,
    protected: Protected | None = None,
    *,
    chosen: bool = False,
) -> Edit:
    """Do what a request says.

    `grounding` and `protected` (of `find_protection`) are given where they are known for this
    picture and phrase; `chosen`, where it is known which of several matches is meant.

    Raises GroundbrushError for a region that cannot be, or a model that failed.
    """
    start = time.perf_counter()
    models = finder.models
    dtypes = half_precisions(models.preset, models.device)
    made_with = {"preset": models.preset.name, "dtype": dtypes or None}
    request = request.model_copy(update={**made_with, "image": None})
    settings = check_request(models, request)  # before anything is opened or loaded
    picture = open_picture(image)
    region = find_region(finder, picture, request, grounding)
    if region.settings:
        settings = settings_for(models, request, region)
    if not region.mask.any():
        return replace(_unpainted(region, settings, request), given=picture)
    key, known = protection_key(request, settings), protected or {}
    if key in known:
        spare = known[key]
    else:
        spare = find_protected(finder, region.picture, region.mask, settings)
    verifier = Verifier.of(finder, region, request, chosen=chosen)
    found = time.perf_counter()
    inpainter = models.inpainter()
    around: tuple[str, ...] = ()
    if request.action == "remove" and verifier.phrase is not None:
        around = surroundings(finder, region.picture, region.mask)
    task = _Task(finder, request, region, settings, verifier, inpainter, spare, around)
    attempts = list(_attempts(task, callbacks))
    painting = sum(sum(fill.timings.values()) for fill, _ in attempts)
    checking = max(0.0, time.perf_counter() - found - painting)
    timings = {"find": found - start, "paint": painting, "check": checking}
    return replace(_edit(task, attempts, timings), given=picture)


def find_protection(
    finder: Finder, picture: Picture, request: EditRequest, grounding: Grounding
) -> dict[str, np.ndarray | None]:
    """Find in advance what `run_request` will spare, so that painting needs no finder."""
    region = find_region(finder, picture, request, grounding)
    settings = settings_for(finder.models, request, region)
    spare = find_protected(finder, region.picture, region.mask, settings)
    return {protection_key(request, settings): spare}


def check_request(models: Models, request: EditRequest) -> InpaintSettings:
    """Return a request's settings; GroundbrushError for words that the models do not know."""
    models.preset.check_words("paint", request.paint)
    if models.words and request.paint is not None:
        models.words.check_prompt(request.paint)
    return settings_for(models, request)


def settings_for(
    models: Models, request: EditRequest, region: Region | None = None
) -> InpaintSettings:
    """Return the preset's settings, then those of removal, draft, region and request on top."""
    removing = request.action == "remove"
    changes: dict[str, Any] = {}
    if request.draft:
        usual = models.inpaint_settings(removing=removing, changes={})
        given = models.preset.inpainter.get("draft", {}).get("settings")
        changes |= given or {"steps": max(MIN_DRAFT_STEPS, usual.steps // DRAFT_SHARE)}
    changes |= region.settings if region else {}
    if request.action != "edit":
        # A ControlNet would paint what it saw in the hole again.
        changes["control"] = "surroundings"
    if request.action == "extend":
        changes |= {"dilate": 8, "prefill": "blur", "shape": "outline", "spare": False}
    return models.inpaint_settings(removing=removing, changes={**changes, **request.settings})


def _attempts(task: _Task, callbacks: Callbacks) -> Iterator[_Attempt]:
    """Paint and verify every variant; then further seeds, as retries, while one might pass."""
    from ...inpaint.fill import fill_many

    request, history, inpainter = task.request, task.region.history, task.inpainter
    seeds = range(request.seed, request.seed + request.variants)
    retries = range(seeds.stop, seeds.stop + request.retries)
    # What was taken out of the mask would otherwise be grown over, or closed as a hole in it.
    keep = history.taken if history.operations else None
    settled = task.verifier.phrase is None
    for group in (*_groups(inpainter, seeds, task), *([seed] for seed in retries)):
        if group[0] in retries and settled:
            return
        with translate(InpaintError):
            fills = fill_many(
                inpainter,
                task.region.picture.pixels,
                task.region.mask,
                task.prompt,
                seeds=group,
                settings=task.settings,
                spare=task.spare,
                keep=keep,
                one_thing=task.region.grounding is not None and not _counts(task),
                on_step=callbacks.on_step,
                cancelled=callbacks.cancelled,
                on_preview=callbacks.on_preview,
            )
        for filled in map(partial(_as_grey, picture=task.region.picture), fills):
            if filled.seed in seeds or filled.seed in retries:
                verdict = task.verifier.check(filled.image, filled.support, filled.crops)
                settled = settled or verdict.passed is not False or verdict.outside
                yield filled, verdict


def _as_grey(filled: Fill, picture: Picture) -> Fill:
    """A painting of a grey picture without the colours that the model gave it."""
    if not picture.grey:
        return filled
    grey = cv2.cvtColor(filled.image, cv2.COLOR_RGB2GRAY)[..., None]
    image = np.where(filled.support[..., None], grey, filled.image)
    assert_preserved(picture.pixels, image, filled.support)
    return replace(filled, image=image)


def _groups(inpainter: Any, seeds: range, task: _Task) -> list[list[int]]:
    """Seeds to paint as one batch: as the recipe says, else as many as memory allows."""
    if task.request.batches is None:
        at_once = getattr(inpainter, "at_once", lambda *_: 1)
        size = task.settings.size
        each = at_once((size, size), len(seeds)) if len(seeds) > 1 else 1
        return [list(seeds[k : k + each]) for k in range(0, len(seeds), each)]
    groups: list[list[int]] = []
    for seed in seeds:
        batches = task.request.batches
        first, count = next(((a, n) for a, n in batches if a <= seed < a + n), (seed, 1))
        group = list(range(first, first + count))
        if group not in groups:
            groups.append(group)
    return groups


def _painted(task: _Task, fills: list[Fill]) -> EditRequest:
    """The request with what else the same bytes depend on: what was painted as one batch, and
    the size at which memory sufficed."""
    request = task.request
    together = dict.fromkeys(f.together for f in fills)
    batches = tuple((seeds[0], len(seeds)) for seeds in together if len(seeds) > 1)
    changes: dict[str, Any] = {"batches": batches if batches or request.variants > 1 else None}
    if fills[0].settings != task.settings:
        changes["settings"] = {**request.settings, "size": fills[0].settings.size}
    return request.model_copy(update=changes)


def _edit(task: _Task, attempts: list[_Attempt], timings: dict[str, float]) -> Edit:
    """Choose the wanted number of attempts, the best where they were verified, else by seed."""
    request, region = task.request, task.region
    ranked = attempts
    if request.check:
        ranked = sorted(attempts, key=lambda attempt: attempt[1].rank, reverse=True)
    chosen = ranked[: request.variants]
    best, verdict = chosen[0]
    checks: dict[str, Any] = {
        "preserved": True,  # else `fill_many` had raised
        "seam": round(verdict.seam, 2),
        "ring_colour": round(verdict.ring_colour, 2),
    }
    checks |= _counts(task)
    if task.verifier.phrase is not None:
        name = "gone" if request.action == "remove" else "grounded"
        passed = None if verdict.passed and _left_piece(task)[1] else verdict.passed
        checks |= {name: passed, "tries": len(attempts)}
    return Edit(
        done=True,
        image=best.image,
        picture=region.picture,
        grounding=region.grounding,
        support=best.support,
        settings=best.settings.as_dict(),
        seed=request.seed,
        variants=tuple(Variant(fill.image, fill.seed, v.as_dict()) for fill, v in chosen),
        checks=checks,
        notes=tuple(_notes(task, best, verdict, len(attempts))),
        timings=timings,
        request=_painted(task, [fill for fill, _ in chosen]),
    )


def _counts(task: _Task) -> dict[str, int]:
    """How many things were found and, where the words say so, named; empty for one thing."""
    grounding = task.region.grounding
    if grounding is None or not grounding.instances or task.request.candidate is not None:
        return {}
    several = task.finder.several(grounding.phrase)
    named = {"named": several.number} if several and several.number else {}
    return {"found": len(grounding.instances), **named}


def _left_piece(task: _Task) -> tuple[int, bool]:
    """Pixels of small things that touch a removed one, and whether they may be much of it."""
    if task.request.action != "remove" or task.spare is None:
        return 0, False
    piece = touching_piece(task.region.mask, task.spare, task.settings)
    return piece, piece >= PART_LEFT * task.region.mask.sum()


def _notes(task: _Task, best: Fill, verdict: Verdict, tries: int) -> Iterator[str]:
    """What the user should know, in the order of the work."""
    request, picture, grounding = task.request, task.region.picture, task.region.grounding
    yield from picture.notes
    yield from task.region.notes
    if picture.grey:
        yield "the picture is grey, so the painting is, too; convert it to RGB first for colours"
    chosen = request.candidate is not None and grounding and grounding.status == "ambiguous"
    if grounding is not None and grounding.status != "found" and not chosen:
        yield f"{grounding.status}: {grounding.reason}"
    yield from best.notes
    hidden = 0 if picture.alpha is None else (picture.alpha[best.support] == 0).sum()
    if hidden:
        yield (
            f"{hidden} of {best.support.sum()} painted pixels are wholly transparent in the "
            "picture and stay so"
        )
    if task.around:
        yield f"around it there seems to be {' and '.join(task.around)}: painted so"
    piece, _ = _left_piece(task)
    if piece:
        yield (
            f"something small that touches it ({piece} pixels) was left as another thing; if "
            "it is a part of it, repeat with the setting spare=false"
        )
    if request.draft:
        yield DRAFT_NOTE
    if task.verifier.note:
        yield task.verifier.note
    if verdict.passed is False:
        many = f"none of {tries} paintings" if tries > 1 else "the painting did not pass:"
        kept = " passed the check; the best is kept:" if tries > 1 else ""
        yield f"{many}{kept} {verdict.words}"
    elif verdict.passed and tries > request.variants:
        yield f"it took {tries} paintings (seed {best.seed} was kept)"
    elif verdict.passed is None and verdict.words:
        yield verdict.words


def _unpainted(region: Region, settings: InpaintSettings, request: EditRequest) -> Edit:
    """The answer when there is nothing to paint over."""
    grounding = region.grounding
    why = grounding.reason if grounding is not None else "no pixel is left in the mask"
    if grounding is not None and grounding.mask.any():
        why = "the operations left no pixel in the mask"
    return Edit(
        done=False,
        image=region.picture.pixels,
        picture=region.picture,
        grounding=grounding,
        support=np.zeros(region.picture.pixels.shape[:2], bool),
        settings=settings.as_dict(),
        seed=request.seed,
        variants=(),
        checks={"preserved": True},
        notes=(*region.picture.notes, why),
        timings=dict(grounding.timings) if grounding is not None else {},
        request=request,
    )
