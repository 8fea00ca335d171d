"""Training pictures for the miniature inpainter: a crop, a hole in it, and words for the hole.

Every sample is what the product's crop will look like: a square centred on the hole, objects large
in the frame, neighbours at its rim. The target differs from the surroundings only inside the hole,
because the product keeps every pixel outside it. A share of the samples requests the plain
background, which is how removal is learned.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.ndimage import binary_fill_holes

from ..composer.ground import make_ground
from ..composer.light import cast_shadow, light_up, make_sun
from ..scenes import load_sprite, painted_sprite, scene_rng, sprite_table, transform_sprite
from ..vocabulary import ObjectKind, load_vocabulary

REMOVAL_PROMPTS = ("background", "background", "background", "the background", "")
REMOVAL_SHARE = 0.13
# Recolouring multiplies what has to be learned about a noun, so those nouns are drawn more often.
PAINTABLE_WEIGHT = 1.8
HOLE_KINDS = ("silhouette", "own", "box", "ellipse")
HOLE_ODDS = (0.40, 0.18, 0.24, 0.18)
UTTERED_FILLERS = ("a", "an", "the", "some", "with", "and", "of", "in", "on", "plain", "empty")


@dataclass(frozen=True, eq=False)
class InpaintSample:
    """A target picture ``(S, S, 3)`` uint8, the hole ``(S, S)`` bool, and the hole's words."""

    target: np.ndarray
    hole: np.ndarray
    prompt: str

    def __post_init__(self) -> None:
        if self.target.shape[:2] != self.hole.shape:
            raise ValueError(
                f"target and hole must agree in size, got {self.target.shape[:2]} "
                f"and {self.hole.shape}"
            )


@dataclass(frozen=True, eq=False)
class _Drawing:
    """A sprite as drawn: colour ``(h, w, 3)`` and alpha ``(h, w)``, float32 0..1, and its words."""

    pixels: np.ndarray
    alpha: np.ndarray
    noun: str
    colour: str | None


def prompt_words() -> tuple[str, ...]:
    """Every word the tokenizer must know as one token, sorted."""
    vocabulary = load_vocabulary()
    phrases = [
        *vocabulary.nouns,
        *vocabulary.colours,
        *vocabulary.sizes,
        *vocabulary.sides,
        *vocabulary.relations,
        *vocabulary.categories,
        *UTTERED_FILLERS,
        *REMOVAL_PROMPTS,
    ]
    return tuple(sorted({word for phrase in phrases for word in phrase.split()}))


def make_sample(split: str, seed: int, side: int = 128) -> InpaintSample:
    """The training sample number ``seed`` of ``split``, a pure function of both.

    Parameters
    ----------
    split : str
        ``train``, ``validation`` or ``heldout``; the last two use other background photographs.
    seed : int
        Which sample.
    side : int
        Side of the square crop in pixels.

    Examples
    --------
    >>> sample = make_sample("train", 5)
    >>> sample.target.shape, bool(sample.hole.any())
    ((128, 128, 3), True)
    """
    rng = scene_rng(split, seed)
    canvas = _background(rng, side, heldout=split != "train")
    kind = _choose_kind(rng)
    hole, owner = _make_hole(rng, kind, side)
    for _ in range(int(rng.choice(3, p=(0.5, 0.35, 0.15)))):
        _draw_neighbour(rng, canvas, hole)
    removing = rng.random() < REMOVAL_SHARE
    if removing and rng.random() < 0.5:  # the hole takes the thing's shadow with it
        hole = hole | _shadow_of(rng, hole)
    elif rng.random() < 0.25:  # the shadow of what used to stand here, left outside the hole
        _draw_shadow(rng, canvas, hole, where=~hole)
    if removing:
        prompt = REMOVAL_PROMPTS[rng.integers(len(REMOVAL_PROMPTS))]
    else:
        prompt = _fill_hole(rng, canvas, hole, kind, owner)
    return InpaintSample(_finish(rng, canvas), hole, prompt)


def samples(split: str, start: int, side: int = 128) -> Iterator[InpaintSample]:
    """Endless samples from number ``start`` on."""
    seed = start
    while True:
        yield make_sample(split, seed, side)
        seed += 1


def _background(rng: np.random.Generator, side: int, heldout: bool) -> np.ndarray:
    """A window of a scene's background at the enlargement a crop around an object has."""
    span = int(side * rng.uniform(1.0, 2.8))
    x, y = rng.integers(0, span - side + 1, 2)
    return make_ground(rng, (span, span), heldout)[y : y + side, x : x + side].copy()


