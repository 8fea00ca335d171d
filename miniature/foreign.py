"""A second composer, for validation only: nothing is ever trained on its pictures.

It shares the sprites and the scene types with ``miniature.composer`` and no drawing: other grounds
(noise by spectrum, bricks, dots, rings), other places (far from each other, drawn back to front),
other shadows, light, colours and camera faults, drawn with Pillow. A score on the training
composer alone would not show that the models learned that composer instead of the things.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from .scenes import Scene, background_files, load_sprite, object_facts, sprite_table
from .vocabulary import ObjectKind, load_vocabulary

RATIOS = ((1, 1), (1, 1), (1, 1), (4, 3), (3, 2), (16, 9), (2.35, 1), (3, 4), (9, 16))
SIDES = (256, 320, 400, 512)
# Hue in degrees, and the brightness and saturation that make it the colour of that name.
TARGETS = {
    "red": (358, 0.85, 0.8),
    "orange": (27, 0.97, 0.85),
    "yellow": (53, 0.98, 0.8),
    "green": (125, 0.62, 0.7),
    "blue": (218, 0.82, 0.75),
    "purple": (276, 0.66, 0.65),
    "pink": (334, 0.98, 0.42),
}


OBJECTS, SIZE = (2, 5), (0.08, 0.45)
"""How many things there are, and their sizes as fractions of the picture's longer side."""
ALIKE, NOTO = 0.6, 0.15
"""Share of scenes with several of one kind, and of sprites in the style of Noto."""
COVER = 0.4
"""The largest share of a thing that others and the border may hide together."""
Pixels = np.ndarray


def compose_foreign(seed: int) -> Scene:
    """The foreign scene number ``seed``.

    Examples
    --------
    >>> scene = compose_foreign(3)
    >>> scene.image.shape[:2] == scene.instances.shape
    True
    """
    rng = np.random.default_rng([20261129, seed])
    ratio = RATIOS[rng.integers(len(RATIOS))]
    side = SIDES[rng.integers(len(SIDES))]
    width, height = (round(side * r / max(ratio)) for r in ratio)
    ground = _ground(rng, width, height)
    picture, owner, objects = ground.copy(), np.zeros((height, width), np.int32), []
    light = _Lamp(rng)
    for number, cut in enumerate(_arranged(rng, (width, height)), 1):
        light.shade(picture, cut)
        picture.paste(cut.sprite, cut.corner, cut.sprite)
        solid = _alpha_on(cut, (width, height)) > 127
        owner[solid] = number
        objects.append(cut)
    facts = tuple(
        object_facts(owner, k, cut.kind, cut.name, cut.colour, cut.area, cut.style)
        for k, cut in enumerate(objects, 1)
    )
    image = _camera(rng, light.fall(np.asarray(picture, np.float32)))
    return Scene(image, owner, facts, np.asarray(ground))


@dataclass(frozen=True, eq=False)
class _Cut:
    """A sprite ready to paste: its facts, its picture and where its corner goes."""

    kind: ObjectKind
    name: str
    colour: str | None
    style: str
    sprite: Image.Image
    corner: tuple[int, int]

    @property
    def area(self) -> int:
        return int((np.asarray(self.sprite)[..., 3] > 127).sum())


def _alpha_on(cut: _Cut, size_wh: tuple[int, int]) -> Pixels:
    layer = Image.new("L", size_wh, 0)
    layer.paste(cut.sprite.getchannel("A"), cut.corner)
    return np.asarray(layer)


def _arranged(rng: np.random.Generator, size_wh: tuple[int, int]) -> list[_Cut]:
    """The scene's things from back to front, none hidden more than allowed."""
    kinds, cuts = _cast(rng), []
    margin = 0.08 if rng.random() < 0.3 else -0.02  # some scenes let the border cut things
    near = rng.random() < 0.4  # some scenes put a thing close to another
    for kind in kinds:
        for attempt in range(14):
            scale = rng.uniform(*SIZE) * 0.93**attempt
            scale = max(SIZE[0], min(scale, 0.85 * min(size_wh) / max(size_wh)))
            bare = _cut_out(rng, kind, scale * max(size_wh))
            spot = _spot(rng, size_wh, bare.sprite.size, cuts, margin, near)
            cut = _Cut(bare.kind, bare.name, bare.colour, bare.style, bare.sprite, spot)
            if _all_seen([*cuts, cut], size_wh):
                cuts.append(cut)
                break
    by_foot = sorted(cuts, key=_foot)
    return by_foot if _all_seen(by_foot, size_wh) else cuts


