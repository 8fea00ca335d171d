"""Edit sentences for a scene, with the action and the target of every step.

An edit sentence is a pure function of the scene and the generator; take
``miniature.captions.words_rng(split, seed)`` to make it a function of the seed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .captions import Span, new_thing, with_article
from .phrases import Expression, expressions
from .scenes import Scene
from .vocabulary import load_vocabulary

# {x} is the referring expression, {y} the thing to paint, {colour} the new colour.
FORMS = {
    "replace": ("replace {x} with {y}", "turn {x} into {y}", "put {y} where {x} is"),
    "recolour": ("make {x} {colour}", "change the colour of {x} to {colour}", "turn {x} into {y}"),
    "remove": ("remove {x}", "erase {x}", "delete {x}"),
}
# Forms with words after the expression read well only where it ends in its noun.
SHORT_ONLY = ("put {y} where {x} is", "make {x} {colour}")
JOINTS = (" and ", ", then ", " and then ", ", ")
PAINTABLE = frozenset(kind.noun for kind in load_vocabulary().objects if kind.paintable)


@dataclass(frozen=True)
class EditStep:
    """One change that an edit sentence requests.

    Attributes
    ----------
    action : str
        ``replace``, ``recolour`` or ``remove``.
    text : str
        The referring expression, as it stands in the sentence.
    span : tuple of int
        Its half-open character offsets in the sentence.
    kind : str
        Its type, as in :class:`miniature.phrases.Expression`.
    target : int
        The only object of ``scene.objects`` it is true of.
    paint : str or None
        What to paint there: ``a green pear``, for a change of colour ``a blue car``; None where
        the object is to be removed.
    """

    action: str
    text: str
    span: Span
    kind: str
    target: int
    paint: str | None

    def __post_init__(self) -> None:
        if self.action not in FORMS or (self.paint is None) != (self.action == "remove"):
            raise ValueError(
                f"an edit step {self.action!r} that paints {self.paint!r}; expected one of "
                f"{', '.join(FORMS)}, with something to paint for all but remove"
            )


@dataclass(frozen=True)
class EditSentence:
    """An order in words and its steps, in the order of the words.

    Every expression is true of its target alone in the scene as given, and still is once the
    steps before it are done.
    """

    text: str
    steps: tuple[EditStep, ...]

    def __post_init__(self) -> None:
        for step in self.steps:
            start, stop = step.span
            if self.text[start:stop] != step.text:
                raise ValueError(
                    f"the span {step.span} of the sentence holds {self.text[start:stop]!r}; "
                    f"expected the step's expression, {step.text!r}"
                )


@dataclass(frozen=True)
class _Change:
    """A step before it has its place in the sentence; noun and colour are what is there after."""

    action: str
    form: str
    expression: Expression
    target: int
    noun: str
    category: str
    colour: str | None

    @property
    def thing(self) -> str:
        """What to paint, with its article."""
        return with_article(f"{self.colour} {self.noun}" if self.colour else self.noun)

    @property
    def words(self) -> str:
        """The step in words."""
        return self.form.format(x=self.expression.text, y=self.thing, colour=self.colour)

    @property
    def offset(self) -> int:
        """Where the expression starts in the words."""
        return len(self.form.partition("{x}")[0].format(y=self.thing, colour=self.colour))


def edit_sentence(scene: Scene, rng: np.random.Generator, steps: int | None = None) -> EditSentence:
    """An order to change one to three things of a scene, with its truth.

    Parameters
    ----------
    scene : Scene
        A composed scene with at least one object that an expression singles out.
    rng : numpy.random.Generator
        Chooses what is changed and how it is said.
    steps : int, optional
        How many changes to request, as far as the scene allows; by default one to three.

    Raises
    ------
    ValueError
        For fewer than one step, or a scene of which nothing can be singled out.

    Examples
    --------
    >>> from miniature.scenes import compose
    >>> said = edit_sentence(compose("heldout", 1193), np.random.default_rng(6), steps=2)
    >>> said.text
    'turn the purple car into a mushroom and then remove the apple'
    >>> [(step.action, step.text, step.target, step.paint) for step in said.steps]
    [('replace', 'the purple car', 0, 'a mushroom'), ('remove', 'the apple', 1, None)]
    """
    if steps is not None and steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    wanted = steps or int(rng.choice([1, 2, 3], p=[0.25, 0.5, 0.25]))
    now, alive = scene, list(range(len(scene.objects)))
    changes: list[_Change] = []
    for target in rng.permutation(len(scene.objects)):
        change = _change(scene, now, alive, int(target), rng)
        if change is not None and len(changes) < wanted:
            changes.append(change)
            now, alive = _after(now, alive, change)
    if not changes:
        raise ValueError("no object of the scene can be singled out in words; compose another one")
    return _joined(changes, rng)


def _change(
    scene: Scene, now: Scene, alive: list[int], target: int, rng: np.random.Generator
) -> _Change | None:
    """A change of one object, by an expression true before all changes and after those made."""
    still = {e.text for e in expressions(now, alive.index(target))}
    asked = [e for e in expressions(scene, target) if e.text in still and e.kind != "redundant"]
    if not asked:
        return None
    kinds = list(dict.fromkeys(e.kind for e in asked))
    kind = kinds[rng.integers(len(kinds))]
    same = [e for e in asked if e.kind == kind]
    expression, item = same[rng.integers(len(same))], scene.objects[target]
    action = ("replace", "recolour", "remove")[rng.choice(3, p=[0.4, 0.35, 0.25])]
    if action == "recolour" and item.noun not in PAINTABLE:
        action = "replace"
    noun, category, colour = item.noun, item.category, item.colour
    if action == "recolour":
        used = {o.colour for o in (*scene.objects, *now.objects) if o.noun == item.noun}
        free = [c for c in load_vocabulary().paint_colours if c not in used]
        colour = free[rng.integers(len(free))]
    elif action == "replace":
        thing, colour = new_thing(rng, {o.noun for o in (*scene.objects, *now.objects)})
        noun, category = thing.noun, thing.category
    short = expression.text.split()[-1] in (item.noun, item.category)
    forms = [form for form in FORMS[action] if short or form not in SHORT_ONLY]
    form = forms[rng.integers(len(forms))]
    return _Change(action, form, expression, target, noun, category, colour)


def _after(now: Scene, alive: list[int], change: _Change) -> tuple[Scene, list[int]]:
    """The facts once a change is made, and which object of the first scene each one was."""
    place, objects = alive.index(change.target), list(now.objects)
    if change.action == "remove":
        return replace(now, objects=(*objects[:place], *objects[place + 1 :])), [
            *alive[:place],
            *alive[place + 1 :],
        ]
    objects[place] = replace(
        objects[place], noun=change.noun, category=change.category, colour=change.colour
    )
    return replace(now, objects=tuple(objects)), alive


def _joined(changes: list[_Change], rng: np.random.Generator) -> EditSentence:
    """Steps in one sentence: "A and B", "A, then B", "A, B and C"."""
    text = "please " if rng.random() < 0.1 else ""
    steps = []
    for number, change in enumerate(changes):
        if number:
            last = number == len(changes) - 1
            text += JOINTS[rng.integers(4)] if last else JOINTS[rng.integers(1, 4)]
        start = len(text) + change.offset
        said = change.expression
        steps.append(
            EditStep(
                change.action,
                said.text,
                (start, start + len(said.text)),
                said.kind,
                change.target,
                None if change.action == "remove" else change.thing,
            )
        )
        text += change.words
    if rng.random() < 0.4:
        text = text[0].upper() + text[1:] + "."
    return EditSentence(text, tuple(steps))
