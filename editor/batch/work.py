"""What is done for one row, with models: find, then paint. Each leaves whole files and says which.

The only module of the batch that asks an editor for anything. It keeps no state, so that an engine
may run it in any process that sees the output folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ..errors import GroundbrushError, one_line
from ..files import atomic_write
from ..pictures.picture import Picture, open_picture
from .manifest import inside
from .outcome import Result, gate, grounding_facts, result_of
from .rows import APPLY, GROUND, GROUND_ALL, Row
from .store import load_grounding, load_spares, save_grounding

if TYPE_CHECKING:
    from ...grounding.result import Grounding
    from ...multiobject import PanopticGrounding
    from ..api import Editor
    from ..editing.result import Edit

REVIEW = "review"
"""Folder of the small pictures that the review sheet shows."""
_THUMB = 384


@dataclass(frozen=True)
class Place:
    """Where the batch reads and writes.

    Attributes
    ----------
    root
        Every picture lies in it.
    out, work
        The results' folder, and that of what is kept between runs.
    suffix
        Of painted pictures: png, webp or jpg.
    gate
        For rows without their own.
    """

    root: Path
    out: Path
    work: Path
    suffix: str = "png"
    gate: str = "hold"

    def grounding(self, key: str) -> Path:
        """Where a grounding is kept."""
        return self.work / "found" / f"{key}.npz"


@dataclass(eq=False)
class RowFiles:
    """Writes a row's files and remembers them."""

    place: Place
    row: Row
    names: dict[str, str] = field(default_factory=dict)

    def path(self, kind: str, ending: str) -> Path:
        """The place of a file directly in the output folder."""
        return self.add(kind, self.place.out / f"{self.row.name}.{ending}")

    def add(self, kind: str, path: Path) -> Path:
        """Remember a file."""
        self.names[kind] = path.relative_to(self.place.out).as_posix()
        return path

    def mask(self, mask: np.ndarray) -> None:
        """A mask as a picture, white where it is True."""
        atomic_write(self.path("mask", "mask.png"), _encoded(mask.astype(np.uint8) * 255, "PNG"))

    def thumb(self, kind: str, pixels: np.ndarray) -> None:
        """A small picture for the review sheet."""
        image = Image.fromarray(pixels)
        image.thumbnail((_THUMB, _THUMB), Image.Resampling.LANCZOS, reducing_gap=3.0)
        path = self.place.out / REVIEW / f"{self.row.name}.{kind}.jpg"
        atomic_write(self.add(f"review_{kind}", path), _encoded(np.asarray(image), "JPEG"))

    def remove(self) -> None:
        """Take back everything: a row that failed has no files."""
        for name in self.names.values():
            (self.place.out / name).unlink(missing_ok=True)


def find_phrase(editor: Editor, place: Place, row: Row, key: str) -> dict[str, Any]:
    """Find a row's phrase and keep the grounding under a key; what was found, as plain values."""
    path = inside(place.root, row.image)
    about = picture_facts(path)
    started = time.perf_counter()
    # Phrase by phrase, not all of a picture's at once: a row's result must not depend on which
    # other rows are still to be done. The editor keeps the picture's encoding, which is the cost.
    found = editor.ground(path, row.words)
    seconds = round(time.perf_counter() - started, 3)
    spares = None
    if row.paints and found.found:
        # Now, as whoever paints may have no model to look with. Other rows have the same phrase:
        # what is wrong with the wishes of this one is told when it is painted.
        with contextlib.suppress(GroundbrushError):
            spares = editor._spares(open_picture(path), row.request(), found)
    save_grounding(place.grounding(key), found, spares)
    return {**grounding_facts(found), "picture": about, "seconds": seconds}


def finish_found(place: Place, row: Row, key: str, facts: Mapping[str, Any], status: str) -> Result:
    """The result of a row that is only looked for, or is not painted for how it was found."""
    picture = open_picture(inside(place.root, row.image))
    files = RowFiles(place, row)
    try:
        found = load_grounding(place.grounding(key))
        _show_found(files, picture, found)
    except BaseException:
        files.remove()
        raise
    return result_of(
        row,
        status,
        files=files.names,
        notes=list(picture.notes),
        seconds={"find": facts["seconds"]},
        **_of(facts),
    )


