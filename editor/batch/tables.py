"""The values of each line of a JSONL or CSV file by column, or what is wrong with the line."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..errors import GroundbrushError, one_line
from .columns import COLUMNS, own_names, unknown_columns
from .errors import BatchProblem

_EXCEL = re.compile(r'"?sep=([,;\t|])"?\r?\n', re.IGNORECASE)
"""The line that names the delimiter for Excel."""
_LONGEST_LINE = 1_000_000  # bytes

Lines = Iterable[tuple[int | None, Mapping[str, Any] | BatchProblem]]
"""A line's number in its file, from 1, and its values by column or a problem. The problem's row is
0 for the line's own row, and None if the line is no row."""


def read_jsonl(raw: bytes) -> Lines:
    """The objects of a JSONL file."""
    for number, line in enumerate(_without_bom(raw).split(b"\n"), 1):
        if line.strip():
            yield number, _read_object(line)


def _read_object(line: bytes) -> Mapping[str, Any] | BatchProblem:
    """One line's object."""
    if len(line) > _LONGEST_LINE:
        return BatchProblem(
            f"{len(line):,} bytes in one line; expected at most {_LONGEST_LINE:,}", 0
        )
    try:
        values = json.loads(line.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        return BatchProblem(f"it is not UTF-8 text ({error.reason}); save the manifest as UTF-8", 0)
    except (ValueError, RecursionError) as error:
        return BatchProblem(
            f'it is not JSON ({one_line(error)}); expected one object a line, such as {{"image": '
            '"a.png", "find": "the dog", "paint": "a cat"}',
            0,
        )
    if not isinstance(values, dict):
        return BatchProblem(f"it is a JSON {type(values).__name__}; expected one object a line", 0)
    return values


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a name is given twice")
    return values


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def read_csv(raw: bytes) -> Lines:
    """The records of a CSV file by the headings of its first."""
    try:
        text = _without_bom(raw).decode()
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        yield (
            None,
            BatchProblem(f"it is not UTF-8 text ({error.reason}); save it as UTF-8", line=line),
        )
        return
    first = text.split("\n", 1)[0]
    excel = _EXCEL.match(text)
    delimiter = excel[1] if excel else max(",;\t", key=first.count)
    file = io.StringIO(text[excel.end() :] if excel else text, newline="")
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    records = _records(reader, 1 if excel else 0)
    headings: list[str] | None = None
    for line, cells in records:
        if isinstance(cells, BatchProblem):
            yield line, cells
        elif headings is None:
            headings = _own_headings(cells)
            wrong = _check_headings(headings)
            yield from ((line, BatchProblem(words, line=line)) for words in wrong)
            if set(wrong) - set(unknown_columns(headings)):
                return  # the cells have no meaning
        elif len(cells) > len(headings) and any(cells[len(headings) :]):
            words = f"{len(cells)} cells under {len(headings)} headings; put quotes around text "
            yield line, BatchProblem(f"{words}that holds {delimiter!r}", 0)
        elif unnamed := [k for k, cell in enumerate(cells) if not _may_stand(headings, k, cell)]:
            k = unnamed[0]
            words = f"{cells[k]!r} in column {k + 1}, which has no heading; name or remove it"
            yield line, BatchProblem(words, 0)
        else:
            yield line, {n: cell for n, cell in zip(headings, cells, strict=False) if n}


def _own_headings(cells: Iterable[str]) -> list[str]:
    """The columns that headings stand for; "" for a column without one."""
    stripped = [cell.strip() for cell in cells]
    own = own_names(stripped)
    return [own[name] for name in stripped]


def _may_stand(headings: Sequence[str], number: int, cell: str) -> bool:
    """Whether a cell has a heading, is blank, or counts rows, as pandas writes its index."""
    named = number >= len(headings) or headings[number]
    return bool(named) or not cell.strip() or cell.strip().isdecimal()


def _records(reader: Any, before: int) -> Iterator[tuple[int, list[str] | BatchProblem]]:
    """The first line and the cells of every record that is not blank; `before` lines precede."""
    while True:
        line = before + reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, BatchProblem(f"it is not CSV ({error}); the rest was not read", 0)
            return
        if any(cell.strip() for cell in cells):
            yield line, cells


def _check_headings(headings: list[str]) -> list[str]:
    if not set(headings) & set(COLUMNS) and not any("image" in name.lower() for name in headings):
        return [f"the first line has no headings; expected some of {', '.join(COLUMNS)}"]
    wrong = unknown_columns(name for name in headings if name)
    twice = sorted({name for name in headings if name and headings.count(name) > 1})
    wrong += [f"the heading {name!r} is there twice; remove one" for name in twice]
    if not wrong and "image" not in headings:
        wrong.append(f"there is no heading 'image'; expected some of {', '.join(COLUMNS)}")
    return wrong


def _without_bom(raw: bytes) -> bytes:
    """The bytes without a byte order mark; that of UTF-16 is refused."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise GroundbrushError("the manifest is UTF-16 text; expected UTF-8; save it as UTF-8")
    return raw.removeprefix(b"\xef\xbb\xbf")
