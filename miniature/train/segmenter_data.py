"""What the miniature segmenter is trained on: scenes wide and narrow, and prompts about them.

Class-agnostic: scenes are drawn from every bundled sprite, not only the nouns of the vocabulary,
and a few sprites are kept back.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..composer import compose_wide
from ..scenes import Scene, compose, load_sprite, make_background, sprite_table, transform_sprite
from ..vocabulary import load_vocabulary

SIDE, MASK_SIDE = 256, 128  # the model's square and its masks
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
# Prompts of one scene by kind. SAM gives a box two tokens, a point one and a padding token, and
# padded tokens are attended to: prompts may share a batch only if they have as many tokens.
TWO_TOKENS = ("box", "box", "box", "box", "point", "point", "point", "part", "empty", "masked")
THREE_TOKENS = ("box+point", "box+point", "two points", "not here")
NO_TOKENS = ("mask", "mask")
LEAST = 16  # pixels of the model's square: smaller things get no prompt


@dataclass(frozen=True, eq=False)
class Prompt:
    """One training prompt: corners or points in model pixels, and the instance that it marks."""

    box: np.ndarray | None  # (4,) float32 xyxy
    points: np.ndarray | None  # (k, 2) float32 xy
    labels: np.ndarray | None  # (k,) 1 inside, 0 outside
    rough: np.ndarray | None  # (MASK_SIDE, MASK_SIDE) float32 logits of a rough mask
    target: int  # instance number, 0 = nothing is there


def seen_sprites() -> tuple[str, ...]:
    """All sprites but every twelfth outside the vocabulary, which is never trained on."""
    known = {name for kind in load_vocabulary().objects for name in kind.sprites}
    unseen = sorted(set(sprite_table()) - known)[::12]
    return tuple(sorted(set(sprite_table()) - set(unseen)))


def _recolour(rng: np.random.Generator, rgba: np.ndarray) -> np.ndarray:
    hsv = cv2.cvtColor(rgba[..., :3], cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0].astype(int) + int(rng.integers(180))) % 180
    return np.dstack([cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), rgba[..., 3]])


def draw_scene(rng: np.random.Generator, names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """A picture ``(256, 256, 3)`` uint8 and instance map of 1-6 of these sprites, overlapping."""
    canvas = make_background(rng, SIDE, heldout=False).astype(np.float32) / 255
    instances = np.zeros((SIDE, SIDE), np.int32)
    for number in range(1, int(rng.integers(1, 7)) + 1):
        rgba = load_sprite(names[rng.integers(len(names))])
        rgba = _recolour(rng, rgba) if rng.random() < 0.3 else rgba
        longer = float(np.exp(rng.uniform(np.log(0.07), np.log(0.65)))) * SIDE
        pixels, alpha = transform_sprite(
            rgba, longer, float(rng.normal(0, 14)), bool(rng.random() < 0.5)
        )
        h, w = alpha.shape
        if h >= SIDE or w >= SIDE:
            continue
        x, y = int(rng.integers(0, SIDE - w)), int(rng.integers(0, SIDE - h))
        area = (slice(y, y + h), slice(x, x + w))
        if rng.random() < 0.5:  # a soft drop shadow
            shade = np.zeros((SIDE, SIDE), np.float32)
            shade[area] = alpha
            shift = int(longer * 0.05), int(longer * rng.uniform(-0.08, 0.08))
            soft = cv2.GaussianBlur(np.roll(shade, shift, (0, 1)), (0, 0), max(1.0, longer / 25))
            canvas *= 1 - float(rng.uniform(0.1, 0.45)) * soft[..., None]
        canvas[area] += alpha[..., None] * (pixels - canvas[area])
        instances[area][alpha > 0.5] = number
    canvas *= (rng.uniform(0.9, 1.1, 3) * rng.uniform(0.75, 1.15)).astype(np.float32)
    if rng.random() < 0.4:
        cv2.GaussianBlur(canvas, (0, 0), float(rng.uniform(0.4, 1.2)), dst=canvas)
    noisy = canvas + rng.normal(0, rng.uniform(0, 5) / 255, canvas.shape)
    return (noisy * 255).clip(0, 255).round().astype(np.uint8), instances


def _reframe(
    rng: np.random.Generator, image: np.ndarray, instances: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Flip, sometimes zoom in, sometimes cut to another aspect ratio."""
    if rng.random() < 0.5:
        image, instances = image[:, ::-1], instances[:, ::-1]
    if rng.random() < 0.25:
        span = int(rng.integers(150, SIDE))
        x, y = rng.integers(0, SIDE - span + 1, 2)
        cut = (slice(y, y + span), slice(x, x + span))
        image = cv2.resize(np.ascontiguousarray(image[cut]), (SIDE, SIDE))
        instances = cv2.resize(
            np.ascontiguousarray(instances[cut]), (SIDE, SIDE), interpolation=cv2.INTER_NEAREST
        )
    if rng.random() < 0.3:
        short = int(rng.integers(128, SIDE))
        start = int(rng.integers(0, SIDE - short + 1))
        kept, whole = slice(start, start + short), slice(None)
        frame = (kept, whole) if rng.random() < 0.5 else (whole, kept)
        image, instances = image[frame], instances[frame]
    return image, instances