def _foot(cut: _Cut) -> int:
    return cut.corner[1] + cut.sprite.size[1]


def _all_seen(cuts: list[_Cut], size_wh: tuple[int, int]) -> bool:
    owner = np.zeros(size_wh[::-1], np.int32)
    for number, cut in enumerate(cuts, 1):
        owner[_alpha_on(cut, size_wh) > 127] = number
    seen = np.bincount(owner.ravel(), minlength=len(cuts) + 1)[1:]
    return all(n >= max(20, (1 - COVER) * cut.area) for n, cut in zip(seen, cuts, strict=True))


def _cast(rng: np.random.Generator) -> list[ObjectKind]:
    """Who appears: different kinds, then in some scenes copies of one of them."""
    pool = list(load_vocabulary().objects)
    wanted = int(rng.integers(OBJECTS[0], OBJECTS[1] + 1))
    if rng.random() >= ALIKE:
        return [pool[i] for i in rng.permutation(len(pool))[:wanted]]
    copies = min(wanted, 2 + int(rng.geometric(0.6)) - 1)
    picked = [pool[i] for i in rng.permutation(len(pool))[: wanted - copies + 1]]
    return [picked[0]] * copies + picked[1:]


def _spot(
    rng: np.random.Generator,
    size_wh: tuple[int, int],
    own: tuple[int, int],
    cuts: list[_Cut],
    margin: float,
    near: bool,
) -> tuple[int, int]:
    """The corner, of five at random, that lies farthest from the things there already; or one at
    the edge of such a thing."""
    if cuts and near and rng.random() < 0.5:
        other = cuts[rng.integers(len(cuts))]
        angle = rng.uniform(0, 2 * np.pi)
        reach = (np.array(other.sprite.size) + own) * rng.uniform(0.3, 0.5)
        centre = np.array(other.corner) + np.array(other.sprite.size) / 2
        place = centre + reach * (np.cos(angle), np.sin(angle)) - np.array(own) / 2
        limits = np.array(size_wh) - np.array(own) * (1 - max(0.0, margin))
        low = -np.array(own) * max(0.0, margin)
        return tuple(int(v) for v in np.clip(place, low, np.maximum(low, limits)))  # type: ignore[return-value]
    room = np.array(size_wh) - own
    spread = np.array(own) * max(margin, 0.0) * 4
    tries = rng.uniform(-spread, np.maximum(room, 0) + spread, (5, 2))
    if not cuts:
        return int(tries[0, 0]), int(tries[0, 1])
    centres = np.array([np.array(c.corner) + np.array(c.sprite.size) / 2 for c in cuts])
    gaps = [np.linalg.norm(centres - (t + np.array(own) / 2), axis=1).min() for t in tries]
    best = tries[int(np.argmax(gaps))]
    return int(best[0]), int(best[1])


def _cut_out(rng: np.random.Generator, kind: ObjectKind, side: float) -> _Cut:
    """One sprite, coloured, turned, resized; its corner is set later."""
    name = kind.sprites[rng.integers(len(kind.sprites))]
    row = sprite_table()[name]
    style = "noto" if "noto" in row and rng.random() < NOTO else "fluent"
    colour = row["colour"] if row["colour_share"] >= 0.55 and style == "fluent" else None
    if kind.paintable:
        colour = list(TARGETS)[rng.integers(len(TARGETS))]
    drawn = _hued(name, style, colour if kind.paintable else None)
    if rng.random() < 0.5:
        drawn = drawn.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    turned = drawn.rotate(float(rng.triangular(-28, 0, 28)), Image.Resampling.BICUBIC, expand=True)
    tight = turned.crop(turned.getchannel("A").point(lambda a: 255 * (a > 20)).getbbox())
    ratio = side / max(tight.size)
    size = tuple(max(2, round(v * ratio)) for v in tight.size)
    return _Cut(kind, name, colour, style, tight.resize(size, Image.Resampling.LANCZOS), (0, 0))


