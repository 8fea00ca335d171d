"""Light on a picture: shadows of things, gradients and casts, and what a camera leaves behind."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Sun:
    """Where a scene's light comes from and what shadows it throws.

    ``kind`` is ``none``, ``contact`` (a soft ellipse under the thing), ``cast`` (its outline laid
    on the ground) or ``drop`` (its outline on a wall behind it); ``lean`` is how far a cast shadow
    runs sideways and ``length`` how far upwards or downwards, in heights of the thing.
    """

    kind: str
    lean: float
    length: float
    softness: float
    strength: float


def make_sun(rng: np.random.Generator) -> Sun:
    """The light of one scene."""
    kind = ("none", "contact", "cast", "drop")[rng.choice(4, p=(0.2, 0.25, 0.35, 0.2))]
    length = rng.uniform(0.15, 0.9) * (1 if rng.random() < 0.75 else -0.5)
    return Sun(
        kind,
        float(rng.uniform(-1.3, 1.3)),
        float(length),
        float(rng.uniform(0.005, 0.09)),
        float(rng.uniform(0.15, 0.65)),
    )


def cast_shadow(canvas: np.ndarray, alpha: np.ndarray, x: int, y: int, sun: Sun) -> None:
    """Darken `canvas` ``(H, W, 3)`` in place by the shadow of a thing drawn at ``(x, y)``.

    It is drawn before the thing itself, so that it falls on everything that is there already.
    """
    h, w = alpha.shape
    size = canvas.shape[1], canvas.shape[0]
    if sun.kind == "none":
        return
    if sun.kind == "contact":
        layer = np.zeros(canvas.shape[:2], np.float32)
        axes = (max(2, int(w * 0.42)), max(1, h // 14))
        cv2.ellipse(layer, (x + w // 2, y + h - 2), axes, 0, 0, 360, 1, -1)
    else:
        if sun.kind == "cast":  # the foot stays, the head goes to (lean, length) from it
            matrix = np.array(
                [[1, -sun.lean, x + sun.lean * h], [0, sun.length, y + h * (1 - sun.length) - 1]]
            )
        else:
            matrix = np.array([[1, 0, x + 0.12 * sun.lean * w], [0, 1, y + 0.12 * sun.length * h]])
        layer = cv2.warpAffine(alpha, matrix.astype(np.float32), size, flags=cv2.INTER_LINEAR)
    layer = cv2.GaussianBlur(layer, (0, 0), max(0.6, sun.softness * max(h, w)))
    canvas *= 1 - sun.strength * layer[..., None]


def light_up(rng: np.random.Generator, canvas: np.ndarray) -> np.ndarray:
    """Exposure, a colour cast, in some pictures a gradient of light and a vignette."""
    height, width = canvas.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    y, x = y / height - 0.5, x / width - 0.5
    gain = np.full((height, width), rng.uniform(0.8, 1.12), np.float32)
    if rng.random() < 0.45:
        angle, fall = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.7)
        gain *= 1 + fall * (x * np.cos(angle) + y * np.sin(angle))
    if rng.random() < 0.25:
        gain *= 1 - rng.uniform(0.2, 1.0) * (x**2 + y**2)
    out = canvas * gain[..., None] * rng.uniform(0.88, 1.1, 3).astype(np.float32)
    if rng.random() < 0.3:
        out = np.clip(out, 0, 1) ** rng.uniform(0.75, 1.35)
    return out.astype(np.float32)


def photograph(rng: np.random.Generator, canvas: np.ndarray) -> np.ndarray:
    """Blur, noise and JPEG marks; ``(H, W, 3)`` uint8."""
    if rng.random() < 0.4:
        canvas = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.4, 1.6))
    noise = rng.standard_normal(canvas.shape, np.float32) * rng.uniform(0, 0.03)
    image = ((canvas + noise) * 255).clip(0, 255).round().astype(np.uint8)
    if rng.random() < 0.35:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 95))]
        _, packed = cv2.imencode(".jpg", image[..., ::-1], quality)
        image = np.ascontiguousarray(cv2.imdecode(packed, cv2.IMREAD_COLOR)[..., ::-1])
    return image