def model_input(image: np.ndarray) -> np.ndarray:
    """Normalise and pad to the right and below with zeros, ``(3, 256, 256)`` float32, as SAM."""
    out = np.zeros((3, SIDE, SIDE), np.float32)
    out[:, : image.shape[0], : image.shape[1]] = (
        (image.astype(np.float32) / 255 - MEAN) / STD
    ).transpose(2, 0, 1)
    return out


def training_scene(seed: int, names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Scene number ``seed``: half wide, some as the other models first saw them, the rest drawn
    from all sprites."""
    rng = np.random.default_rng([7, seed])
    choice = rng.random()
    if choice < 0.5:
        return fitted(*_pair(compose_wide("train", seed)), flip=bool(rng.random() < 0.5))
    if choice < 0.65:
        return _reframe(rng, *_pair(compose("train", seed)))
    return _reframe(rng, *draw_scene(rng, names))


def _pair(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    return scene.image, scene.instances


def fitted(
    image: np.ndarray, instances: np.ndarray, flip: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """A picture and its map with the longer side at ``SIDE``, as SAM's processor shrinks it."""
    scale = SIDE / max(instances.shape)
    size = tuple(max(1, int(v * scale + 0.5)) for v in instances.shape[::-1])
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    instances = cv2.resize(instances, size, interpolation=cv2.INTER_NEAREST)
    return (image[:, ::-1], instances[:, ::-1]) if flip else (image, instances)


def tight_box(mask: np.ndarray) -> np.ndarray:
    """Half-open xyxy box of a mask that is not empty, ``(4,)`` float32."""
    ys, xs = np.nonzero(mask)
    return np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], np.float32)


def jitter_box(rng: np.random.Generator, box: np.ndarray, amount: float) -> np.ndarray:
    """Move every side by up to ``amount`` of the box's size, inside the picture."""
    size = np.tile(box[2:] - box[:2], 2)
    return (box + rng.uniform(-amount, amount, 4) * size).clip(0, SIDE).astype(np.float32)


def _inside_point(rng: np.random.Generator, mask: np.ndarray) -> np.ndarray:
    """The deepest pixel of a mask (half the time) or any pixel, xy."""
    if rng.random() < 0.5:
        depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 3)
        y, x = np.unravel_index(np.argmax(depth), depth.shape)
        return np.array([x - 1, y - 1], np.float32)
    ys, xs = np.nonzero(mask)
    k = rng.integers(len(ys))
    return np.array([xs[k], ys[k]], np.float32)


def _outside_point(rng: np.random.Generator, mask: np.ndarray, box: np.ndarray) -> np.ndarray:
    for _ in range(20):
        x, y = rng.uniform(jitter_box(rng, box, 0.3)[:2] - 12, box[2:] + 12).clip(0, SIDE - 1)
        if not mask[min(int(y), mask.shape[0] - 1), min(int(x), mask.shape[1] - 1)]:
            break
    return np.array([x, y], np.float32)


def _part_box(rng: np.random.Generator, box: np.ndarray) -> np.ndarray:
    """A box around a piece of the object, as attention maps give."""
    size = box[2:] - box[:2]
    part = size * rng.uniform(0.35, 0.75, 2)
    corner = box[:2] + rng.uniform(0, 1, 2) * (size - part)
    return np.concatenate([corner, corner + part]).astype(np.float32)