@cache
def _hued(name: str, style: str, colour: str | None) -> Image.Image:
    """A sprite with all its hues turned until its commonest vivid one is the colour's."""
    rgba = Image.fromarray(load_sprite(name, style))
    if colour is None:
        return rgba
    hsv = np.asarray(rgba.convert("RGB").convert("HSV")).astype(np.float32)
    solid = np.asarray(rgba)[..., 3] > 128
    vivid = solid & (hsv[..., 1] > 90)
    counts = np.bincount(hsv[..., 0][vivid].astype(int), minlength=256).astype(float)
    smooth = sum(np.roll(counts, k) for k in range(-6, 7))
    hue, value, saturation = TARGETS[colour]
    turned = (hsv[..., 0] + hue * 256 / 360 - float(np.argmax(smooth))) % 256
    main = np.abs((turned - hue * 256 / 360 + 128) % 256 - 128) < 26
    body = main & (hsv[..., 1] > 50)
    for channel, aim in ((2, value), (1, saturation)):
        mean = hsv[..., channel][body & solid].mean() / 255
        hsv[..., channel] = np.where(body, hsv[..., channel] * aim / mean, hsv[..., channel])
    hsv[..., 0] = turned
    painted = _from_hsv(hsv.clip(0, 255).astype(np.uint8))
    painted.putalpha(rgba.getchannel("A"))
    return painted


def _from_hsv(hsv: Pixels) -> Image.Image:
    bands = [Image.fromarray(np.ascontiguousarray(hsv[..., k])) for k in range(3)]
    return Image.merge("HSV", bands).convert("RGB")


