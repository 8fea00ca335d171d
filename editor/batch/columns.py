"""The columns of a manifest: which there are, and what the text in them means."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import GroundbrushError

WORDS = ("find", "paint", "remove", "apply", "ground_all")
"""Columns that say what to do."""
PLACES = ("box", "mask", "snap", "operations")
"""Columns that say where, instead of words or beside them; for ``edit`` and ``remove``."""
OPTIONS = ("seed", "variants", "candidate", "check", "retries", "draft", "settings", "gate")
"""Columns that say how; for rows that paint."""
COLUMNS = ("image", "id", "action", *WORDS, *PLACES, *OPTIONS)
_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")
_LONGEST = 2_000  # characters of a phrase, prompt or sentence
_JSON = {
    "settings": 'JSON, such as {"steps": 30}',
    "operations": 'JSON, such as [{"op": "dilate", "pixels": 4}]',
    "box": "x0,y0,x1,y1, several with ; between them",
}
"""What is not plain text in a CSV."""


def unknown_columns(names: Iterable[str]) -> list[str]:
    """What is wrong with names that are no columns, with near ones."""
    wrong = []
    for name in names:
        if name not in COLUMNS:
            folded = str(name).strip().lower().replace("-", "_").replace(" ", "_")
            near = difflib.get_close_matches(folded, COLUMNS, n=2, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            wrong.append(f"unknown column {name!r}; {hint}expected some of {', '.join(COLUMNS)}")
    return wrong


def plain_values(
    values: Mapping[str, Any], *, text: bool = False
) -> tuple[dict[str, Any], list[str]]:
    """The values of columns that can be read, and in words what is wrong with the others.

    Parameters
    ----------
    values
        By column; absent, None and "" are the same.
    text
        Values are text, as in a CSV, to be read as numbers, true or false, and JSON.

    Examples
    --------
    >>> plain_values({"image": "a.png", "seed": "7", "paint": ""}, text=True)
    ({'image': 'a.png', 'seed': 7}, [])
    """
    given = {k: v for k, v in values.items() if v is not None and v != ""}
    plain, wrong = {}, unknown_columns(given)
    for name, value in given.items():
        if bad := _bad_text(name, value):
            wrong.append(bad)
        elif name in COLUMNS:
            try:
                plain[name] = _from_text(name, value) if text else value
            except GroundbrushError as error:
                wrong.append(str(error))
    return plain, wrong


def _bad_text(name: str, value: Any) -> str | None:
    """What is wrong with a text as such."""
    if not isinstance(value, str):
        return None
    if len(value) > _LONGEST and name not in _JSON:
        return f"{name} has {len(value):,} characters; expected at most {_LONGEST:,}"
    try:
        value.encode()
    except UnicodeEncodeError:
        return f"{name} is {value!a}, which is not whole Unicode text; write it again"
    odd = [c for c in value if (ord(c) < 32 and c not in "\t\n\r") or ord(c) == 127]
    return f"{name} holds the control character {odd[0]!a}; remove it" if odd else None


def _from_text(name: str, value: Any) -> Any:
    """A CSV's text as the value it means."""
    if not isinstance(value, str):
        return value
    plain = value.strip()
    if name in ("seed", "variants", "candidate", "retries"):
        if not (plain.isascii() and plain.lstrip("-").isdigit() and len(plain) < 20):
            raise GroundbrushError(f"{name} is {value!r}; expected a whole number")
        return int(plain)
    if name in ("remove", "check") and plain.lower() not in (*_TRUE, *_FALSE):
        return value  # some words
    if name in ("remove", "check", "draft", "snap"):
        if plain.lower() not in (*_TRUE, *_FALSE):
            raise GroundbrushError(f"{name} is {value!r}; expected true or false")
        return plain.lower() in _TRUE
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