def paint_row(
    editor: Editor, place: Place, row: Row, key: str | None, facts: Mapping[str, Any] | None
) -> tuple[Result, dict[str, Any]]:
    """Do what a row asks for beyond finding its phrase; its result and its picture's facts.

    Parameters
    ----------
    editor, place, row
        With what, where, what.
    key, facts
        Of the row's grounding, where it has one.
    """
    path = inside(place.root, row.image)
    about = picture_facts(path)
    if facts is not None and about["sha256"] != facts["picture"]["sha256"]:
        raise GroundbrushError(
            f"the picture {row.image!r} was changed while the batch ran; run it again with "
            "--retry-failed"
        )
    # Named as in the manifest: a recipe that is the same wherever the folder lies.
    picture = dataclasses.replace(open_picture(path), source=Path(row.image))
    files = RowFiles(place, row)
    started = time.perf_counter()
    try:
        if row.action == GROUND_ALL:
            result = _ground_all(editor, files, picture)
        elif row.action == APPLY:
            result = _apply(editor, files, picture)
        elif row.placed:
            result = _edit_placed(editor, files, picture)
        else:
            assert key is not None
            assert facts is not None
            result = _edit(editor, files, picture, place.grounding(key), facts)
    except BaseException:
        files.remove()
        raise
    result["seconds"]["paint" if row.paints else "find"] = round(time.perf_counter() - started, 3)
    return result, about


def _edit(
    editor: Editor, files: RowFiles, picture: Picture, kept: Path, facts: Mapping[str, Any]
) -> Result:
    from ..editing.pipeline import Callbacks

    row, found = files.row, load_grounding(kept)
    edit = editor._paint(picture, row.request(), Callbacks(), found, load_spares(kept))
    _show_found(files, picture, found, row.options.get("candidate"))
    told = {**_of(facts), "seconds": {"find": facts["seconds"]}}
    return _edited(files, edit, told)


def _edit_placed(editor: Editor, files: RowFiles, picture: Picture) -> Result:
    """An edit whose place a box or a mask says."""
    from ..editing.pipeline import Callbacks

    row = files.row
    edit = editor._paint(picture, row.request(_row_mask(files.place, row, picture)), Callbacks())
    files.mask(edit.support)
    files.thumb("before", picture.pixels)
    files.thumb("found", _tinted(picture.pixels, edit.support))
    return _edited(files, edit, {"reason": "the place was given", "seconds": {}})


def _row_mask(place: Place, row: Row, picture: Picture) -> dict[str, Any] | None:
    """A row's mask as recipes have it."""
    from ..masks.source import encode_mask, read_mask

    if row.mask is None:
        return None
    path = inside(place.root, row.mask, "mask")
    if picture_facts(path)["sha256"] != row.mask_digest:
        raise GroundbrushError(
            f"the mask {row.mask!r} was changed while the batch ran; run it again with "
            "--retry-failed"
        )
    return encode_mask(read_mask(path, picture.size))


def _edited(files: RowFiles, edit: Edit, told: dict[str, Any]) -> Result:
    """Save every variant; the result."""
    row, told = files.row, {**told, "recipe": edit.recipe()}
    if not edit.done:
        return result_of(
            row,
            "absent",
            **{**told, "reason": edit.notes[-1]},
            files=files.names,
            notes=list(edit.notes),
        )
    notes = [*edit.notes]
    for k, variant in enumerate(edit.variants):
        kind, more = ("result", "") if k == 0 else (f"variant {k}", f"-{variant.seed}")
        notes += edit.save(files.path(kind, f"edited{more}.{files.place.suffix}"), k)
    files.thumb("after", edit.image)
    return result_of(
        row,
        "done",
        **told,
        files=files.names,
        notes=list(dict.fromkeys(notes)),
        checks=dict(edit.checks),
    )


def _apply(editor: Editor, files: RowFiles, picture: Picture) -> Result:
    from ..plan.apply import save_applied
    from ..plan.reader import read_plan

    row = files.row
    plan = read_plan(row.words)
    edits = editor.apply(
        picture, plan, seed=row.options.get("seed", 0), settings=row.options.get("settings")
    )
    worst, status = _worst(files.place, row, edits)
    told: dict[str, Any] = {
        "recipe": [edit.recipe() for edit in edits],
        "checks": {"preserved": all(edit.checks.get("preserved", True) for edit in edits)},
        "steps": [_step(edit) for edit in edits],
        **worst,
    }
    files.thumb("before", picture.pixels)
    if status in ("absent", "skipped"):
        return result_of(row, status, **told, files=files.names)
    suffix = files.place.suffix
    endings = {"plan": "plan.json", "result": f"applied.{suffix}", "strip": "steps.png"}
    for kind, ending in endings.items():
        files.path(kind, ending)  # all that there may be, so that a failure takes all back
    made, notes = save_applied(picture, plan, edits, files.place.out, row.name, suffix)
    for kind in set(endings) - set(made):
        del files.names[kind]
    support = np.any([edit.support for edit in edits], axis=0)
    files.mask(support)
    files.thumb("found", _tinted(picture.pixels, support))
    if "result" in made:
        files.thumb("after", next(e.image for e in reversed(edits) if e.done))
    return result_of(row, status or "done", **told, files=files.names, notes=notes)


