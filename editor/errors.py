"""The error that users of the editor see, and how errors from below become one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_LONGEST = 2_000  # characters of a message; the value given may be a book
_LONGEST_VALUE = 500
# C0 (but line ends and tabs), C1, bidirectional overrides, line separators, half characters
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")


class GroundbrushError(Exception):
    """A request that cannot be met, explained in one line.

    The message names what was given, what was expected and the remedy, so it can be shown to a
    user as it is; the error of the layer below, if there is one, is ``__cause__``.

    Examples
    --------
    >>> raise GroundbrushError("seed -1 given; expected a whole number; try seed=0")
    Traceback (most recent call last):
    ...
    groundbrush.editor.errors.GroundbrushError: seed -1 given; expected a whole number; try seed=0
    """

    def __str__(self) -> str:
        """The message, `printable`; a very long one loses its middle: its end has the remedy."""
        return printable(_shortened(super().__str__(), _LONGEST))


@contextmanager
def translate(*lower_error_types: type[BaseException]) -> Iterator[None]:
    """Re-raise errors of the packages below as `GroundbrushError`.

    Parameters
    ----------
    *lower_error_types : type
        The exception classes to translate, such as ``GroundingError`` and ``InpaintError``. Every
        other exception passes through unchanged: a bug must keep its traceback.

    Raises
    ------
    GroundbrushError
        With the lower error's message on one line and the lower error as ``__cause__``.

    Examples
    --------
    >>> with translate(ValueError):
    ...     raise ValueError("box is empty; draw a larger one")
    Traceback (most recent call last):
    ...
    groundbrush.editor.errors.GroundbrushError: box is empty; draw a larger one
    """
    try:
        yield
    except GroundbrushError:
        raise
    except lower_error_types as error:
        raise GroundbrushError(one_line(error)) from error


@contextmanager
def translate_validation(schema: Any, what: str) -> Iterator[None]:
    """Re-raise pydantic's `ValidationError` as `GroundbrushError` with its first problem.

    Parameters are those of `explain`.
    """
    from pydantic import ValidationError

    try:
        yield
    except ValidationError as error:
        raise GroundbrushError(explain(error, schema, what)[0]) from error


def explain(error: ValidationError, schema: Any, what: str) -> list[str]:
    """Explain each problem of a `ValidationError`: what was given and what was expected.

    Fields describe themselves in the JSON schema: ``x-expected`` (see `editor.values.expects`)
    says what a value should be and ``x-name`` what a field or an object is called; without them
    both follow from the schema's types and limits.

    Parameters
    ----------
    error
        As pydantic raised it.
    schema
        The model, dataclass or ``TypeAdapter`` that refused the value.
    what
        Name of the whole value, such as "the recipe".

    Returns
    -------
    list of str
        One message for each problem: unknown names, then the fields in their order.

    Examples
    --------
    >>> from pydantic import TypeAdapter, ValidationError
    >>> whole = TypeAdapter(dict[str, int])
    >>> try:
    ...     whole.validate_python({"seed": "x"}, strict=True)
    ... except ValidationError as error:
    ...     explain(error, whole, "the recipe")
    ["seed is 'x'; expected a whole number"]
    """
    from pydantic import TypeAdapter

    adapter = schema if isinstance(schema, TypeAdapter) else TypeAdapter(schema)
    described = adapter.json_schema()
    unknown_first = sorted(error.errors(include_url=False), key=lambda e: e["type"] not in _UNKNOWN)
    return [_message(one, described, what) for one in unknown_first]


def printable(text: str) -> str:
    """Return text with escapes for characters that would control a terminal or reverse lines.

    Examples
    --------
    >>> print(printable("a\\x1b[2Jb\\u202ec\\ndé"))
    a\\x1b[2Jb\\u202ec
    dé
    """
    return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], text)


def one_line(error: BaseException) -> str:
    """Return an exception's message on one line, or its class name where it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " (did you mean 'x'?)" with the closest known name; "" where none is close.

    Examples
    --------
    >>> did_you_mean("stps", ["steps", "size"])
    " (did you mean 'steps'?)"
    """
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _message(problem: ErrorDetails, schema: Mapping[str, Any], what: str) -> str:
    """One problem in words."""
    kind, given, context = problem["type"], problem["input"], problem.get("ctx", {})
    label, owner, node = _locate(schema, problem["loc"], what)
    prefix = "" if owner == what else f"{owner}: "
    if kind == "value_error":
        return f"{prefix}{context['error']}"
    value = _shortened(repr(given), _LONGEST_VALUE)
    if kind in _UNKNOWN:
        known, name = _names(node), str(problem["loc"][-1])
        hint = did_you_mean(name, known)
        rest = f"; expected some of {', '.join(known)}" if known else "; expected no value"
        return f"{owner} holds the unknown name {name!r}{hint}{rest}"
    if kind == "missing":
        name = str(problem["loc"][-1])
        if not isinstance(problem["loc"][-1], str):  # of a tuple that is too short
            return f"{label} is {value}; expected {_expected(node)}"
        return f"{prefix}{name} is None; expected {_expected(node)}"
    if kind.startswith("union_tag"):
        return _unknown_tag(given, node, label)
    verb = f"{value} given" if node.get("x-name") else f"is {value}"
    return f"{prefix}{label} {verb}; expected {_expected(node)}"


def _unknown_tag(given: Any, node: Mapping[str, Any], label: str) -> str:
    """A discriminator that names none of the alternatives."""
    name, tags = node["discriminator"]["propertyName"], node["discriminator"]["mapping"]
    refs = [option["$ref"] for option in node["oneOf"]]
    known = sorted(tags, key=lambda tag: refs.index(tags[tag]))
    tag = given.get(name) if isinstance(given, Mapping) else getattr(given, name, None)
    if node.get("x-name") and not isinstance(tag, str):
        return f"{label} {given!r} given; expected {_expected(node)}"
    hint = did_you_mean(tag, known) if isinstance(tag, str) else ""
    said = f"{label} {tag!r} given" if node.get("x-name") else f"{label}'s {name} is {tag!r}"
    return f"{said}{hint}; expected one of {', '.join(known)}"


def _locate(
    schema: Mapping[str, Any], loc: tuple[int | str, ...], what: str
) -> tuple[str, str, Mapping[str, Any]]:
    """The name of a value, the name of the object that holds it, and the value's schema.

    For a name that the schema does not have, the schema of the object that holds it.
    """
    definitions = schema.get("$defs", {})

    def resolved(node: Mapping[str, Any]) -> Mapping[str, Any]:
        options = [n for n in node.get("anyOf", ()) if n.get("type") != "null"]
        if len(options) == 1:
            more = {k: v for k, v in node.items() if k != "anyOf"}
            return resolved({**options[0], **more, "x-nullable": True})
        if "$ref" in node:
            target = definitions[node["$ref"].rpartition("/")[2]]
            return resolved({**target, **{k: v for k, v in node.items() if k != "$ref"}})
        return node

    node, label, owner = resolved(schema), what, what
    for part in loc:
        tags = node.get("discriminator", {}).get("mapping", {})
        if isinstance(part, int):
            listed = node.get("prefixItems", [])
            item = resolved(listed[part] if part < len(listed) else node.get("items", {}))
            keeps = item.get("type") == "array" and "x-expected" in node
            node = {**item, "x-expected": node["x-expected"]} if keeps else item
            label = node.get("x-name", f"{label}[{part}]")
        elif part in tags:
            label = f"{label} {part!r}" if "x-name" in node else label
            node = resolved({"$ref": tags[part]})
        elif part in node.get("properties", {}):
            node = resolved(node["properties"][part])
            owner, label = label, node.get("x-label", part)
        else:
            owner = label
    return label, owner, node


def _expected(node: Mapping[str, Any]) -> str:
    """What a value of a schema looks like."""
    if node.get("x-nullable"):
        return f"{_expected({**node, 'x-nullable': False})}, or null"
    if "x-expected" in node:
        return str(node["x-expected"])
    if "enum" in node or "const" in node:
        return f"one of {', '.join(map(str, node.get('enum', [node.get('const')])))}"
    if node.get("type") == "object":
        names = _names(node)
        return f"an object of {', '.join(names)}" if names else "an object"
    kinds = {
        "integer": "a whole number",
        "number": "a number",
        "boolean": "true or false",
        "array": "a list",
        "string": "text",
    }
    words = kinds.get(str(node.get("type")), "another value")
    low, high = node.get("minimum"), node.get("maximum")
    limits = f" from {low}" if low is not None else ""
    return words + limits + (f" to {high}" if high is not None else "")


def _names(node: Mapping[str, Any]) -> list[str]:
    """The fields of an object that a caller may give."""
    fields = node.get("properties", {})
    return [name for name, field in fields.items() if "const" not in field]


def _shortened(text: str, longest: int) -> str:
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]} ... {text[-half:]}"