def empty_box(rng: np.random.Generator, instances: np.ndarray) -> np.ndarray | None:
    """A box of background, or None where the picture is too full."""
    h, w = instances.shape
    for _ in range(12):
        bw, bh = rng.uniform(0.12, 0.45, 2) * (w, h)
        x, y = rng.uniform(0, w - bw), rng.uniform(0, h - bh)
        if (instances[int(y) : int(y + bh), int(x) : int(x + bw)] > 0).mean() < 0.03:
            return np.array([x, y, x + bw, y + bh], np.float32)
    return None


def _rough_logits(rng: np.random.Generator, mask: np.ndarray) -> np.ndarray:
    """A blurred, shifted, noisy coarse version of the mask, as logits."""
    padded = np.zeros((SIDE, SIDE), np.float32)
    padded[: mask.shape[0], : mask.shape[1]] = mask
    cells = int(rng.integers(12, 33))
    small = cv2.resize(padded, (cells, cells), interpolation=cv2.INTER_AREA)
    small = np.roll(small, rng.integers(-1, 2, 2), (0, 1)) + rng.normal(0, 0.12, small.shape)
    smooth = cv2.resize(small.astype(np.float32), (MASK_SIDE, MASK_SIDE))
    return (smooth - rng.uniform(0.3, 0.5)) * np.float32(rng.uniform(6, 24))


def _brushed_logits(rng: np.random.Generator, mask: np.ndarray) -> np.ndarray:
    """The mask grown and moved a little, as a brush paints it, in logits as the library makes."""
    padded = np.zeros((SIDE, SIDE), np.uint8)
    padded[: mask.shape[0], : mask.shape[1]] = mask
    reach = max(1, int(rng.uniform(0, 0.13) * np.sqrt(mask.sum())))
    grown = cv2.dilate(padded, np.ones((2 * reach + 1,) * 2, np.uint8))
    moved = np.roll(grown, rng.integers(-reach, reach + 1, 2), (0, 1)).astype(np.float32)
    return (cv2.resize(moved, (MASK_SIDE, MASK_SIDE), interpolation=cv2.INTER_AREA) - 0.5) * 16


def make_prompt(rng: np.random.Generator, kind: str, instances: np.ndarray) -> Prompt:
    """One prompt of this kind for a random visible instance."""
    areas = np.bincount(instances.ravel())
    numbers = np.flatnonzero(areas[1:] >= LEAST) + 1
    empty = empty_box(rng, instances) if kind == "empty" or not len(numbers) else None
    if not len(numbers):
        box = empty if empty is not None else np.array([8, 8, 64, 64], np.float32)
        if kind in NO_TOKENS:
            return Prompt(None, None, None, np.full((MASK_SIDE,) * 2, -8, np.float32), 0)
        three = kind in THREE_TOKENS
        point = (box[None, :2] + box[None, 2:]) / 2 if three else None
        return Prompt(box, point, np.ones(1) if three else None, None, 0)
    if empty is not None:
        return Prompt(empty, None, None, None, 0)
    target = int(rng.choice(numbers))
    mask = instances == target
    box = tight_box(mask)
    shaken = jitter_box(rng, box, float(rng.uniform(0, 0.35)))
    inside = _inside_point(rng, mask)
    if kind == "point":
        return Prompt(None, inside[None], np.ones(1), None, target)
    if kind == "mask":
        rough = _brushed_logits if rng.random() < 0.7 else _rough_logits
        return Prompt(None, None, None, rough(rng, mask), target)
    if kind == "part":
        return Prompt(_part_box(rng, box), None, None, None, target)
    if kind == "box+point":
        return Prompt(shaken, inside[None], np.ones(1), None, target)
    if kind in ("two points", "not here"):
        both = kind == "two points"
        second = _inside_point(rng, mask) if both else _outside_point(rng, mask, box)
        label = float(both)
        return Prompt(None, np.stack([inside, second]), np.array([1.0, label]), None, target)
    rough = _rough_logits(rng, mask) if kind == "masked" else None
    return Prompt(shaken, None, None, rough, target)


def wide_scenes(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Wide scenes of the split that no training reads, of all shapes."""
    return [fitted(*_pair(compose_wide("heldout", seed))) for seed in range(count)]
