"""Benchmarks by name: their splits and readers; ReasonSeg as LISA publishes it; JSON lines."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import GroundbrushError, one_line
from ..files import open_regular
from .items import KINDS, Box, Item, query_kind
from .refcoco import read_refcoco
from .true_masks import MaskFile, Polygons, Shapes, Truth, coco_truth

_BELOW = ("", "ReasonSeg", "reason_seg/ReasonSeg", "reasonseg")


def read_reasonseg(root: Path, split: str) -> list[Item]:
    """Items of one split: the first text of each picture, in group ``long`` if it is a sentence.

    Raises GroundbrushError for a missing split or a damaged file.
    """
    folder = next((root / b / split for b in _BELOW if (root / b / split).is_dir()), None)
    files = sorted(folder.glob("*.json")) if folder else []
    if not files:
        raise GroundbrushError(
            f"no ReasonSeg split {split!r} below {str(root)!r}; expected a folder "
            f"{split}/ with pictures and .json files"
        )
    return [_item(file, split) for file in files]


def _item(file: Path, split: str) -> Item:
    raw = _read(file)
    try:
        phrase = str(raw["text"][0])
        shapes = tuple(
            (str(s["label"]), tuple((float(x), float(y)) for x, y in s["points"]))
            for s in raw["shapes"]
        )
        group = "long" if raw["is_sentence"] else "short"
    except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        raise GroundbrushError(
            f"{str(file)!r} is not a ReasonSeg file ({error!r}); expected text, is_sentence and "
            "shapes; get it again"
        ) from error
    return Item(
        id=f"{split}-{file.stem}",
        image=file.with_suffix(".jpg"),
        phrase=phrase,
        split=split,
        kind="reasoning",
        truth=Shapes(shapes),
        group=group,
    )


def _read(file: Path) -> Any:
    with open_regular(file, "JSON") as opened:
        data = opened.read()
    # a few files were written on Windows
    for encoding in ("utf-8", "cp1252"):
        try:
            return json.loads(data.decode(encoding))
        except (ValueError, RecursionError):
            continue
    raise GroundbrushError(f"{str(file)!r} is not JSON in UTF-8 or cp1252; get it again")


FILE = "examples.jsonl"
_UNREADABLE = (ValueError, TypeError, RecursionError, OSError)
_OWN_KINDS = {
    **{kind: kind for kind in KINDS},
    "category": "name",
    **dict.fromkeys(("colour", "color", "size", "negated"), "attribute"),
    **dict.fromkeys(("side", "redundant", "place"), "relation"),
    "absent colour": "absent",
}
"""The composed scenes' finer types -> :data:`KINDS`."""


def read_examples(root: Path, split: str = "all") -> list[Item]:
    """Items of JSON lines, one object a line, in a file or in a folder's ``examples.jsonl``.

    They are your own, the composed scenes, or the public code's. ``image`` (or ``image_path``) and
    ``phrase`` (or ``prompt``) are needed. Truth is optional: ``box`` (xyxy) or ``bbox`` (COCO's
    xywh), and ``mask``: a mask picture's path, COCO run lengths, or polygons.

    Paths are relative to the file's folder or to that folder's parent, as in the public code; a
    path that leads elsewhere is refused. Raises GroundbrushError for a missing file, or a line that
    is not as described; the line's number is named.
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
            item = _example(raw, number, file.parent)
        except (GroundbrushError, ArithmeticError, LookupError, *_UNREADABLE) as error:
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


def _example(raw: Mapping[str, Any], number: int, folder: Path) -> Item:
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


Reader = Callable[[Path, str], Sequence[Item]]


@dataclass(frozen=True)
class Benchmark:
    """A benchmark's reader and its splits, in the order that they are usually reported."""

    name: str
    splits: tuple[str, ...]
    read: Reader


def _refcoco(name: str, partitions: Mapping[str, str]) -> dict[str, Benchmark]:
    return {
        one: Benchmark(
            f"{name} {one}",
            tuple(splits.split()),
            lambda root, split, one=one: read_refcoco(root, name, one, split),  # type: ignore[misc]
        )
        for one, splits in partitions.items()
    }


BENCHMARKS: Mapping[str, Mapping[str, Benchmark]] = {
    "refcoco": _refcoco("refcoco", {"unc": "val testA testB", "google": "val test"}),
    "refcoco+": _refcoco("refcoco+", {"unc": "val testA testB"}),
    "refcocog": _refcoco("refcocog", {"umd": "val test", "google": "val"}),
    "reasonseg": {"": Benchmark("reasonseg", ("val", "test"), read_reasonseg)},
    "scenes": {"": Benchmark("scenes", ("all",), read_examples)},
}
"""Name -> partition -> benchmark; the first partition is the usual one."""


def benchmark(name: str, partition: str | None = None) -> Benchmark:
    """A benchmark by name, ``refcoco`` and so on, in its usual partition or another.

    Raises GroundbrushError for an unknown name or partition; near names are suggested.
    """
    if name not in BENCHMARKS:
        near = difflib.get_close_matches(name, BENCHMARKS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise GroundbrushError(
            f"unknown benchmark {name!r}{hint} Expected one of {', '.join(BENCHMARKS)}"
        )
    partitions = BENCHMARKS[name]
    chosen = next(iter(partitions)) if partition is None else partition
    if chosen not in partitions:
        raise GroundbrushError(
            f"{name} has no partition {chosen!r}; expected {' or '.join(filter(None, partitions))}"
            if any(partitions)
            else f"{name} has no partitions; leave {chosen!r} out"
        )
    return partitions[chosen]


def read_items(chosen: Benchmark, root: Path, split: str | None = None) -> list[Item]:
    """Items of one split, or of all that are usually reported, in the files' order.

    Raises GroundbrushError for a missing folder or file, a damaged one, or a split without items.
    """
    if not os.path.exists(root):
        raise GroundbrushError(
            f"{str(root)!r} does not exist; expected the folder that holds {chosen.name.split()[0]}"
        )
    wanted = chosen.splits if split is None else (split,)
    return [item for one in wanted for item in chosen.read(root, one)]
