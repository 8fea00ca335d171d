"""The lines of a manifest (JSONL or CSV), its columns, and the values of their cells."""

from __future__ import annotations

import csv
import difflib
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from ...inpaint.settings import InpaintSettings
from ..errors import GroundbrushError, one_line
from .errors import BatchProblem, refusals

WORDS = ("find", "paint", "remove", "apply", "ground_all")
"""What to do."""
PLACES = ("box", "mask", "snap", "operations")
"""Where, instead of words or beside them; for ``edit`` and ``remove``."""
OPTIONS = ("seed", "variants", "candidate", "check", "retries", "draft", "settings", "gate")
"""How; for rows that paint."""
COLUMNS = ("image", "id", "action", *WORDS, *PLACES, *OPTIONS)
_NUMBERS = ("seed", "variants", "candidate", "retries")
_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_LONGEST = 2_000  # characters of a phrase, prompt or sentence
_JSON = {
    "settings": 'JSON, such as {"steps": 30}',
    "operations": 'JSON, such as [{"op": "dilate", "pixels": 4}]',
    "box": "x0,y0,x1,y1, several with ; between them",
}
"""Columns that are not plain text in a CSV."""


def own_names(names: Iterable[str]) -> dict[str, str]:
    """The column that each name stands for; tables of the paper's code have names of their own.

    They hold ``image_path``, and in ``prompt`` what is to be found; beside other words or a place
    a prompt might be what is to be painted, and is no column.

    >>> own_names(["id", "prompt", "image_path"])
    {'id': 'id', 'prompt': 'find', 'image_path': 'image'}
    >>> own_names(["image", "mask", "prompt"])
    {'image': 'image', 'mask': 'mask', 'prompt': 'prompt'}
    """
    own = {name: name for name in names}
    if "image_path" in own and "image" not in own:
        own["image_path"] = "image"
    if "prompt" in own and not own.keys() & {*WORDS, *PLACES}:
        own["prompt"] = "find"
    return own


def unknown_columns(names: Iterable[str]) -> list[str]:
    """A message for each name that is no column, with close ones."""
    wrong = []
    for name in names:
        if name not in COLUMNS:
            folded = str(name).strip().lower().replace("-", "_").replace(" ", "_")
            near = difflib.get_close_matches(folded, COLUMNS, n=2, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            if folded in InpaintSettings.__dataclass_fields__:
                hint = f'settings takes it, as {{"{folded}": …}}; '
            wrong.append(f"unknown column {name!r}; {hint}expected some of {', '.join(COLUMNS)}")
    return wrong


def plain_values(
    values: Mapping[str, Any], *, text: bool = False
) -> tuple[dict[str, Any], list[str]]:
    """The values of a row that can be read, and messages about the others.

    Parameters
    ----------
    values : By column; absent, None and "" are the same.
    text : Values are the text of a CSV: numbers, true or false, and JSON are parsed.

    >>> plain_values({"image": "a.png", "seed": "7", "paint": ""}, text=True)
    ({'image': 'a.png', 'seed': 7}, [])
    """
    given = {name: value for name, value in values.items() if value is not None and value != ""}
    plain: dict[str, Any] = {}

    def read(name: str, value: Any) -> None:
        if isinstance(value, str):
            _check_text(name, value)
            value = _parse(name, value) if text else value
        elif name in _NUMBERS and isinstance(value, float) and value.is_integer():
            value = int(value)  # as pandas writes whole numbers of a column with gaps
        plain[name] = value

    wrong = refusals(partial(read, n, v) for n, v in given.items() if n in COLUMNS)
    return plain, [*unknown_columns(given), *wrong]


def _check_text(name: str, value: str) -> None:
    if len(value) > _LONGEST and name not in _JSON:
        raise GroundbrushError(
            f"{name} has {len(value):,} characters; expected at most {_LONGEST:,}"
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise GroundbrushError(
            f"{name} is {value!a}, which is not whole Unicode text; write it again"
        ) from error
    odd = [c for c in value if (ord(c) < 32 and c not in "\t\n\r") or ord(c) == 127]
    if odd:
        raise GroundbrushError(f"{name} holds the control character {odd[0]!a}; remove it")


def _parse(name: str, value: str) -> Any:
    """The value that the text of a CSV means."""
    plain = value.strip()
    if name in _NUMBERS:
        plain = re.sub(r"\.0+$", "", plain)  # as pandas writes them where a column has gaps
        if not (plain.isascii() and plain.lstrip("-").isdigit() and len(plain) < 20):
            raise GroundbrushError(f"{name} is {value!r}; expected a whole number")
        return int(plain)
    if name in ("remove", "check", "draft", "snap"):
        flag = _FLAGS.get(plain.lower())
        if flag is None and name in ("draft", "snap"):
            raise GroundbrushError(f"{name} is {value!r}; expected true or false")
        return value if flag is None else flag
    if name == "box" and not plain.startswith("["):
        plain = f"[[{plain.replace(';', '],[')}]]"
    if name in _JSON:
        try:
            return json.loads(plain)
        except (ValueError, RecursionError) as error:
            raise GroundbrushError(
                f"{name} is {value[:60]!r}; expected {_JSON[name]} ({error})"
            ) from error
    return plain


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
            names = [cell.strip() for cell in cells]
            headings = [own_names(names)[name] for name in names]  # "" for one without a heading
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
