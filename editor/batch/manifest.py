"""Reads manifests (JSONL, CSV or a folder) into rows, and reports every problem at once."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import GroundbrushError, one_line, translate
from ..files import as_path, open_regular
from ..journal import read_journal
from .columns import OPTIONS, Lines, read_csv, read_jsonl
from .errors import BatchProblem, ManifestError, refusals
from .folders import PICTURES, folder_names, list_pictures, passed_over, readable_name
from .rows import BatchRow, read_row
from .workspace import Workspace

MAX_ROWS = 1_000_000
MAX_BYTES = 1_000_000_000
_JSONL, _CSV = {".jsonl", ".ndjson"}, {".csv", ".tsv"}
_MANY = 1_000  # problems; a file with more is not a manifest at all


@dataclass(frozen=True)
class Manifest:
    """Checked rows and where their pictures are.

    Attributes
    ----------
    source : The file or folder.
    root : The folder that holds every picture, links followed.
    rows : In order. A row that lacks nothing but a file is among them.
    problems : What is wrong, if reading it did not raise: `editor.batch.run` reports it with the
        problems that only an editor knows.
    notes : Files that were left out.
    """

    source: Path
    root: Path
    rows: tuple[BatchRow, ...] = ()
    problems: tuple[BatchProblem, ...] = ()
    notes: tuple[str, ...] = ()


def read_manifest(
    path: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
    defaults: Mapping[str, Any] | None = None,
    refuse: bool = True,
) -> Manifest:
    """Read a JSONL or CSV manifest and check all of it except the pictures' content.

    Raises ManifestError with every problem and its row. Raises GroundbrushError if the file cannot
    be read at all.

    Parameters
    ----------
    path : Ends in .jsonl or .ndjson (one object a line) or .csv or .tsv (with headings; commas,
        semicolons or tabs). UTF-8. Columns are `editor.batch.columns.COLUMNS`.
    root : Paths are relative to it and stay in it; by default the manifest's folder.
    defaults : Of options that a row does not give.
    refuse : False leaves problems in `Manifest.problems`.
    """
    path = as_path(path)
    suffix = path.suffix.lower()
    if suffix not in _JSONL | _CSV:
        wrong = "is no manifest by its name" if path.exists() else "does not exist"
        raise GroundbrushError(
            f"{str(path)!r} {wrong}; expected .jsonl (one object a line), .csv, or a folder of "
            "pictures"
        )
    with open_regular(path, "manifest") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise GroundbrushError(
            f"{str(path)!r} is larger than {MAX_BYTES:,} bytes; split it into several manifests"
        )
    manifest = Manifest(path, _real_folder(path.parent if root is None else root))
    lines = read_csv(raw) if suffix in _CSV else read_jsonl(raw)
    return _read_rows(manifest, lines, suffix in _CSV, defaults or {}, refuse)


def read_folder(
    path: str | os.PathLike[str],
    instruction: Mapping[str, Any],
    *,
    recursive: bool = False,
    root: str | os.PathLike[str] | None = None,
    without: str | os.PathLike[str] | None = None,
    refuse: bool = True,
) -> Manifest:
    """One instruction for all pictures of a folder, in the order of their names.

    Raises ManifestError for an instruction that is not one. Raises GroundbrushError if the folder
    cannot be read or has no picture.

    Parameters
    ----------
    path : The folder. Hidden files are left out, and files without a picture's suffix, with a note.
    instruction : Columns other than ``image`` and ``id``.
    recursive : Include folders in it.
    root : Links must stay in it, or their rows fail; by default `path`.
    without : A folder in it that is left out, such as the one for results. Pictures that an earlier
        run did there keep the names of their results.
    refuse : As for `read_manifest`.
    """
    folder = _real_folder(path)
    left_out = None if without is None else Path(without).resolve()
    if left_out and folder.is_relative_to(left_out):
        raise GroundbrushError(
            f"the pictures in {str(path)!r} lie in the output folder {str(without)!r}; choose "
            "another --out, such as a folder in it"
        )
    files, others = list_pictures(folder, recursive=recursive, without=left_out)
    notes = tuple(filter(None, [passed_over(others)]))
    if not files:
        raise GroundbrushError(
            f"{str(path)!r} has no pictures; expected some ending in {', '.join(sorted(PICTURES))}"
            + "".join(f" ({note})" for note in notes)
        )
    how = {name: value for name, value in instruction.items() if name in OPTIONS}
    what = {name: value for name, value in instruction.items() if name not in OPTIONS}
    wrong = read_row({"image": "picture.png", **what}, 1).problems
    if wrong:  # reported once; the pictures are checked with an instruction that always works
        what = {"remove": True, "box": [[0, 0, 2, 2]]}
    named = [readable_name(folder / file if root else file) for file in files]
    images = [image for image, _ in named]
    known = {} if without is None else _recorded_names(Path(without))
    lines = [
        (None, {"image": image, "id": name, **what})
        for image, name in zip(images, folder_names(images, known), strict=True)
    ]
    real_root = folder if root is None else _real_folder(root)
    manifest = Manifest(Path(path), real_root, (), tuple(map(BatchProblem, wrong)), notes)
    manifest = _read_rows(manifest, lines, False, how, refuse, files=False)
    rows = (dataclasses.replace(row, fault=named[row.number - 1][1]) for row in manifest.rows)
    return dataclasses.replace(manifest, rows=tuple(rows))


def _recorded_names(out: Path) -> dict[str, str]:
    """The names of the rows that an earlier run finished, by picture."""
    names: dict[str, str] = {}
    with contextlib.suppress(OSError, GroundbrushError):
        for record in read_journal(Workspace(out, out).work / "journal"):
            if record.get("event") == "row" and isinstance(record.get("result"), dict):
                names[str(record["result"].get("image"))] = str(record.get("name"))
    return names


def inside(root: Path, given: str, what: str = "image") -> Path:
    """A path under a root, links followed; `what` names it in errors.

    Raises GroundbrushError if it leads outside, or cannot be a path.
    """
    if "://" in given:
        raise GroundbrushError(f"{what} {given!r} is an address; download the picture first")
    try:
        full = Path(os.path.realpath(root / as_path(given)))
    except (OSError, ValueError) as error:
        raise GroundbrushError(f"{what} {given!r} cannot be a path ({one_line(error)})") from error
    if not full.is_relative_to(root):
        raise GroundbrushError(
            f"{what} {given!r} lies outside {str(root)!r}; expected a path in that folder; move "
            "the picture, or name a folder above both with --root"
        )
    return full


def row_picture(root: Path, row: BatchRow) -> Path:
    """A row's picture under a root; raises as `inside` does, and for the row's fault."""
    if row.fault:
        raise GroundbrushError(row.fault)
    return inside(root, row.image)


def check_file(root: Path, given: str, what: str = "image") -> None:
    """Refuse a file that cannot be opened; parameters and error are those of `inside`."""
    try:
        open_regular(inside(root, given, what), "picture" if what == "image" else what).close()
    except GroundbrushError as error:
        hint = "; write / between folders" if "\\" in given else ""
        raise GroundbrushError(f"{error}{hint}") from error


@dataclass(eq=False)
class _Reader:
    """Reads row after row; remembers the names and masks of those before.

    `files` says whether pictures are opened.
    """

    root: Path
    text: bool
    defaults: Mapping[str, Any]
    files: bool
    names: dict[str, int] = field(default_factory=dict)
    masks: dict[str, str] = field(default_factory=dict)

    def read(
        self, values: Mapping[str, Any], number: int, line: int | None
    ) -> tuple[BatchRow | None, list[str], list[str]]:
        """A row, what is wrong with it, and which of its files cannot be opened."""
        row, wrong, image, mask, name = read_row(
            values, number, text=self.text, defaults=self.defaults, line=line
        )
        closed = []
        for path, what in ((image if self.files else None, "image"), (mask, "mask")):
            if path is None:
                continue
            if outside := refusals([partial(inside, self.root, path, what)]):
                wrong += outside
            else:
                closed += refusals([partial(self._open, path, what)])
        row = row and dataclasses.replace(row, mask_digest=self.masks.get(mask or ""))
        if name is not None:
            earlier = self.names.setdefault(name.casefold(), number)
            if earlier != number:
                wrong.append(
                    f"its files would be called {name!r} as those of row {earlier}; give another id"
                )
        return row, wrong, closed

    def _open(self, given: str, what: str) -> None:
        """Check a file; keep a mask's digest, by which a later run finds that it was changed."""
        check_file(self.root, given, what)
        if what == "mask" and given not in self.masks:
            path = inside(self.root, given, what)
            with translate(OSError), open_regular(path, what) as file:
                self.masks[given] = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def _read_rows(
    manifest: Manifest,
    lines: Lines,
    text: bool,
    defaults: Mapping[str, Any],
    refuse: bool,
    *,
    files: bool = True,
) -> Manifest:
    """The manifest with the rows of all lines, and every problem in them.

    A file that cannot be opened fails its row alone, unless there are other problems, or all rows
    have such files: the root may be another then.
    """
    rows: list[BatchRow] = []
    closed: dict[int, BatchProblem] = {}  # by row
    problems = [*manifest.problems]
    example = {"image": "a.png", "find": "a cup", "paint": "a cup"}
    wrong = read_row(example, 1, defaults=defaults).problems  # of the defaults, once for all rows
    problems += [
        BatchProblem(f"of the rows that do not say it themselves: {words}") for words in wrong
    ]
    reader = _Reader(manifest.root, text, {} if wrong else defaults, files)
    number, rest = 0, ""
    for line, values in lines:
        if isinstance(values, BatchProblem):
            number += values.row is not None
            problems.append(
                values if values.row is None else BatchProblem(values.words, number, line)
            )
        else:
            number += 1
            row, wrong, unopened = reader.read(values, number, line)
            if unopened:
                closed[number] = BatchProblem("; ".join(unopened), number, line)
            rows += [] if row is None else [row]
            if wrong:
                once = {one.words for one in problems if one.row is None}  # of the headings
                problems += [BatchProblem(w, number, line) for w in wrong if w not in once]
        every = closed if len(closed) == number else {}
        if len(problems) + len(every) > _MANY or number > MAX_ROWS:
            rest = f"the rest, from row {number + 1}, was not read; fix these first"
            break
    rows = [
        dataclasses.replace(r, fault=closed[r.number].words) if r.number in closed else r
        for r in rows
    ]
    if problems or len(closed) == number:
        problems = sorted([*problems, *closed.values()], key=lambda one: one.row or 0)
        problems += [BatchProblem(rest)] if rest else []
    if not number and not problems:
        problems.append(BatchProblem("there are no rows; expected at least one"))
    if refuse and problems:
        raise ManifestError(str(manifest.source), problems, manifest.notes)
    return dataclasses.replace(manifest, rows=tuple(rows), problems=tuple(problems))


def _real_folder(path: str | os.PathLike[str]) -> Path:
    folder = Path(os.path.realpath(as_path(path)))
    if not folder.is_dir():
        raise GroundbrushError(f"{str(path)!r} is no folder; expected one that holds the pictures")
    return folder
