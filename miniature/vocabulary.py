"""The words and objects the miniature models know, read from ``vocabulary.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class ObjectKind:
    """One kind of object: its noun, category, sprite names and whether it may be repainted."""

    noun: str
    category: str
    sprites: tuple[str, ...]
    paintable: bool


@dataclass(frozen=True)
class Vocabulary:
    """The words that the miniature knows; each field is a tuple of words."""

    objects: tuple[ObjectKind, ...]
    colours: tuple[str, ...]
    paint_colours: tuple[str, ...]
    sizes: tuple[str, ...]
    sides: tuple[str, ...]
    relations: tuple[str, ...]
    categories: tuple[str, ...]

    @property
    def nouns(self) -> tuple[str, ...]:
        """The head nouns, in file order."""
        return tuple(kind.noun for kind in self.objects)


@cache
def load_vocabulary() -> Vocabulary:
    """Read ``vocabulary.json`` beside this file."""
    raw = json.loads((HERE / "vocabulary.json").read_text(encoding="utf-8"))
    objects = tuple(
        ObjectKind(o["noun"], o["category"], tuple(o["sprites"]), o["paintable"])
        for o in raw["objects"]
    )
    lists = {key: tuple(raw[key]) for key in Vocabulary.__dataclass_fields__ if key != "objects"}
    return Vocabulary(objects=objects, **lists)
