"""Plan: the changes that a sentence requests, as steps that can be read and changed.

It holds and checks; `editor.plan.reader` reads a sentence, `editor.plan.apply` does the steps.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import TypeAdapter

from ..errors import GroundbrushError, translate_validation
from ..values import Whole, Words, as_lists, as_validator, schema

VERSION = 1
MAX_STEPS = 64
MAX_COUNT = 16


def _read_span(value: Any) -> tuple[int, int]:
    good = isinstance(value, list | tuple) and len(value) == 2
    if not good or not all(isinstance(v, int) and not isinstance(v, bool) for v in value):
        raise GroundbrushError(f"a span is {value!r}; expected two whole numbers [start, stop]")
    start, stop = value
    if not 0 <= start < stop:
        raise GroundbrushError(f"a span is {[start, stop]}; expected 0 <= start < stop")
    return start, stop


Span = Annotated[tuple[int, int], as_validator(_read_span)]


@schema("a step")
class Step:
    """One thing to be done.

    Attributes
    ----------
    action : ``edit`` or ``remove``.
    find, paint : What to repaint or remove, and what to paint instead; None where it is removed.
    count : How many of them: 1 to 16, or None for every one that is found.
    at : Number, from 0, of the earlier step that makes what `find` names; None for a thing of the
        picture as given.
    span : Half-open character offsets of the words it came from; None for a step of your own.
    note : How the words were read, where that is not plain.
    """

    action: Literal["edit", "remove"]
    find: Annotated[str, Words("find")]
    paint: Annotated[str, Words("paint")] | None = None
    count: Annotated[int, Whole(1, MAX_COUNT)] | None = 1
    at: Annotated[int, Whole(0, MAX_STEPS - 1)] | None = None
    span: Span | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if self.action == "edit" and self.paint is None:
            raise ValueError("paint is None; expected some words that say what to paint")
        if self.action == "remove" and self.paint is not None:
            raise ValueError(
                f"the step that removes {self.find!r} paints {self.paint!r}; leave paint out, "
                "or make its action 'edit'"
            )

    def __str__(self) -> str:
        """One line for people."""
        many = {None: "every ", 1: ""}.get(self.count, f"{self.count} times ")
        named = f"{many}“{self.find}”"
        what = f"remove {named}" if self.paint is None else f"replace {named} with “{self.paint}”"
        return what + (f" (the result of step {self.at + 1})" if self.at is not None else "")


@schema("an unread part")
class Unread:
    """Words of the sentence that became no step, why, and what they could mean.

    Attributes
    ----------
    span : Half-open character offsets in the sentence.
    words, reason : The words, and what is missing or unclear, with the remedy.
    readings : Steps they could be: copy the one that is meant into the plan's steps.
    """

    span: Span
    words: str
    reason: str
    readings: tuple[tuple[Step, ...], ...] = ()

    def __str__(self) -> str:
        """One line for people."""
        options = " or: ".join("; ".join(map(str, steps)) for steps in self.readings)
        return f"“{self.words}”: {self.reason}" + (f" ({options})" if options else "")


@schema("the plan")
class Plan:
    """The changes that a sentence requests.

    Attributes
    ----------
    sentence : As typed; spans are offsets into it. Empty for a plan written by hand.
    steps : In the order they are done.
    unread : What was not understood or has several meanings. A plan with such parts is not run.
    notes : What was understood and needs nothing done.
    """

    sentence: str = ""
    steps: tuple[Step, ...] = ()
    unread: tuple[Unread, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.steps) > MAX_STEPS:
            raise ValueError(
                f"the plan has {len(self.steps)} steps; expected at most {MAX_STEPS}: run it in "
                "parts"
            )
        for k, step in enumerate(self.steps):
            if step.at is not None and step.at >= k:
                raise ValueError(
                    f"step {k} (from 0) names the result of step {step.at}; expected an earlier one"
                )
        spans = [step.span for step in self.steps] + [part.span for part in self.unread]
        for span in spans if self.sentence else ():
            if span is not None and span[1] > len(self.sentence):
                raise ValueError(
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
        """Return plain values, for JSON; `from_dict` reads them back."""
        return {"groundbrush_plan": VERSION, **as_lists(dataclasses.asdict(self))}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Plan:
        """Read a plan from plain values, such as an edited JSON file's.

        Raises GroundbrushError naming what is wrong; steps are counted from 0.
        """
        version = values.get("groundbrush_plan") if isinstance(values, Mapping) else None
        if version != VERSION or isinstance(version, bool):
            raise GroundbrushError(
                f"plan version {version!r} given; this program reads version {VERSION}"
            )
        given = {name: value for name, value in values.items() if name != "groundbrush_plan"}
        with translate_validation(_PLAN, "the plan"):
            return _PLAN.validate_python(given)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the plan as JSON, whole or not at all."""
        from ..files import atomic_write

        text = json.dumps(self.as_dict(), indent=1)
        atomic_write(path, text.encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Plan:
        """Read a plan file.

        Raises GroundbrushError when the file cannot be read or holds no plan.
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


_PLAN: TypeAdapter[Plan] = TypeAdapter(Plan)
