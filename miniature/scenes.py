"""Compose pictures of bundled objects on bundled backgrounds, with the truth about them.

A scene is a pure function of ``(split, seed)``. Training and held-out scenes never share a seed
or a background photograph.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from .vocabulary import ObjectKind, load_vocabulary

SPRITES = Path(__file__).parent / "sprites"
SPLITS = {"train": 0, "validation": 1, "heldout": 2}
# Centre hue (OpenCV degrees / 2), saturation scale and target brightness of the paint colours.
PAINTS = {
    "red": (178, 1.1, 0.85),
    "orange": (11, 1.2, 0.98),
    "yellow": (26, 1.1, 1.0),
    "green": (65, 1.0, 0.65),
    "blue": (108, 1.1, 0.85),
    "purple": (137, 1.0, 0.68),
    "pink": (164, 0.55, 1.0),
}


@dataclass(frozen=True)
class SceneSettings:
    """How a scene is composed; sizes are fractions of the picture's side.

    ``twins`` is the chance that one noun appears twice or more, so that a phrase needs a colour,
    size, side or relation to single one out; ``triples`` the chance that it then appears three
    times. ``visible`` is the least share of every object that must stay uncovered.
    """

    side: int = 256
    objects: tuple[int, int] = (2, 4)
    size: tuple[float, float] = (0.22, 0.46)
    twins: float = 0.55
    triples: float = 0.25
    visible: float = 0.75

    def __post_init__(self) -> None:
        low, high = self.objects
        if not 0 <= low <= high <= 9:
            raise ValueError(f"objects must be (low, high) within 0..9, got {self.objects}")
        if not 0.05 <= self.size[0] <= self.size[1] <= 0.95:
            raise ValueError(f"size must be (low, high) within 0.05..0.95, got {self.size}")


# Several alike in every picture: what sizes, ordinals and relations are needed for.
CROWDED = SceneSettings(objects=(3, 5), twins=0.9, triples=0.6)


@dataclass(frozen=True)
class SceneObject:
    """The facts about one object: words, tight box (xyxy, half-open pixels) and drawn size.

    ``visible`` is the share of it that is neither covered nor cut off, where the composer knows.
    """

    noun: str
    category: str
    colour: str | None  # uttered only where it covers most of the object
    sprite: str
    box: tuple[int, int, int, int]
    scale: float  # longer side of the drawn object / longer side of the picture
    visible: float = 1.0
    style: str = "fluent"

    @property
    def centre(self) -> tuple[float, float]:
        """Centre of the box, in pixels."""
        x0, y0, x1, y1 = self.box
        return (x0 + x1) / 2, (y0 + y1) / 2

    @property
    def size(self) -> str | None:
        """``small``, ``large`` or None for the ones in between."""
        return "small" if self.scale < 0.29 else "large" if self.scale > 0.39 else None


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture ``(H, W, 3)`` uint8, its instance map ``(H, W)`` int32 (0 = background,
    k = ``objects[k - 1]``), the objects, and the empty background they stand on."""

    image: np.ndarray
    instances: np.ndarray
    objects: tuple[SceneObject, ...]
    background: np.ndarray

    @property
    def side(self) -> int:
        """The picture's longer side in pixels, the unit of sizes and distances."""
        return max(self.image.shape[:2])

    def share(self, index: int) -> tuple[float, float]:
        """Centre of ``objects[index]`` as shares of the picture's width and height."""
        x, y = self.objects[index].centre
        return x / self.image.shape[1], y / self.image.shape[0]

    def mask(self, index: int) -> np.ndarray:
        """Visible pixels of ``objects[index]``, ``(H, W)`` bool."""
        return self.instances == index + 1


def scene_rng(split: str, seed: int, *purpose: int) -> np.random.Generator:
    """The random generator of one scene, or of a purpose; splits never share a stream."""
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; expected one of {', '.join(SPLITS)}")
    return np.random.default_rng([SPLITS[split], seed, *purpose])


@cache
def sprite_table() -> dict[str, dict]:
    """``sprites.json`` by name: file, dominant colour and its share, source, licence."""
    rows = json.loads((SPRITES / "sprites.json").read_text(encoding="utf-8"))
    return {row["name"]: row for row in rows}


@cache
def load_sprite(name: str, style: str = "fluent") -> np.ndarray:
    """One sprite, ``(160, 160, 4)`` uint8 RGBA; ``noto`` is drawn in the second style."""
    row = sprite_table()[name]
    file = row["noto"]["file"] if style == "noto" else row["file"]
    return np.array(Image.open(SPRITES / file).convert("RGBA"))