def _choose_kind(rng: np.random.Generator) -> ObjectKind:
    kinds = load_vocabulary().objects
    weights = np.array([PAINTABLE_WEIGHT if kind.paintable else 1.0 for kind in kinds])
    return kinds[rng.choice(len(kinds), p=weights / weights.sum())]


def _draw(
    rng: np.random.Generator, kind: ObjectKind, longer_side: float, upright: bool = False
) -> _Drawing:
    """Draw one of the kind's sprites; ``upright`` ones are never flipped and hardly turned."""
    name = kind.sprites[rng.integers(len(kind.sprites))]
    if kind.paintable and rng.random() < 0.75:
        colours = load_vocabulary().paint_colours
        colour: str | None = colours[rng.integers(len(colours))]
        rgba = painted_sprite(name, str(colour))
    elif kind.paintable:  # as it was drawn, and said without a colour: "a car" has one look
        colour, rgba = None, load_sprite(name)
    else:
        row = sprite_table()[name]
        colour = row["colour"] if row["colour_share"] >= 0.55 else None
        rgba = load_sprite(name)
    angle, flip = float(rng.normal(0, 3 if upright else 6)), bool(rng.random() < 0.5)
    pixels, alpha = transform_sprite(rgba, longer_side, angle, flip and not upright)
    return _Drawing(pixels, alpha, kind.noun, colour)


def _make_hole(
    rng: np.random.Generator, kind: ObjectKind, side: int
) -> tuple[np.ndarray, _Drawing | None]:
    """A hole in the middle: a dilated silhouette, a box or an ellipse.

    The silhouette is another noun's (replacing) or this one's (recolouring); in the second case
    its drawing is returned too, because what fills the hole should have the same pose.
    """
    shape = HOLE_KINDS[rng.choice(len(HOLE_KINDS), p=HOLE_ODDS)]
    length = side * rng.uniform(0.56, 0.84)
    hole = np.zeros((side, side), np.uint8)
    middle = np.array((side, side)) / 2 + rng.normal(0, side * 0.015, 2)
    if shape in ("silhouette", "own"):
        kinds = load_vocabulary().objects
        other = kind if shape == "own" else kinds[rng.integers(len(kinds))]
        drawing = _draw(rng, other, length)
        solid = (drawing.alpha > 0.5).astype(np.uint8)
        _paste(hole, solid, np.round(middle - np.array(solid.shape) / 2).astype(int))
        radius = int(side * rng.uniform(0.02, 0.10))
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        filled = binary_fill_holes(cv2.dilate(hole, kernel))
        return filled, drawing if shape == "own" else None
    half = 0.5 * 1.1 * length * np.array((1.0, rng.uniform(0.55, 1.0)))
    (y, x), (h, w) = middle, half[:: 1 if rng.random() < 0.5 else -1]
    if shape == "box":
        hole[max(0, int(y - h)) : int(y + h), max(0, int(x - w)) : int(x + w)] = 1
    else:
        cv2.ellipse(hole, (int(x), int(y)), (int(w), int(h)), rng.normal(0, 10), 0, 360, 1, -1)
    return hole > 0, None


