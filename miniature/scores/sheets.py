"""Contact sheets of what went right and what went wrong, drawn again from the records' seeds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from ...editor.api import Editor
from ...editor.evaluation.sheet import in_rows, outline, tile
from .finding import asked_of, scene_of
from .journal import Record
from .painting import edit_of, paint

FOUND, TRUTH = (255, 40, 120), (40, 230, 90)


def outlined(image: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """A copy of the picture with the mask's border drawn."""
    outline(picture := image.copy(), mask, colour, 2)
    return picture


def finding_sheet(editor: Editor, records: list[Record], path: Path) -> None:
    """One tile a record: the true outline in green, the found one in pink."""
    grounder, tiles = editor.models.grounder(), []
    for record in records:
        scene = scene_of(record["seed"])
        target = next(
            e.target for e in asked_of(scene, record["seed"]) if e.text == record["phrase"]
        )
        found = grounder.ground(grounder.look(scene.image), record["phrase"])
        picture = scene.image
        if target is not None:
            picture = outlined(picture, scene.mask(target), TRUTH)
        if found.found:
            picture = outlined(picture, found.mask, FOUND)
        iou = f"IoU {record['iou']:.2f}, " if "iou" in record else ""
        tiles.append(tile(picture, record["phrase"], f"{iou}{found.status} ({record['kind']})"))
    save(tiles, path)


def painting_sheet(editor: Editor, records: list[Record], path: Path) -> None:
    """Two tiles a record: before, and after."""
    tiles = []
    for record in records:
        chosen = edit_of(record["seed"])
        assert chosen is not None  # records exist only for such seeds
        scene, target, noun, colour = chosen
        said = f"{colour} {noun}" if colour else noun
        after = paint(editor, scene, target, said, record["seed"]).image
        before = outlined(scene.image, scene.mask(target), FOUND)
        tiles += [tile(before, f"the {record['old']}"), tile(after, said, verdict(record))]
    save(tiles, path)


def save(tiles: list[Image.Image], path: Path) -> None:
    """Tiles in rows of six as one WebP picture; no file without any."""
    if tiles:
        path.parent.mkdir(parents=True, exist_ok=True)
        in_rows(tiles, 6).save(path, quality=85)


def verdict(record: Record) -> str:
    """What the judge said of an edit, in words."""
    faults = {
        "new one not found there": not record["new_in_hole"],
        "old one still found": not record["old_gone"],
        "another colour": record.get("colour_right") is False,
    }
    return ", ".join(name for name, holds in faults.items() if holds) or "passes"
