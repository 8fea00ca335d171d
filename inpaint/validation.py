"""Checks of arguments; each message says what was given, what was expected and the remedy."""

from __future__ import annotations

import difflib
import math
import operator
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from .errors import InpaintError

MAX_SEED = 2**63 - 1


def describe(value: Any) -> str:
    """Return a short description of a value for an error message."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    return f"{type(value).__name__} {value!r}"[:120]


def check_image(image: Any) -> np.ndarray:
    """Return `image` if it is ``(H, W, 3)`` uint8 with at least one pixel."""
    good = isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[2] == 3
    if not good or image.dtype != np.uint8 or image.size == 0:
        raise InpaintError(
            f"image: got {describe(image)}; expected (H, W, 3) uint8 RGB. "
            "Convert a picture with np.asarray(picture.convert('RGB'))."
        )
    return image


def check_mask(mask: Any) -> np.ndarray:
    """Return `mask` if it is ``(H, W)`` bool."""
    if not isinstance(mask, np.ndarray) or mask.ndim != 2 or mask.dtype != np.bool_:
        raise InpaintError(
            f"mask: got {describe(mask)}; expected (H, W) bool. "
            "Convert a grey mask with `mask > 127`, a 0/1 mask with `mask > 0`."
        )
    return mask


def check_pair(image: Any, mask: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return both if the mask belongs to the image and marks at least one pixel."""
    image, mask = check_image(image), check_mask(mask)
    if image.shape[:2] != mask.shape:
        raise InpaintError(
            f"mask: got (height, width) {mask.shape} for an image of {image.shape[:2]}; "
            "expected the same. Resize the mask to the image (nearest neighbour)."
        )
    if not mask.any():
        raise InpaintError(
            "mask: no pixel is marked; expected at least one. "
            "Ground another phrase, or draw the mask by hand."
        )
    return image, mask


def check_prompt(prompt: Any) -> str:
    """Return `prompt` if it says something, or is exactly "" (paint without words)."""
    if not isinstance(prompt, str) or (prompt and not prompt.strip()):
        raise InpaintError(
            f"prompt: got {describe(prompt)}; expected words, such as 'a green pear', "
            'or exactly "" to paint without words (removal).'
        )
    return check_text("prompt", prompt)


def check_text(name: str, value: Any) -> str:
    """Return `value` if it is a string that can be written as UTF-8: no half a character."""
    try:
        value.encode()
    except (AttributeError, UnicodeEncodeError):
        raise InpaintError(
            f"{name}: got {describe(value)}; expected a string of whole Unicode characters."
        ) from None
    return str(value)


def check_seed(seed: Any) -> int:
    """Return `seed` as an int in 0 ... 2**63 - 1 (numpy integers welcome, bools not)."""
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if isinstance(seed, (bool, np.bool_)) or not 0 <= number <= MAX_SEED:
        raise InpaintError(
            f"seed: got {describe(seed)}; expected a whole number from 0 to 2**63 - 1, such as 7."
        )
    return number


def check_fields(
    settings: object,
    whole: Mapping[str, tuple[int, int]],
    numbers: Mapping[str, tuple[float, float]],
    choices: Mapping[str, tuple[str, ...]],
) -> None:
    """Check fields of a settings object: whole numbers, numbers and choices, in this order."""
    for name, (low, high) in whole.items():
        check_whole(name, getattr(settings, name), low, high)
    for name, limits in numbers.items():
        check_number(name, getattr(settings, name), *limits)
    for name, known in choices.items():
        check_choice(name, getattr(settings, name), known)


def check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Raise unless `value` is one of `choices`; suggest a close one."""
    if not isinstance(value, str) or value not in choices:
        raise InpaintError(
            f"{name}: got {value!r}{close_match(value, choices)}; "
            f"expected one of {', '.join(choices)}."
        )


def check_number(name: str, value: Any, low: float, high: float) -> None:
    """Raise unless `value` is a finite number from `low` to `high`."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not low <= value <= high:
        raise InpaintError(f"{name}: got {value!r}; expected a number from {low} to {high}.")


def check_whole(name: str, value: Any, low: int, high: int, multiple: int = 1) -> None:
    """Raise unless `value` is an int from `low` to `high` and a multiple of `multiple`."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or not low <= value <= high or value % multiple:
        step = f", a multiple of {multiple}" if multiple > 1 else ""
        raise InpaintError(
            f"{name}: got {value!r}; expected a whole number from {low} to {high}{step}."
        )


def close_match(value: Any, names: Iterable[str]) -> str:
    """Return " (did you mean 'x'?)" for a close name, or ""."""
    near = difflib.get_close_matches(str(value), list(names), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
