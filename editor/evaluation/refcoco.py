"""Read RefCOCO, RefCOCO+ and RefCOCOg as the ``refer`` toolkit publishes them.

``<root>/<name>/instances.json`` and ``<root>/<name>/refs(<partition>).p``; pictures are COCO's
train2014. Every sentence is an item.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import GroundbrushError
from ..files import open_regular
from .items import Item, query_kind
from .plain_pickle import load_plain_pickle
from .true_masks import coco_truth

IMAGE_FOLDERS = (
    "images/mscoco/images/train2014",
    "images/train2014",
    "train2014",
    "coco/train2014",
    "images",
)
"""Folders of pictures, below the root or below its parent."""

_LETTERED = ("testA", "testB", "testC")


def read_refcoco(root: Path, name: str, partition: str, split: str) -> list[Item]:
    """Items of one split.

    Raises GroundbrushError for missing or damaged files, or a split the file does not have.

    Parameters
    ----------
    root : The folder that holds ``refcoco/``, ``refcoco+/`` and ``refcocog/``.
    name, partition : Such as ``"refcoco"`` and ``"unc"``.
    split : ``train``, ``val``, ``test``, ``testA`` or ``testB``. As in the toolkit, the last two
        match by their last letter, so that "testAB" counts in both; ``test`` takes every test
        split.
    """
    folder = root / name if (root / name).is_dir() else root
    refs = load_plain_pickle(folder / f"refs({partition}).p")
    annotations, images = _instances(folder / "instances.json")
    pictures = _picture_folder(root)
    if not isinstance(refs, list) or not all(isinstance(r, dict) for r in refs):
        raise GroundbrushError(
            f"refs({partition}).p in {str(folder)!r} holds no list of references; get it again"
        )
    chosen = [ref for ref in refs if _in_split(_word(ref.get("split", "")), split)]
    if not chosen:
        there = ", ".join(sorted({_word(ref.get("split")) for ref in refs})) or "none"
        raise GroundbrushError(
            f"{name} ({partition}) has no split {split!r}; expected one of those in the file: "
            f"{there}"
        )
    try:
        return [
            item for ref in chosen for item in _items(ref, annotations, images, pictures, split)
        ]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise GroundbrushError(
            f"the files in {str(folder)!r} do not fit together ({error!r}); expected refs(...).p "
            "and instances.json of one publication; get both again"
        ) from error


def _word(value: Any) -> str:
    """A string or number as text, other values as their type (a hostile list may be huge)."""
    return str(value) if isinstance(value, str | int | float) else f"a {type(value).__name__}"


def _in_split(of_ref: str, wanted: str) -> bool:
    if wanted in _LETTERED:
        return "test" in of_ref and wanted[-1] in of_ref
    return wanted in of_ref if wanted == "test" else wanted == of_ref


def _instances(path: Path) -> tuple[dict[int, Mapping[str, Any]], dict[int, Mapping[str, Any]]]:
    """COCO's annotations and pictures by id."""
    try:
        with open_regular(path, "JSON") as file:
            raw = json.load(file)
        return (
            {int(a["id"]): a for a in raw["annotations"]},
            {int(i["id"]): i for i in raw["images"]},
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise GroundbrushError(
            f"{str(path)!r} cannot be read as COCO instances ({error!r}); get it again"
        ) from error


def _picture_folder(root: Path) -> Path:
    candidates = [base / name for base in (root, root.parent) for name in IMAGE_FOLDERS]
    for folder in candidates:
        if folder.is_dir():
            return folder
    raise GroundbrushError(
        f"no folder of COCO train2014 pictures below {str(root)!r}; expected one of "
        f"{', '.join(IMAGE_FOLDERS)}: move or link the pictures there"
    )


def _items(
    ref: Mapping[str, Any],
    annotations: Mapping[int, Mapping[str, Any]],
    images: Mapping[int, Mapping[str, Any]],
    pictures: Path,
    split: str,
) -> Iterator[Item]:
    truth, image = annotations[int(ref["ann_id"])], images[int(ref["image_id"])]
    x, y, width, height = (float(v) for v in truth["bbox"])
    size = int(image["width"]), int(image["height"])
    file = pictures / Path(str(image["file_name"])).name
    segmentation = coco_truth(truth["segmentation"])
    for sentence in ref["sentences"]:
        phrase = _word(sentence["sent"])
        if not phrase.strip():  # one of RefCOCO's is blank
            continue
        yield Item(
            id=f"{split}-{_word(sentence['sent_id'])}",
            image=file,
            phrase=phrase,
            split=split,
            kind=query_kind(phrase),
            box=(x, y, x + width, y + height),
            truth=segmentation,
            size_wh=size,
            target=_word(ref["ann_id"]),
        )
