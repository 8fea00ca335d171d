"""Checks of rows before any model is loaded: what a run refuses, and what a dry run reports.

`check_rows` finds what no run may begin with: settings, prompts and sentences that cannot be.
`inspect_rows` finds what would fail a row alone: words to find, pictures, masks, boxes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import GroundbrushError
from ..files import check_writable
from ..pictures.picture import Picture, open_picture
from ..pictures.saving import check_holds
from ..request import EditRequest, make_request
from .errors import BatchProblem, ManifestError, refusals
from .manifest import Manifest, check_file, inside
from .results import BatchProgress, OnBatchProgress
from .rows import APPLY, EDIT, GROUND_ALL, REMOVE, BatchRow, digest
from .workspace import REVIEW, Workspace

if TYPE_CHECKING:
    from ..api import Editor


def refuse(manifest: Manifest, problems: Iterable[BatchProblem]) -> None:
    """Raise ManifestError with a manifest's own problems and these, if there are any."""
    if every := [*manifest.problems, *problems]:
        raise ManifestError(str(manifest.source), every, manifest.notes)


def check_out(out: Path) -> None:
    """Refuse an output folder that cannot be created or written; nothing is written.

    Raises GroundbrushError.
    """
    for name in (".batch", ".batch/found", ".batch/lock", REVIEW):
        if (Path(out) / name).is_symlink():
            raise GroundbrushError(
                f"{str(Path(out) / name)!r} is a link, and results are not written through one; "
                "expected a folder of this batch; remove the link, or choose another --out"
            )
    check_writable(out)


def check_rows(
    editor: Editor, manifest: Manifest, rows: Iterable[BatchRow], workspace: Workspace
) -> Iterator[BatchProblem]:
    """Problems that a run refuses: settings, prompts, sentences, inputs that it could overwrite.

    The editor knows the settings and, for small models, the words; no model is loaded.
    """
    seen: dict[str, list[str]] = {}  # most rows are alike
    for row in rows:
        key = digest(row.action, row.words if row.action == APPLY else None, row.paint, row.options)
        if key not in seen:
            seen[key] = _bad_request(editor, row)
        for words in (*seen[key], *_overwritten(manifest, row, workspace)):
            yield BatchProblem(words, row.number, row.line)


def _overwritten(manifest: Manifest, row: BatchRow, workspace: Workspace) -> Iterator[str]:
    """Inputs of a row that a result could overwrite."""
    for what, given in (("image", row.image), ("mask", row.mask)):
        try:
            path = None if given is None else inside(manifest.root, given, what)
        except GroundbrushError:  # reported when the manifest was read
            continue
        if path is not None and workspace.may_overwrite(path):
            yield (
                f"{what} {given!r} is a result in the output folder; choose another --out, for "
                "results of this batch could overwrite it"
            )


def _bad_request(editor: Editor, row: BatchRow) -> list[str]:
    """What is wrong with a row beyond its form."""
    from ..plan.apply import check_ready
    from ..plan.reader import read_plan

    if row.action in (EDIT, REMOVE):
        prompts = [] if row.paint is None else [row.paint]
        return [*_bad_settings(editor, row.request()), *_bad_prompts(editor, prompts)]
    if row.action != APPLY:
        return []
    settings = row.options.get("settings")
    request = make_request(EDIT, find="checked here", paint="checked here", settings=settings)
    wrong = _bad_settings(editor, request)
    try:
        plan = read_plan(row.words)
    except GroundbrushError as error:
        return [str(error), *wrong]
    prompts = [step.paint for step in plan.steps if step.paint is not None]
    return [*refusals([partial(check_ready, plan)]), *wrong, *_bad_prompts(editor, prompts)]


def _bad_settings(editor: Editor, request: EditRequest) -> list[str]:
    """What is wrong with each setting by itself, or else with all of them together."""
    from ..editing.pipeline import settings_for

    alone = [{name: value} for name, value in request.settings.items()]
    together, *each = (
        partial(settings_for, editor.models, request.model_copy(update={"settings": settings}))
        for settings in (request.settings, *alone)
    )
    wrong = refusals([together])
    return wrong and (refusals(each) or wrong)


def _bad_prompts(editor: Editor, prompts: Iterable[str]) -> list[str]:
    words = editor.models.words
    return refusals(partial(words.check_prompt, prompt) for prompt in prompts) if words else []