def _windows(
    shape: tuple[int, ...], patch: tuple[int, ...], corner: np.ndarray
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where a patch lands on a canvas, and which part of it; both empty if it misses."""
    start = np.maximum(corner, 0)
    stop = np.maximum(np.minimum(corner + patch[:2], shape[:2]), start)
    inner = start - corner
    last = inner + stop - start
    return (
        (slice(start[0], stop[0]), slice(start[1], stop[1])),
        (slice(inner[0], last[0]), slice(inner[1], last[1])),
    )


def _paste(canvas: np.ndarray, patch: np.ndarray, corner: np.ndarray) -> None:
    """Copy a patch onto a canvas at ``(row, column)``, cut at the canvas' edges, in place."""
    outer, inner = _windows(canvas.shape, patch.shape, corner)
    canvas[outer] = patch[inner]


def _draw_shadow(
    rng: np.random.Generator, canvas: np.ndarray, foot: np.ndarray, where: np.ndarray
) -> None:
    """Darken the shadow of ``foot`` under some light, in place, only in ``where``."""
    rows, columns = np.nonzero(foot)
    if rows.size == 0:
        return
    top, left = int(rows.min()), int(columns.min())
    alpha = foot[top : rows.max() + 1, left : columns.max() + 1].astype(np.float32)
    shaded = canvas.copy()
    cast_shadow(shaded, alpha, left, top, make_sun(rng))
    canvas[where] = shaded[where]


def _shadow_of(rng: np.random.Generator, hole: np.ndarray) -> np.ndarray:
    """Where a shadow of what fills the hole would fall, ``(S, S)`` bool."""
    white = np.ones((*hole.shape, 3), np.float32)
    _draw_shadow(rng, white, hole, where=np.ones_like(hole))
    return white[..., 0] < 0.95


def _draw_neighbour(rng: np.random.Generator, canvas: np.ndarray, hole: np.ndarray) -> None:
    """Draw one more object at the rim, wholly outside the hole, in place; skip it if none fits."""
    side = canvas.shape[0]
    drawing = _draw(rng, _choose_kind(rng), side * rng.uniform(0.35, 0.8))
    for _ in range(6):
        corner = rng.integers(-side // 2, side, 2)
        outer, inner = _windows(canvas.shape, drawing.alpha.shape, corner)
        alpha = drawing.alpha[inner]
        if alpha.sum() > 40 and not (alpha[hole[outer]] > 0.2).any():
            canvas[outer] += alpha[..., None] * (drawing.pixels[inner] - canvas[outer])
            return


def _fill_hole(
    rng: np.random.Generator,
    canvas: np.ndarray,
    hole: np.ndarray,
    kind: ObjectKind,
    owner: _Drawing | None,
) -> str:
    """Draw an object that fits the hole, clipped to it, in place; return its phrase.

    Unless the hole shows a pose, sprites stand upright and unflipped: one appearance per noun is
    learned in the time that two would take.
    """
    rows, columns = np.nonzero(hole)
    top, left = rows.min(), columns.min()
    height, width = int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1
    drawing = owner or _draw(rng, kind, max(height, width), upright=True)
    zoom = min(height / drawing.alpha.shape[0], width / drawing.alpha.shape[1])
    zoom *= rng.uniform(0.88, 1.02)
    centre = np.array((rows.mean(), columns.mean())) * 0.5 + 0.5 * np.array(
        (top + height / 2, left + width / 2)
    )
    alpha, pixels, outer = _fit(drawing, hole, centre, zoom)
    if rng.random() < 0.5:
        foot = np.zeros(hole.shape, bool)
        foot[outer] = alpha > 0.5
        _draw_shadow(rng, canvas, foot, where=hole)
    canvas[outer] += (alpha * hole[outer])[..., None] * (pixels - canvas[outer])
    return phrase(rng, drawing.noun, drawing.colour, painted=kind.paintable)


def _fit(
    drawing: _Drawing, hole: np.ndarray, centre: np.ndarray, zoom: float
) -> tuple[np.ndarray, np.ndarray, tuple[slice, slice]]:
    """Shrink the drawing until nearly all of it lies in the hole (but not below two thirds)."""
    for shrink in (1.0, 0.9, 0.81, 0.73, 0.66):
        size = np.maximum(4, np.round(np.array(drawing.alpha.shape) * zoom * shrink)).astype(int)
        alpha = cv2.resize(drawing.alpha, tuple(size[::-1]), interpolation=cv2.INTER_AREA)
        outer, inner = _windows(hole.shape, alpha.shape, np.round(centre - size / 2).astype(int))
        if (alpha[inner] * hole[outer]).sum() >= 0.88 * alpha.sum():
            break
    premultiplied = drawing.pixels * drawing.alpha[..., None]
    small = cv2.resize(premultiplied, tuple(size[::-1]), interpolation=cv2.INTER_AREA)
    pixels = small / np.maximum(alpha, 1e-4)[..., None]
    return alpha[inner], pixels[inner], outer


def phrase(rng: np.random.Generator, noun: str, colour: str | None, painted: bool = False) -> str:
    """How a user may name the object: with or without article, colour and a size word.

    A painted thing's colour is nearly always said: left out, every colour would answer one phrase
    and the model would learn their mixture.
    """
    words = [noun]
    if colour is not None and rng.random() < (0.95 if painted else 0.6):
        words.insert(0, colour)
    if rng.random() < 0.05:
        sizes = load_vocabulary().sizes
        words.insert(0, sizes[rng.integers(len(sizes))])
    article = rng.random()
    if article < 0.45:
        words.insert(0, "an" if words[0][0] in "aeiou" else "a")
    elif article < 0.6:
        words.insert(0, "the")
    return " ".join(words)


def _finish(rng: np.random.Generator, canvas: np.ndarray) -> np.ndarray:
    """Light, sometimes soften, and quantise."""
    canvas = light_up(rng, canvas)
    if rng.random() < 0.3:
        canvas = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.4, 0.8))
    return (canvas * 255).clip(0, 255).round().astype(np.uint8)
