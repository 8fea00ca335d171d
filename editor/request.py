"""Recipes: one edit as JSON, the same words in Python, on the command line and in files."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .errors import GroundbrushError
from .files import RECIPE_LIMIT
from .values import check_flag, check_whole

VERSION = 1
ACTIONS = ("edit", "remove")
"""What a plan's step may do."""
RECIPE_ACTIONS = (*ACTIONS, "extend")
SIDES = ("left", "top", "right", "bottom")
MAX_VARIANTS = 16
MAX_RETRIES = 16
_MAX_SEED = 2**63 - 1
_BASIC = ("groundbrush", "action", "find", "paint", "seed", "variants", "candidate", "settings")
# Written only where they differ from this, so that a plain edit has a plain recipe.
_EXTRAS: dict[str, Any] = {
    "mask": None,
    "boxes": None,
    "snap": False,
    "operations": [],
    "check": False,
    "retries": 0,
    "draft": False,
    "extend": None,
    "batches": None,
}
_EXCLUDING = re.compile(r"(?:not|(?:everything|anything|all) (?:but|except))\b", re.IGNORECASE)
_FIELDS = {*_BASIC, *_EXTRAS, "preset", "image", "before"}
MAX_CHAIN = 100
"""Most edits in one recipe."""


def make_request(
    action: str,
    *,
    find: str | None,
    paint: str | None,
    seed: int = 0,
    variants: int = 1,
    candidate: int | None = None,
    settings: Mapping[str, Any] | None = None,
    **extras: Any,
) -> dict[str, Any]:
    """A checked recipe without its picture and preset, which the editor adds.

    Parameters
    ----------
    action
        One of `RECIPE_ACTIONS`.
    **extras
        ``mask`` (as `editor.masks.source.encode_mask` wrote it), ``boxes``, ``snap``,
        ``operations`` on the mask, ``check``, ``retries``, ``draft``, ``extend`` (pixels by side),
        ``batches`` (first seed and count of what was painted together; None: as memory allows).

    Raises
    ------
    GroundbrushError
        For a value of the wrong kind, naming it.
    """
    for name in extras:
        if name not in _EXTRAS:
            raise GroundbrushError(f"a recipe has no {name!r}; remove it")
    more = {name: _plain(value) for name, value in {**_EXTRAS, **extras}.items()}
    seed, variants, candidate = _plain(seed), _plain(variants), _plain(candidate)
    placed = more["mask"] is not None or more["boxes"] is not None or action == "extend"
    if find is None and not placed:
        raise GroundbrushError(
            "find is None and no mask or box is given; expected some words that say what to find, "
            "e.g. 'the red apple', or a place"
        )
    find = None if find is None else check_words("find", find)
    background = action == "remove" or (action == "extend" and paint is None)
    paint = None if background else check_words("paint", paint)
    check_whole("seed", seed, 0, _MAX_SEED - MAX_VARIANTS - MAX_RETRIES)
    check_whole("variants", variants, 1, MAX_VARIANTS)
    if candidate is not None:
        check_whole("candidate", candidate, 0, 99)
    if settings is not None and not isinstance(settings, Mapping):
        raise GroundbrushError(f"settings is {settings!r}; expected a mapping such as steps=30")
    more = _checked(more, action, candidate)
    return {
        "groundbrush": VERSION,
        "action": action,
        "find": find,
        "paint": paint,
        "seed": seed,
        "variants": variants,
        "candidate": candidate,
        "settings": {name: _plain(value) for name, value in (settings or {}).items()},
        **{name: value for name, value in more.items() if value != _EXTRAS[name]},
    }


def _plain(value: Any) -> Any:
    """A number of numpy's as Python's, which JSON can hold."""
    is_scalar = type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0
    return value.item() if is_scalar else value


def extra(request: Mapping[str, Any], name: str) -> Any:
    """A recipe's extra value, or what it is where the recipe does not say."""
    return request.get(name, _EXTRAS[name])


def _checked(more: dict[str, Any], action: str, candidate: int | None) -> dict[str, Any]:
    """The extras, checked and as plain values."""
    from .masks.operations import read_operation
    from .masks.source import decode_mask, read_boxes

    if more["mask"] is not None and more["boxes"] is not None:
        raise GroundbrushError("a mask and a box given; expected one of them")
    if candidate is not None and (more["mask"] is not None or more["boxes"] is not None):
        raise GroundbrushError("a candidate and a mask or box given; expected one of them")
    if more["mask"] is not None:
        if not isinstance(more["mask"], Mapping):
            raise GroundbrushError(f"the recipe's mask is {more['mask']!r}; expected size and bits")
        decode_mask(more["mask"])
        more["mask"] = dict(more["mask"])
    if more["boxes"] is not None:
        more["boxes"] = [list(box) for box in read_boxes(more["boxes"])]
    for name in ("snap", "draft"):
        check_flag(name, more[name])
    if not isinstance(more["check"], bool):
        more["check"] = check_words("check", more["check"])
    check_whole("retries", more["retries"], 0, MAX_RETRIES)
    if more["batches"] is not None:
        more["batches"] = _batches(more["batches"])
    if not isinstance(more["operations"], list | tuple):
        raise GroundbrushError(f"operations is {more['operations']!r}; expected a list of them")
    more["operations"] = [read_operation(o).as_dict() for o in more["operations"]]
    if action == "extend":
        more["extend"] = _sides(more["extend"])
    elif more["extend"] is not None:
        raise GroundbrushError(f"extend given for the action {action!r}; expected none")
    return more


