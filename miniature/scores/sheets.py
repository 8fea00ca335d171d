"""Contact sheets of what went right and what went wrong, drawn again from the records' seeds."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ...editor.api import Editor
from .finding import asked_of, scene_of
from .journal import Record
from .painting import edit_of, paint

TILE, LABEL = 208, 34
FOUND, TRUTH = (255, 40, 120), (40, 230, 90)


def tile(image: np.ndarray, lines: list[str]) -> np.ndarray:
    """A picture at tile size with up to two lines under it."""
    canvas = Image.new("RGB", (TILE, TILE + LABEL), "white")
    canvas.paste(Image.fromarray(image).resize((TILE, TILE), Image.Resampling.LANCZOS))
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(12)
    for number, line in enumerate(lines[:2]):
        while draw.textlength(line, font=font) > TILE - 6:
            line = line[:-2] + "…"
        draw.text((3, TILE + 1 + 16 * number), line, fill="black", font=font)
    return np.asarray(canvas)


def sheet(tiles: list[np.ndarray], columns: int, path: Path) -> None:
    """Tiles in rows, as one WebP picture."""
    blank = np.full_like(tiles[0], 255)
    padded = tiles + [blank] * (-len(tiles) % columns)
    rows = [np.hstack(padded[k : k + columns]) for k in range(0, len(padded), columns)]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.vstack(rows)).save(path, quality=85)


def outlined(image: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """The picture with the mask's border drawn, two pixels wide."""
    lines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(image.copy(), lines, -1, colour, 2)


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
        tiles.append(tile(picture, [record["phrase"], f"{iou}{found.status} ({record['kind']})"]))
    if tiles:
        sheet(tiles, 6, path)


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
        tiles += [tile(before, [f"the {record['old']}"]), tile(after, [said, verdict(record)])]
    if tiles:
        sheet(tiles, 6, path)


def verdict(record: Record) -> str:
    """What the judge said of an edit, in words."""
    faults = {
        "new one not found there": not record["new_in_hole"],
        "old one still found": not record["old_gone"],
        "another colour": record.get("colour_right") is False,
    }
    return ", ".join(name for name, holds in faults.items() if holds) or "passes"
