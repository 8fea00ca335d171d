"""Words about a scene: expressions true of exactly one object, and what is answered to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .scenes import Scene, SceneObject
from .vocabulary import load_vocabulary

ROWS, COLUMNS = ("top", "middle", "bottom"), ("left", "centre", "right")
CELLS = 16  # the centre of an object is spoken as column and row of a 16 x 16 grid
ORDINALS = ("first", "second", "third", "fourth", "fifth")
MARGIN = 0.1  # of the side: what "left of" and "leftmost" must exceed to be said


@dataclass(frozen=True)
class Expression:
    """A referring expression: its words, its type and the object it singles out.

    Types: ``name``, ``colour``, ``negated`` ("the car that is not red"), ``side``, ``size``,
    ``ordinal``, ``relation``, ``category``, ``redundant`` (a place or relation that was not
    needed), ``absent``, ``absent colour``.
    ``target`` is an index into ``scene.objects``, or None when nothing in the scene fits.
    """

    text: str
    kind: str
    target: int | None


@dataclass(frozen=True)
class Exchange:
    """Something said to the language model and the answer it should give."""

    prompt: str
    answer: str


def describe(item: SceneObject) -> str:
    """Colour (where it is true) and noun: ``red balloon``."""
    return f"{item.colour} {item.noun}" if item.colour else item.noun


def with_article(words: str) -> str:
    """``a pear``, ``an apple``."""
    return ("an " if words[0] in "aeiou" else "a ") + words


def _unique(scene: Scene, index: int, key: str) -> bool:
    value = getattr(scene.objects[index], key)
    return sum(getattr(o, key) == value for o in scene.objects) == 1


def _extreme(values: np.ndarray, index: int, margin: float) -> str | None:
    """Whether values[index] is least ("low") or greatest ("high") by more than a margin."""
    others = np.delete(values, index)
    if others.size == 0:
        return None
    if values[index] < others.min() - margin:
        return "low"
    return "high" if values[index] > others.max() + margin else None


def _among_twins(scene: Scene, index: int, name: str, twins: list[int]) -> list[tuple[str, str]]:
    """Side, size and ordinal expressions that distinguish an object from the others of its name."""
    side, own = scene.side, twins.index(index)
    centres = np.array([scene.objects[i].centre for i in twins]) / side
    out: list[tuple[str, str]] = []
    for axis, names in ((0, ("left", "right")), (1, ("top", "bottom"))):
        where = _extreme(centres[:, axis], own, MARGIN)
        if where:
            word = names[where == "high"]
            place = f"on the {word}" if axis == 0 else f"at the {word}"
            out += [(f"the {word} {name}", "side"), (f"the {name} {place}", "side")]
    scales = np.log([scene.objects[i].scale for i in twins])
    size = _extreme(scales, own, 0.22)
    if size:
        out.append((f"the {'large' if size == 'high' else 'small'} {name}", "size"))
    counted, middle = ordinals(name, centres[:, 0], own, MARGIN) if len(twins) == 3 else ([], [])
    return out + [(text, "ordinal") for text in [*middle, *counted]]


def ordinals(name: str, across: np.ndarray, own: int, margin: float) -> tuple[list[str], list[str]]:
    """Counted expressions for one of several alike, and that it is the middle one; nothing unless
    all are farther apart than a margin from left to right."""
    order = np.argsort(across)
    if np.diff(across[order]).min() <= margin:
        return [], []
    place, last = int(np.flatnonzero(order == own)[0]), len(order) - 1
    counted = [
        f"the {ORDINALS[place]} {name} from the left",
        f"the {ORDINALS[last - place]} {name} from the right",
    ]
    return counted, [f"the middle {name}"] * (2 * place == last)


def negated(scene: Scene, index: int) -> list[str]:
    """``the car that is not red``: of several alike, the only one without a colour others have."""
    item = scene.objects[index]
    others = [o.colour for o in scene.objects if o.noun == item.noun and o is not item]
    if not others or None in (item.colour, *others) or len(set(others)) > 1:
        return []
    return [f"the {item.noun} that is not {others[0]}"] if others[0] != item.colour else []


def _alone(scene: Scene, index: int, name: str) -> list[tuple[str, str]]:
    """Side expressions for an object that is the only one of its name: redundant but true."""
    x, y = scene.share(index)
    places = ((x < 0.4, "on the left"), (x > 0.6, "on the right"), (y < 0.35, "at the top"))
    return [(f"the {name} {words}", "redundant") for holds, words in places if holds]


def _relations(scene: Scene, index: int) -> list[tuple[str, str]]:
    """Relations to an object of another, unique noun that hold of this one only."""
    item, side = scene.objects[index], scene.side
    twins = [o for o in scene.objects if o.noun == item.noun]
    out = []
    for k, other in enumerate(scene.objects):
        if other.noun == item.noun or not _unique(scene, k, "noun"):
            continue
        anchor = np.array(other.centre)
        offsets = np.array([(np.array(o.centre) - anchor) / side for o in twins])
        own = next(i for i, o in enumerate(twins) if o is item)
        tests = {
            "left of": offsets[:, 0] < -MARGIN,
            "right of": offsets[:, 0] > MARGIN,
            "above": offsets[:, 1] < -MARGIN,
            "below": offsets[:, 1] > MARGIN,
        }
        for words, holds in tests.items():
            if holds[own] and holds.sum() == 1:
                out.append((f"the {item.noun} {words} the {other.noun}", "relation"))
        distance = np.linalg.norm(offsets, axis=1)
        if len(twins) > 1 and distance[own] * 1.5 < np.delete(distance, own).min():
            out.append((f"the {item.noun} next to the {other.noun}", "relation"))
    return out


def expressions(scene: Scene, index: int) -> list[Expression]:
    """Every expression of the grammar that is true of ``scene.objects[index]`` alone."""
    item, found = scene.objects[index], []
    alone = _unique(scene, index, "noun")
    if alone:
        found.append((f"the {item.noun}", "name"))
    pairs = [(o.colour, o.noun) for o in scene.objects]
    if item.colour and pairs.count((item.colour, item.noun)) == 1:
        found.append((f"the {item.colour} {item.noun}", "colour"))
    found += [(text, "negated") for text in negated(scene, index)]
    for name in dict.fromkeys((item.noun, describe(item))):
        same = [i for i, o in enumerate(scene.objects) if name in (o.noun, describe(o))]
        twins = len(same) > 1
        found += _among_twins(scene, index, name, same) if twins else _alone(scene, index, name)
    needed = "redundant" if alone else "relation"
    found += [(text, needed) for text, _ in _relations(scene, index)]
    if item.category != "thing" and _unique(scene, index, "category"):
        found.append((f"the {item.category}", "category"))
    return [Expression(text, kind, index) for text, kind in found]


def absent_expressions(scene: Scene, rng: np.random.Generator, count: int) -> list[Expression]:
    """Phrases of things that are not in the scene: another noun, or another colour of one."""
    words = load_vocabulary()
    nouns = {o.noun for o in scene.objects}
    absent = [kind for kind in words.objects if kind.noun not in nouns]
    out = []
    for _ in range(count):
        painted = [o for o in scene.objects if o.colour in words.paint_colours]
        if painted and rng.random() < 0.4:
            item = painted[rng.integers(len(painted))]
            used = {o.colour for o in scene.objects if o.noun == item.noun}
            colours = [c for c in words.paint_colours if c not in used]
            text = f"the {colours[rng.integers(len(colours))]} {item.noun}"
            out.append(Expression(text, "absent colour", None))
            continue
        kind = absent[rng.integers(len(absent))]
        colour = words.paint_colours[rng.integers(len(words.paint_colours))]
        named = f"{colour} {kind.noun}" if kind.paintable and rng.random() < 0.4 else kind.noun
        place = ("", "", "", " on the left", " on the right")[rng.integers(5)]
        out.append(Expression(f"the {named}{place}", "absent", None))
    return out


def place_words(scene: Scene, index: int) -> tuple[str, str, str, str]:
    """Row word, column word and the centre's column and row number in words (1..16).

    The words are about the picture, the numbers about the square that it is padded to.
    """
    x, y = scene.share(index)
    item, side = scene.objects[index], scene.side
    padding = np.array([side - scene.image.shape[1], side - scene.image.shape[0]]) / 2
    column, row = np.clip((item.centre + padding) / side * CELLS, 0, CELLS - 1).astype(int) + 1
    return ROWS[min(2, int(y * 3))], COLUMNS[min(2, int(x * 3))], str(column), str(row)


def refer(scene: Scene, expression: Expression) -> Exchange:
    """The phrase ending in a full stop, answered by what else is true of that object."""
    prompt = f"{expression.text} ."
    if expression.target is None:
        return Exchange(prompt, "nothing")
    item = scene.objects[expression.target]
    row, column, x, y = place_words(scene, expression.target)
    size = item.size or "medium"
    # What the thing looks like comes first: to say it the full stop must look at the thing itself.
    # With its place first, heads learned to look at the row and column beside it instead.
    return Exchange(prompt, f"{size} {describe(item)} {row} {column} {x} {y}")


def spoken_words() -> tuple[str, ...]:
    """Every word the grammar can say, in a fixed order."""
    words = load_vocabulary()
    glue = "the a an is there what at on in of to next left right above below top bottom middle"
    asked = "centre where how many list yes no nothing medium picture plain and , . ? :"
    numbers = [str(n) for n in range(1, CELLS + 1)]
    every = [*words.nouns, *words.colours, *words.sizes, *words.categories, *glue.split()]
    later = [*"that not from".split(), *ORDINALS]
    # Appended, so that the words before keep their numbers and their weights.
    wide = "all both which neither nor one two three four five".split()
    wide += map(plural_of, (*words.nouns, *words.categories))
    return tuple(dict.fromkeys([*every, *asked.split(), *numbers, *later, *wide]))


def plural_of(noun: str) -> str:
    """The plural of a noun the composer knows: ``buses``, ``fish``, ``strawberries``."""
    special = {"bus": "buses", "cactus": "cactuses", "fish": "fish", "strawberry": "strawberries"}
    return special.get(noun, noun + "s")