def _batches(given: Any) -> list[list[int]]:
    """Which seeds were painted together, as pairs of the first one and their number."""
    pairs: list[Any] = given if isinstance(given, list) else [None]
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise GroundbrushError(
                f"the recipe's batches are {given!r}; expected pairs of a first seed and a number"
            )
        check_whole("the first seed of a batch", pair[0], 0, _MAX_SEED)
        check_whole("the number of a batch", pair[1], 2, MAX_VARIANTS)
    return [list(pair) for pair in pairs]


def _sides(given: Any) -> dict[str, int]:
    """Pixels to add by side, at least one of them."""
    if not isinstance(given, Mapping) or set(given) - set(SIDES):
        raise GroundbrushError(f"extend is {given!r}; expected pixels by {', '.join(SIDES)}")
    for name, value in given.items():
        check_whole(name, value, 0, 65_536)
    sides = {name: given.get(name, 0) for name in SIDES}
    if not any(sides.values()):
        raise GroundbrushError(
            f"no side to extend given; expected pixels for one of {', '.join(SIDES)}, e.g. right=64"
        )
    return sides


def read_request(recipe: Mapping[str, Any] | str | os.PathLike[str]) -> dict[str, Any]:
    """A checked recipe from a mapping, a recipe file or an edited picture.

    Raises
    ------
    GroundbrushError
        When it is not a recipe of this version.
    """
    if not isinstance(recipe, Mapping):
        from .pictures.picture import read_recipe

        recipe = read_recipe(os.fspath(recipe))
    version = recipe.get("groundbrush")
    if version != VERSION:
        raise GroundbrushError(
            f"recipe version {version!r} given; this program reads version {VERSION}"
        )
    unknown = sorted(set(recipe) - _FIELDS)
    if unknown:
        raise GroundbrushError(f"the recipe holds the unknown name {unknown[0]!r}; remove it")
    action = recipe.get("action")
    if action not in RECIPE_ACTIONS:
        raise GroundbrushError(
            f"the recipe's action is {action!r}; expected one of {', '.join(RECIPE_ACTIONS)}"
        )
    image = recipe.get("image", {})
    if not isinstance(image, Mapping):
        raise GroundbrushError(f"the recipe's image is {image!r}; expected path and sha256")
    request = make_request(
        action,
        find=recipe.get("find"),
        paint=recipe.get("paint"),
        seed=recipe.get("seed", 0),
        variants=recipe.get("variants", 1),
        candidate=recipe.get("candidate"),
        settings=recipe.get("settings"),
        **{name: recipe[name] for name in _EXTRAS if name in recipe},
    )
    before = {"before": earlier} if (earlier := _before(recipe)) else {}
    return {**request, "preset": recipe.get("preset"), **before, "image": dict(image)}


def chained(recipes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One recipe of edits that follow one another: the last one's, and what came before it.

    Its ``before`` holds the earlier ones in order; the first of all names the picture to begin
    with, every other the one that the edit before it left.
    """
    flat = [
        {name: value for name, value in one.items() if name != "before"}
        for recipe in recipes
        for one in (*recipe.get("before", ()), recipe)
    ]
    return {**flat[-1], "before": flat[:-1]} if len(flat) > 1 else flat[0]


def carried(recipes: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What a picture's file carries of the edits that led to it, and notes.

    All of them, `chained`; where that is longer than a file may hold, the last one alone.
    """
    every = chained(recipes)
    if len(json.dumps(every).encode()) <= RECIPE_LIMIT:
        return every, ()
    note = f"The {len(recipes)} recipes together are too long for the file: it carries the last one"
    return dict(recipes[-1]), (note,)


def _before(recipe: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The recipes of the edits before this one, checked."""
    given = recipe.get("before", [])
    if not isinstance(given, list) or len(given) >= MAX_CHAIN:
        raise GroundbrushError(
            f"the recipe's before is {str(given)[:60]!r}; expected a list of fewer than "
            f"{MAX_CHAIN} recipes"
        )
    for one in given:
        if not isinstance(one, Mapping) or one.get("before"):
            raise GroundbrushError(
                "the recipe's before holds something that is not the recipe of one edit; expected "
                "a list of recipes, each as Edit.recipe() gives it"
            )
    return [read_request(one) for one in given]


def check_words(name: str, value: Any) -> str:
    """Some words with their white space tidied.

    Raises
    ------
    GroundbrushError
        For anything else, blanks only, text that is none, or words for all but a thing.
    """
    if not isinstance(value, str) or not value.strip():
        raise GroundbrushError(
            f"{name} is {value!r}; expected some words that say what to {name}, "
            "e.g. 'the red apple'"
        )
    check_text(name, value)
    words = " ".join(value.split())
    if name == "find" and left_out(words):
        raise GroundbrushError(
            f"find is {words!r}; expected the thing itself: name it, and to paint everything else "
            "invert its mask (--invert, or operations=[{'op': 'invert'}])"
        )
    return words


def left_out(words: str) -> str:
    """How words begin that mean all but a thing ("not", "everything except"); "" for others."""
    found = _EXCLUDING.match(words)
    return found[0] if found else ""


def check_text(name: str, value: str) -> None:
    """Refuse text with half a character in it, as a terminal of another encoding gives.

    Raises
    ------
    GroundbrushError
    """
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise GroundbrushError(
            f"{name} is {value!r}, which is not whole text at character {error.start + 1}; "
            "expected Unicode: type the words again, or give them in UTF-8"
        ) from None
