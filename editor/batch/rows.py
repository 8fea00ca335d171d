"""One row of a manifest: which picture, what to do to it, and under which name.

It checks words, numbers and combinations; files are `editor.batch.manifest`'s.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, NamedTuple

from ..errors import GroundbrushError
from ..files import safe_name
from ..request import check_words, make_request
from .columns import OPTIONS, PLACES, WORDS, plain_values
from .errors import refusals

GROUND, GROUND_ALL, EDIT, REMOVE, APPLY = ACTIONS = (
    "ground",
    "ground-all",
    "edit",
    "remove",
    "apply",
)
GATES = ("skip", "hold", "paint")
_OF_APPLY = ("seed", "settings", "gate")


@dataclass(frozen=True)
class BatchRow:
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
        given = {
            "check": removing,
            "retries": 3 if removing and self.checked else 0,
            **self.options,
        }
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
) -> tuple[BatchRow | None, list[str]]:
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
    plain, wrong = plain_values(values, text=text)
    lost = {name for name, value in values.items() if value is not None and value != ""} - {*plain}
    # Where a column is misspelt or unreadable, what is missing may be what was meant by it.
    unsure = any(name not in (*OPTIONS, "id") for name in lost)
    readers = [_read_name, _read_place]
    readers += [_read_image] if "image" in plain or not unsure else []
    readers += [] if unsure else [_read_action]
    parts: dict[str, Any] = {}
    for read in readers:
        try:
            parts |= read(plain, number)
        except GroundbrushError as error:
            wrong.append(str(error))
    wrong += _bad_words(plain)
    options, more = _read_options(plain, defaults or {}, parts.get("action"))
    wrong += more
    if wrong:
        return None, wrong + _bad_options(options)
    gate = options.pop("gate", None)
    row = BatchRow(number, options=options, gate=gate, line=line, **_tidied(parts))
    wrong = _bad_request(row)
    return (None, wrong) if wrong else (row, [])


class Named(NamedTuple):
    """What a row names, as far as that is plain text: its picture, its mask, its files."""

    image: str | None
    mask: str | None
    name: str | None


def named_in(values: Mapping[str, Any], number: int, *, text: bool = False) -> Named:
    """What a row names that has something else wrong with it, so that this can be told as well.

    Parameters are those of `read_row`.

    Examples
    --------
    >>> named_in({"image": "a.png", "fnd": "the dog", "id": "kitchen"}, 1)
    Named(image='a.png', mask=None, name='kitchen')
    """
    plain, _ = plain_values(values, text=text)
    image, mask = (
        v if isinstance(v := plain.get(n), str) and v.strip() else None for n in ("image", "mask")
    )
    try:
        return Named(image, mask, _read_name(plain, number)["name"])
    except GroundbrushError:
        return Named(image, mask, None)


def _read_image(values: Mapping[str, Any], number: int) -> dict[str, Any]:
    image = values.get("image")
    if not isinstance(image, str) or not image.strip():
        raise GroundbrushError(f"image is {image!r}; expected a picture's path")
    return {"image": image}


def _read_action(values: Mapping[str, Any], number: int) -> dict[str, Any]:
    """What the words ask for; `_bad_words` checks these themselves."""
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
        ((column, words),) = said.items()
        action = {"remove": REMOVE, "apply": APPLY, "ground_all": GROUND_ALL}[column]
    else:
        raise GroundbrushError(
            f"{told} given; expected find and paint (to replace), remove (words, or true beside "
            "find), find alone (to look), ground_all or apply (a sentence); a box or a mask may "
            "stand for find"
        )
    asked = values.get("action")
    if asked is not None and asked != action:
        near = difflib.get_close_matches(str(asked), ACTIONS, n=1)
        hint = f"did you mean {near[0]}? " if near and asked not in ACTIONS else ""
        raise GroundbrushError(
            f"action is {asked!r} and the columns ({told}) are those of {action!r}; {hint}"
            "leave the action out, or give its columns"
        )
    return {"action": action, "words": words, "paint": said["paint"] if action == EDIT else None}


def _bad_words(values: Mapping[str, Any]) -> list[str]:
    """What is wrong with each column of words by itself."""
    given = {n: v for n in WORDS if (v := values.get(n)) is not None and v is not False}
    return refusals(
        partial(check_words, name, value)
        for name, value in given.items()
        if not (name == "remove" and value is True)
    )


def _tidied(parts: Mapping[str, Any]) -> dict[str, Any]:
    """Parts with the white space of their words tidied."""
    paint = parts["paint"]
    return {
        **parts,
        "words": " ".join((parts["words"] or "").split()),
        "paint": None if paint is None else " ".join(paint.split()),
    }


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


def _read_options(
    values: Mapping[str, Any], defaults: Mapping[str, Any], action: str | None
) -> tuple[dict[str, Any], list[str]]:
    """The options of a row, with defaults, and which of them are out of place.

    Where it is not known what the row does, none is out of place.
    """
    every = (*PLACES, *OPTIONS)
    allowed = (
        every if action is None else {EDIT: every, REMOVE: every, APPLY: _OF_APPLY}.get(action, ())
    )
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


def _bad_options(options: Mapping[str, Any]) -> list[str]:
    """What is wrong with each option by itself."""
    request = partial(make_request, REMOVE, find="checked here", paint=None)
    return refusals(
        partial(request, **{name: value}) for name, value in options.items() if name != "gate"
    )


def _bad_request(row: BatchRow) -> list[str]:
    """What is wrong with the options by themselves, or else with all of them together."""
    if row.action in (EDIT, REMOVE):
        wrong = refusals([row.request])
    elif row.action == APPLY:
        wrong = refusals(
            [partial(make_request, REMOVE, find="checked here", paint=None, **row.options)]
        )
    else:
        return []
    return wrong and (_bad_options(row.options) or wrong)
