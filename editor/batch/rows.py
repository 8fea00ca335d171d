"""One row of a manifest: which picture, what to do to it, and the name of its files.

It checks words, numbers and combinations; files are checked by `editor.batch.manifest`.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from ..errors import GroundbrushError, explain
from ..files import safe_name
from ..request import REMOVAL, EditRequest, RemoveRequest, make_request
from ..values import check_words
from .columns import OPTIONS, PLACES, WORDS, own_names, plain_values
from .errors import refusals

T = TypeVar("T")
GROUND, GROUND_ALL, EDIT, REMOVE, APPLY = ACTIONS = (
    "ground",
    "ground-all",
    "edit",
    "remove",
    "apply",
)
GATES = ("skip", "hold", "paint")
_ONE_PIXEL = {"size": [1, 1], "bits": "eNprAAAAgQCB"}
"""A mask that stands for one that is not read yet."""
_OPTIONS_OF = {
    EDIT: (*PLACES, *OPTIONS),
    REMOVE: (*PLACES, *OPTIONS),
    APPLY: ("seed", "settings", "gate"),
}


@dataclass(frozen=True)
class BatchRow:
    """What to do to one picture.

    Attributes
    ----------
    number, line : In the manifest, from 1; a folder's rows have no line.
    name : Its files begin with it; without dots, unique in the manifest whatever the case.
    image, mask : As the manifest names them, relative to its root; the mask is white where to
        paint.
    words : The phrase, or the sentence of ``apply`` and ``ground-all``; empty if a box or a mask
        says where, and no words what is there.
    options : The given ones of `OPTIONS` without the gate; ``boxes``, ``snap`` and ``operations``
        as in a recipe.
    mask_digest : Of the mask's content when the manifest was read.
    gate : For a phrase that is not clearly found; None: the batch's.
    fault : Why its picture cannot be used whatever it holds, or "".
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
    fault: str = ""

    @property
    def paints(self) -> bool:
        """Whether it changes the picture."""
        return self.action in (EDIT, REMOVE, APPLY)

    @property
    def placed(self) -> bool:
        """Whether a box or a mask says where, so that nothing is to be found."""
        return self.mask is not None or "boxes" in self.options

    @property
    def grounds(self) -> bool:
        """Whether it has one phrase that is found before anything is painted."""
        return self.action in (GROUND, EDIT, REMOVE) and not self.placed

    @property
    def checked(self) -> bool:
        """Whether the vision-language model checks what was painted."""
        return bool(self.options.get("check", self.action == REMOVE))

    def request(self, mask: Mapping[str, Any] | None = None) -> EditRequest:
        """The request of an ``edit`` or ``remove``, with the defaults of `Editor`.

        `mask` is the content of the row's, encoded; without it, one pixel stands for it.
        """
        given = dict(self.options)
        if self.action == REMOVE and self.checked:
            given = {**REMOVAL, **given}
        if self.mask is not None:
            given["mask"] = mask or _ONE_PIXEL
        return make_request(self.action, find=self.words or None, paint=self.paint, **given)

    def fingerprint(self, *more: str) -> str:
        """What a result depends on: rows with the same one give the same files."""
        parts = asdict(self)
        for name in ("number", "name", "line", "gate", "fault"):
            parts.pop(name)
        for name in ("mask", "mask_digest"):
            if parts[name] is None:  # so that a batch begun before there were masks continues
                parts.pop(name)
        return digest(parts, *more)


