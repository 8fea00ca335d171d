"""A sentence -> a plan: sentence -> parse -> clauses -> things and what becomes of them -> steps.

What has several meanings is listed with all of them and never chosen for the user.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from ...multiobject.errors import MultiObjectError
from ...multiobject.phrases.caption import NormalizedCaption, read_caption
from ...multiobject.phrases.lexicon import CONTRAST, EXCEPTED, NUMBERS
from ...multiobject.phrases.noun_phrases import NounPhrase, noun_phrases, top_level
from ...multiobject.phrases.several import named_things
from ...multiobject.phrases.spacy_model import parse
from ..errors import GroundbrushError, translate
from ..values import exclusion
from . import words
from .clauses import Clause, find_clauses, trim
from .pairs import Pair, read_pairs
from .steps import Plan, Step, Unread
from .things import Thing, Unclear, article, read_things, unquoted

if TYPE_CHECKING:
    from spacy.tokens import Token

Kind = Literal["thing", "things", "instruction"]
_PARTS = frozenset("its his her their".split())  # "but keep its wheels"
_OTHERS = frozenset("it else other rest anything everything nothing".split())  # of no step
_PEOPLE = frozenset("people person man woman child boy girl baby kid lady".split())
_ANY = frozenset("thing object item animal".split())


def read_plan(sentence: str) -> Plan:
    """Read the changes that English commands request: "replace the dog with a cat", and so on.

    The plan's steps are in the sentence's order; what was not understood, or has several meanings,
    is in `unread` with the reason. Raises GroundbrushError for an empty, overlong or foreign
    sentence, and where no English pipeline is installed.

    >>> print(read_plan("make the car blue and remove the dog on the left"))
    1. replace “the car” with “a blue car”   [make the car blue]
    2. remove “the dog on the left”   [remove the dog on the left]
    """
    with translate(MultiObjectError):
        plain = read_caption(sentence)
        doc = parse(plain.parsed)
        reader = _Reader(plain)
        for clause in find_clauses([t for t in doc if not t.is_space]):
            reader.read(clause)
        reader.finish()
    return Plan(sentence, tuple(reader.steps), tuple(reader.unread), tuple(reader.notes))


def kind_of(words: str) -> Kind:
    """Classify words: an instruction, the name of one thing or of a kind, or of several kinds.

    Raises GroundbrushError as `read_plan`.

    >>> kind_of("the red apple"), kind_of("the dog and the cup"), kind_of("remove the cup")
    ('thing', 'things', 'instruction')
    """
    with translate(MultiObjectError):
        doc = parse(read_caption(words).parsed)
        if any(clause.verb for clause in find_clauses([t for t in doc if not t.is_space])):
            return "instruction"
        return "things" if len(named_things(words)) > 1 else "thing"


@dataclass
class _Reader:
    """Reads clause after clause and remembers what "it" is."""

    plain: NormalizedCaption
    steps: list[Step] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    kept: list[Clause] = field(default_factory=list)  # what is to stay
    # what "it" and "them" mean: things, each with the step that made it
    last: list[Thing] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)  # steps of the clause before that removed

    def read(self, clause: Clause) -> None:
        """Make steps of a clause, or say why not."""
        if not clause.tokens:
            return
        span = self._span(clause.tokens)
        said = self._text(clause.tokens)
        if clause.denied or clause.verb in words.KEEP:
            self.kept.append(clause)
            return
        try:
            if not clause.verb:
                raise Unclear(f"holds no command; expected {words.KNOWN}")
            self._command(clause, span)
        except Unclear as unclear:
            readings = tuple(self._reading(option, span) for option in unclear.options)
            self._leave(Unread(span, said, unclear.reason, readings))
        except GroundbrushError as refused:  # words that no step may hold
            self._leave(Unread(span, said, str(refused)))

    def _leave(self, unread: Unread) -> None:
        self.unread.append(unread)
        self.last, self.gone = [], []

    def finish(self) -> None:
        """Refuse what spares some of the things that a step means: all cups but this one."""
        for clause in self.kept:
            span, said = self._span(clause.tokens), self._text(clause.tokens)
            for step in self.steps:
                if self._is_among(clause.body, step):
                    why = f"would spare some of “{step.find}”, which no step can; name those meant"
                    self.unread.append(Unread(span, said, why))
                    break
            else:
                self.notes.append(f"“{said}”: nothing to do; what no step names stays as it is")

    def _is_among(self, kept: Sequence[Token], step: Step) -> bool:
        """Whether words may name one of the things that a step means."""
        low = {form for t in kept for form in (t.lower_, t.lemma_.lower())}
        if not low.isdisjoint(_PARTS):
            return True
        kinds = {t.pos_ for t in kept if t.lower_ not in CONTRAST}
        unnamed = not kinds & {"NOUN", "PROPN"} and bool(kinds & {"DET", "NUM", "PRON"})
        pointed = not low.isdisjoint(("one", "ones")) or (unnamed and low.isdisjoint(_OTHERS))
        nouns = {p.lemma for p in top_level(self._phrases(step.find))}
        nouns |= _PEOPLE if nouns & {"people", "person"} else low if nouns & _ANY else set()
        same = pointed or not nouns.isdisjoint(low)
        own = {CONTRAST.get(word): word for word in step.find.lower().split()}
        another = any(own.get(CONTRAST.get(word, -1), word) != word for word in low)
        return same and not another and (pointed or step.count != 1)

    def _command(self, clause: Clause, span: tuple[int, int]) -> None:
        if not clause.body:
            raise Unclear(f"says not what to {clause.verb}")
        if clause.verb in words.REMOVE:
            things = self._things(clause.body)
            first = len(self.steps)
            self.steps += [self._step(thing, None, span) for thing in things]
            self.gone, self.last = list(range(first, len(self.steps))), []
            return
        if clause.verb in words.NAME:
            self.last, self.gone = self._things(clause.body), []
            self.notes.append(f"“{self._text(clause.tokens)}”: nothing to do by itself")
            return
        # first all of a command, then its steps: half a command is never done
        pairs = read_pairs(clause.verb, clause.body)
        if self.gone and pairs[0].kind == "thing" and _is_pronoun(pairs[0].what):
            pairs[0] = replace(pairs[0], kind="there")  # "remove the dog and replace it with a cat"
        changes = [
            (pair, thing)
            for pair in pairs
            for thing in (self._things(pair.what) if pair.kind != "there" else [None])
        ]
        several = len(changes) > 1
        steps = [self._change(thing, pair, span, several) for pair, thing in changes if thing]
        if len(steps) < len(changes):
            self._instead(changes[0][0], span)
        first = len(self.steps) - (len(steps) < len(changes))
        self.steps += steps
        done = range(first, len(self.steps))
        self.last = [self._result(k) for k in done if self.steps[k].paint is not None]
        self.gone = [k for k in done if self.steps[k].paint is None]

    def _result(self, k: int) -> Thing:
        """What a step leaves behind, for "it"."""
        step = self.steps[k]
        assert step.paint is not None  # only called for steps that paint
        name = " ".join(w for w in step.paint.split() if w.lower() not in words.INDEFINITE)
        name = name if len(name.split()) < len(step.paint.split()) else step.paint
        phrases = self._phrases(step.paint)
        thing = Thing(f"the {name}".replace("the the ", "the "), name.split(" with ")[0])
        if phrases:
            head = phrases[0]
            thing = replace(thing, name=head.head, looks=head.modifiers)
        return replace(thing, at=k, count=step.count)

    def _instead(self, pair: Pair, span: tuple[int, int]) -> None:
        """ "remove the dog and put a cat there": one replacement."""
        if len(self.gone) != 1:
            raise Unclear("does not say what it replaces; name that thing")
        k = self.gone[0]
        old = self.steps[k]
        painted = self._painted(pair.becomes)
        start = (old.span or span)[0]
        self.steps[k] = replace(
            old,
            action="edit",
            paint=painted if old.count == 1 else self._one_of(painted, old.count),
            span=(start, span[1]),
            note="taking away and putting in its place are read as one replacement",
        )

    def _things(self, tokens: Sequence[Token]) -> list[Thing]:
        tokens = _without_picture(trim(tokens))
        if not tokens:
            raise Unclear("names no thing; name it")
        if _is_pronoun(tokens):
            return self._meant(tokens[0].lower_)
        while len(tokens) > 1 and tokens[0].lower_ in words.LIMITERS:  # "only the red apple"
            tokens = tokens[1:]
        if any(t.lower_ in words.JOINTS | {"or"} for t in tokens) and len(tokens) > 2:
            # "both the car and the apple"
            pairs = tokens[0].lower_ in ("both", "either") and tokens[1].tag_ == "DT"
            tokens = tokens[pairs:]
        text = self._text(tokens)
        found = EXCEPTED.search(text)
        last = tokens[-1].lower_ if tokens[-1].lower_ in words.DENIALS else ""  # "the car | not"
        if excluding := exclusion(text) or (found and found[0]) or last:
            raise _left_out(excluding)
        with translate(MultiObjectError):
            return read_things(text, tokens, self._phrases)

    def _meant(self, pronoun: str) -> list[Thing]:
        if self.gone:
            raise Unclear(f"{pronoun!r} would be what was just removed; name the thing")
        if not self.last:
            raise Unclear(f"says not what {pronoun!r} is; name the thing")
        if pronoun in words.PRONOUNS_ONE and len(self.last) > 1:
            raise Unclear(f"{pronoun!r} could be any of {len(self.last)} things; name one")
        return self.last

    def _change(
        self, thing: Thing, pair: Pair, span: tuple[int, int], several: bool = False
    ) -> Step:
        """The step that a thing and what becomes of it make."""
        if pair.kind == "look":
            return self._step(thing, thing.described(self._text(pair.becomes)), span)
        if pair.kind == "with":
            said = self._text(pair.becomes)
            step = self._step(thing, thing.described(extra=f" with {said}"), span)
            return replace(step, note=f"all of {thing.find} is painted again, with {said}")
        low = {t.lower_ for t in pair.becomes} - {"the", "a", "plain", "just"}
        if low in ({"nothing"}, {"background"}):
            return self._step(thing, None, span)
        painted = self._painted(pair.becomes)
        if thing.count != 1 or several:
            painted = self._one_of(re.sub(r"\s+each$", "", painted), thing.count)
        return self._step(thing, painted, span)

    def _painted(self, tokens: Sequence[Token]) -> str:
        tokens = trim(tokens)
        single = tokens[0].lower_ if len(tokens) == 1 else ""
        if single in words.POINTERS | words.PRONOUNS_ONE | words.PRONOUNS_MANY:
            raise Unclear(f"{single!r} says not what to paint; name it")
        if tokens and tokens[-1].lower_ in ("one", "ones"):
            raise Unclear(f"says not what {self._text(tokens)!r} is; name it")
        if not any(t.pos_ in ("NOUN", "PROPN", "ADJ", "VERB", "X") for t in tokens):
            raise Unclear("says not what to paint; name it")
        return unquoted(self._text(tokens))

    def _one_of(self, painted: str, count: int | None) -> str:
        """ "dogs", for each of several cats -> "a dog"."""
        phrases = self._phrases(painted)
        if found := EXCEPTED.search(painted):
            raise _left_out(found[0])
        if len(named_things(painted)) > 1 or painted.endswith("respectively"):
            raise Unclear(f"{painted!r} says not which becomes which; name one for each")
        if len(phrases) != 1 or not phrases[0].plural:
            return painted
        one = phrases[0]
        number = NUMBERS.get(one.modifiers[0].lower()) if one.modifiers else None
        if number not in (None, count):
            raise Unclear(
                f"paints {painted!r} in a number of places that does not fit; name one for each"
            )
        kept = [m for m in one.modifiers if m.lower() not in NUMBERS and not m.isdigit()]
        said = " ".join([*kept, one.lemma]) + one.refer[len(one.text) :]
        return f"{article(said)} {said}"

    def _step(self, thing: Thing, paint: str | None, span: tuple[int, int]) -> Step:
        action: Literal["edit", "remove"] = "remove" if paint is None else "edit"
        return Step(action, thing.find, paint, thing.count, thing.at, span, thing.note)

    def _reading(self, option: Any, span: tuple[int, int]) -> tuple[Step, ...]:
        """The steps of one meaning of words that have several."""
        try:
            if isinstance(option, Pair):
                things = self._things(option.what)
                return tuple(self._change(thing, option, span) for thing in things)
            return tuple(self._step(thing, None, span) for thing in option)
        except (Unclear, GroundbrushError):  # this meaning makes no steps
            return ()

    def _phrases(self, text: str) -> tuple[NounPhrase, ...]:
        try:
            return noun_phrases(text)
        except MultiObjectError:  # a part of an English sentence that alone looks foreign
            return ()

    def _text(self, tokens: Sequence[Token]) -> str:
        last = tokens[-1]
        return self.plain.parsed[tokens[0].idx : last.idx + len(last)]

    def _span(self, tokens: Sequence[Token]) -> tuple[int, int]:
        last = tokens[-1]
        return self.plain.span(tokens[0].idx, last.idx + len(last))


def _left_out(by: str) -> Unclear:
    return Unclear(f"{by!r} leaves things out, which no step can; name those meant")


def _is_pronoun(tokens: Sequence[Token]) -> bool:
    """Whether words are only "it" or "them"."""
    return len(tokens) == 1 and tokens[0].lower_ in words.PRONOUNS_ONE | words.PRONOUNS_MANY


def _without_picture(tokens: Sequence[Token]) -> tuple[Token, ...]:
    """Less "from the picture" at its end."""
    low = [t.lower_ for t in tokens]
    for size in (4, 3):
        tail = low[-size:]
        if (
            len(low) > size
            and tail[-1] in words.PICTURE | {"here"}
            and (tail[0] in ("from", "in", "out") or tokens[-size].i > tokens[-size - 1].i + 1)
        ):
            return tuple(tokens[:-size])
    return tuple(tokens)
