"""Things to put into a scene: which kinds, in which drawing style and colour, in which pose."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from ..scenes import PAINTS, load_sprite, painted_sprite, sprite_table, transform_sprite
from ..vocabulary import ObjectKind, load_vocabulary

RULES = ("move", "turn", "dye")


@dataclass(frozen=True, eq=False)
class Sprite:
    """A thing that is ready to be drawn: its facts, pixels ``(h, w, 3)`` and alpha ``(h, w)``."""

    kind: ObjectKind
    sprite: str
    colour: str | None
    style: str
    pixels: np.ndarray
    alpha: np.ndarray

    @property
    def area(self) -> int:
        """How many pixels it has where nothing covers it."""
        return int((self.alpha > 0.5).sum())


@cache
def recoloured(name: str, style: str, colour: str, rule: str) -> np.ndarray:
    """A sprite in another colour ``(160, 160, 4)`` uint8 RGBA, by one of :data:`RULES`.

    ``move`` brings the dominant hue to the colour and leaves other hues; ``turn`` turns all hues
    by the same angle; ``dye`` makes everything vivid the colour, as bright as it was.
    """
    if rule == "move":
        return painted_sprite(name, colour, style)
    rgba = load_sprite(name, style).copy()
    hsv = cv2.cvtColor(rgba[..., :3], cv2.COLOR_RGB2HSV).astype(np.float32)
    vivid = (rgba[..., 3] > 128) & (hsv[..., 1] > 60)
    turns = np.exp(1j * np.pi / 90 * hsv[..., 0][vivid])
    dominant = float(np.angle(turns.mean()) * 90 / np.pi)
    hue, saturation, brightness = PAINTS[colour]
    coloured = hsv[..., 1] > 40
    hsv[..., 0] = (
        hsv[..., 0] + hue - dominant if rule == "turn" else np.where(coloured, hue, hsv[..., 0])
    ) % 180
    lift = brightness / max(0.1, float(hsv[..., 2][vivid].mean()) / 255)
    hsv[..., 1] = np.where(coloured, np.clip(hsv[..., 1] * saturation, 0, 255), hsv[..., 1])
    hsv[..., 2] = np.where(coloured, np.clip(hsv[..., 2] * lift, 0, 255), hsv[..., 2])
    rgba[..., :3] = cv2.cvtColor(hsv.round().astype(np.uint8), cv2.COLOR_HSV2RGB)
    return rgba


def choose_kinds(
    rng: np.random.Generator, count: int, twins: float, triples: float
) -> list[ObjectKind]:
    """Kinds for `count` things; with chance `twins` some are alike, up to five of them."""
    kinds = load_vocabulary().objects
    chosen = [kinds[i] for i in rng.choice(len(kinds), size=count, replace=False)]
    if count >= 2 and rng.random() < twins:
        most = min(count, 5)
        copies = int(rng.integers(3, most + 1)) if most > 2 and rng.random() < triples else 2
        chosen[:copies] = [chosen[0]] * copies
        if count - copies >= 2 and rng.random() < 0.3:
            chosen[-1] = chosen[-2]
    return chosen


def dress(
    rng: np.random.Generator, kind: ObjectKind, noto: float
) -> tuple[np.ndarray, str, str | None, str]:
    """RGBA of a kind, its sprite's name, the colour word that is true of it or None, its style."""
    name = kind.sprites[rng.integers(len(kind.sprites))]
    row = sprite_table()[name]
    style = "noto" if "noto" in row and rng.random() < noto else "fluent"
    if kind.paintable:
        colours = load_vocabulary().paint_colours
        colour = colours[rng.integers(len(colours))]
        rule = RULES[rng.integers(len(RULES))]
        return recoloured(name, style, colour, rule), name, colour, style
    told = row["colour"] if row["colour_share"] >= 0.55 else None
    if style == "noto":  # measured colours of drawings differ in naming: only what both agree on
        both = row["noto"]["colour_share"] >= 0.55 and row["noto"]["colour"] == row["colour"]
        told = row["colour"] if both else None
    return load_sprite(name, style), name, told, style


def make_thing(
    rng: np.random.Generator, kind: ObjectKind, longer_side: float, noto: float
) -> Sprite:
    """A thing `longer_side` pixels large, leaning, mirrored, its brightness a little changed."""
    rgba, name, colour, style = dress(rng, kind, noto)
    angle = rng.normal(0, 6) if rng.random() < 0.7 else rng.uniform(-40, 40)
    pixels, alpha = transform_sprite(rgba, longer_side, float(angle), bool(rng.random() < 0.5))
    pixels = np.clip(pixels * rng.uniform(0.85, 1.1), 0, 1).astype(np.float32)
    return Sprite(kind, name, colour, style, pixels, alpha)
