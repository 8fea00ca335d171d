"""Compose wide scenes: all shapes of pictures, things of .08 to .6 of the side, covered or cut.

A scene is a pure function of ``(split, seed, settings)``, as in ``miniature.scenes``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..scenes import Scene, object_facts, scene_rng
from .ground import make_ground
from .light import cast_shadow, light_up, make_sun, photograph
from .objects import Sprite, choose_kinds, make_thing

SHAPES = (1.0, 1.0, 1.0, 4 / 3, 3 / 2, 16 / 9, 2.35, 3 / 4, 2 / 3, 9 / 16)  # width / height


@dataclass(frozen=True)
class WideSettings:
    """How a wide scene is composed; sizes are fractions of the picture's longer side.

    ``visible`` is the least share of every thing that is neither covered nor cut off, ``noto`` the
    share of things in the second drawing style; ``twins`` and ``triples`` as in
    :class:`miniature.scenes.SceneSettings`, though "triples" may be five alike.
    """

    side: int = 384
    objects: tuple[int, int] = (1, 6)
    size: tuple[float, float] = (0.08, 0.6)
    twins: float = 0.65
    triples: float = 0.45
    visible: float = 0.5
    noto: float = 0.2

    def __post_init__(self) -> None:
        if not 0.04 <= self.size[0] <= self.size[1] <= 0.95:
            raise ValueError(f"size must be (low, high) within 0.04..0.95, got {self.size}")
        low, high = self.objects
        if not 0 <= low <= high <= 12:
            raise ValueError(f"objects must be (low, high) within 0..12, got {self.objects}")


WIDE = WideSettings()


class _Stage:
    """A picture that things are being put into."""

    def __init__(self, ground: np.ndarray, settings: WideSettings) -> None:
        self.canvas, self.settings = ground.copy(), settings
        self.instances = np.zeros(ground.shape[:2], np.int32)
        self.things: list[Sprite] = []

    def fits(self, thing: Sprite, x: int, y: int) -> np.ndarray | None:
        """The instance map with the thing at ``(x, y)``, or None if too little shows of any."""
        window, part = self._window(thing, x, y)
        after = self.instances.copy()
        after[window][thing.alpha[part] > 0.5] = len(self.things) + 1
        counts = np.bincount(after.ravel(), minlength=len(self.things) + 2)
        for number, other in enumerate([*self.things, thing], 1):
            if counts[number] < max(12, self.settings.visible * other.area):
                return None
        return after

    def put(self, thing: Sprite, x: int, y: int, after: np.ndarray) -> None:
        """Draw the thing over what is there."""
        window, part = self._window(thing, x, y)
        alpha = thing.alpha[part][..., None]
        self.canvas[window] += alpha * (thing.pixels[part] - self.canvas[window])
        self.instances = after
        self.things.append(thing)

    def _window(self, thing: Sprite, x: int, y: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
        (height, width), (h, w) = self.instances.shape, thing.alpha.shape
        x0, y0, x1, y1 = max(0, x), max(0, y), min(width, x + w), min(height, y + h)
        return (slice(y0, y1), slice(x0, x1)), (slice(y0 - y, y1 - y), slice(x0 - x, x1 - x))


def compose_wide(split: str, seed: int, settings: WideSettings = WIDE) -> Scene:
    """The wide scene number ``seed`` of ``split`` (``train``, ``validation`` or ``heldout``).

    Examples
    --------
    >>> scene = compose_wide("train", 3)
    >>> max(scene.image.shape), scene.instances.shape == scene.image.shape[:2]
    (384, True)
    """
    rng = np.random.default_rng([101, *scene_rng(split, seed).integers(2**31, size=2)])
    shape = SHAPES[rng.integers(len(SHAPES))]
    size = (round(settings.side / max(1, shape)), round(settings.side * min(1, shape)))
    ground = make_ground(rng, size, heldout=split != "train")
    stage, sun = _Stage(ground, settings), make_sun(rng)
    count = int(rng.integers(settings.objects[0], settings.objects[1] + 1))
    kinds = choose_kinds(rng, count, settings.twins, settings.triples) if count else []
    places = _Places(rng, size, settings, count)
    order = rng.permutation(len(kinds)) if rng.random() < 0.5 else range(len(kinds))
    for number in order:
        for _ in range(10):
            thing = make_thing(rng, kinds[number], places.longer_side(rng), settings.noto)
            x, y = places.corner(rng, number, thing.alpha.shape)
            after = stage.fits(thing, x, y)
            if after is not None:
                cast_shadow(stage.canvas, thing.alpha, x, y, sun)
                stage.put(thing, x, y, after)
                break
            places.shrink()
    image = photograph(rng, light_up(rng, stage.canvas))
    objects = tuple(
        object_facts(stage.instances, k, t.kind, t.sprite, t.colour, t.area, t.style)
        for k, t in enumerate(stage.things, 1)
    )
    return Scene(image, stage.instances, objects, (ground * 255).round().astype(np.uint8))


class _Places:
    """Where the things of a scene go: scattered, in a row, huddled, or along a floor."""

    def __init__(
        self, rng: np.random.Generator, size: tuple[int, int], settings: WideSettings, count: int
    ) -> None:
        self.size, self.count, self.settings = size, max(1, count), settings
        self.side, (low, high) = max(size), settings.size
        self.layout = ("scatter", "row", "huddle", "floor")[rng.choice(4, p=(0.5, 0.2, 0.15, 0.15))]
        self.alike = rng.random() < 0.4  # whether the things are of about one size
        self.high = min(high, 0.95 * min(size) / self.side)
        if count > 3:
            self.high = min(self.high, max(low, 0.42))
        self.low = min(low, self.high)
        self.base = self._draw(rng)
        self.middle = rng.uniform(0.25, 0.75, 2)
        self.slope = rng.normal(0, 0.08)
        self.edge = rng.random() < 0.3  # whether things may be cut by the border

    def _draw(self, rng: np.random.Generator) -> float:
        return float(np.exp(rng.uniform(np.log(self.low), np.log(self.high))))

    def shrink(self) -> None:
        """Try smaller things next, where there was no room."""
        self.base = max(self.settings.size[0], self.base * 0.9)
        self.high = max(self.low, self.high * 0.93)

    def longer_side(self, rng: np.random.Generator) -> float:
        """The longer side of the next thing in pixels."""
        chosen = self.base * np.exp(rng.normal(0, 0.12)) if self.alike else self._draw(rng)
        return float(np.clip(chosen, self.low, max(self.low, self.high)) * self.side)

    def corner(
        self, rng: np.random.Generator, number: int, shape: tuple[int, ...]
    ) -> tuple[int, int]:
        """The top-left corner of a thing with an alpha mask of this shape."""
        (height, width), (h, w) = self.size, shape
        x, y = rng.uniform(0, 1, 2)
        if self.layout == "row":
            x = (number + 0.5 + rng.normal(0, 0.08)) / self.count
            y = self.middle[1] + self.slope * (x - 0.5) + rng.normal(0, 0.02)
        elif self.layout == "huddle":
            x, y = self.middle + rng.normal(0, 0.16, 2)
        elif self.layout == "floor":
            y = 0.72 + rng.normal(0, 0.06)
        out = 0.35 if self.edge else 0.0
        left = (x * width - w / 2, x * (width - w))[self.layout == "scatter" and not self.edge]
        top = (y * height - h / 2, y * (height - h))[self.layout == "scatter" and not self.edge]
        left = np.clip(left, -out * w, max(-out * w, width - w * (1 - out)))
        top = np.clip(top, -out * h, max(-out * h, height - h * (1 - out)))
        return int(left), int(top)
