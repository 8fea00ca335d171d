"""The values of each line of a JSONL or CSV file by column, or what is wrong with the line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..errors import GroundbrushError, one_line
from .columns import COLUMNS, unknown_columns
from .errors import Problem

_LONGEST_LINE = 1_000_000  # bytes

Lines = Iterable[tuple[int | None, Mapping[str, Any] | Problem]]
"""A line's number in its file, from 1, and its values by column or a problem. The problem's row is
0 for the line's own row, and None if the line is no row."""


def read_jsonl(raw: bytes) -> Lines:
    """The objects of a JSONL file."""
    for number, line in enumerate(_without_bom(raw).split(b"\n"), 1):
        if line.strip():
            yield number, _read_object(line)


def _read_object(line: bytes) -> Mapping[str, Any] | Problem:
    """One line's object."""
    if len(line) > _LONGEST_LINE:
        return Problem(f"{len(line):,} bytes in one line; expected at most {_LONGEST_LINE:,}", 0)
    try:
        values = json.loads(line.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
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
            if set(wrong) - set(unknown_columns(headings)):
                return  # the cells have no meaning
        elif len(cells) > len(headings) and any(cells[len(headings) :]):
            words = f"{len(cells)} cells under {len(headings)} headings; put quotes around text "
            yield line, Problem(f"{words}that holds {delimiter!r}", 0)
        else:
            yield line, dict(zip(headings, cells, strict=False))


def _records(reader: Any) -> Iterator[tuple[int, list[str] | Problem]]:
    """The first line and the cells of every record that is not blank."""
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


def _without_bom(raw: bytes) -> bytes:
    """The bytes without a byte order mark; that of UTF-16 is refused."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise GroundbrushError("the manifest is UTF-16 text; expected UTF-8; save it as UTF-8")
    return raw.removeprefix(b"\xef\xbb\xbf")
