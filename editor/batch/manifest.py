"""Manifests: JSONL, CSV or a folder -> rows, checked whole, every problem told at once."""

from __future__ import annotations

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
from .columns import OPTIONS
from .errors import ManifestError, Problem, refusals
from .folders import PICTURES, folder_names, list_pictures, passed_over
from .rows import BatchRow, read_row
from .tables import Lines, read_csv, read_jsonl

MAX_ROWS = 1_000_000
MAX_BYTES = 1_000_000_000
_JSONL, _CSV = {".jsonl", ".ndjson"}, {".csv", ".tsv"}
_MANY = 1_000  # problems; a file with more is of another kind altogether


@dataclass(frozen=True)
class Manifest:
    """Checked rows and where their pictures are.

    Attributes
    ----------
    source
        The file or folder.
    root
        The folder that every picture lies in, links followed.
    rows
        In order, at least one.
    problems
        What is wrong with it and was not refused when it was read, because the rest was to be
        looked at first; `editor.batch.run.run_batch` and `examine` refuse it then. A row that
        lacks nothing but a file is among `rows` all the same.
    notes
        What was passed over, in words.
    """

    source: Path
    root: Path
    rows: tuple[BatchRow, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()

    def picture(self, row: BatchRow) -> Path:
        """The row's picture, looked up again: it must still lie in the root."""
        return inside(self.root, row.image)

    def mask(self, row: BatchRow) -> Path:
        """The same of a row's mask."""
        return inside(self.root, row.mask or "", "mask")


def read_manifest(
    path: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
    defaults: Mapping[str, Any] | None = None,
    refuse: bool = True,
) -> Manifest:
    """Read a JSONL or CSV manifest and check all of it but the pictures' content.

    Parameters
    ----------
    path
        Ends in .jsonl or .ndjson (one object a line) or .csv or .tsv (with headings; commas,
        semicolons or tabs). UTF-8. Columns are those of `editor.batch.columns.COLUMNS`.
    root
        The folder that paths are relative to and must stay in; by default the manifest's.
    defaults
        For options that a row does not give.
    refuse
        False leaves problems in `Manifest.problems`, to be told with those that only an editor
        knows.

    Raises
    ------
    ManifestError
        With every problem and its row: unknown columns, missing or contradicting words, values of
        the wrong kind, names used twice, pictures that are not there or lie outside the root.
    GroundbrushError
        When the file cannot be read at all.
    """
    path = as_path(path)
    suffix = path.suffix.lower()
    if suffix not in _JSONL | _CSV:
        raise GroundbrushError(
            f"{str(path)!r} is no manifest by its name; expected .jsonl (one object a line), .csv, "
            "or a folder of pictures"
        )
    with open_regular(path, "manifest") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise GroundbrushError(
            f"{str(path)!r} is larger than {MAX_BYTES:,} bytes; split it into several manifests"
        )
    folder = _real_folder(path.parent if root is None else root)
    reader = read_jsonl if suffix in _JSONL else read_csv
    return _collect(
        Manifest(path, folder),
        reader(raw),
        text=suffix in _CSV,
        defaults=defaults or {},
        refuse=refuse,
    )


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

    Parameters
    ----------
    path
        The folder; files whose names do not end as pictures' do are left out, which
        `Manifest.notes` tells of, and hidden ones.
    instruction
        Columns other than ``image`` and ``id``.
    recursive
        Take pictures of folders in it as well.
    root
        The folder that links must stay in; by default this one.
    without
        A folder in it that is left out, such as the one results are written to.
    refuse
        As for `read_manifest`.

    Raises
    ------
    ManifestError
        For an instruction that is not one, and links that lead outside.
    GroundbrushError
        When the folder cannot be read or has no picture.
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
    if wrong:  # told once, not of each picture; what is wrong with these is told as well
        what = {"remove": True, "box": [[0, 0, 1, 1]]}  # right in any picture, in no words
    lines = [
        (None, {"image": str(folder / file) if root else file.as_posix(), "id": name, **what})
        for file, name in zip(files, folder_names(files), strict=True)
    ]
    real_root = folder if root is None else _real_folder(root)
    problems = tuple(Problem(words) for words in wrong)
    return _collect(
        Manifest(Path(path), real_root, (), problems, notes),
        lines,
        text=False,
        defaults=how,
        refuse=refuse,
    )


def inside(root: Path, given: str, what: str = "image") -> Path:
    """A path under a root, links followed; `what` names it in errors.

    Raises
    ------
    GroundbrushError
        When it leads outside, or cannot be a path.
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


@dataclass(eq=False)
class _Reader:
    """Reads row after row; remembers the names and masks of those before."""

    root: Path
    text: bool
    defaults: Mapping[str, Any]
    names: dict[str, int] = field(default_factory=dict)
    masks: dict[str, str] = field(default_factory=dict)

    def read(
        self, values: Mapping[str, Any], number: int, line: int | None
    ) -> tuple[BatchRow | None, list[str]]:
        """A row and what is wrong with it; a row that lacks only a file is one."""
        row, wrong, image, mask, name = read_row(
            values, number, text=self.text, defaults=self.defaults, line=line
        )
        if image is not None:
            wrong += filter(None, [file_problem(self.root, image)])
        if mask is not None:
            problem = file_problem(self.root, mask, "mask")
            if problem is None:
                wrong += refusals([partial(self._read_mask, mask)])
            else:
                wrong.append(problem)
            row = row and dataclasses.replace(row, mask_digest=self.masks.get(mask))
        if name is not None:
            earlier = self.names.setdefault(name.casefold(), number)
            if earlier != number:
                wrong.append(
                    f"its files would be called {name!r} as those of row {earlier}; give another id"
                )
        return row, wrong

    def _read_mask(self, given: str) -> None:
        """Keep a mask's digest, by which a later run finds that it was changed."""
        if given not in self.masks:
            path = inside(self.root, given, "mask")
            with translate(OSError), open_regular(path, "mask") as file:
                self.masks[given] = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def file_problem(root: Path, given: str, what: str = "image") -> str | None:
    """What keeps a row's file from being opened, in words; None where nothing does.

    Parameters are those of `inside`.
    """
    try:
        with open_regular(inside(root, given, what), "picture" if what == "image" else what):
            return None
    except GroundbrushError as error:
        mend = "; write / between folders" if "\\" in given else ""
        return f"{error}{mend}"


def _collect(
    manifest: Manifest, lines: Lines, *, text: bool, defaults: Mapping[str, Any], refuse: bool
) -> Manifest:
    """The manifest with the rows of all lines, and every problem in them."""
    rows: list[BatchRow] = []
    problems = [*manifest.problems]
    wrong = _bad_defaults(defaults)
    problems += [Problem(f"of the rows that do not say it themselves: {words}") for words in wrong]
    reader = _Reader(manifest.root, text, {} if wrong else defaults)
    number = 0
    for line, values in lines:
        if isinstance(values, Problem):
            number += values.row is not None
            problems.append(values if values.row is None else Problem(values.words, number, line))
        else:
            number += 1
            row, wrong = reader.read(values, number, line)
            rows += [] if row is None else [row]
            if wrong:
                told = {one.words for one in problems if one.row is None}  # of the headings, once
                problems += [Problem(w, number, line) for w in wrong if w not in told]
        if len(problems) > _MANY or number > MAX_ROWS:
            rest = f"the rest, from row {number + 1}, was not read; mend these first"
            problems.append(Problem(rest))
            break
    if not number and not problems:
        problems.append(Problem("there are no rows; expected at least one"))
    if refuse and problems:
        raise ManifestError(str(manifest.source), problems, manifest.notes)
    return dataclasses.replace(manifest, rows=tuple(rows), problems=tuple(problems))


def _bad_defaults(defaults: Mapping[str, Any]) -> list[str]:
    """What is wrong with what goes to every row: told once, not of each of them."""
    return read_row({"image": "a.png", "find": "it", "paint": "it"}, 1, defaults=defaults).problems


def _real_folder(path: str | os.PathLike[str]) -> Path:
    folder = Path(os.path.realpath(as_path(path)))
    if not folder.is_dir():
        raise GroundbrushError(f"{str(path)!r} is no folder; expected one that holds the pictures")
    return folder
