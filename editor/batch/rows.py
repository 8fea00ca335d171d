"""One row of a manifest: which picture, what to do to it, and under which name.

It checks words, numbers and combinations; files are `editor.batch.manifest`'s.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from editor.errors import GroundbrushError
from editor.files import safe_name
from editor.recipe import check_words, make_request

GROUND, GROUND_ALL, EDIT, REMOVE, APPLY = ACTIONS = (
    "ground", "ground-all", "edit", "remove", "apply",
)  # fmt: skip
GATES = ("skip", "hold", "paint")
WORDS = ("find", "paint", "remove", "apply", "ground_all")
"""Columns that say what to do."""
PLACES = ("box", "mask", "snap", "operations")
"""Columns that say where, instead of words or beside them; for ``edit`` and ``remove``."""
OPTIONS = ("seed", "variants", "candidate", "check", "retries", "draft", "settings", "gate")
"""Columns that say how; for rows that paint."""
COLUMNS = ("image", "id", "action", *WORDS, *PLACES, *OPTIONS)
_OF_APPLY = ("seed", "settings", "gate")
_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")
_LONGEST = 2_000  # characters of a phrase, prompt or sentence
_JSON = {
    "settings": 'JSON, such as {"steps": 30}',
    "operations": 'JSON, such as [{"op": "dilate", "pixels": 4}]',
    "box": "x0,y0,x1,y1, several with ; between them",
}
"""What is not plain text in a CSV."""


@dataclass(frozen=True)
class Row:
    """What to do to one picture.

    Attributes
    ----------
    number
        In the manifest, from 1.
    name
        What its files are called; without dots, unique in the manifest whatever the case.
    image
        The picture as the manifest names it, relative to its root.
    action
        One of `ACTIONS`.
    words
        What to find, or the sentence of ``apply`` and ``ground-all``; empty where a box or a mask
        says where and no words say what is there.
    paint
        What to paint instead, for ``edit``.
    options
        Those of `OPTIONS` that were given, without the gate; ``boxes``, ``snap`` and
        ``operations`` as in a recipe.
    mask
        A picture that is white where to paint, relative to the root.
    mask_digest
        Of its content, when the manifest was read.
    gate
        What becomes of a row whose phrase is not plainly found; None: the batch's.
    line
        Of the manifest; None for a folder's rows.
    """

    number: int
    name: str
    image: str
    action: str
    words: str
    paint: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    mask: str | None = None
    mask_digest: str | None = None
    gate: str | None = None
    line: int | None = None

    @property
    def paints(self) -> bool:
        """Whether it changes the picture."""
        return self.action in (EDIT, REMOVE, APPLY)

    @property
    def placed(self) -> bool:
        """Whether a box or a mask says where, so that nothing is looked for."""
        return self.mask is not None or "boxes" in self.options

    @property
    def grounds(self) -> bool:
        """Whether it has one phrase, found before anything is painted."""
        return self.action in (GROUND, EDIT, REMOVE) and not self.placed

    @property
    def checked(self) -> bool:
        """Whether the vision-language model looks at what was painted."""
        return bool(self.options.get("check", self.action == REMOVE))

    def request(self, mask: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The checked recipe of an ``edit`` or ``remove``, with the defaults of `Editor`'s.

        `mask` is the content of the row's, encoded; without it, one pixel stands for it.
        """
        removing = self.action == REMOVE
        given = {"check": removing, "retries": 3 if removing and self.checked else 0,
                 **self.options}  # fmt: skip
        if self.mask is not None:
            given["mask"] = mask or {"size": [1, 1], "bits": "eNprAAAAgQCB"}
        return make_request(self.action, find=self.words or None, paint=self.paint, **given)

    def fingerprint(self, *more: str) -> str:
        """What a result depends on: two rows with the same one give the same files."""
        parts = asdict(self)
        for name in ("number", "name", "line", "gate"):
            parts.pop(name)
        for name in ("mask", "mask_digest"):
            if parts[name] is None:  # rows without one are what they were before there were masks
                parts.pop(name)
        return digest(parts, *more)


