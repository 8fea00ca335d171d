"""A model with planted localization heads, and pictures with phrases it knows."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from groundbrush.grounding.errors import GroundingError
from groundbrush.grounding.families import ImageTokens
from groundbrush.multiobject.export.rle import encode_rle
from PIL import Image

LAYERS, HEADS, CELLS, SIDE = 6, 5, 8, 64
PLANTED = ((3, 1), (4, 2), (5, 0))
EARLY, FAINT = (1, 3), (4, 4)  # compact, but in a skipped layer; compact, but hardly looking


class PlantedLVLM:
    """Planted heads look at the square the phrase names; others scatter; two are decoys."""

    n_layers, n_heads = LAYERS, HEADS

    def __init__(self) -> None:
        self.encoded = 0

    def encode(self, image: np.ndarray, *, all_layers: bool = False) -> SimpleNamespace:
        assert all_layers
        self.encoded += 1
        tokens = ImageTokens(0, (CELLS, CELLS), (0.0, 0.0, SIDE, SIDE))
        return SimpleNamespace(size_wh=(SIDE, SIDE), tokens=tokens, layers=LAYERS)

    def head_rows(self, encoded, phrases: Sequence[str], heads=None) -> list[np.ndarray]:
        return [self._rows(phrase) for phrase in phrases]

    def _rows(self, phrase: str) -> np.ndarray:
        if phrase.startswith("unknown"):
            raise GroundingError(f"no word of {phrase!r} is known; say it otherwise")
        row, column = (int(v) for v in phrase.split()[-2:])
        rng = np.random.default_rng([row, column])
        rows = (rng.random((LAYERS, HEADS, CELLS, CELLS)) < 0.3) * 0.005
        rows *= rng.uniform(0.2, 1.2, (LAYERS, HEADS, 1, 1))  # a curve with an elbow
        for layer, head in (*PLANTED, EARLY, FAINT):
            rows[layer, head] = 0.0002
            bright = 0.004 if (layer, head) == FAINT else 0.2
            rows[layer, head, row : row + 2, column : column + 2] = bright
        return rows.astype(np.float32)


@pytest.fixture
def planted() -> PlantedLVLM:
    return PlantedLVLM()


@pytest.fixture
def squares(tmp_path: Path) -> Callable[..., Path]:
    """JSONL of pictures with two phrases each; their masks are known unless asked otherwise."""

    def write(count: int, *, truth: bool = True, name: str = "data") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        rng, rows = np.random.default_rng(3), []
        for number in range(count):
            image = f"{number // 2}.png"
            Image.fromarray(np.full((SIDE, SIDE, 3), number, np.uint8)).save(folder / image)
            row, column = rng.integers(0, CELLS - 2, 2).tolist()
            mask = np.zeros((SIDE, SIDE), bool)
            mask[8 * row : 8 * row + 16, 8 * column : 8 * column + 16] = True
            line = {"image": image, "phrase": f"the square {row} {column}"}
            rows.append({**line, "mask": encode_rle(mask)} if truth else line)
        (folder / "examples.jsonl").write_text("\n".join(map(json.dumps, rows)))
        return folder

    return write
