"""The work on one row, with models: find, then paint.

It keeps no state and leaves whole files, so that an engine may run it in any process that sees the
output folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Generator
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import GroundbrushError
from ..facts import segment_facts
from ..files import atomic_write
from ..pictures.picture import Picture, open_picture
from .errors import batch_stopped, stops_everything
from .grounding_store import load_grounding, save_grounding
from .manifest import inside, row_picture
from .results import FoundFacts, PictureFacts, RowResult, Status, gated_status, result_facts
from .rows import APPLY, GROUND, GROUND_ALL, BatchRow
from .workspace import RowFiles, Workspace, picture_facts

if TYPE_CHECKING:
    from ...grounding.result import Grounding
    from ..api import Editor
    from ..editing.result import Edit


class RowTask(NamedTuple):
    """One row's work; the key and facts of its grounding, if it has one."""

    row: BatchRow
    key: str | None = None
    facts: FoundFacts | None = None


class RowDone(NamedTuple):
    """What a task came to: facts of the grounding, the row's result, its picture's facts.

    Finding gives facts, or a result if it failed; both if the row ends there.
    """

    task: RowTask
    facts: FoundFacts | None
    result: RowResult | None
    picture: PictureFacts | None


def find_one(editor: Editor, workspace: Workspace, task: RowTask) -> RowDone:
    """Find a task's phrase and keep the grounding; finish the row if it is not to be painted.

    Raises BatchStopped for an error that every other task would meet as well, such as a full disk.
    """
    assert task.key is not None
    facts = None
    try:
        facts = _find(editor, workspace, task.row, task.key)
        status = status_when_found(task.row, workspace, facts)
        result = None
        if status is not None:
            result = finish_found(workspace, task.row, task.key, facts, status)
        return RowDone(task, facts, result, facts.picture)
    except Exception as error:  # noqa: BLE001 - the other rows continue after any error
        failed = _failed(workspace, task, "find", error)
        return failed if facts is None else failed._replace(facts=facts, picture=facts.picture)


Painting = Generator[None, None, RowResult]
"""Pauses once, when only files are left to write."""


def paint_one(editor: Editor, workspace: Workspace, task: RowTask) -> RowDone:
    """Do the rest of a task; raises as `find_one`."""
    return next(done for done in paint_steps(editor, workspace, task) if done is not None)


def paint_steps(editor: Editor, workspace: Workspace, task: RowTask) -> Generator[RowDone | None]:
    """Yield None when the models' work is done, then the result when the files are written.

    The second part needs no models and may run in another thread. A row that fails before gives its
    result at once.
    """
    row, facts = task.row, task.facts
    files = RowFiles(workspace, row)
    stage = "paint" if row.paints else "find"
    try:
        path = row_picture(workspace.root, row)
        about = picture_facts(path)
        if facts is not None and about.sha256 != facts.picture.sha256:
            raise _changed("picture", row.image)
        # The recipe names the picture as the manifest does, wherever the folder is.
        opened = decoded(path, about.sha256)
        picture = dataclasses.replace(opened, source=PurePosixPath(row.image))
        started = time.perf_counter()
        if row.action == GROUND_ALL:
            result = yield from _ground_all(editor, files, picture)
        elif row.action == APPLY:
            result = yield from _apply(editor, files, picture)
        else:
            result = yield from _edit(editor, files, picture, task)
        seconds = {**result.seconds, stage: round(time.perf_counter() - started, 3)}
        done = RowDone(task, None, result.model_copy(update={"seconds": seconds}), about)
    except Exception as error:  # noqa: BLE001 - the other rows continue after any error
        files.remove()
        done = _failed(workspace, task, stage, error)
    except BaseException:
        files.remove()
        raise
    yield done


def status_when_found(row: BatchRow, workspace: Workspace, facts: FoundFacts) -> Status | None:
    """The status of a row that ends with being found, or None if it is to be painted."""
    if row.action == GROUND:
        return "absent" if facts.found == "absent" else "done"
    return gated_status(row, workspace.gate, facts.found)


def finish_found(
    workspace: Workspace, row: BatchRow, key: str, facts: FoundFacts, status: Status
) -> RowResult:
    """The result of a row that is not painted, with its files."""
    picture = decoded(row_picture(workspace.root, row), facts.picture.sha256)
    files = RowFiles(workspace, row)
    try:
        _show_found(files, picture, load_grounding(workspace.grounding(key))[0])
    except BaseException:
        files.remove()
        raise
    return RowResult.of(
        row,
        status,
        files=files.names,
        notes=list(picture.notes),
        seconds={"find": facts.seconds},
        **facts.as_result(),
    )


