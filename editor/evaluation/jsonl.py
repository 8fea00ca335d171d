"""Read pictures with phrases from JSON lines: your own, the composed scenes, the public code's.

One object a line. ``image`` (or ``image_path``) and ``phrase`` (or ``prompt``) are needed; the
public code of the paper writes ``{"id", "prompt", "image"}``. Truth is optional: ``box`` (xyxy) or
``bbox`` (COCO's xywh), and ``mask``: a mask picture's path, COCO run lengths, or polygons.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import GroundbrushError, one_line
from ..files import open_regular
from .items import KINDS, Box, Item, query_kind
from .true_masks import MaskFile, Polygons, Truth, coco_truth

FILE = "examples.jsonl"
_OWN_KINDS = {
    **{kind: kind for kind in KINDS},
    "category": "name",
    **dict.fromkeys(("colour", "color", "size", "negated"), "attribute"),
    **dict.fromkeys(("side", "redundant", "place"), "relation"),
    "absent colour": "absent",
}
"""The composed scenes' finer types -> :data:`KINDS`."""


def read_examples(root: Path, split: str = "all") -> list[Item]:
    """Items of a JSONL file, or of the ``examples.jsonl`` in a folder.

    Paths are relative to the file's folder or to that folder's parent, as in the public code; a
    path that leads elsewhere is refused.

    Raises
    ------
    GroundbrushError
        For a missing file, or a line that is not as described; the line's number is named.
    """
    file = root / FILE if os.path.isdir(root) else root
    with open_regular(file, "JSON lines") as opened:
        lines = opened.read().decode("utf-8", "replace").splitlines()
    items: dict[str, Item] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            raw = json.loads(line)
            if not isinstance(raw, Mapping):
                raise ValueError(f"a {type(raw).__name__} and not an object")
            item = _item(raw, number, file.parent)
        except (
            GroundbrushError,
            ValueError,
            TypeError,
            KeyError,
            OverflowError,
            RecursionError,
            OSError,
        ) as error:
            raise GroundbrushError(
                f"line {number} of {str(file)!r}: {one_line(error)}; expected "
                '{"image": FILE, "phrase": WORDS} and, where known, "box", "mask" and "kind"'
            ) from error
        if split not in ("all", item.split):
            continue
        if item.id in items:
            raise GroundbrushError(
                f"{str(file)!r} has the id {item.id!r} twice; give every line its own, or none"
            )
        items[item.id] = item
    if not items:
        of_split = "" if split == "all" else f" of split {split!r}"
        raise GroundbrushError(f"{str(file)!r} has no examples{of_split}; expected one a line")
    return list(items.values())


def _item(raw: Mapping[str, Any], number: int, folder: Path) -> Item:
    phrase = _first(raw, "phrase", "prompt", "expression", "text")
    image = _inside(folder, _first(raw, "image", "image_path"))
    truth = _truth(raw.get("mask", raw.get("segmentation")), folder)
    kind = raw.get("kind")
    if kind == "absent" or (kind and _OWN_KINDS.get(str(kind)) == "absent"):
        truth = truth or Polygons(())
    if kind is not None and str(kind) not in _OWN_KINDS:
        raise ValueError(f"kind {kind!r} given; expected one of {', '.join(KINDS)}")
    return Item(
        id=str(raw.get("id", raw.get("name", number))),
        image=image,
        phrase=phrase,
        split=str(raw.get("split", "all")),
        kind=query_kind(phrase) if kind is None else _OWN_KINDS[str(kind)],
        box=_box(raw),
        truth=truth,
        group="" if kind is None else str(kind),
        target=str(raw.get("target", "")),
    )


def _first(raw: Mapping[str, Any], *names: str) -> str:
    for name in names:
        if isinstance(raw.get(name), str):
            return str(raw[name])
    raise ValueError(f"no {' or '.join(names)}")


def _inside(folder: Path, given: str) -> Path:
    """A file in the JSONL's folder or in its parent; other paths are refused."""
    bases = (folder.resolve(), folder.resolve().parent)
    for base in bases:
        path = Path(os.path.realpath(base / given))
        if path.is_relative_to(base) and os.path.isfile(path):
            return path
    if not any(Path(os.path.realpath(b / given)).is_relative_to(b) for b in bases):
        raise ValueError(f"{given!r} lies outside the folder of the file; copy it inside")
    raise ValueError(f"{given!r} is not there")


def _box(raw: Mapping[str, Any]) -> Box | None:
    if raw.get("box") is not None:
        x0, y0, x1, y1 = (float(v) for v in raw["box"])
        return x0, y0, x1, y1
    if raw.get("bbox") is not None:
        x, y, width, height = (float(v) for v in raw["bbox"])
        return x, y, x + width, y + height
    return None


def _truth(mask: Any, folder: Path) -> Truth | None:
    if mask is None:
        return None
    if isinstance(mask, str):
        return MaskFile(_inside(folder, mask))
    if isinstance(mask, (Mapping, Sequence)):
        return coco_truth(mask)
    raise ValueError(f"a mask of type {type(mask).__name__}")