def inspect_rows(
    editor: Editor,
    manifest: Manifest,
    rows: Sequence[BatchRow],
    suffix: str = "png",
    on_progress: OnBatchProgress | None = None,
) -> tuple[list[BatchProblem], list[str]]:
    """Check the words, pictures and masks of rows as their work would.

    The editor's tokenizer is loaded, from this machine alone, and no model. Returns problems, and
    notes about what could not be checked.
    """
    phrases, notes = _phrase_problems(editor, rows)
    return [*phrases, *_picture_problems(manifest, rows, suffix, on_progress)], notes


def _phrase_problems(
    editor: Editor, rows: Sequence[BatchRow]
) -> tuple[list[BatchProblem], list[str]]:
    """What the preset cannot find; a note instead if its tokenizer is missing."""
    finding = [row for row in rows if row.grounds or row.action == APPLY]
    missing = refusals([editor.models.reader]) if finding else []
    notes = [f"the words to find were not checked: {words}" for words in missing]
    finding = [] if missing else finding
    seen: dict[tuple[str, str], list[str]] = {}  # most rows are alike
    problems = []
    for row in [*finding, *(row for row in rows if row.action == GROUND_ALL)]:
        key = (row.action, row.words)
        if key not in seen:
            seen[key] = _bad_phrases(editor, row)
        problems += [BatchProblem(words, row.number, row.line) for words in seen[key]]
    return problems, notes


def _bad_phrases(editor: Editor, row: BatchRow) -> list[str]:
    """What is wrong with each of a row's phrases."""
    from ..plan.reader import read_plan

    phrases = [row.words]
    try:
        if row.action == GROUND_ALL:  # unknown words are absent there
            editor.finder.check_sentence(row.words)
            return []
        if row.action == APPLY:
            phrases = list(dict.fromkeys(step.find for step in read_plan(row.words).steps))
    except GroundbrushError as error:
        return [] if row.action == APPLY else [str(error)]  # `check_rows` reports those of apply
    return refusals(partial(editor.check_find, phrase, load=False) for phrase in phrases)


def _picture_problems(
    manifest: Manifest, rows: Sequence[BatchRow], suffix: str, on_progress: OnBatchProgress | None
) -> Iterator[BatchProblem]:
    """What is wrong with pictures, each read once, and with boxes and masks in them."""
    by_picture: dict[str, list[BatchRow]] = {}
    for row in rows:
        by_picture.setdefault(row.image, []).append(row)
    for done, (image, same) in enumerate(by_picture.items(), 1):
        faulty = [row for row in same if row.fault]
        yield from (BatchProblem(row.fault, row.number, row.line) for row in faulty)
        same = [row for row in same if not row.fault]
        picture = _read(manifest, image) if same else ""
        for row in same:
            wrong = [picture] if isinstance(picture, str) else _bad_places(picture, row, suffix)
            wrong += _bad_mask(manifest, row, None if isinstance(picture, str) else picture.size)
            yield from (BatchProblem(words, row.number, row.line) for words in wrong)
        if on_progress is not None:
            on_progress(BatchProgress("checking", done, len(by_picture)))


def _read(manifest: Manifest, given: str, what: str = "image") -> Picture | str:
    """A picture, or why it cannot be read."""
    try:
        check_file(manifest.root, given, what)
        return open_picture(inside(manifest.root, given, what))
    except GroundbrushError as error:
        return str(error)


def _bad_places(picture: Picture, row: BatchRow, suffix: str) -> list[str]:
    """Boxes and points outside the picture, and a format that cannot hold the result."""
    from ..masks.operations import read_operation

    boxes = {"op": "boxes", "boxes": row.options["boxes"]} if "boxes" in row.options else None
    places = [*filter(None, [boxes]), *row.options.get("operations", ())]
    checks: list[Callable[[], object]] = [
        partial(read_operation(place).check_fits, picture.size) for place in places
    ]
    if row.paints:
        result = f"{row.name}.{'applied' if row.action == APPLY else 'edited'}.{suffix}"
        checks.append(partial(check_holds, result, picture.size, picture))
    return refusals(checks)


def _bad_mask(manifest: Manifest, row: BatchRow, size: tuple[int, int] | None) -> list[str]:
    """What is wrong with a row's mask, as far as the picture's size is known."""
    from ..masks.source import read_mask

    if row.mask is None:
        return []
    mask: Any = _read(manifest, row.mask, "mask")
    if isinstance(mask, str):
        return [mask]
    return refusals([partial(read_mask, mask, size or mask.size)])
