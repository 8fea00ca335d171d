"""Read ReasonSeg as LISA publishes it: pictures beside ``.json`` with shapes and questions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import GroundbrushError
from ..files import open_regular
from .items import Item
from .true_masks import Shapes

_BELOW = ("", "ReasonSeg", "reason_seg/ReasonSeg", "reasonseg")


def read_reasonseg(root: Path, split: str) -> list[Item]:
    """Items of one split: the first text of each picture, in group ``long`` if it is a sentence.

    Raises
    ------
    GroundbrushError
        For a missing split or a damaged file.
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