def digest(*values: Any) -> str:
    """Hexadecimal digest of JSON-able values."""
    text = json.dumps(values, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def read_row(
    values: Mapping[str, Any],
    number: int,
    *,
    text: bool = False,
    defaults: Mapping[str, Any] | None = None,
    line: int | None = None,
) -> tuple[Row | None, list[str]]:
    """A row from its columns, and everything that is wrong with them.

    Parameters
    ----------
    values
        By column; absent, None and "" are the same.
    number
        From 1.
    text
        Values are text, as in a CSV, to be read as numbers, true or false, and JSON.
    defaults
        For `OPTIONS` that the row does not give, where it may have them.
    line
        Of the manifest.

    Returns
    -------
    tuple
        The row, or None with at least one problem in words.

    Examples
    --------
    >>> row, wrong = read_row({"image": "a.png", "find": "the dog", "paint": "a cat"}, 1)
    >>> row.action, row.name, wrong
    ('edit', '00001-a', [])
    """
    given = {k: v for k, v in values.items() if v is not None and v != ""}
    wrong = unknown_columns(given)
    wrong += [w for name, value in given.items() if (w := _bad_text(name, value))]
    if wrong:
        return None, wrong
    values = {}
    for name, value in given.items():
        try:
            values[name] = _from_text(name, value) if text else value
        except GroundbrushError as error:
            wrong.append(str(error))
    parts: dict[str, Any] = {"image": values.get("image")}
    if not isinstance(parts["image"], str) or not parts["image"].strip():
        wrong.append(f"image is {parts['image']!r}; expected a picture's path")
    for read in (_read_action, _read_name, _read_place):
        try:
            parts |= read(values, number)
        except GroundbrushError as error:
            wrong.append(str(error))
    if wrong:
        return None, wrong
    return _with_options(parts, values, defaults or {}, number, line)


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


def _read_action(values: Mapping[str, Any], number: int) -> dict[str, Any]:
    """What the words ask for."""
    said = {n: v for n in WORDS if (v := values.get(n)) is not None and v is not False}
    told = " and ".join(said) or "nothing"
    placed = any(values.get(name) is not None for name in ("box", "mask"))
    words: Any
    if placed and set(said) == {"paint"}:
        action, words = EDIT, None
    elif placed and set(said) == {"remove"} and said["remove"] is True:
        action, words = REMOVE, None
    elif set(said) == {"find", "paint"}:
        action, words = EDIT, said["find"]
    elif set(said) == {"find"}:
        action, words = GROUND, said["find"]
    elif set(said) == {"find", "remove"} and said["remove"] is True:
        action, words = REMOVE, said["find"]
    elif len(said) == 1 and "paint" not in said and said.get("remove") is not True:
        (column, words), = said.items()  # fmt: skip
        action = {"remove": REMOVE, "apply": APPLY, "ground_all": GROUND_ALL}[column]
    else:
        raise GroundbrushError(
            f"{told} given; expected find and paint (to replace), remove (words, or true beside "
            "find), find alone (to look), ground_all or apply (a sentence); a box or a mask may "
            "stand for find"
        )
    column = next((n for n in ("find", *WORDS) if said.get(n) == words), "find")
    asked = values.get("action")
    if asked is not None and asked != action:
        near = difflib.get_close_matches(str(asked), ACTIONS, n=1)
        hint = f"did you mean {near[0]}? " if near and asked not in ACTIONS else ""
        raise GroundbrushError(
            f"action is {asked!r} and the columns ({told}) are those of {action!r}; {hint}"
            "leave the action out, or give its columns"
        )
    paint = check_words("paint", said["paint"]) if action == EDIT else None
    given = "" if words is None else check_words(column, words)
    return {"action": action, "words": given, "paint": paint}


def _read_place(values: Mapping[str, Any], number: int) -> dict[str, Any]:
    """The mask's path."""
    mask = values.get("mask")
    if mask is not None and not isinstance(mask, str):
        raise GroundbrushError(f"mask is {mask!r}; expected a picture's path")
    return {"mask": mask}


def _read_name(values: Mapping[str, Any], number: int) -> dict[str, Any]:
    """What the row's files are called."""
    given = values.get("id")
    if given is None:
        stem = str(values.get("image", "")).replace("\\", "/").rsplit("/", 1)[-1]
        stem = stem.rsplit(".", 1)[0]
        return {"name": row_name(f"{number:05}-{stem}")}
    if not isinstance(given, str | int) or isinstance(given, bool):
        raise GroundbrushError(f"id is {given!r}; expected a short name, such as 'kitchen-3'")
    return {"name": row_name(str(given))}


def row_name(text: str) -> str:
    """A file name without dots: what follows a row's name in a file's name starts with one."""
    return safe_name(safe_name(text.replace(".", "-"), max_bytes=60).replace(".", "-"))


def _with_options(
    parts: dict[str, Any],
    values: Mapping[str, Any],
    defaults: Mapping[str, Any],
    number: int,
    line: int | None,
) -> tuple[Row | None, list[str]]:
    """The row with its options, checked as one request."""
    action = parts["action"]
    every = (*PLACES, *OPTIONS)
    allowed = {EDIT: every, REMOVE: every, APPLY: _OF_APPLY}.get(action, ())
    given = {name: values[name] for name in every if name in values}
    out_of_place = [name for name in given if name not in allowed]
    wrong = [
        f"{name} is given for {action}, which has no use for it; leave it empty"
        for name in out_of_place
    ]
    options = {name: value for name, value in defaults.items() if name in allowed}
    if "settings" in options and isinstance(given.get("settings"), Mapping):
        given["settings"] = {**options["settings"], **given["settings"]}
    options |= given
    options.pop("mask", None)
    if "box" in options:
        options["boxes"] = options.pop("box")
    gate = options.pop("gate", None)
    if gate is not None and gate not in GATES:
        wrong.append(f"gate is {gate!r}; expected one of {', '.join(GATES)}")
    if wrong:
        return None, wrong
    row = Row(number, options=options, gate=gate, line=line, **parts)
    try:
        if action in (EDIT, REMOVE):
            row.request()
        elif action == APPLY:
            make_request(REMOVE, find="checked here", paint=None, **options)
    except GroundbrushError as error:
        return None, [str(error)]
    return row, []


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
