"""Batches for the miniature LVLM: patch labels for its tower, packed exchanges for its language.

Several exchanges about one picture are packed behind one copy of its image tokens; a mask keeps
them apart and every exchange counts its positions from the end of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch import Tensor

from ...grounding.families.geometry import pad_to_square
from ..composer import WIDE, compose_wide
from ..phrases import COLUMNS, ROWS
from ..scenes import Scene, SceneObject, SceneSettings, compose
from ..vocabulary import load_vocabulary
from ..wide_phrases import wide_exchanges

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SIDE, PATCH = 384, 16
GRID = SIDE // PATCH
MEAN, STD = 0.5, 0.25
PREFIX = "a picture :"
GREY = (127, 127, 127)  # what pads a picture to a square
# More alike things than the default scenes have: only they need sizes, ordinals and relations.
SCENES = SceneSettings(objects=(2, 5), twins=0.7, triples=0.4)
NARROW = 0.15  # share of training scenes by the narrow composer
IGNORE = -100


def training_scene(split: str, seed: int) -> Scene:
    """A wide scene of any shape or, sometimes, one of the narrow composer."""
    rng = np.random.default_rng([19, seed])
    if rng.random() < NARROW:
        return compose(split, seed, SCENES)
    return compose_wide(split, seed, WIDE)


def square_view(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Picture ``(SIDE, SIDE, 3)`` and instance map ``(SIDE, SIDE)`` as the tower sees them: padded
    to a square and resized; -1 marks the padding of the map."""
    image, _ = pad_to_square(scene.image, GREY)
    side, (height, width) = len(image), scene.instances.shape
    owner = np.full((side, side), -1, np.int32)
    top, left = (side - height) // 2, (side - width) // 2
    owner[top : top + height, left : left + width] = scene.instances
    if side == SIDE:
        return image, owner
    resized = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    return resized, cv2.resize(owner, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)


