"""Field types that the editor's schemas share, and the checks behind them."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, dataclass_transform

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass as pydantic_dataclass
from pydantic_core import core_schema

from .errors import GroundbrushError, translate_validation

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler

T = TypeVar("T")
_EXCLUDING = re.compile(
    r"(?:not|neither|(?:everything|anything|all) (?:but|except)|without"
    r"|(?:no|none of)\b(?!.* signs?$))\b",
    re.IGNORECASE,
)
_NAMES_NOTHING = frozenset(
    "the a an this that these those it its all both every each some any no one ones of to in on at "
    "by and or nothing anything something everything them things objects items other others ones "
    "rest two three four five six seven eight nine ten".split()
)
# "The orange", "the left glass" and "the light" are things.
_DESCRIBES = frozenset(
    "red yellow green blue purple pink brown black white grey gray golden beige turquoise cyan "
    "magenta maroon small large big little tiny huge young old new tall short long thick thin "
    "striped spotted left right middle upper lower leftmost rightmost first last".split()
)
_VISIBLE = r"[^\x00-\x20\x7f\x85\s]"  # one character that is not white space


def expects(words: str, **more: str) -> Any:
    """A field's annotation with what error messages call expected; see `errors.explain`."""
    return Field(json_schema_extra={"x-expected": words, **more})


def as_validator(check: Callable[[Any], Any]) -> BeforeValidator:
    """A pydantic validator from a function that raises `GroundbrushError`."""
    return BeforeValidator(_raising_value_error(check))


def _raising_value_error(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @functools.wraps(check)
    def validate(value: Any) -> Any:
        try:
            return check(value)
        except GroundbrushError as error:
            raise ValueError(str(error)) from error

    return validate


@dataclass(frozen=True)
class Whole:
    """A whole number between limits, both allowed; 7.0 and numpy's integers count as whole."""

    low: int
    high: int
    label: str = ""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        number = core_schema.int_schema(strict=True, ge=self.low, le=self.high)
        return core_schema.no_info_before_validator_function(_whole, number)

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> Any:
        return handler(schema) | ({"x-label": self.label} if self.label else {})


@dataclass(frozen=True)
class Number:
    """A number between limits, both allowed."""

    low: float
    high: float
    label: str = ""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        number = core_schema.float_schema(strict=True, ge=self.low, le=self.high)
        return core_schema.no_info_before_validator_function(plain, number)

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> Any:
        return handler(schema) | ({"x-label": self.label} if self.label else {})


@dataclass(frozen=True)
class Words:
    """Text that is not blank, with its white space tidied; `name` is the field's."""

    name: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        check = _raising_value_error(functools.partial(check_words, self.name))
        return core_schema.no_info_before_validator_function(check, core_schema.str_schema())

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> Any:
        expected = f"some words that say what to {self.name}, e.g. 'the red apple'"
        limits = {"minLength": 1, "pattern": _VISIBLE}
        return handler(schema) | limits | {"x-expected": expected}


Flag = Annotated[bool, Field(strict=True)]


@dataclass_transform(frozen_default=True, field_specifiers=(field, Field))
def schema(what: str) -> Callable[[type[T]], type[T]]:
    """Class decorator: a frozen dataclass that validates its fields.

    Bad values raise `GroundbrushError`; `what` names the object in the message.
    """

    def decorate(cls: type[T]) -> type[T]:
        made: Any = pydantic_dataclass(frozen=True, config=ConfigDict(extra="forbid"))(cls)
        construct = made.__init__

        @functools.wraps(construct)
        def __init__(self: Any, *args: Any, **values: Any) -> None:
            with translate_validation(made, what):
                construct(self, *args, **values)

        made.__init__ = __init__
        return made

    return decorate


def plain(value: Any) -> Any:
    """Return numpy scalars as Python numbers, which JSON can hold; all else unchanged."""
    is_scalar = type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0
    return value.item() if is_scalar else value


def _whole(value: Any) -> Any:
    value = plain(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def check_words(name: str, value: Any) -> str:
    """Return some words with their white space tidied.

    Raises
    ------
    GroundbrushError
        If `value` is not text, is blank or broken, or (as ``find`` or ``remove``) names no thing
        or all but one.
    """
    if not isinstance(value, str) or not value.strip():
        raise GroundbrushError(
            f"{name} is {value!r}; expected some words that say what to {name}, "
            "e.g. 'the red apple'"
        )
    check_text(name, value)
    words = " ".join(value.split())
    finds = name in ("find", "remove")
    if finds and exclusion(words):
        raise GroundbrushError(
            f"{name} is {words!r}; expected the thing itself: name it, and to paint everything "
            "else invert its mask (--invert, or operations=[{'op': 'invert'}])"
        )
    said = set(re.findall(r"\w+", words.lower()))
    if finds and said and said <= _NAMES_NOTHING | _DESCRIBES:
        but = "" if said <= _NAMES_NOTHING else " and only says which one"
        raise GroundbrushError(
            f"{name} is {words!r}, which names no thing{but}; expected a noun, e.g. 'the red apple'"
        )
    return words


def exclusion(words: str) -> str:
    """Return how words begin that mean all but a thing ("not", "everything except"), else ""."""
    found = _EXCLUDING.match(words)
    return found[0] if found else ""


def check_text(name: str, value: str) -> None:
    """Raise `GroundbrushError` for text with half a character in it (a wrong encoding)."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise GroundbrushError(
            f"{name} is {value!r}, which is not whole text at character {error.start + 1}; "
            "expected Unicode: type the words again, or give them in UTF-8"
        ) from None


def as_lists(value: Any) -> Any:
    """Return plain values with every sequence as a list, as JSON has them."""
    if isinstance(value, Mapping):
        return {name: as_lists(one) for name, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [as_lists(one) for one in value]
    return value


def check_whole(name: str, value: Any, low: int, high: int) -> None:
    """Raise `GroundbrushError` for anything but a whole number from `low` to `high`."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise GroundbrushError(f"{name} is {value!r}; expected a whole number from {low} to {high}")
