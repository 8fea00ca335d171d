"""Captions of a scene: one true sentence that names several things, and what each phrase means.

A caption is a pure function of the scene and the generator; ``words_rng(split, seed)`` makes it a
function of the seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .phrases import MARGIN, expressions, plural_of, with_article
from .scenes import Scene, SceneObject, scene_rng
from .vocabulary import load_vocabulary

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
GROUPS = {"animal": "animals", "vehicle": "vehicles", "fruit": "fruits"}  # "foods" is not said
NEAR = 0.12  # of the side: the widest gap between boxes that are "next to" each other
SPOKEN_RELATIONS = {
    "next to": ("next to", "beside"),
    "left of": ("to the left of", "left of"),
    "right of": ("to the right of", "right of"),
    "above": ("above",),
    "below": ("below", "under"),
}

Span = tuple[int, int]


@dataclass(frozen=True)
class CaptionPhrase:
    """One thing a caption names.

    `text` is its words as they stand there, article or number included (``two pears``), `span`
    their half-open character offsets, and `indices` every object of ``scene.objects`` that is
    meant.
    """

    text: str
    span: Span
    indices: tuple[int, ...]
    plural: bool

    def mask(self, scene: Scene) -> np.ndarray:
        """Visible pixels of everything meant, ``(H, W)`` bool."""
        return np.isin(scene.instances, [index + 1 for index in self.indices])


@dataclass(frozen=True)
class Caption:
    """A sentence about a scene and the phrases in it, in the order of the words."""

    text: str
    phrases: tuple[CaptionPhrase, ...]


@dataclass(frozen=True)
class _Mention:
    """Words for some objects, before they have a place in a sentence."""

    words: str
    indices: tuple[int, ...]
    plural: bool


def words_rng(split: str, seed: int) -> np.random.Generator:
    """The generator of the sentences of one scene; independent of the one that draws it.

    Examples
    --------
    >>> from miniature.scenes import compose
    >>> scene = compose("validation", 5)
    >>> caption(scene, words_rng("validation", 5)) == caption(scene, words_rng("validation", 5))
    True
    """
    return scene_rng(split, seed, 47)


def caption(scene: Scene, rng: np.random.Generator) -> Caption:
    """A true sentence naming several things of a scene.

    Raises
    ------
    ValueError
        For an empty scene.

    Examples
    --------
    >>> from miniature.scenes import compose
    >>> scene = compose("heldout", 1193)
    >>> said = caption(scene, np.random.default_rng(2))
    >>> said.text
    'Two fruits beside a purple car.'
    >>> [(p.text, p.span, p.indices, p.plural) for p in said.phrases]
    [('Two fruits', (0, 10), (1, 2), True), ('a purple car', (18, 30), (0,), False)]
    """
    if not scene.objects:
        raise ValueError("the scene has no objects to name; compose one with objects=(1, …)")
    mentions = _mentions(scene, rng)
    pieces = _related(scene, rng, mentions) if rng.random() < 0.45 else None
    if pieces is None and rng.random() < 0.4:
        pieces = _placed(scene, mentions)
    if pieces is None:
        pieces = _listed([mentions[i] for i in rng.permutation(len(mentions))])
    text, spans = _written([_opening(rng, pieces), *pieces])
    if rng.random() < 0.5:
        text = text[0].upper() + text[1:] + "."
    named = [piece for piece in pieces if isinstance(piece, _Mention)]
    return Caption(
        text,
        tuple(
            CaptionPhrase(text[span[0] : span[1]], span, mention.indices, mention.plural)
            for mention, span in zip(named, spans, strict=True)
        ),
    )


def _mentions(scene: Scene, rng: np.random.Generator) -> list[_Mention]:
    """Words for the things of a scene, each object at most once, in random order."""
    out: list[_Mention] = []
    for category, plural in GROUPS.items():
        members = [i for i, o in enumerate(scene.objects) if o.category == category]
        different = {scene.objects[i].noun for i in members}
        if len(different) > 1 and len(members) < len(scene.objects) and rng.random() < 0.3:
            out.append(_Mention(f"{NUMBERS[len(members)]} {plural}", tuple(members), True))
    grouped = {scene.objects[m.indices[0]].category for m in out}
    for noun in dict.fromkeys(o.noun for o in scene.objects if o.category not in grouped):
        same = [i for i, o in enumerate(scene.objects) if o.noun == noun]
        out += _alike(scene, rng, same) if len(same) > 1 else [_single(scene, rng, same[0])]
    kept = len(out) if rng.random() < 0.7 else max(2, len(out) - 1)
    return [out[i] for i in rng.permutation(len(out))[:kept]]


def _single(scene: Scene, rng: np.random.Generator, index: int) -> _Mention:
    """An object without its like: ``a small red apple``, ``the apple``."""
    item = scene.objects[index]
    colour = [item.colour] if item.colour and rng.random() < 0.65 else []
    size = [item.size] if item.size and rng.random() < 0.25 else []
    words = " ".join([*size, *colour, item.noun])
    return _Mention(with_article(words) if rng.random() < 0.8 else f"the {words}", (index,), False)


def _alike(scene: Scene, rng: np.random.Generator, same: list[int]) -> list[_Mention]:
    """Several of one noun: all together, by colour, or distinguished by side or size."""
    colours = {scene.objects[i].colour for i in same}
    choice = rng.random()
    if choice < 0.3:
        apart = [_told_apart(scene, rng, i) for i in same]
        if any(apart):
            return [mention for mention in apart if mention]
    if choice < 0.65 and len(colours) > 1 and None not in colours:
        return [
            _counted(scene, [i for i in same if scene.objects[i].colour == colour], True)
            for colour in dict.fromkeys(scene.objects[i].colour for i in same)
        ]
    painted = len(colours) == 1 and None not in colours
    return [_counted(scene, same, painted and bool(rng.random() < 0.6))]


def _told_apart(scene: Scene, rng: np.random.Generator, index: int) -> _Mention | None:
    """``the left car``, ``the small car``: an expression true of this one, noun last."""
    noun = scene.objects[index].noun
    short = [
        e.text
        for e in expressions(scene, index)
        if e.kind in ("side", "size") and e.text.endswith(noun)
    ]
    return _Mention(short[rng.integers(len(short))], (index,), False) if short else None


def _counted(scene: Scene, members: list[int], coloured: bool) -> _Mention:
    item = scene.objects[members[0]]
    colour = f"{item.colour} " if coloured else ""
    if len(members) == 1:
        return _Mention(with_article(colour + item.noun), tuple(members), False)
    words = f"{NUMBERS[len(members)]} {colour}{plural_of(item.noun)}"
    return _Mention(words, tuple(members), True)


def _related(
    scene: Scene, rng: np.random.Generator, mentions: list[_Mention]
) -> list[str | _Mention] | None:
    """``A next to B, and C``: a relation first, so that nothing before it can claim it too."""
    pairs = [
        (a, words, b)
        for a in mentions
        for b in mentions
        if a is not b and not b.plural
        for words in sorted(_relations_of(scene, a, b))
    ]
    if not pairs:
        return None
    subject, words, anchor = pairs[rng.integers(len(pairs))]
    rest = [m for m in mentions if m is not subject and m is not anchor]
    ways = SPOKEN_RELATIONS[words]
    pieces: list[str | _Mention] = [subject, f" {ways[rng.integers(len(ways))]} ", anchor]
    if not rest:
        return pieces
    # "an apple next to a dog and two pears" also says that the apple is next to the pears
    both = all(words in _relations_of(scene, subject, m) for m in rest)
    joint = ", with " if len(rest) > 1 else " and " if both else ", and "
    return [*pieces, joint, *_listed(rest)]


def _relations_of(scene: Scene, subject: _Mention, anchor: _Mention) -> set[str]:
    """What holds between every object of one mention and every one of the other."""
    held = [
        _relations_between(scene, scene.objects[i], scene.objects[k])
        for i in subject.indices
        for k in anchor.indices
    ]
    return set.intersection(*held)


def _relations_between(scene: Scene, item: SceneObject, other: SceneObject) -> set[str]:
    side = scene.side
    x, y = (np.array(item.centre) - other.centre) / side
    (a, b, c, d), (e, f, g, h) = item.box, other.box
    gap = np.hypot(max(e - c, a - g, 0), max(f - d, b - h, 0)) / side
    tests = {
        "next to": gap <= NEAR,
        "left of": x < -max(MARGIN, abs(y)),
        "right of": x > max(MARGIN, abs(y)),
        "above": y < -max(MARGIN, abs(x)),
        "below": y > max(MARGIN, abs(x)),
    }
    return {words for words, holds in tests.items() if holds}


def _placed(scene: Scene, mentions: list[_Mention]) -> list[str | _Mention] | None:
    """``A on the left and B on the right``, where every thing has a clear side."""
    if any(side in m.words.split() for m in mentions for side in load_vocabulary().sides):
        return None  # "the right car on the right"
    places = [_place_of(scene, mention) for mention in mentions]
    if not 2 <= len(mentions) <= 3 or None in places or len(set(places)) < len(places):
        return None
    pieces: list[str | _Mention] = []
    for number, (mention, place) in enumerate(zip(mentions, places, strict=True)):
        joint = "" if number == 0 else " and " if number == len(mentions) - 1 else ", "
        pieces += [joint, mention, f" {place}"]
    return pieces


def _place_of(scene: Scene, mention: _Mention) -> str | None:
    x, y = np.array([scene.share(i) for i in mention.indices]).T
    tests = {
        "on the left": x < 0.4,
        "on the right": x > 0.6,
        "at the top": y < 0.35,
        "at the bottom": y > 0.65,
    }
    return next((words for words, holds in tests.items() if holds.all()), None)


def _listed(mentions: list[_Mention]) -> list[str | _Mention]:
    """``A, B and C``."""
    pieces: list[str | _Mention] = []
    for number, mention in enumerate(mentions):
        if number:
            pieces.append(" and " if number == len(mentions) - 1 else ", ")
        pieces.append(mention)
    return pieces


def _opening(rng: np.random.Generator, pieces: list[str | _Mention]) -> str:
    first = next(piece for piece in pieces if isinstance(piece, _Mention))
    there = "there are " if first.plural else "there is "
    there = "" if first.words.startswith("the ") else there
    return ("", "", "", there, "a picture of ", "this picture shows ")[rng.integers(6)]


def _written(pieces: Sequence[str | _Mention]) -> tuple[str, list[Span]]:
    """Pieces joined, and the spans of those that are not plain text."""
    text, spans = "", []
    for piece in pieces:
        words = piece if isinstance(piece, str) else piece.words
        if not isinstance(piece, str):
            spans.append((len(text), len(text) + len(words)))
        text += words
    return text, spans