def try_picture_facts(workspace: Workspace, row: BatchRow) -> PictureFacts | None:
    """Facts of a row's picture, or None if it cannot be read."""
    try:
        return picture_facts(row_picture(workspace.root, row))
    except GroundbrushError:
        return None


@lru_cache(maxsize=1)
def decoded(path: Path, sha256: str) -> Picture:
    """A row's picture, decoded once for the rows of the same picture that follow each other."""
    return open_picture(path)


def _failed(workspace: Workspace, task: RowTask, stage: str, error: Exception) -> RowDone:
    """A row's failure; an error that every row would meet stops the batch."""
    if stops_everything(error, workspace.root):
        raise batch_stopped(task.row.number, task.row.name, error) from error
    result = RowResult.failure(task.row, stage, error)
    return RowDone(task, None, result, try_picture_facts(workspace, task.row))


def _changed(what: str, name: str) -> GroundbrushError:
    return GroundbrushError(
        f"the {what} {name!r} was changed while the batch ran; run it again with --retry-failed"
    )


def _find(editor: Editor, workspace: Workspace, row: BatchRow, key: str) -> FoundFacts:
    path = row_picture(workspace.root, row)
    about = picture_facts(path)
    started = time.perf_counter()
    # Phrase by phrase, not all of a picture's at once: a row's result must not depend on which
    # other rows are still to be done. The editor keeps the picture's encoding, which is the cost.
    picture = decoded(path, about.sha256)
    found = editor.ground(picture, row.words)
    seconds = round(time.perf_counter() - started, 3)
    spares = None
    if row.paints and found.found:
        # Now, since the process that paints may have no grounder. Other rows have the same phrase:
        # an error in this row's request is reported when the row is painted.
        with contextlib.suppress(GroundbrushError):
            spares = editor.find_protection(picture, row.request(), found)
    save_grounding(workspace.grounding(key), found, spares)
    return FoundFacts(**result_facts(found), picture=about, seconds=seconds)


def _edit(editor: Editor, files: RowFiles, picture: Picture, task: RowTask) -> Painting:
    """Edit or remove what was found, or what a box or mask marks."""
    row, facts = files.row, task.facts
    if row.placed:
        mask, notes = _row_mask(files.workspace, row, picture)
        picture = dataclasses.replace(picture, notes=(*picture.notes, *notes))
        edit = editor.paint(picture, row.request(mask))
        yield
        _show_support(files, picture, edit.support)
        return _edited(files, edit, {"reason": "the place was given"})
    assert task.key is not None
    assert facts is not None
    found, spares = load_grounding(files.workspace.grounding(task.key))
    edit = editor.paint(picture, row.request(), None, found, spares)
    yield
    _show_found(files, picture, found, row.options.get("candidate"))
    return _edited(files, edit, {**facts.as_result(), "seconds": {"find": facts.seconds}})


def _row_mask(
    workspace: Workspace, row: BatchRow, picture: Picture
) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
    """A row's mask as recipes have it, and notes about how it was read."""
    from ..masks.source import encode_mask, read_mask

    if row.mask is None:
        return None, ()
    path = inside(workspace.root, row.mask, "mask")
    if picture_facts(path).sha256 != row.mask_digest:
        raise _changed("mask", row.mask)
    mask, notes = read_mask(path, picture.size)
    return encode_mask(mask), notes


def _edited(files: RowFiles, edit: Edit, facts: dict[str, Any]) -> RowResult:
    """Save every variant; the result."""
    facts = {**facts, "recipe": edit.recipe()}
    if not edit.done:
        facts |= {"reason": edit.notes[-1], "notes": list(edit.notes)}
        return RowResult.of(files.row, "absent", **facts, files=files.names)
    notes = [*edit.notes]
    for k, variant in enumerate(edit.variants):
        kind, more = ("result", "") if k == 0 else (f"variant {k}", f"-{variant.seed}")
        notes += edit.save(files.path(kind, f".edited{more}.{files.workspace.suffix}"), k)
    files.thumb("after", edit.image)
    facts |= {"notes": list(dict.fromkeys(notes)), "checks": dict(edit.checks)}
    return RowResult.of(files.row, "done", **facts, files=files.names)