class _Lamp:
    """One lamp: where shadows fall, and how light falls off over the picture."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.shear, self.squash = rng.uniform(-0.9, 0.9), rng.uniform(0.2, 0.6)
        self.soft, self.dark = rng.uniform(0.01, 0.06), rng.uniform(0.0, 0.6)
        self.from_xy = rng.uniform(-0.2, 1.2, 2)
        self.drop = rng.uniform(0.0, 0.45) if rng.random() < 0.6 else 0.0
        self.warmth = rng.normal(0, 0.05)

    def shade(self, picture: Image.Image, cut: _Cut) -> None:
        """A sheared, squashed, blurred copy of the outline, from the foot of the thing."""
        if self.dark < 0.1:
            return
        (w, h), (x, y) = cut.sprite.size, cut.corner
        foot = y + h
        # From picture to sprite: rows are stretched away from the foot, columns slide with them.
        k = 1 / self.squash
        inverse = (1, self.shear * k, -x - self.shear * k * foot, 0, k, h - k * foot)
        outline = cut.sprite.getchannel("A").transform(
            picture.size, Image.Transform.AFFINE, inverse, Image.Resampling.BILINEAR
        )
        soft = outline.filter(ImageFilter.GaussianBlur(max(1.0, self.soft * max(w, h))))
        dark = ImageChops.multiply(picture, Image.new("RGB", picture.size, (20, 20, 28)))
        picture.paste(dark, (0, 0), soft.point(lambda a: int(a * self.dark)))

    def fall(self, pixels: Pixels) -> Pixels:
        """Light that falls off with the distance from the lamp, warmer or colder."""
        height, width = pixels.shape[:2]
        x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
        far = np.hypot(x - self.from_xy[0], y - self.from_xy[1])
        gain = 1.08 - self.drop * far**1.3 + 0.25 * self.drop
        return pixels * gain[..., None] * (1 + self.warmth, 1.0, 1 - self.warmth)


def _ground(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    if rng.random() < 0.3:
        files = background_files(heldout=True)
        photo = Image.open(files[rng.integers(len(files))]).convert("RGB")
        span = min(photo.size[0] / width, photo.size[1] / height) * rng.uniform(0.6, 1.0)
        w, h = width * span, height * span
        x, y = rng.uniform(0, photo.size[0] - w), rng.uniform(0, photo.size[1] - h)
        box = (x, y, x + w, y + h)
        return photo.resize((width, height), Image.Resampling.BICUBIC, box)
    makers = (_noise, _bricks, _dots, _rings, _table)
    pixels = makers[rng.integers(len(makers))](rng, width, height)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _tone(rng: np.random.Generator) -> Pixels:
    return rng.uniform(50, 235) + rng.normal(0, 28, 3)


def _noise(rng: np.random.Generator, width: int, height: int) -> Pixels:
    """Noise with a falling spectrum between two tones: cloud, stone, cloth."""
    white = np.fft.rfft2(rng.normal(size=(height, width)))
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    power = np.hypot(fy * rng.uniform(0.3, 3), fx) + 1 / max(width, height)
    smooth = np.fft.irfft2(white / power ** rng.uniform(0.8, 2.0), s=(height, width))
    share = 1 / (1 + np.exp(-2 * (smooth - smooth.mean()) / smooth.std()))
    a, b = _tone(rng), _tone(rng)
    return a + (b - a) * share[..., None] * rng.uniform(0.2, 0.8)


def _bricks(rng: np.random.Generator, width: int, height: int) -> Pixels:
    y, x = np.mgrid[0:height, 0:width]
    high = rng.uniform(0.04, 0.12) * max(width, height)
    long = high * rng.uniform(1.5, 3)
    row = (y // high).astype(int)
    column = ((x + (row % 2) * long / 2) // long).astype(int)
    vary = rng.normal(0, 10, (row.max() + 1, column.max() + 1))[row, column]
    mortar = (y % high < high * 0.1) | ((x + (row % 2) * long / 2) % long < high * 0.1)
    return np.where(mortar[..., None], _tone(rng), _tone(rng) + vary[..., None])


def _dots(rng: np.random.Generator, width: int, height: int) -> Pixels:
    y, x = np.mgrid[0:height, 0:width]
    step = rng.uniform(0.05, 0.14) * max(width, height)
    far = np.hypot(x % step - step / 2, (y + (x // step % 2) * step / 2) % step - step / 2)
    return np.where((far < step * rng.uniform(0.15, 0.35))[..., None], _tone(rng), _tone(rng))


def _rings(rng: np.random.Generator, width: int, height: int) -> Pixels:
    y, x = np.mgrid[0:height, 0:width] / max(width, height)
    centre = rng.uniform(-0.5, 1.5, 2)
    wave = np.sin(np.hypot(y - centre[0], x - centre[1]) * rng.uniform(15, 60))
    a = _tone(rng)
    return a + wave[..., None] * rng.normal(0, 18, 3) + rng.normal(0, 4, (height, width, 1))


def _table(rng: np.random.Generator, width: int, height: int) -> Pixels:
    """A cloudy wall behind a table with a level far edge."""
    wall = _noise(rng, width, height)
    far = int(height * rng.uniform(0.25, 0.7))
    y = np.linspace(0, 1, height - far)[:, None, None]
    wall[far:] = _tone(rng) * (0.75 + 0.35 * y) + rng.normal(0, 3, (height - far, width, 1))
    return wall


def _camera(rng: np.random.Generator, pixels: Pixels) -> Pixels:
    """A curve, coarse chroma noise, motion blur and lost resolution, each in some pictures."""
    curve = rng.uniform(-0.15, 0.2)
    share = np.clip(pixels / 255, 0, 1)
    share = share + curve * (share**2 * (3 - 2 * share) - share)
    if rng.random() < 0.4:
        coarse = rng.normal(0, 0.02, (share.shape[0] // 2 + 1, share.shape[1] // 2 + 1, 3))
        share = share + coarse.repeat(2, 0).repeat(2, 1)[: share.shape[0], : share.shape[1]]
    image = Image.fromarray((share * 255).clip(0, 255).astype(np.uint8))
    if rng.random() < 0.25:
        small = tuple(max(32, round(v * rng.uniform(0.5, 0.8))) for v in image.size)
        image = image.resize(small, Image.Resampling.BOX).resize(image.size)
    if rng.random() < 0.2:
        moved = ImageChops.offset(image, int(rng.integers(1, 3)), int(rng.integers(0, 2)))
        image = Image.blend(image, moved, 0.5)
    return np.array(image)
