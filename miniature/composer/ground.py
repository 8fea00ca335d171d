"""Grounds to stand things on: photographs and procedural ones, ``(H, W, 3)`` float32 in 0..1."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from ..scenes import background_files, load_background

Size = tuple[int, int]


def make_ground(rng: np.random.Generator, size: Size, heldout: bool) -> np.ndarray:
    """A ground of ``size`` (height, width); ``heldout`` decides which photographs may be used."""
    if rng.random() < 0.45:
        return photograph(rng, size, heldout)
    return PROCEDURAL[rng.integers(len(PROCEDURAL))](rng, size)


def photograph(rng: np.random.Generator, size: Size, heldout: bool) -> np.ndarray:
    """A crop of a bundled photograph or tinted texture, mirrored in half of the cases."""
    files = background_files(heldout)
    file = files[rng.integers(len(files))]
    photo, (height, width) = load_background(file), size
    span = rng.uniform(0.5, 1.0) * photo.shape[0] / max(size)
    h, w = max(1, int(height * span)), max(1, int(width * span))
    y, x = (int(rng.integers(0, photo.shape[k] - (h, w)[k] + 1)) for k in (0, 1))
    crop = cv2.resize(photo[y : y + h, x : x + w], (width, height), interpolation=cv2.INTER_CUBIC)
    crop = crop.astype(np.float32) / 255
    if file.stem.startswith("texture"):
        crop = (crop * rng.uniform(0.5, 1.2, 3).astype(np.float32)).clip(0, 1)
    return np.ascontiguousarray(crop[:, ::-1]) if rng.random() < 0.5 else crop


def _colour(rng: np.random.Generator) -> np.ndarray:
    """A wall's or a floor's colour: mostly muted, sometimes vivid."""
    grey, vivid = rng.uniform(0.15, 0.95), rng.random() < 0.2
    return np.clip(grey + rng.normal(0, 0.2 if vivid else 0.07, 3), 0, 1).astype(np.float32)


def _axes(size: Size) -> tuple[np.ndarray, np.ndarray]:
    """Row and column coordinates of every pixel in units of the longer side."""
    y, x = np.mgrid[0 : size[0], 0 : size[1]].astype(np.float32) / max(size)
    return y, x


def _cloud(rng: np.random.Generator, size: Size, first: int = 3, octaves: int = 4) -> np.ndarray:
    """Smooth noise of several octaves, ``(H, W)``, about -1..1."""
    out, weight = np.zeros(size, np.float32), 1.0
    for k in range(octaves):
        cells = first * 2**k
        coarse = rng.uniform(-1, 1, (cells, cells)).astype(np.float32)
        out += weight * cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)
        weight *= 0.55
    return out / 1.5


def gradient(rng: np.random.Generator, size: Size) -> np.ndarray:
    """Two colours that run into each other in some direction, or from a centre."""
    y, x = _axes(size)
    angle = rng.uniform(0, 2 * np.pi)
    ramp = np.clip(x * np.cos(angle) + y * np.sin(angle) + rng.uniform(-0.2, 0.7), 0, 1)
    if rng.random() < 0.3:
        ramp = np.clip(1.6 * np.hypot(y - rng.uniform(0, 1), x - rng.uniform(0, 1)), 0, 1)
    a, b = _colour(rng), _colour(rng)
    return a + (b - a) * ramp[..., None]


def plaster(rng: np.random.Generator, size: Size) -> np.ndarray:
    """One colour, cloudy and grainy."""
    cloud = _cloud(rng, size) * rng.uniform(0.02, 0.12)
    grain = rng.normal(0, rng.uniform(0, 0.03), size)
    return np.clip(_colour(rng) + (cloud + grain)[..., None], 0, 1).astype(np.float32)


def planks(rng: np.random.Generator, size: Size) -> np.ndarray:
    """Boards of slightly different brightness with dark joints and grain along them."""
    y, x = _axes(size)
    across, along = (y, x) if rng.random() < 0.5 else (x, y)
    width = rng.uniform(0.05, 0.2)
    number = (across / width).astype(int)
    shade = rng.uniform(-0.08, 0.08, number.max() + 1)[number]
    joint = np.abs(across / width - number - 0.5) > 0.5 - rng.uniform(0.01, 0.04)
    grain = 0.03 * np.sin(60 * across + 6 * _cloud(rng, size, 2, 2) + 4 * along)
    base = np.array([0.6, 0.42, 0.27]) * rng.uniform(0.5, 1.5) + rng.normal(0, 0.05, 3)
    out = base + (shade + grain - 0.2 * joint)[..., None]
    return np.clip(out, 0, 1).astype(np.float32)


def checks(rng: np.random.Generator, size: Size) -> np.ndarray:
    """Squares or stripes of two colours, turned by some angle."""
    y, x = _axes(size)
    angle, step = rng.uniform(0, np.pi), rng.uniform(0.04, 0.2)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    odd = (np.floor(u / step) + (rng.random() < 0.6) * np.floor(v / step)) % 2
    a = _colour(rng)
    b = np.clip(a + rng.normal(0, 0.2, 3), 0, 1) if rng.random() < 0.7 else _colour(rng)
    return (a + (b - a) * odd[..., None]).astype(np.float32)


def foliage(rng: np.random.Generator, size: Size) -> np.ndarray:
    """Leaves, pebbles or petals: many ellipses of nearby colours over a dark ground."""
    hue = np.array([0.25, 0.45, 0.15]) if rng.random() < 0.6 else _colour(rng)
    out = np.tile((hue * 0.4).astype(np.float32), (*size, 1))
    side, leaf = max(size), rng.uniform(0.01, 0.05)
    for _ in range(int(rng.integers(80, 260))):
        centre = (int(rng.integers(size[1])), int(rng.integers(size[0])))
        axes = (max(1, int(side * leaf * rng.uniform(0.6, 1.6))), max(1, int(side * leaf * 0.5)))
        colour = np.clip(hue * rng.uniform(0.5, 1.5) + rng.normal(0, 0.04, 3), 0, 1)
        cv2.ellipse(out, centre, axes, float(rng.uniform(0, 180)), 0, 360, colour.tolist(), -1)
    return cv2.GaussianBlur(out, (0, 0), rng.uniform(0.5, 3.0))


def lights(rng: np.random.Generator, size: Size) -> np.ndarray:
    """A blurred backdrop of soft discs, as of lamps out of focus."""
    out = gradient(rng, size) * 0.7
    for _ in range(int(rng.integers(5, 30))):
        centre = (int(rng.integers(size[1])), int(rng.integers(size[0])))
        radius = max(1, int(max(size) * rng.uniform(0.02, 0.09)))
        cv2.circle(out, centre, radius, _colour(rng).tolist(), -1)
    return cv2.GaussianBlur(out, (0, 0), rng.uniform(3, 10))


PLAIN: tuple[Callable[[np.random.Generator, Size], np.ndarray], ...] = (
    gradient,
    plaster,
    planks,
    checks,
)


def wall_and_floor(rng: np.random.Generator, size: Size) -> np.ndarray:
    """One ground above a nearly level edge, another below it, sometimes a skirting between."""
    wall, floor = (PLAIN[rng.integers(len(PLAIN))](rng, size) for _ in range(2))
    y, x = _axes(size)
    edge = rng.uniform(0.3, 0.8) * size[0] / max(size) + rng.normal(0, 0.04) * (x - 0.5)
    out = np.where((y > edge)[..., None], floor, wall)
    if rng.random() < 0.4:
        strip = (y > edge) & (y < edge + rng.uniform(0.01, 0.04))
        out[strip] = _colour(rng)
    return out


PROCEDURAL = (*PLAIN, foliage, lights, wall_and_floor, wall_and_floor)
