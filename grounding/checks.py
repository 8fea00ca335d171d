"""Checks of arguments and settings that several modules share; each raises GroundingError."""

from __future__ import annotations

import dataclasses
import difflib
import numbers
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from .errors import GroundingError

_KINDS: dict[type, tuple[Any, str]] = {
    bool: (bool, "true or false"),
    int: (numbers.Integral, "a whole number"),
    float: (numbers.Real, "a number"),
    str: (str, "a name"),
    tuple: ((tuple, list), "a list of names"),
}


def check_image(image: Any) -> None:
    """Raise GroundingError for anything but an (H, W, 3) uint8 array."""
    shape, dtype = getattr(image, "shape", None), getattr(image, "dtype", None)
    if shape is None or len(shape) != 3 or shape[2] != 3 or dtype != np.uint8 or 0 in shape:
        raise GroundingError(
            f"the image is {type(image).__name__} of {dtype} {shape}; expected an (H, W, 3) uint8 "
            "RGB array: np.asarray(picture.convert('RGB'))"
        )


def check_choice(name: str, value: object, known: Iterable[object]) -> None:
    """Refuse a value that is not one of `known`."""
    if value not in known:
        raise GroundingError(
            f"{name} is {value!r}; expected one of {', '.join(str(one) for one in known)}"
        )


def check_kinds(settings: Any) -> None:
    """Refuse fields of a settings object that are of another type than their defaults."""
    for field in dataclasses.fields(settings):
        made: Any = field.default_factory
        usual = field.default if made is dataclasses.MISSING else made()
        value = getattr(settings, field.name)
        kind, expected = _KINDS.get(type(usual), (type(usual), "an object of settings"))
        if not isinstance(value, kind) or (value is True or value is False) is not (kind is bool):
            raise GroundingError(f"{field.name} is {value!r}; expected {expected}")


def check_range(settings: object, names: str, low: float, high: float | None = None) -> None:
    """Refuse fields of a settings object (names separated by spaces) outside [low, high]."""
    expected = f"at least {low}" if high is None else f"{low} to {high}"
    for name in names.split():
        value = getattr(settings, name)
        if not low <= value <= (float("inf") if high is None else high):
            raise GroundingError(f"{name} is {value}; expected {expected}")


def check_names(kind: type, values: Mapping[str, Any], holder: str) -> None:
    """Refuse names that a settings dataclass does not have."""
    known = sorted(field.name for field in dataclasses.fields(kind))
    for name in values:
        if name not in known:
            raise GroundingError(
                f"{holder} the unknown name {name!r}; expected some of {', '.join(known)}"
            )


def close_name(name: object, known: Iterable[str]) -> str | None:
    """The nearest known name to a misspelt one, if any is near."""
    return next(iter(difflib.get_close_matches(str(name), known, n=1)), None)
