"""Manifests: JSONL, CSV or a folder -> rows, checked whole, every problem told at once."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from editor.batch.errors import ManifestError, Problem
from editor.batch.rows import (
    COLUMNS,
    OPTIONS,
    Row,
    digest,
    read_row,
    row_name,
    unknown_columns,
)
from editor.errors import GroundbrushError, one_line
from editor.files import as_path, open_regular

MAX_ROWS = 1_000_000
MAX_BYTES = 1_000_000_000
_LONGEST_LINE = 1_000_000  # bytes
_PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif", ".jp2",
             ".ppm"}  # fmt: skip
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
    """

    source: Path
    root: Path
    rows: tuple[Row, ...]

    def picture(self, row: Row) -> Path:
        """The row's picture, looked up again: it must still lie in the root."""
        return inside(self.root, row.image)

    def mask(self, row: Row) -> Path:
        """The same of a row's mask."""
        return inside(self.root, row.mask or "", "mask")


def read_manifest(
    path: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> Manifest:
    """Read a JSONL or CSV manifest and check all of it but the pictures' content.

    Parameters
    ----------
    path
        Ends in .jsonl or .ndjson (one object a line) or .csv or .tsv (with headings; commas,
        semicolons or tabs). UTF-8. Columns are those of `editor.batch.rows.COLUMNS`.
    root
        The folder that paths are relative to and must stay in; by default the manifest's.
    defaults
        For options that a row does not give.

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
    reader = _read_jsonl if suffix in _JSONL else _read_csv
    return _collect(path, folder, reader(raw), text=suffix in _CSV, defaults=defaults or {})


def read_folder(
    path: str | os.PathLike[str],
    instruction: Mapping[str, Any],
    *,
    recursive: bool = False,
    root: str | os.PathLike[str] | None = None,
    without: str | os.PathLike[str] | None = None,
) -> Manifest:
    """One instruction for all pictures of a folder, in the order of their names.

    Parameters
    ----------
    path
        The folder; files whose names do not end as pictures' do, and hidden ones, are left out.
    instruction
        Columns other than ``image`` and ``id``.
    recursive
        Take pictures of folders in it as well.
    root
        The folder that links must stay in; by default this one.
    without
        A folder in it that is left out, such as the one results are written to.

    Raises
    ------
    ManifestError
        For an instruction that is not one.
    GroundbrushError
        When the folder cannot be read or has no picture.
    """
    folder = _real_folder(path)
    left_out = None if without is None else Path(without).resolve()
    found = folder.rglob("*") if recursive else folder.iterdir()
    files = sorted(
        file.relative_to(folder)
        for file in found
        if file.suffix.lower() in _PICTURES and file.is_file()
        and not (left_out and file.is_relative_to(left_out))
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )  # fmt: skip
    if not files:
        raise GroundbrushError(
            f"{str(path)!r} has no pictures; expected some ending in {', '.join(sorted(_PICTURES))}"
        )
    how = {name: value for name, value in instruction.items() if name in OPTIONS}
    what = {name: value for name, value in instruction.items() if name not in OPTIONS}
    _, wrong = read_row({"image": "picture.png", **what}, 1)
    if wrong:
        raise ManifestError(str(path), [Problem(words) for words in wrong])
    lines = [
        (None, {"image": str(folder / file) if root else file.as_posix(), "id": name, **what})
        for file, name in zip(files, _folder_names(files), strict=True)
    ]
    real_root = folder if root is None else _real_folder(root)
    return _collect(Path(path), real_root, lines, text=False, defaults=how)


def _folder_names(files: list[Path]) -> Iterator[str]:
    """A name for each file of a folder, the same when others come and go beside it."""
    plain = [row_name(file.with_suffix("").as_posix()) for file in files]
    folded = [name.casefold() for name in plain]
    times = Counter(folded)
    for file, name, fold in zip(files, plain, folded, strict=True):
        yield name if times[fold] == 1 else f"{name}-{digest(file.as_posix())[:8]}"


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


Lines = Iterable[tuple[int | None, Mapping[str, Any] | Problem]]


def _collect(
    source: Path, root: Path, lines: Lines, *, text: bool, defaults: Mapping[str, Any]
) -> Manifest:
    """Rows of all lines, or every problem in them."""
    rows: list[Row] = []
    problems: list[Problem] = []
    names: dict[str, int] = {}
    masks: dict[str, str] = {}
    number = 0
    for line, values in lines:
        if isinstance(values, Problem):
            number += values.row is not None
            problems.append(values if values.row is None else Problem(values.words, number, line))
        else:
            number += 1
            row, wrong = read_row(values, number, text=text, defaults=defaults, line=line)
            if row is not None:
                wrong = _check_place(root, row, names)
                if row.mask is not None and not wrong:
                    row, wrong = _with_mask(root, row, masks)
                rows.append(row)
            problems += [Problem(words, number, line) for words in wrong]
        if len(problems) > _MANY or number > MAX_ROWS:
            rest = f"the rest, from row {number + 1}, was not read; mend these first"
            problems.append(Problem(rest))
            break
    if not number and not problems:
        problems.append(Problem("there are no rows; expected at least one"))
    if problems:
        raise ManifestError(str(source), problems)
    return Manifest(source, root, tuple(rows))


def _check_place(root: Path, row: Row, names: dict[str, int]) -> list[str]:
    """What is wrong with a row's picture and name among the others."""
    wrong = []
    try:
        with open_regular(inside(root, row.image)):
            pass
    except GroundbrushError as error:
        mend = "; write / between folders" if "\\" in row.image else ""
        wrong.append(f"{error}{mend}")
    earlier = names.setdefault(row.name.casefold(), row.number)
    if earlier != row.number:
        wrong.append(f"its files would be called {row.name!r} as those of row {earlier}; give "
                     "another id")  # fmt: skip
    return wrong


def _with_mask(root: Path, row: Row, known: dict[str, str]) -> tuple[Row, list[str]]:
    """The row with its mask's digest, by which a later run sees that it was changed."""
    assert row.mask is not None
    try:
        if row.mask not in known:
            with open_regular(inside(root, row.mask, "mask"), "mask") as file:
                known[row.mask] = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    except (GroundbrushError, OSError) as error:
        return row, [one_line(error)]
    return dataclasses.replace(row, mask_digest=known[row.mask]), []


def _read_jsonl(raw: bytes) -> Lines:
    """The objects of a JSONL file."""
    for number, line in enumerate(_without_mark(raw).split(b"\n"), 1):
        if line.strip():
            yield number, _read_object(line)


def _read_object(line: bytes) -> Mapping[str, Any] | Problem:
    """One line's object."""
    if len(line) > _LONGEST_LINE:
        return Problem(f"{len(line):,} bytes in one line; expected at most {_LONGEST_LINE:,}", 0)
    try:
        values = json.loads(line.decode(), object_pairs_hook=_no_twins, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        return Problem(f"it is not UTF-8 text ({error.reason}); save the manifest as UTF-8", 0)
    except (ValueError, RecursionError) as error:
        return Problem(
            f'it is not JSON ({one_line(error)}); expected one object a line, such as {{"image": '
            '"a.png", "find": "the dog", "paint": "a cat"}',
            0,
        )
    if not isinstance(values, dict):
        return Problem(f"it is a JSON {type(values).__name__}; expected one object a line", 0)
    return values


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a name is given twice")
    return values


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _read_csv(raw: bytes) -> Lines:
    """The records of a CSV file by the headings of its first."""
    try:
        text = _without_mark(raw).decode()
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        yield None, Problem(f"it is not UTF-8 text ({error.reason}); save it as UTF-8", line=line)
        return
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    records = _records(reader)
    headings: list[str] | None = None
    for line, cells in records:
        if isinstance(cells, Problem):
            yield line, cells
        elif headings is None:
            headings = [cell.strip() for cell in cells]
            wrong = _check_headings(headings)
            yield from ((line, Problem(words, line=line)) for words in wrong)
            if wrong:
                return  # each row would tell of the same
        elif len(cells) > len(headings) and any(cells[len(headings):]):  # fmt: skip
            words = f"{len(cells)} cells under {len(headings)} headings; put quotes around text "
            yield line, Problem(f"{words}that holds {delimiter!r}", 0)
        else:
            yield line, dict(zip(headings, cells, strict=False))


def _records(reader: Any) -> Iterator[tuple[int, list[str] | Problem]]:
    """(line it starts at, cells) of every record that is not blank."""
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, Problem(f"it is not CSV ({error}); the rest was not read", 0)
            return
        if any(cell.strip() for cell in cells):
            yield line, cells


def _check_headings(headings: list[str]) -> list[str]:
    if not set(headings) & set(COLUMNS) and not any("image" in name.lower() for name in headings):
        return [f"the first line has no headings; expected some of {', '.join(COLUMNS)}"]
    wrong = unknown_columns(name for name in headings if name)
    twice = sorted({name for name in headings if name and headings.count(name) > 1})
    wrong += [f"the heading {name!r} is there twice; remove one" for name in twice]
    if "" in headings:
        wrong.append(f"column {headings.index('') + 1} has no heading; name or remove it")
    if not wrong and "image" not in headings:
        wrong.append(f"there is no heading 'image'; expected some of {', '.join(COLUMNS)}")
    return wrong


def _without_mark(raw: bytes) -> bytes:
    """The bytes without a byte order mark; another encoding's is told."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise GroundbrushError("the manifest is UTF-16 text; expected UTF-8; save it as UTF-8")
    return raw.removeprefix(b"\xef\xbb\xbf")


def _real_folder(path: str | os.PathLike[str]) -> Path:
    folder = Path(os.path.realpath(as_path(path)))
    if not folder.is_dir():
        raise GroundbrushError(f"{str(path)!r} is no folder; expected one that holds the pictures")
    return folder
