"""A plan: what one sentence asks to be done, as steps that can be looked at and changed.

It holds and checks; reading a sentence is `editor.plan.reader`'s, doing it `editor.apply`'s.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import GroundbrushError
from ..request import check_words

VERSION = 1
ACTIONS = ("edit", "remove")
MAX_STEPS = 64
MAX_COUNT = 16
_PLAN_FIELDS = ("groundbrush_plan", "sentence", "steps", "unread", "notes")
_STEP_FIELDS = ("action", "find", "paint", "count", "at", "span", "note")


@dataclass(frozen=True)
class Step:
    """One thing to be done.

    Attributes
    ----------
    action
        ``edit`` or ``remove``.
    find
        What to repaint or take away.
    paint
        What to paint instead; None where it is taken away.
    count
        How many of them: 1 to 16, or None for every one that is found.
    at
        Number, from 0, of the earlier step whose result `find` names; None for a thing of the
        picture as given.
    span
        Half-open character offsets of the words it came from; None for a step of your own.
    note
        How the words were read, where that is not plain.
    """

    action: str
    find: str
    paint: str | None = None
    count: int | None = 1
    at: int | None = None
    span: tuple[int, int] | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise GroundbrushError(
                f"a step's action is {self.action!r}; expected one of {', '.join(ACTIONS)}"
            )
        object.__setattr__(self, "find", check_words("find", self.find))
        if self.action == "remove":
            if self.paint is not None:
                raise GroundbrushError(
                    f"the step that removes {self.find!r} paints {self.paint!r}; leave paint out, "
                    "or make its action 'edit'"
                )
        else:
            object.__setattr__(self, "paint", check_words("paint", self.paint))
        if self.count is not None:
            _whole("count", self.count, 1, MAX_COUNT)
        if self.at is not None:
            _whole("at", self.at, 0, MAX_STEPS - 1)
        if not isinstance(self.note, str):
            raise GroundbrushError(f"a step's note is {self.note!r}; expected text")
        if self.span is not None:
            object.__setattr__(self, "span", _span(self.span))

    def __str__(self) -> str:
        """One line for people."""
        many = {None: "every ", 1: ""}.get(self.count, f"{self.count} times ")
        named = f"{many}“{self.find}”"
        what = f"remove {named}" if self.paint is None else f"replace {named} with “{self.paint}”"
        return what + (f" (the result of step {self.at + 1})" if self.at is not None else "")

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        span = None if self.span is None else list(self.span)
        return {
            "action": self.action,
            "find": self.find,
            "paint": self.paint,
            "count": self.count,
            "at": self.at,
            "span": span,
            "note": self.note,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Step:
        """From plain values; absent ones keep their defaults."""
        _known(values, _STEP_FIELDS, "a step")
        for name in ("action", "find"):
            if name not in values:
                raise GroundbrushError(f"a step has no {name!r}; expected action and find")
        return cls(**values)


@dataclass(frozen=True)
class Unread:
    """Words of the sentence that became no step, why, and what they could mean.

    Attributes
    ----------
    span
        Half-open character offsets in the sentence.
    words
        The words themselves.
    reason
        What is missing or unclear, and the mend.
    readings
        Steps they could be: copy the one that is meant into the plan's steps.
    """

    span: tuple[int, int]
    words: str
    reason: str
    readings: tuple[tuple[Step, ...], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "span", _span(self.span))
        if not (isinstance(self.words, str) and isinstance(self.reason, str) and self.reason):
            raise GroundbrushError(
                "an unread part lacks something; expected words and a reason, both text"
            )

    def __str__(self) -> str:
        """One line for people."""
        options = " or: ".join("; ".join(map(str, steps)) for steps in self.readings)
        return f"“{self.words}”: {self.reason}" + (f" ({options})" if options else "")

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        readings = [[step.as_dict() for step in steps] for steps in self.readings]
        return {
            "span": list(self.span),
            "words": self.words,
            "reason": self.reason,
            "readings": readings,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Unread:
        """From plain values."""
        _known(values, ("span", "words", "reason", "readings"), "an unread part")
        readings = tuple(
            tuple(Step.from_dict(s) for s in _list(steps, "readings"))
            for steps in _list(values.get("readings", []), "readings")
        )
        return cls(
            _span(values.get("span")), values.get("words", ""), values.get("reason", ""), readings
        )


@dataclass(frozen=True)
class Plan:
    """What a sentence asks for.

    Attributes
    ----------
    sentence
        As typed; spans are offsets into it. Empty for a plan written by hand.
    steps
        In the order they are done.
    unread
        What was not understood or has several meanings. A plan with such parts is not run.
    notes
        What was understood and needs nothing done.
    """

    sentence: str = ""
    steps: tuple[Step, ...] = ()
    unread: tuple[Unread, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.sentence, str):
            raise GroundbrushError(f"the plan's sentence is {self.sentence!r}; expected text")
        if len(self.steps) > MAX_STEPS:
            raise GroundbrushError(
                f"the plan has {len(self.steps)} steps; expected at most {MAX_STEPS}: run it in "
                "parts"
            )
        for k, step in enumerate(self.steps):
            if step.at is not None and step.at >= k:
                raise GroundbrushError(
                    f"step {k} (from 0) names the result of step {step.at}; expected an earlier one"
                )
        if self.sentence:
            for span in [part.span for part in self.steps] + [part.span for part in self.unread]:
                if span is not None and span[1] > len(self.sentence):
                    raise GroundbrushError(
                        f"span {span} lies outside the sentence of {len(self.sentence)} characters"
                    )

    def words(self, part: Step | Unread) -> str:
        """The words of the sentence that a part came from; empty for one written by hand."""
        return "" if part.span is None else self.sentence[slice(*part.span)]

    def __str__(self) -> str:
        """The plan for people: numbered steps, then what was not read."""
        lines = []
        for k, step in enumerate(self.steps, 1):
            source = f"   [{' '.join(w.split())}]" if (w := self.words(step)) else ""
            lines += [f"{k}. {step}{source}", *([f"   {step.note}"] if step.note else [])]
        lines += [f"not read: {part}" for part in self.unread]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; `from_dict` reads them back."""
        return {
            "groundbrush_plan": VERSION,
            "sentence": self.sentence,
            "steps": [step.as_dict() for step in self.steps],
            "unread": [part.as_dict() for part in self.unread],
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Plan:
        """A checked plan from plain values, such as an edited JSON file's.

        Raises
        ------
        GroundbrushError
            Naming what is wrong; steps are counted from 0.
        """
        version = values.get("groundbrush_plan") if isinstance(values, Mapping) else None
        if version != VERSION or isinstance(version, bool):
            raise GroundbrushError(
                f"plan version {version!r} given; this program reads version {VERSION}"
            )
        _known(values, _PLAN_FIELDS, "the plan")
        steps = []
        for k, given in enumerate(_list(values.get("steps", []), "steps")):
            try:
                steps.append(Step.from_dict(given))
            except GroundbrushError as error:
                raise GroundbrushError(f"step {k} (from 0): {error}") from error
        unread = tuple(Unread.from_dict(u) for u in _list(values.get("unread", []), "unread"))
        notes = _list(values.get("notes", []), "notes")
        if not all(isinstance(note, str) for note in notes):
            raise GroundbrushError(f"the plan's notes are {notes!r}; expected texts")
        return cls(values.get("sentence", ""), tuple(steps), unread, tuple(notes))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the plan as JSON, whole or not at all."""
        from ..files import atomic_write

        text = json.dumps(self.as_dict(), indent=1)
        atomic_write(path, text.encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Plan:
        """Read a plan file.

        Raises
        ------
        GroundbrushError
            When the file cannot be read or holds no plan.
        """
        from ..files import as_path, open_regular

        name = as_path(path)
        with open_regular(name, "plan") as file:
            raw = file.read(1_000_001)
        if len(raw) > 1_000_000:
            raise GroundbrushError(f"{name} has more than 1,000,000 bytes; that is no plan")
        try:
            values = json.loads(raw.decode("utf-8-sig"))
        except (UnicodeDecodeError, ValueError, RecursionError) as error:
            raise GroundbrushError(
                f"{name} is no JSON ({error}); expected a plan, as `groundbrush apply --plan-only "
                "--plan FILE` writes it"
            ) from error
        return cls.from_dict(values)


def _known(values: Any, names: tuple[str, ...], what: str) -> None:
    if not isinstance(values, Mapping):
        raise GroundbrushError(f"{what} is {values!r}; expected a mapping of {', '.join(names)}")
    unknown = sorted(str(name) for name in values if name not in names)
    if unknown:
        raise GroundbrushError(
            f"{what} holds the unknown name {unknown[0]!r}; expected some of {', '.join(names)}"
        )


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise GroundbrushError(f"the plan's {name} is {value!r}; expected a list")
    return list(value)


def _span(value: Any) -> tuple[int, int]:
    good = isinstance(value, list | tuple) and len(value) == 2
    if not good or not all(isinstance(v, int) and not isinstance(v, bool) for v in value):
        raise GroundbrushError(f"a span is {value!r}; expected two whole numbers [start, stop]")
    start, stop = value
    if not 0 <= start < stop:
        raise GroundbrushError(f"a span is {[start, stop]}; expected 0 <= start < stop")
    return start, stop


def _whole(name: str, value: Any, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise GroundbrushError(
            f"a step's {name} is {value!r}; expected a whole number from {low} to {high}, or null"
        )