def normalise(images: np.ndarray) -> Tensor:
    """``(B, H, W, 3)`` uint8 to the tower's ``(B, 3, H, W)`` float32."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255
    return (pixels - MEAN) / STD


def label_groups() -> dict[str, tuple[str, ...]]:
    """The words a patch is labelled with, by group; each group is one choice."""
    words = load_vocabulary()
    return {
        "thing": ("nothing", *words.nouns),
        "colour": ("plain", *words.colours),
        "size": ("medium", *words.sizes),
        "category": tuple(words.categories),
        "row": ROWS,
        "column": COLUMNS,
    }


def _object_labels(item: SceneObject | None, groups: dict[str, tuple[str, ...]]) -> list[int]:
    if item is None:
        return [0, IGNORE, IGNORE, IGNORE]
    said = (item.noun, item.colour or "plain", item.size or "medium", item.category)
    names = ("thing", "colour", "size", "category")
    return [groups[name].index(word) for name, word in zip(names, said, strict=True)]


def patch_labels(owner: np.ndarray, objects: tuple[SceneObject, ...]) -> np.ndarray:
    """``(GRID * GRID, 6)`` int64 in the order of :func:`label_groups`, from a square instance map.

    A patch belongs to the object that covers at least 40% of it and to the background below 10%;
    in between its thing is not a target. Padding is background without row or column.
    """
    groups = label_groups()
    table = np.array([_object_labels(o, groups) for o in (None, *objects)])
    cells = owner.reshape(GRID, PATCH, GRID, PATCH).swapaxes(1, 2).reshape(GRID**2, -1)
    counts = np.stack(
        [(cells == k).mean(1) for k in range(1, len(objects) + 1)] or [cells[:, 0] * 0.0]
    )
    chosen = np.where(counts.max(0) >= 0.4, counts.argmax(0) + 1, 0)
    labels = table[chosen]
    labels[(chosen == 0) & (counts.max(0) > 0.1), 0] = IGNORE
    return np.column_stack([labels, *_thirds((cells >= 0).mean(1) > 0.5)])


def _thirds(shown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which third of the picture's rows and columns a patch is in, IGNORE in the padding."""
    grid, out = shown.reshape(GRID, GRID), []
    for axis in (0, 1):
        inside = np.flatnonzero(grid.any(1 - axis))
        place = np.arange(GRID) - inside[0]
        third = np.clip(place * 3 // len(inside), 0, 2)
        spread = np.broadcast_to(third[:, None] if axis == 0 else third, grid.shape)
        out.append(np.where(grid, spread, IGNORE).ravel())
    return out[0], out[1]


def tower_batch(split: str, seeds: list[int]) -> tuple[Tensor, Tensor]:
    """Pixels and patch labels of the scenes and, since drawing is slow, of their mirror images."""
    images, labels = [], []
    for seed in seeds:
        scene = training_scene(split, seed)
        image, owner = square_view(scene)
        for view, map_ in ((image, owner), (image[:, ::-1], np.ascontiguousarray(owner[:, ::-1]))):
            images.append(view)
            labels.append(patch_labels(map_, scene.objects))
    return normalise(np.stack(images)), torch.from_numpy(np.stack(labels))


@dataclass(frozen=True, eq=False)
class Packed:
    """One batch of packed exchanges and the patch labels ``(B, GRID * GRID, 6)`` of its pictures.

    ``ids``, ``targets``, ``segment`` and ``offset`` are ``(B, T)`` int64: words, the next word
    where it is an answer (else -100), which exchange a word belongs to (-1 = padding), and its
    place in that exchange.
    """

    pixels: Tensor
    ids: Tensor
    targets: Tensor
    segment: Tensor
    offset: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> Packed:
        """The batch on another device."""
        fields = (self.pixels, self.ids, self.targets, self.segment, self.offset, self.labels)
        return Packed(*(t.to(device) for t in fields))


def pack_scene(
    scene: Scene, rng: np.random.Generator, tokenizer: PreTrainedTokenizerFast, count: int
) -> np.ndarray:
    """``(4, T)``: ids, targets, segment, offset of `count` exchanges about a scene."""
    columns: list[list[int]] = [[], [], [], []]
    for number, exchange in enumerate(wide_exchanges(scene, rng, count)):
        asked = tokenizer(exchange.prompt, add_special_tokens=False)["input_ids"]
        told = tokenizer(exchange.answer, add_special_tokens=False)["input_ids"]
        told = [*told, tokenizer.eos_token_id]
        ids = [*asked, *told[:-1]]
        columns[0] += ids
        columns[1] += [IGNORE] * (len(asked) - 1) + told
        columns[2] += [number] * len(ids)
        columns[3] += range(len(ids))
    return np.array(columns)


def language_batch(
    split: str, seeds: list[int], tokenizer: PreTrainedTokenizerFast, count: int
) -> Packed:
    """Scenes with `count` exchanges each, padded to one length."""
    scenes = [training_scene(split, seed) for seed in seeds]
    packs = [
        pack_scene(scene, np.random.default_rng([17, seed]), tokenizer, count)
        for scene, seed in zip(scenes, seeds, strict=True)
    ]
    longest = max(pack.shape[1] for pack in packs)
    out = np.tile(
        np.array([tokenizer.pad_token_id, IGNORE, -1, 0])[None, :, None], (len(packs), 1, longest)
    )
    for row, pack in zip(out, packs, strict=True):
        row[:, : pack.shape[1]] = pack
    ids, targets, segment, offset = torch.from_numpy(out).unbind(1)
    views = [square_view(scene) for scene in scenes]
    labels = np.stack(
        [
            patch_labels(owner, scene.objects)
            for scene, (_, owner) in zip(scenes, views, strict=True)
        ]
    )
    pixels = normalise(np.stack([image for image, _ in views]))
    return Packed(pixels, ids, targets, segment, offset, torch.from_numpy(labels))
