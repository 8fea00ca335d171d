"""Checks of plain values that callers, recipes and sessions hand in; each names what is wrong."""

from __future__ import annotations

from typing import Any

from .errors import GroundbrushError


def check_whole(name: str, value: Any, low: int, high: int) -> None:
    """Refuse anything but a whole number from `low` to `high`."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise GroundbrushError(f"{name} is {value!r}; expected a whole number from {low} to {high}")


def check_number(name: str, value: Any, low: float, high: float) -> None:
    """Refuse anything but a number from `low` to `high`."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not low <= value <= high:
        raise GroundbrushError(f"{name} is {value!r}; expected a number from {low} to {high}")


def check_flag(name: str, value: Any) -> None:
    """Refuse anything but True and False."""
    if not isinstance(value, bool):
        raise GroundbrushError(f"{name} is {value!r}; expected true or false")


def check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Refuse anything but one of `choices`."""
    if value not in choices:
        raise GroundbrushError(f"{name} is {value!r}; expected one of {', '.join(choices)}")