def _step(edit: Edit) -> dict[str, Any]:
    """One edit of a sentence, as plain values."""
    found = {} if edit.grounding is None else grounding_facts(edit.grounding)
    return {
        "find": edit.request["find"],
        "paint": edit.request["paint"],
        "done": edit.done,
        "reason": "" if edit.done else edit.notes[-1],
        **{name: found.get(name) for name in ("found", "score", "box")},
    }


def _worst(place: Place, row: Row, edits: list[Edit]) -> tuple[dict[str, Any], str | None]:
    """What the least plain step found, and what the gate makes of it (None: all is well)."""
    order = ("absent", "uncertain", "ambiguous", "found")
    found = [edit.grounding for edit in edits if edit.grounding is not None]
    if not found:
        return {}, None
    least = min(found, key=lambda g: (order.index(g.status), g.score))
    facts = grounding_facts(least)
    if least.status != "found":
        facts["reason"] = f"{least.phrase!r}: {facts['reason']}"
    undone = next((edit for edit in edits if not edit.done), None)
    if undone is not None and least.status == "found":
        facts |= {"found": "uncertain", "reason": undone.notes[-1]}
    facts |= {"box": None, "candidates": []}  # the steps tell where each of them was
    status = gate(row, place.gate, facts)
    if status == "absent" and (row.gate or place.gate) == "paint" and any(e.done for e in edits):
        status = None  # the other steps were wanted whatever comes
    return facts, status


def _ground_all(editor: Editor, files: RowFiles, picture: Picture) -> Result:
    from ..outputs import panoptic_files
    from ..pictures.panoptic_overlay import draw_segments

    found: PanopticGrounding = editor.ground_all(picture, files.row.words)
    png_path = files.path("panoptic", "panoptic.png")
    png, document = panoptic_files(found, Path(files.row.image).name, png_path.name)
    atomic_write(png_path, png)
    atomic_write(files.path("panoptic_json", "panoptic.json"), document)
    files.thumb("before", picture.pixels)
    files.thumb("found", draw_segments(picture.pixels, found))
    scores = [round(float(segment.score), 4) for segment in found.found]
    told = [f"{s.phrase}: {s.status}" for s in found.segments]
    return result_of(
        files.row,
        "done" if scores else "absent",
        files=files.names,
        notes=list(picture.notes),
        score=min(scores, default=None),
        found="found" if scores else "absent",
        reason="; ".join(told) or "the sentence names nothing that could be pointed at",
        segments=[
            {
                "phrase": s.phrase,
                "status": s.status,
                "score": round(float(s.score), 4),
                "ids": list(s.ids),
                "area": int(s.mask.sum()),
            }
            for s in found.segments
        ],
        seconds={},
    )


def picture_facts(path: Path) -> dict[str, Any]:
    """Length, time and digest of a picture's file."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        status = path.stat()
    except OSError as error:
        raise GroundbrushError(
            f"{str(path)!r} cannot be read ({one_line(error)}); expected the picture as it was "
            "when the batch began"
        ) from error
    return {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": digest}


def same_picture(path: Path, facts: Mapping[str, Any]) -> bool:
    """Whether a file still is what it was; it is read only where its time differs."""
    try:
        status = path.stat()
        if status.st_size != facts["bytes"]:
            return False
        if status.st_mtime_ns == facts["mtime_ns"]:
            return True
        return bool(picture_facts(path)["sha256"] == facts["sha256"])
    except (OSError, KeyError, GroundbrushError):
        return False


def passes(row: Row, place: Place, facts: Mapping[str, Any]) -> str | None:
    """The status of a row that ends with being found, or None where it is to be painted."""
    if row.action == GROUND:
        return "absent" if facts["found"] == "absent" else "done"
    return gate(row, place.gate, facts)


def _of(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {k: facts[k] for k in ("found", "reason", "score", "box", "candidates")}


def _show_found(
    files: RowFiles, picture: Picture, found: Grounding, candidate: int | None = None
) -> None:
    """The mask, and the two small pictures of before and of what was found."""
    from ..editing.region import chosen_mask
    from ..pictures.overlay import draw_grounding

    if candidate is not None:
        mask = chosen_mask(found, candidate)
        found = dataclasses.replace(found, mask=mask, box=found.candidates[candidate].box)
    files.mask(found.mask)
    files.thumb("before", picture.pixels)
    files.thumb("found", draw_grounding(picture.pixels, found))


def _tinted(pixels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    out = pixels.copy()
    out[~mask] = (out[~mask] * 0.55).astype(np.uint8)
    return out


def _encoded(pixels: np.ndarray, kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **({"quality": 85} if kind == "JPEG" else {}))
    return buffer.getvalue()
