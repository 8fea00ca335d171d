"""More to say about a scene: longer ordinals, relations in two steps, negations, all of a kind.

:func:`wide_expressions` extends ``miniature.phrases.expressions``; :func:`wide_exchanges` makes
the training conversation of a wide scene. Every expression is true of exactly one object.
"""

from __future__ import annotations

import numpy as np

from .phrases import (
    MARGIN,
    ORDINALS,
    Exchange,
    Expression,
    absent_expressions,
    describe,
    expressions,
    negated,
    ordinals,
    place_words,
    plural_of,
    refer,
    with_article,
)
from .scenes import Scene
from .vocabulary import load_vocabulary

WEIGHTS = {
    "name": 2.0,
    "colour": 1.5,
    "size": 1.5,
    "ordinal": 1.5,
    "relation": 1.5,
    "side": 1.2,
    "negated": 1.5,
    "two-step": 1.0,
    "redundant": 0.15,
}


def wide_expressions(scene: Scene, index: int) -> list[Expression]:
    """Every expression of the wider grammar that is true of ``scene.objects[index]`` alone."""
    base = expressions(scene, index)
    known = {e.text for e in base}
    more = [(text, "ordinal") for text in _long_ordinals(scene, index)]
    more += [(text, "two-step") for text in _two_steps(scene, index)]
    more += [(text, "negated") for text in _negations(scene, index)]
    out = [Expression(text, kind, index) for text, kind in more if text not in known]
    return base + list(dict.fromkeys(out))


def _long_ordinals(scene: Scene, index: int) -> list[str]:
    """``the fourth apple from the left``: four or five alike, well apart across."""
    noun = scene.objects[index].noun
    alike = [i for i, o in enumerate(scene.objects) if o.noun == noun]
    if not 3 < len(alike) <= len(ORDINALS):
        return []
    across = np.array([scene.objects[i].centre[0] for i in alike]) / scene.side
    counted, middle = ordinals(noun, across, alike.index(index), 0.7 * MARGIN)
    return counted + middle


def _two_steps(scene: Scene, index: int) -> list[str]:
    """``the apple left of the red car``: the anchor itself is named by its colour or its side."""
    item, out = scene.objects[index], []
    alike = [i for i, o in enumerate(scene.objects) if o.noun == item.noun]
    for k, anchor in enumerate(scene.objects):
        if k == index or (anchor.noun == item.noun and len(alike) > 2):
            continue
        others = [i for i in alike if i != k]
        offsets = np.array([np.array(scene.objects[i].centre) - anchor.centre for i in others])
        offsets = offsets / scene.side
        own = others.index(index)
        tests = {
            "left of": -offsets[:, 0],
            "right of": offsets[:, 0],
            "above": -offsets[:, 1],
            "below": offsets[:, 1],
        }
        held = [words for words, by in tests.items() if by[own] > MARGIN and (by > 0).sum() == 1]
        for name in _anchor_names(scene, k):
            out += [f"the {item.noun} {words} {name}" for words in held]
    return out


def _anchor_names(scene: Scene, index: int) -> list[str]:
    """``the red car``, ``the left apple``: names of one object that are not its noun alone."""
    return [
        e.text
        for e in expressions(scene, index)
        if e.kind == "colour" or (e.kind in ("side", "size") and len(e.text.split()) == 3)
    ]


def _negations(scene: Scene, index: int) -> list[str]:
    """``the car which is not red``, ``the animal that is not a dog``."""
    item = scene.objects[index]
    out = [text.replace("that is", "which is") for text in negated(scene, index)]
    fellows = {o.noun for o in scene.objects if o.category == item.category and o is not item}
    if item.category != "thing" and len(fellows) == 1 and item.noun not in fellows:
        noun = next(iter(fellows))
        out.append(f"the {item.category} that is not {with_article(noun)}")
    return out


def wide_absent(scene: Scene, rng: np.random.Generator, count: int) -> list[Expression]:
    """Phrases of nothing in the scene: other nouns, colours, sides of other nouns, negations."""
    out = absent_expressions(scene, rng, count)
    words, nouns = load_vocabulary(), sorted({o.noun for o in scene.objects})
    free = [kind.noun for kind in words.objects if kind.noun not in nouns]
    for number in range(len(out)):
        other, choice = free[rng.integers(len(free))], rng.random()
        if choice < 0.15 and nouns:
            anchor = nouns[rng.integers(len(nouns))]
            relation = words.relations[rng.integers(len(words.relations))]
            out[number] = Expression(f"the {other} {relation} the {anchor}", "absent", None)
        elif choice < 0.25:
            way = (
                "the small {}",
                "the {} on the left",
                "the second {} from the left",
                "the right {}",
                "the large {}",
                "the {} at the top",
            )[rng.integers(6)]
            out[number] = Expression(way.format(other), "absent", None)
        elif choice < 0.35:
            fixed = [o for o in scene.objects if o.colour and o.colour not in words.paint_colours]
            category = [
                c
                for c in words.categories
                if c != "thing" and c not in {o.category for o in scene.objects}
            ]
            if category and not fixed:
                chosen = category[rng.integers(len(category))]
                out[number] = Expression(f"the {chosen}", "absent", None)
    return out


