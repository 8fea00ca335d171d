"""The columns of a manifest, and the values of their cells."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from ...inpaint.settings import InpaintSettings
from ..errors import GroundbrushError
from .errors import refusals

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

    Examples
    --------
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
    values
        By column; absent, None and "" are the same.
    text
        Values are the text of a CSV: numbers, true or false, and JSON are parsed.

    Examples
    --------
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
