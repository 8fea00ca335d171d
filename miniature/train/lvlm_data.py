"""Batches for the miniature LVLM: patch labels for its tower, packed exchanges for its language.

Several exchanges about one picture are packed behind one copy of its image tokens; a mask keeps
them apart and every exchange counts its positions from the end of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..phrases import COLUMNS, ROWS, exchanges
from ..scenes import Scene, SceneObject, SceneSettings, compose
from ..vocabulary import load_vocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SIDE, PATCH = 256, 16
GRID = SIDE // PATCH
MEAN, STD = 0.5, 0.25
PREFIX = "a picture :"
# More alike things than the default scenes have: only they need sizes, ordinals and relations.
SCENES = SceneSettings(side=SIDE, objects=(2, 5), twins=0.7, triples=0.4)
IGNORE = -100


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


def patch_labels(scene: Scene) -> np.ndarray:
    """``(GRID * GRID, 6)`` int64 in the order of :func:`label_groups`.

    A patch belongs to the object that covers at least 40% of it and to the background below 10%;
    in between its thing is not asked for.
    """
    groups = label_groups()
    table = np.array([_object_labels(o, groups) for o in (None, *scene.objects)])
    cells = scene.instances.reshape(GRID, PATCH, GRID, PATCH).swapaxes(1, 2).reshape(GRID**2, -1)
    counts = np.stack([(cells == k).mean(1) for k in range(1, len(scene.objects) + 1)])
    owner = np.where(counts.max(0) >= 0.4, counts.argmax(0) + 1, 0)
    labels = table[owner]
    labels[(owner == 0) & (counts.max(0) > 0.1), 0] = IGNORE
    third = np.minimum(2, np.arange(GRID) * 3 // GRID)
    row, column = np.repeat(third, GRID), np.tile(third, GRID)
    return np.column_stack([labels, row, column])


def tower_batch(split: str, seeds: list[int]) -> tuple[Tensor, Tensor]:
    """Pixels and patch labels of the scenes and, since drawing is dear, of their mirror images."""
    images, labels = [], []
    for seed in seeds:
        scene = compose(split, seed, SCENES)
        if not scene.objects:
            continue
        mirrored = Scene(
            scene.image[:, ::-1],
            np.ascontiguousarray(scene.instances[:, ::-1]),
            scene.objects,
            scene.background,
        )
        for view in (scene, mirrored):
            images.append(view.image)
            labels.append(patch_labels(view))
    return normalise(np.stack(images)), torch.from_numpy(np.stack(labels))


@dataclass(frozen=True, eq=False)
class Packed:
    """One batch of packed exchanges.

    ``ids``, ``targets``, ``segment`` and ``offset`` are ``(B, T)`` int64: words, the next word
    where it is an answer (else -100), which exchange a word belongs to (-1 = padding), and its
    place in that exchange.
    """

    pixels: Tensor
    ids: Tensor
    targets: Tensor
    segment: Tensor
    offset: Tensor

    def to(self, device: torch.device) -> Packed:
        """The batch on another device."""
        fields = (self.pixels, self.ids, self.targets, self.segment, self.offset)
        return Packed(*(t.to(device) for t in fields))


def pack_scene(
    scene: Scene, rng: np.random.Generator, tokenizer: PreTrainedTokenizerFast, count: int
) -> np.ndarray:
    """``(4, T)``: ids, targets, segment, offset of `count` exchanges about a scene."""
    columns: list[list[int]] = [[], [], [], []]
    for number, exchange in enumerate(exchanges(scene, rng, count)):
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
    scenes = [compose(split, seed, SCENES) for seed in seeds]
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
    return Packed(normalise(np.stack([s.image for s in scenes])), ids, targets, segment, offset)
