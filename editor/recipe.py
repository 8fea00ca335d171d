"""Recipes: one edit as JSON, the same words in Python, on the command line and in files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from editor.errors import GroundbrushError

VERSION = 1
ACTIONS = ("edit", "remove")
MAX_VARIANTS = 16
_MAX_SEED = 2**63 - 1
_FIELDS = {"groundbrush", "action", "find", "paint", "seed", "variants", "candidate", "settings",
           "preset", "image"}  # fmt: skip


def make_request(
    action: str,
    *,
    find: str,
    paint: str | None,
    seed: int,
    variants: int,
    candidate: int | None,
    settings: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """A checked recipe without its picture and preset, which the editor adds.

    Raises
    ------
    GroundbrushError
        For a value of the wrong kind, naming it.
    """
    find = check_words("find", find)
    paint = None if action == "remove" else check_words("paint", paint)
    _whole("seed", seed, 0, _MAX_SEED - MAX_VARIANTS)
    _whole("variants", variants, 1, MAX_VARIANTS)
    if candidate is not None:
        _whole("candidate", candidate, 0, 99)
    if settings is not None and not isinstance(settings, Mapping):
        raise GroundbrushError(f"settings is {settings!r}; expected a mapping such as steps=30")
    return {
        "groundbrush": VERSION, "action": action, "find": find, "paint": paint,
        "seed": seed, "variants": variants, "candidate": candidate,
        "settings": dict(settings or {}),
    }  # fmt: skip


def read_request(recipe: Mapping[str, Any] | str | os.PathLike[str]) -> dict[str, Any]:
    """A checked recipe from a mapping, a recipe file or an edited picture.

    Raises
    ------
    GroundbrushError
        When it is not a recipe of this version.
    """
    if not isinstance(recipe, Mapping):
        from editor.images import read_recipe

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
    if action not in ACTIONS:
        raise GroundbrushError(
            f"the recipe's action is {action!r}; expected one of {', '.join(ACTIONS)}"
        )
    image = recipe.get("image", {})
    if not isinstance(image, Mapping):
        raise GroundbrushError(f"the recipe's image is {image!r}; expected path and sha256")
    request = make_request(
        action, find=recipe.get("find", ""), paint=recipe.get("paint"), seed=recipe.get("seed", 0),
        variants=recipe.get("variants", 1), candidate=recipe.get("candidate"),
        settings=recipe.get("settings"),
    )  # fmt: skip
    return {**request, "preset": recipe.get("preset"), "image": dict(image)}


def check_words(name: str, value: Any) -> str:
    """Some words with their white space tidied.

    Raises
    ------
    GroundbrushError
        For anything else, or blanks only.
    """
    if not isinstance(value, str) or not value.strip():
        raise GroundbrushError(
            f"{name} is {value!r}; expected some words that say what to {name}, "
            "e.g. 'the red apple'"
        )
    return " ".join(value.split())


def _whole(name: str, value: Any, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise GroundbrushError(f"{name} is {value!r}; expected a whole number from {low} to {high}")