def digest(*values: Any) -> str:
    """Hexadecimal digest of JSON-able values."""
    text = json.dumps(values, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class RowReading(NamedTuple):
    """A row, or None and the reasons; and the files that it names, as far as they can be read."""

    row: BatchRow | None
    problems: list[str]
    image: str | None = None
    mask: str | None = None
    name: str | None = None


def read_row(
    values: Mapping[str, Any],
    number: int,
    *,
    text: bool = False,
    defaults: Mapping[str, Any] | None = None,
    line: int | None = None,
) -> RowReading:
    """Read a row from its columns, with everything that is wrong with them.

    Parameters
    ----------
    values : By column (`own_names`); absent, None and "" are the same.
    text : Values are the text of a CSV.
    defaults : Of `OPTIONS` that the row does not give, if it may have them.

    >>> row = read_row({"image": "a.png", "find": "the dog", "paint": "a cat"}, 1).row
    >>> row.action, row.name
    ('edit', '00001-a')
    """
    own = own_names(values)
    values = {own[name]: value for name, value in values.items()}
    plain, problems = plain_values(values, text=text)
    lost = {name for name, value in values.items() if value is not None and value != ""} - {*plain}
    # If a column is misspelt or unreadable, what seems missing may be what was meant by it.
    unsure = any(name not in (*OPTIONS, "id") for name in lost)
    image, mask = _path(plain, "image"), _path(plain, "mask")
    if image is None and ("image" in plain or not unsure):
        problems.append(f"image is {plain.get('image')!r}; expected a picture's path")
    if "mask" in plain and mask is None:
        problems.append(f"mask is {plain['mask']!r}; expected a picture's path")
    name = _attempt(problems, partial(_read_name, plain, number))
    what = None if unsure else _attempt(problems, partial(_read_action, plain))
    words = {n: v for n, v in _said(plain).items() if n != "remove" or v is not True}
    problems += refusals(partial(check_words, n, v) for n, v in words.items())
    options, misplaced = _read_options(plain, defaults or {}, None if what is None else what[0])
    problems += [*misplaced, *_bad_options(options, mask)]
    row = None
    if image is not None and name is not None and what is not None and not problems:
        gate = options.pop("gate", None)
        row = BatchRow(number, name, image, *what, options, mask=mask, gate=gate, line=line)
    return RowReading(row, problems, image, mask, name)


def _attempt(problems: list[str], read: Callable[[], T]) -> T | None:
    """What a reader gives, or None and its message among the problems."""
    try:
        return read()
    except GroundbrushError as error:
        problems.append(str(error))
        return None


def _path(values: Mapping[str, Any], name: str) -> str | None:
    value = values.get(name)
    return value if isinstance(value, str) and value.strip() else None


def _read_action(values: Mapping[str, Any]) -> tuple[str, str, str | None]:
    """The action that the columns mean, its words and what to paint, which `read_row` checks."""
    said = _said(values)
    columns = " and ".join(said) or "nothing"
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
        ((column, words),) = said.items()
        action = {"remove": REMOVE, "apply": APPLY, "ground_all": GROUND_ALL}[column]
    else:
        raise GroundbrushError(
            f"{columns} given; expected find and paint (to replace), remove (words, or true beside "
            "find), find alone (to look), ground_all or apply (a sentence); a box or a mask may "
            "stand for find"
        )
    given = values.get("action")
    if given is not None and given != action:
        near = difflib.get_close_matches(str(given), ACTIONS, n=1)
        hint = f"did you mean {near[0]}? " if near and given not in ACTIONS else ""
        raise GroundbrushError(
            f"action is {given!r} and the columns ({columns}) are those of {action!r}; {hint}"
            "leave the action out, or give its columns"
        )
    paint = said["paint"] if action == EDIT else None
    return action, _tidy(words) or "", _tidy(paint)


def _tidy(words: Any) -> str | None:
    """Words with single blanks between them; anything else is reported by `read_row`."""
    return " ".join(words.split()) if isinstance(words, str) else None


def _said(values: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of words that are given; ``remove`` may be True instead."""
    return {n: v for n in WORDS if (v := values.get(n)) is not None and v is not False}


def _read_name(values: Mapping[str, Any], number: int) -> str:
    """The name of the row's files."""
    given = values.get("id")
    if given is None:
        stem = str(values.get("image", "")).replace("\\", "/").rsplit("/", 1)[-1]
        return row_name(f"{number:05}-{stem.rsplit('.', 1)[0]}")
    if not isinstance(given, str | int) or isinstance(given, bool):
        raise GroundbrushError(f"id is {given!r}; expected a short name, such as 'kitchen-3'")
    return row_name(str(given))


def row_name(text: str) -> str:
    """A file name without dots: what follows a row's name in a file's name starts with one."""
    return safe_name(safe_name(text.replace(".", "-"), max_bytes=60).replace(".", "-"))


def _read_options(
    values: Mapping[str, Any], defaults: Mapping[str, Any], action: str | None
) -> tuple[dict[str, Any], list[str]]:
    """The options of a row, with defaults, and messages about those that its action has no use for.

    If the action is unknown, all are allowed.
    """
    every = (*PLACES, *OPTIONS)
    allowed = every if action is None else _OPTIONS_OF.get(action, ())
    given = {name: values[name] for name in every if name in values}
    wrong = [
        f"{name} is given for {action}, which has no use for it; leave it empty"
        for name in given
        if name not in allowed
    ]
    options = {name: value for name, value in defaults.items() if name in allowed}
    if "settings" in options and isinstance(given.get("settings"), Mapping):
        given["settings"] = {**options["settings"], **given["settings"]}
    options |= {name: value for name, value in given.items() if name in allowed}
    options.pop("mask", None)
    if "box" in options:
        options["boxes"] = options.pop("box")
    gate = options.get("gate")
    if gate is not None and gate not in GATES:
        wrong.append(f"gate is {gate!r}; expected one of {', '.join(GATES)}")
    return options, wrong


def _bad_options(options: Mapping[str, Any], mask: str | None) -> list[str]:
    """What is wrong with each option, or else with all of them together."""
    values = {"find": "the subject", "mask": mask and _ONE_PIXEL, **options}
    try:
        RemoveRequest.model_validate({n: v for n, v in values.items() if n != "gate"})
    except ValidationError as error:
        return explain(error, RemoveRequest, "the row")
    return []
