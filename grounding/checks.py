"""Checks of arguments that several modules share; each raises GroundingError."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import GroundingError


def finite_array(
    value: ArrayLike,
    what: str,
    *,
    axes: str,
    ndim: int,
    exact: bool = False,
    remedy: str = "Leave them out or repair them.",
) -> NDArray:
    """`value` as a float array with enough axes and only finite entries."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise GroundingError(f"{what} do not form an array {axes}: {error}.") from error
    if array.dtype.kind not in "fiub":
        raise GroundingError(f"{what} have dtype {array.dtype}; expected real numbers {axes}.")
    if array.ndim < ndim or (exact and array.ndim != ndim) or array.size == 0:
        raise GroundingError(f"{what} have shape {array.shape}; expected a non-empty {axes}.")
    if array.dtype.kind != "f" or array.dtype == np.float16:
        array = array.astype(np.float64 if array.dtype.kind != "f" else np.float32)
    if not np.isfinite(array).all():
        bad = int(np.size(array) - np.isfinite(array).sum())
        raise GroundingError(f"{what} hold {bad} values that are not finite. {remedy}")
    return array


def whole_size(
    value: tuple[int, int], name: str = "size_wh", form: str = "(W, H)"
) -> tuple[int, int]:
    """Two whole numbers of at least 1."""
    try:
        first, second = (int(v) for v in value)
        good = (first, second) == tuple(value) and first > 0 and second > 0
    except (TypeError, ValueError):
        good = False
    if not good:
        raise GroundingError(f"{name} is {value!r}; expected {form}, whole and at least 1")
    return first, second


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