def _apply(editor: Editor, files: RowFiles, picture: Picture) -> Painting:
    from ..outputs import save_applied
    from ..plan.reader import read_plan

    row, suffix = files.row, files.workspace.suffix
    plan = read_plan(row.words)
    edits = editor.apply(
        picture, plan, seed=row.options.get("seed", 0), settings=row.options.get("settings")
    )
    yield
    facts, status = _least_certain(files.workspace, row, edits)
    facts |= {
        "recipe": [edit.recipe() for edit in edits],
        "checks": {"preserved": all(edit.checks.get("preserved", True) for edit in edits)},
        "steps": [_step(edit) for edit in edits],
    }
    files.thumb("before", picture.pixels)
    if status in ("absent", "skipped"):
        return RowResult.of(row, status, **facts, files=files.names)
    endings = {"plan": ".plan.json", "result": f".applied.{suffix}", "strip": ".steps.png"}
    for kind, ending in endings.items():
        files.path(kind, ending)  # all that there may be, so that a failure removes them all
    made, notes = save_applied(picture, plan, edits, files.workspace.out, row.name, suffix)
    for kind in set(endings) - set(made):
        del files.names[kind]
    _show_support(files, picture, np.any([edit.support for edit in edits], axis=0), before=False)
    if "result" in made:
        files.thumb("after", next(e.image for e in reversed(edits) if e.done))
    return RowResult.of(row, status or "done", **facts, files=files.names, notes=notes)


def _step(edit: Edit) -> dict[str, Any]:
    """One edit of a sentence, as plain values."""
    found = {} if edit.grounding is None else result_facts(edit.grounding)
    return {
        "find": edit.request.find,
        "paint": edit.request.paint,
        "done": not edit.unmet,
        "reason": edit.unmet,
        **{name: found.get(name) for name in ("found", "score", "box")},
    }


def _least_certain(
    workspace: Workspace, row: BatchRow, edits: list[Edit]
) -> tuple[dict[str, Any], Status | None]:
    """Facts of the least certain step, and the status the gate gives it (None: none)."""
    order = ("absent", "uncertain", "ambiguous", "found")
    found = [edit.grounding for edit in edits if edit.grounding is not None]
    if not found:
        return {}, None
    least = min(found, key=lambda g: (order.index(g.status), g.score))
    facts = result_facts(least)
    undone = next((edit for edit in edits if edit.unmet), None)
    if least.status != "found":
        facts["reason"] = f"{least.phrase!r}: {facts['reason']}"
    elif undone is not None:
        facts |= {"found": "uncertain", "reason": undone.unmet}
    facts |= {"box": None, "candidates": []}  # those of each step are in the steps
    status = gated_status(row, workspace.gate, facts["found"])
    if (
        status == "absent"
        and (row.gate or workspace.gate) == "paint"
        and any(edit.done for edit in edits)
    ):
        status = None
    return facts, status


def _ground_all(editor: Editor, files: RowFiles, picture: Picture) -> Painting:
    from ..outputs import panoptic_files
    from ..pictures.panoptic_overlay import draw_segments

    found = editor.ground_all(picture, files.row.words)
    yield
    # without a second dot: panopticapi cuts a PNG's name at its first one
    png_path = files.path("panoptic", "_panoptic.png")
    png, document = panoptic_files(found, Path(files.row.image).name, png_path.name)
    atomic_write(png_path, png)
    atomic_write(files.path("panoptic_json", "_panoptic.json"), document)
    files.thumb("before", picture.pixels)
    files.thumb("found", draw_segments(picture.pixels, found))
    scores = [round(float(segment.score), 4) for segment in found.found]
    statuses = [f"{s.phrase}: {s.status}" for s in found.segments]
    return RowResult.of(
        files.row,
        "done" if scores else "absent",
        files=files.names,
        notes=list(picture.notes),
        score=min(scores, default=None),
        found="found" if scores else "absent",
        reason="; ".join(statuses) or "the sentence names nothing that could be pointed at",
        segments=[segment_facts(segment) for segment in found.segments],
    )


def _show_found(
    files: RowFiles, picture: Picture, found: Grounding, candidate: int | None = None
) -> None:
    """The mask, and small pictures of before and of what was found."""
    from ..editing.region import chosen_mask
    from ..pictures.overlay import DRAWN, draw_grounding, reduced, shrink

    if candidate is not None:
        mask = chosen_mask(found, candidate)
        found = dataclasses.replace(found, mask=mask, box=found.candidates[candidate].box)
    files.mask(found.mask)
    small = shrink(picture.pixels, DRAWN)
    files.thumb("before", small)
    files.thumb("found", draw_grounding(small, reduced(found, small.shape[1::-1])))


def _show_support(
    files: RowFiles, picture: Picture, support: np.ndarray, *, before: bool = True
) -> None:
    """The same of what was painted."""
    files.mask(support)
    if before:
        files.thumb("before", picture.pixels)
    dimmed = picture.pixels.copy()
    dimmed[~support] = (dimmed[~support] * 0.55).astype(np.uint8)
    files.thumb("found", dimmed)