@cache
def painted_sprite(name: str, colour: str, style: str = "fluent") -> np.ndarray:
    """A sprite with its dominant hue moved to ``colour``; other hues (windows, wheels) stay."""
    rgba = load_sprite(name, style).copy()
    hsv = cv2.cvtColor(rgba[..., :3], cv2.COLOR_RGB2HSV).astype(np.float32)
    vivid = (rgba[..., 3] > 128) & (hsv[..., 1] > 60)
    histogram = np.bincount(hsv[..., 0][vivid].astype(int) // 6, minlength=30).astype(float)
    dominant = 6 * int(np.argmax(histogram + np.roll(histogram, 1) + np.roll(histogram, -1))) + 3
    distance = np.abs((hsv[..., 0] - dominant + 90) % 180 - 90)
    chosen = (hsv[..., 1] > 40) & (distance < 24)
    hue, saturation, brightness = PAINTS[colour]
    mean_brightness = hsv[..., 2][chosen & vivid].mean() / 255
    spread = (hsv[..., 0] - dominant + 90) % 180 - 90
    hsv[..., 0] = np.where(chosen, (hue + 0.25 * spread) % 180, hsv[..., 0])
    hsv[..., 1] = np.where(chosen, np.clip(hsv[..., 1] * saturation, 0, 255), hsv[..., 1])
    lifted = np.clip(hsv[..., 2] * brightness / mean_brightness, 0, 255)
    hsv[..., 2] = np.where(chosen, lifted, hsv[..., 2])
    rgba[..., :3] = cv2.cvtColor(hsv.round().astype(np.uint8), cv2.COLOR_HSV2RGB)
    return rgba


@cache
def background_files(heldout: bool) -> tuple[Path, ...]:
    """Background photographs; the third of each place and one texture are held out."""
    files = sorted((SPRITES / "backgrounds").glob("*.webp"))
    out = {f for f in files if f.stem.endswith("_2") or f.stem == "texture_gravel"}
    return tuple(f for f in files if (f in out) == heldout)


@cache
def load_background(file: Path) -> np.ndarray:
    """A background photograph, ``(H, W, 3)`` uint8."""
    return np.array(Image.open(file).convert("RGB"))


def make_background(rng: np.random.Generator, side: int, heldout: bool) -> np.ndarray:
    """A photograph (cropped, flipped), a tinted texture or a two-colour gradient, uint8 RGB."""
    if rng.random() < 0.3:
        a, b = rng.uniform(40, 245, (2, 3))
        angle = rng.uniform(0, 2 * np.pi)
        y, x = np.mgrid[0:side, 0:side] / side - 0.5
        ramp = np.clip(x * np.cos(angle) + y * np.sin(angle) + 0.5, 0, 1)[..., None]
        return (
            (a + (b - a) * ramp + rng.normal(0, 2, (side, side, 1))).clip(0, 255).astype(np.uint8)
        )
    files = background_files(heldout)
    file = files[rng.integers(len(files))]
    photo = load_background(file)
    span = int(rng.integers(170, photo.shape[0] + 1))
    x, y = rng.integers(0, photo.shape[0] - span + 1, 2)
    crop = cv2.resize(photo[y : y + span, x : x + span], (side, side), interpolation=cv2.INTER_AREA)
    if file.stem.startswith("texture"):
        crop = (crop * rng.uniform(0.5, 1.2, 3)).clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(crop[:, ::-1]) if rng.random() < 0.5 else crop


def transform_sprite(
    rgba: np.ndarray, longer_side: float, angle: float, flip: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Scale, rotate and trim a sprite; colour ``(h, w, 3)`` and alpha ``(h, w)``, float32 0..1."""
    ys, xs = np.nonzero(rgba[..., 3] > 20)
    tight = rgba[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1].astype(np.float32) / 255
    tight = tight[:, ::-1] if flip else tight
    premultiplied = np.dstack([tight[..., :3] * tight[..., 3:], tight[..., 3]])
    h, w = premultiplied.shape[:2]
    scale = longer_side / max(h, w)
    cos, sin = abs(np.cos(np.radians(angle))), abs(np.sin(np.radians(angle)))
    out_w, out_h = int((w * cos + h * sin) * scale) + 3, int((w * sin + h * cos) * scale) + 3
    matrix = cv2.getRotationMatrix2D(((w - 1) / 2, (h - 1) / 2), angle, scale)
    matrix[:, 2] += (out_w - w) / 2, (out_h - h) / 2
    if scale < 0.6:  # soften first: warpAffine samples without averaging and would alias
        premultiplied = cv2.GaussianBlur(premultiplied, (0, 0), 0.35 / scale)
    drawn = cv2.warpAffine(premultiplied, matrix, (out_w, out_h), flags=cv2.INTER_LINEAR)
    alpha = drawn[..., 3]
    return drawn[..., :3] / np.maximum(alpha, 1e-4)[..., None], alpha


def _choose_kinds(
    rng: np.random.Generator, count: int, settings: SceneSettings
) -> list[ObjectKind]:
    kinds = load_vocabulary().objects
    chosen = [kinds[i] for i in rng.choice(len(kinds), size=count, replace=False)]
    if count >= 2 and rng.random() < settings.twins:
        copies = 2 if count >= 3 and rng.random() < settings.triples else 1
        for k in range(copies):
            chosen[1 + k] = chosen[0]
    return chosen


def _dress(rng: np.random.Generator, kind: ObjectKind) -> tuple[np.ndarray, str, str | None]:
    """A sprite of this kind, its name and the colour word that is true of it (or None)."""
    name = kind.sprites[rng.integers(len(kind.sprites))]
    if kind.paintable:
        colours = load_vocabulary().paint_colours
        colour = colours[rng.integers(len(colours))]
        return painted_sprite(name, colour), name, colour
    row = sprite_table()[name]
    return load_sprite(name), name, row["colour"] if row["colour_share"] >= 0.55 else None


def _place(
    rng: np.random.Generator, shape: tuple[int, int], side: int, taken: np.ndarray
) -> tuple[int, int] | None:
    """A top-left corner for a box that covers little of what is already there, or None."""
    h, w = shape
    if h >= side or w >= side:
        return None
    for _ in range(12):
        x, y = int(rng.integers(0, side - w)), int(rng.integers(0, side - h))
        if taken[y : y + h, x : x + w].mean() < 0.04:
            return x, y
    return None


def _shadow(canvas: np.ndarray, alpha: np.ndarray, x: int, y: int, strength: float) -> None:
    """Darken a soft ellipse under the object's foot, in place."""
    h, w = alpha.shape
    layer = np.zeros(canvas.shape[:2], np.float32)
    centre = (x + w // 2, min(y + h - 2, canvas.shape[0] - 1))
    cv2.ellipse(layer, centre, (max(2, int(w * 0.42)), max(2, h // 14)), 0, 0, 360, 1, -1)
    layer = cv2.GaussianBlur(layer, (0, 0), max(1.0, h / 30))
    canvas *= 1 - strength * layer[..., None]


def _finish(rng: np.random.Generator, canvas: np.ndarray) -> np.ndarray:
    tint = rng.uniform(0.93, 1.07, 3) * rng.uniform(0.88, 1.1)
    canvas = canvas * tint
    if rng.random() < 0.3:
        canvas = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.4, 0.8))
    noise = rng.normal(0, rng.uniform(0, 4) / 255, canvas.shape)
    return ((canvas + noise) * 255).clip(0, 255).round().astype(np.uint8)


def compose(split: str, seed: int, settings: SceneSettings | None = None) -> Scene:
    """The scene number ``seed`` of ``split`` (``train``, ``validation`` or ``heldout``).

    Examples
    --------
    >>> scene = compose("train", 3)
    >>> scene.image.shape, scene.instances.shape
    ((256, 256, 3), (256, 256))
    """
    settings = settings or SceneSettings()
    rng, side = scene_rng(split, seed), settings.side
    background = make_background(rng, side, heldout=split != "train")
    canvas = background.astype(np.float32) / 255
    instances = np.zeros((side, side), np.int32)
    count = int(rng.integers(settings.objects[0], settings.objects[1] + 1))
    drawn: list[tuple[ObjectKind, str, str | None, float, int]] = []
    for kind in _choose_kinds(rng, count, settings):
        rgba, name, colour = _dress(rng, kind)
        scale = float(rng.uniform(*settings.size))
        pixels, alpha = transform_sprite(
            rgba, scale * side, float(rng.normal(0, 7)), bool(rng.random() < 0.5)
        )
        spot = _place(rng, alpha.shape, side, instances > 0)
        if spot is None:
            continue
        x, y = spot
        h, w = alpha.shape
        area = (slice(y, y + h), slice(x, x + w))
        before = instances.copy()
        instances[area][alpha > 0.5] = len(drawn) + 1
        if any((instances == d[4]).sum() < settings.visible * d[3] for d in drawn):
            instances = before
            continue
        if rng.random() < 0.6:
            _shadow(canvas, alpha, x, y, float(rng.uniform(0.15, 0.5)))
        canvas[area] += alpha[..., None] * (pixels - canvas[area])
        drawn.append((kind, name, colour, float((alpha > 0.5).sum()), len(drawn) + 1))
    objects = tuple(
        object_facts(instances, number, kind, name, colour)
        for kind, name, colour, _, number in drawn
    )
    return Scene(_finish(rng, canvas), instances, objects, background)


def object_facts(
    instances: np.ndarray,
    number: int,
    kind: ObjectKind,
    sprite: str,
    colour: str | None,
    area: int | None = None,
    style: str = "fluent",
) -> SceneObject:
    """What is true of the thing of this number; `area` is how many pixels it has uncovered."""
    ys, xs = np.nonzero(instances == number)
    box = (int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1)
    longer = max(box[2] - box[0], box[3] - box[1]) / max(instances.shape)
    visible = len(xs) / max(1, area) if area is not None else 1.0
    return SceneObject(kind.noun, kind.category, colour, sprite, box, longer, visible, style)