def groups(scene: Scene, rng: np.random.Generator) -> list[Exchange]:
    """``all the red cars .`` and ``how many cars ?``, answered by a number and the looks."""
    out = []
    for noun in sorted({o.noun for o in scene.objects}):
        same = [o for o in scene.objects if o.noun == noun]
        colours = sorted({o.colour for o in same if o.colour})
        if len(colours) > 1 and rng.random() < 0.4:
            colour = colours[rng.integers(len(colours))]
            same = [o for o in same if o.colour == colour]
            name = f"{colour} {plural_of(noun)}"
        else:
            name = plural_of(noun)
        ordered = sorted(same, key=lambda o: o.centre[0])
        asked = (f"all the {name}", f"the {name}", name, f"all {name}")[rng.integers(4)]
        if len(same) == 2 and rng.random() < 0.2:
            asked = f"both {name}"
        if len(same) > 1:
            looks = " , ".join(f"{o.size or 'medium'} {describe(o)}" for o in ordered)
            out.append(Exchange(f"{asked} .", f"{len(same)} {looks}"))
        out.append(Exchange(f"how many {name} ?", str(len(same))))
    return out


def vary(rng: np.random.Generator, text: str) -> str:
    """The phrase as a user types it: in one case of four without its article or with another."""
    choice = rng.random()
    if not text.startswith("the ") or choice > 0.3:
        return text
    return text[4:] if choice < 0.2 else with_article(text[4:])


def wide_exchanges(scene: Scene, rng: np.random.Generator, count: int) -> list[Exchange]:
    """``count`` things to say about a wide scene: references first, absences, groups, questions."""
    every = [e for i in range(len(scene.objects)) for e in wide_expressions(scene, i)]
    absent = wide_absent(scene, rng, max(2, count // 5))
    chosen = absent[1:]
    if every:
        # by kind first: a few twins make dozens of relations
        kinds = sorted({e.kind for e in every})
        weights = np.array([WEIGHTS.get(kind, 1.0) for kind in kinds])
        for kind in rng.choice(kinds, size=count, p=weights / weights.sum()):
            same = [e for e in every if e.kind == kind and e not in chosen]
            if same and len(chosen) < 0.7 * count:
                chosen.append(same[rng.integers(len(same))])
    out = []
    for expression in chosen:
        said = refer(scene, Expression(vary(rng, expression.text), "", expression.target))
        # Without its full stop in some, so that the last word, too, learns to look.
        bare = rng.random() < 0.15
        out.append(Exchange(said.prompt.removesuffix(" .") if bare else said.prompt, said.answer))
    out.append(Exchange(f"is there {with_article(absent[0].text[4:])} ?", "no"))
    together = groups(scene, rng)
    out += [together[i] for i in rng.permutation(len(together))[: max(1, count // 6)]]
    out += _questions(scene, rng, every, count - len(out))
    return out[:count]


def _questions(
    scene: Scene, rng: np.random.Generator, every: list[Expression], count: int
) -> list[Exchange]:
    """Places queried and answered, presence, a list of all things from left to right."""
    out: list[Exchange] = []
    if not scene.objects:
        return out
    ordered = sorted(scene.objects, key=lambda o: o.centre[0])
    if rng.random() < 0.3:
        out.append(Exchange("list :", " , ".join(describe(o) for o in ordered)))
    while len(out) < count:
        number = int(rng.integers(len(scene.objects)))
        item = scene.objects[number]
        choice = rng.integers(3)
        if choice == 0:
            out.append(Exchange(f"is there {with_article(describe(item))} ?", "yes"))
        elif choice == 1:
            _, _, x, y = place_words(scene, number)
            out.append(Exchange(f"what is at {x} {y} ?", describe(item)))
        elif every:
            chosen = every[rng.integers(len(every))]
            row, column, _, _ = place_words(scene, chosen.target or 0)
            out.append(Exchange(f"where is {chosen.text} ?", f"{row} {column}"))
    return out
