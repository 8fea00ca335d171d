"""The sentence behind every edit: place -> paint -> judge -> choose -> Edit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...inpaint.errors import InpaintError
from ...inpaint.paste.composite import is_preserved
from ..errors import translate
from ..pictures.picture import Picture
from ..request import extra
from .protect import find_spare, spare_key
from .region import Place, find_place
from .result import Edit, Variant
from .verify import Judge, Verdict, spoken, surroundings

if TYPE_CHECKING:
    from ...grounding.result import Grounding
    from ...inpaint import Fill, InpaintSettings
    from ..api import Editor

OnStep = Callable[[int, int], None]
OnPreview = Callable[[int, int, np.ndarray], None]
Cancelled = Callable[[], bool] | threading.Event
Spares = Mapping[str, np.ndarray | None]
DRAFT_NOTE = "draft: few steps, so worse than it could be; paint it again without draft to keep it"


@dataclass(frozen=True, eq=False)
class Callbacks:
    """Whom to tell while painting; see `Editor.edit`."""

    on_step: OnStep | None = None
    cancelled: Cancelled | None = None
    on_preview: OnPreview | None = None


def paint(
    editor: Editor,
    picture: Picture,
    request: Mapping[str, Any],
    callbacks: Callbacks,
    grounding: Grounding | None = None,
    spares: Spares | None = None,
) -> Edit:
    """Do what a request asks for.

    Parameters
    ----------
    editor
        Whose models find and paint.
    picture
        As given.
    request
        Complete: with its preset and picture.
    callbacks
        Whom to tell.
    grounding
        Of the request's phrase in this picture, where it is known already.
    spares
        What `find_spares` gave for this picture and phrase.

    Raises
    ------
    GroundbrushError
        For a place that cannot be, or a model that failed.
    """
    start = time.perf_counter()
    settings = settings_for(editor, request)  # a misspelt one is told before the models load
    place = find_place(editor, picture, request, grounding)
    settings = settings_for(editor, request, place)
    if not place.history.mask.any():
        return replace(_undone(place, settings, request), given=picture)
    key, spares = spare_key(request, settings), spares or {}
    spare = spares[key] if key in spares else _spare(editor, place, settings)
    place = replace(place, spare=spare)
    found = time.perf_counter()
    judge = _judge(editor, place.picture, request)
    tries = list(_tries(editor, place, request, settings, judge, callbacks))
    chosen = _choose(tries, request)
    timings = {"find": found - start, "paint": sum(sum(f.timings.values()) for f, _ in tries)}
    timings["check"] = max(0.0, time.perf_counter() - found - timings["paint"])
    edit = _edit(place, chosen, tries, settings, request, judge, timings)
    return replace(edit, given=picture)


def find_spares(
    editor: Editor, picture: Picture, request: Mapping[str, Any], grounding: Grounding
) -> dict[str, np.ndarray | None]:
    """What painting a request will spare, found before: whoever paints then need not look.

    Parameters are those of `paint`, which takes what this gives.
    """
    place = find_place(editor, picture, request, grounding)
    settings = settings_for(editor, request, place)
    return {spare_key(request, settings): _spare(editor, place, settings)}


def _spare(editor: Editor, place: Place, settings: InpaintSettings) -> np.ndarray | None:
    return find_spare(editor, place.picture, place.history.mask, settings)


def settings_for(
    editor: Editor, request: Mapping[str, Any], place: Place | None = None
) -> InpaintSettings:
    """The preset's settings, then those of removal, draft, place and caller."""
    models = editor.models
    draft: Mapping[str, Any] = {}
    removing = request["action"] == "remove"
    if extra(request, "draft"):
        usual = models.inpaint_settings(removing=removing, changes={})
        given = models.preset.inpainter.get("draft", {}).get("settings")
        draft = given or {"steps": max(4, usual.steps // 3)}
    changes = {**draft, **(place.settings if place else {})}
    if request["action"] != "edit":
        # What a ControlNet saw in the hole it would paint again.
        changes["control"] = "surroundings"
    if request["action"] == "extend":
        changes |= {"dilate": 8, "prefill": "blur", "shape": "outline", "spare": False}
    changes |= dict(request["settings"])
    return models.inpaint_settings(removing=removing, changes=changes)


def _judge(editor: Editor, picture: Picture, request: Mapping[str, Any]) -> Judge:
    check, gone = extra(request, "check"), request["action"] == "remove"
    words = check if isinstance(check, str) else None
    if check and words is None:
        words = request["find"] if gone else request["paint"] and spoken(request["paint"])
    return Judge(editor, picture, words, gone, None if gone else request["find"])


def _tries(
    editor: Editor,
    place: Place,
    request: Mapping[str, Any],
    settings: InpaintSettings,
    judge: Judge,
    callbacks: Callbacks,
) -> Iterator[tuple[Fill, Verdict]]:
    """Paint and judge every variant; then, while none passes, so many more as may be retried."""
    from ...inpaint.fill import fill_many

    with translate(InpaintError):
        inpainter, picture = editor.models.inpainter(), place.picture
        prompt = _prompt(editor, place, request, judge)
        seeds = range(request["seed"], request["seed"] + request["variants"])
        more = range(seeds.stop, seeds.stop + extra(request, "retries"))
        passed = False
        # What was taken out of the mask would else be grown over, or closed as a hole in it.
        keep = place.history.taken if place.history.operations else None
        for group in (*_groups(inpainter, seeds, settings, request), *([s] for s in more)):
            if group[0] in more and (passed or judge.phrase is None):
                return
            for filled in fill_many(
                inpainter,
                picture.pixels,
                place.history.mask,
                prompt,
                seeds=group,
                settings=settings,
                spare=place.spare,
                keep=keep,
                on_step=callbacks.on_step,
                cancelled=callbacks.cancelled,
                on_preview=callbacks.on_preview,
            ):
                if filled.seed in seeds or filled.seed in more:
                    verdict = judge.look(filled.image, filled.support)
                    passed = passed or bool(verdict.passed)
                    yield filled, verdict


def _prompt(editor: Editor, place: Place, request: Mapping[str, Any], judge: Judge) -> str:
    """What to paint: what was asked for, or the surroundings and the preset's words for background.

    Nobody looks around where nobody is asked to look: a given mask loads no model that sees.
    """
    if request["paint"]:
        return str(request["paint"])
    if request["action"] == "remove" and judge.phrase is not None:
        judge.around = surroundings(editor, place)
    return ", ".join((*judge.around, editor.models.removal_prompt))


def _groups(
    inpainter: Any, seeds: range, settings: InpaintSettings, request: Mapping[str, Any]
) -> list[list[int]]:
    """Which seeds to paint together: as the recipe says, else as many as memory allows."""
    given = extra(request, "batches")
    if given is None:
        at_once = getattr(inpainter, "at_once", lambda *_: 1)
        each = at_once((settings.size, settings.size), len(seeds)) if len(seeds) > 1 else 1
        return [list(seeds[k : k + each]) for k in range(0, len(seeds), each)]
    groups: list[list[int]] = []
    for seed in seeds:
        first, count = next(((a, n) for a, n in given if a <= seed < a + n), (seed, 1))
        group = list(range(first, first + count))
        if group not in groups:
            groups.append(group)
    return groups


def _painted(
    request: Mapping[str, Any], settings: InpaintSettings, fills: list[Fill]
) -> dict[str, Any]:
    """The request with what else the same bytes depend on: what was painted together, and at
    which size where memory ran out."""
    together = dict.fromkeys(f.together for f in fills)
    batches = [[seeds[0], len(seeds)] for seeds in together if len(seeds) > 1]
    done = {k: v for k, v in request.items() if k != "batches"}
    if batches or request["variants"] > 1:
        done["batches"] = batches
    if fills[0].settings != settings:
        done["settings"] = {**request["settings"], "size": fills[0].settings.size}
    return done


def _choose(
    tries: list[tuple[Fill, Verdict]], request: Mapping[str, Any]
) -> list[tuple[Fill, Verdict]]:
    """As many as were asked for: the best first where they were checked, else by seed."""
    if extra(request, "check"):
        tries = sorted(tries, key=lambda pair: pair[1].rank, reverse=True)
    return tries[: request["variants"]]


def _edit(
    place: Place,
    chosen: list[tuple[Fill, Verdict]],
    tries: list[tuple[Fill, Verdict]],
    settings: InpaintSettings,
    request: Mapping[str, Any],
    judge: Judge,
    timings: dict[str, float],
) -> Edit:
    best, verdict = chosen[0]
    checks: dict[str, Any] = {
        "preserved": all(_preserved(place.picture, f) for f, _ in chosen),
        "seam": round(verdict.seam, 2),
        "ring_colour": round(verdict.ring_colour, 2),
    }
    if judge.phrase is not None:
        name = "gone" if request["action"] == "remove" else "grounded"
        checks |= {name: verdict.passed, "tries": len(tries)}
    return Edit(
        done=True,
        image=best.image,
        picture=place.picture,
        grounding=place.grounding,
        support=best.support,
        settings=best.settings.as_dict(),
        seed=request["seed"],
        variants=tuple(Variant(f.image, f.seed, v.as_dict()) for f, v in chosen),
        checks=checks,
        notes=tuple(_notes(place, best, verdict, len(tries), request, judge)),
        timings=timings,
        request=_painted(request, settings, [f for f, _ in chosen]),
    )


def _notes(
    place: Place, best: Fill, verdict: Verdict, tries: int, request: Mapping[str, Any], judge: Judge
) -> Iterator[str]:
    """What the user should know, in the order of the work."""
    yield from place.picture.notes
    grounding = place.grounding
    chosen = request["candidate"] is not None and grounding and grounding.status == "ambiguous"
    if grounding is not None and grounding.status != "found" and not chosen:
        yield f"{grounding.status}: {grounding.reason}"
    yield from best.notes
    hidden = 0 if place.picture.alpha is None else (place.picture.alpha[best.support] == 0).sum()
    if hidden:
        yield (
            f"{hidden} of {best.support.sum()} painted pixels are wholly transparent in the "
            "picture and stay so"
        )
    if judge.around:
        yield f"around it there seems to be {' and '.join(judge.around)}: painted so"
    if extra(request, "draft"):
        yield DRAFT_NOTE
    if judge.note:
        yield judge.note
    if verdict.passed is False:
        many = f"none of {tries} paintings" if tries > 1 else "the painting did not pass:"
        kept = " passed the check; the best is kept:" if tries > 1 else ""
        yield f"{many}{kept} {verdict.words}"
    elif verdict.passed and tries > request["variants"]:
        yield f"it took {tries} paintings (seed {best.seed} was kept)"


def _preserved(picture: Picture, filled: Fill) -> bool:
    return is_preserved(picture.pixels, filled.image, filled.support)


def _undone(place: Place, settings: InpaintSettings, request: Mapping[str, Any]) -> Edit:
    """The answer when there is nothing to paint over."""
    grounding = place.grounding
    why = grounding.reason if grounding is not None else "no pixel is left in the mask"
    if grounding is not None and grounding.mask.any():
        why = "the operations left no pixel in the mask"
    return Edit(
        done=False,
        image=place.picture.pixels,
        picture=place.picture,
        grounding=grounding,
        support=np.zeros(place.picture.pixels.shape[:2], bool),
        settings=settings.as_dict(),
        seed=request["seed"],
        variants=(),
        checks={"preserved": True},
        notes=(*place.picture.notes, why),
        timings=dict(grounding.timings) if grounding is not None else {},
        request=request,
    )
