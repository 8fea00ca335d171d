"""Models with prescribed answers, so that scores are known before they are measured."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from groundbrush.grounding import GroundingSettings, ProposalSettings
from groundbrush.grounding.attention.reading import Reading
from groundbrush.grounding.errors import GroundingError
from groundbrush.grounding.families import ImageTokens
from groundbrush.grounding.pipeline import Grounder
from groundbrush.grounding.sam.coordinates import SquareFrame
from PIL import Image

SIDE, CELLS, LAYERS, HEADS = 64, 8, 4, 3
Cells = tuple[int, int, int, int]  # x0, y0, x1, y1 in cells of 8 pixels


class ToldLVLM:
    """Every head attends evenly to the cells given for its phrase; a head of `blind` elsewhere."""

    n_layers, n_heads = LAYERS, HEADS
    heads = ((1, 0), (2, 1))

    def __init__(self, told: Mapping[str, Cells], presence: Mapping[str, float]) -> None:
        self.told, self.answers, self.read_count = told, presence, 0

    def encode(self, image: np.ndarray, *, all_layers: bool = False) -> SimpleNamespace:
        height, width = image.shape[:2]
        tokens = ImageTokens(0, (CELLS, CELLS), (0.0, 0.0, float(width), float(height)))
        return SimpleNamespace(
            size_wh=(width, height), tokens=tokens, layers=LAYERS if all_layers else 3
        )

    def read(self, encoded, phrases: Sequence[str], heads=None) -> list[Reading]:
        self.read_count += len(phrases)
        readings = []
        for phrase in phrases:
            if phrase not in self.told:
                raise GroundingError(f"no word of {phrase!r} is known; say it otherwise")
            x0, y0, x1, y1 = self.told[phrase]
            one = np.full((CELLS, CELLS), 0.001, np.float32)
            one[y0:y1, x0:x1] = 0.9 / max(1, (x1 - x0) * (y1 - y0))
            count = (LAYERS, HEADS) if heads is None else (len(heads),)
            readings.append(
                Reading(
                    np.broadcast_to(one, (*count, CELLS, CELLS)).copy(),
                    self.answers.get(phrase, 1.0),
                )
            )
        return readings

    def head_rows(self, encoded, phrases: Sequence[str], heads=None) -> list[np.ndarray]:
        return [reading.rows for reading in self.read(encoded, phrases, heads)]


class BoxSegmenter:
    """Returns the box of the prompt as a mask, to the pixel."""

    def embed(self, image: np.ndarray) -> SimpleNamespace:
        size = image.shape[1::-1]
        return SimpleNamespace(frame=SquareFrame(size, SIDE, SIDE), size_wh=size)

    def prompt_logits(self, embedding, *, boxes=None, points=None, mask=None, multimask=True):
        logits = np.full((len(boxes), 1, SIDE, SIDE), -10, np.float32)
        for one, (x0, y0, x1, y1) in zip(logits, np.rint(boxes).astype(int), strict=True):
            one[0, y0:y1, x0:x1] = 10
        return logits, np.ones((len(boxes), 1), np.float32)

    def full_masks(self, embedding, logits, size_wh=None):
        return embedding.frame.masks(logits, size_wh)


@pytest.fixture
def told() -> Callable[..., Grounder]:
    """A grounder that finds each phrase exactly in the given cells."""

    def make(cells: Mapping[str, Cells], presence: Mapping[str, float] | None = None) -> Grounder:
        settings = GroundingSettings(
            sigma=0, refine=False, proposals=ProposalSettings(mode="paper")
        )
        return Grounder(ToldLVLM(cells, presence or {}), BoxSegmenter(), settings)

    return make


def square(x0: float, y0: float, x1: float, y1: float) -> list[float]:
    return [x0, y0, x1, y0, x1, y1, x0, y1]


def picture(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def refcoco_root(tmp_path: Path) -> Path:
    """RefCOCO as published: two pictures, three things, four sentences of val, one of testA."""
    root = tmp_path / "refer_seg"
    names = {7: "COCO_train2014_000000000007.jpg", 9: "COCO_train2014_000000000009.jpg"}
    for number, name in names.items():
        picture(root / "images/mscoco/images/train2014" / name, number)
    instances = {
        "images": [
            {"id": i, "file_name": n, "width": SIDE, "height": SIDE} for i, n in names.items()
        ],
        "annotations": [
            {
                "id": 70,
                "image_id": 7,
                "category_id": 1,
                "bbox": [0, 0, 32, 32],
                "segmentation": [square(0, 0, 32, 32)],
                "area": 1024,
                "iscrowd": 0,
            },
            {
                "id": 71,
                "image_id": 7,
                "category_id": 1,
                "bbox": [32, 32, 32, 32],
                "segmentation": [square(32, 32, 64, 48), square(32, 48, 64, 64)],
            },
            {
                "id": 90,
                "image_id": 9,
                "category_id": 2,
                "bbox": [0, 0, 16, 64],
                "segmentation": {"size": [SIDE, SIDE], "counts": [0, 16 * SIDE, 48 * SIDE]},
            },
        ],
    }

    def ref(number: int, ann: int, image: int, split: str, *phrases: str) -> dict:
        sentences = [
            {"sent_id": 10 * number + k, "sent": p, "raw": p.upper(), "tokens": p.split()}
            for k, p in enumerate(phrases)
        ]
        return {
            "ref_id": number,
            "ann_id": ann,
            "image_id": image,
            "category_id": 1,
            "split": split,
            "sentences": sentences,
            "sent_ids": [s["sent_id"] for s in sentences],
            "file_name": f"COCO_train2014_{image:012}_{number}.jpg",
        }

    refs = [
        ref(1, 70, 7, "val", "red mug", "mug on left"),
        ref(2, 71, 7, "val", "second mug"),
        ref(3, 90, 9, "val", "wall"),
        ref(4, 90, 9, "testA", "the wall"),
        ref(5, 90, 9, "testAB", "both"),
        ref(6, 90, 9, "train", "wall there"),
    ]
    (root / "refcoco").mkdir()
    (root / "refcoco/instances.json").write_text(json.dumps(instances))
    # as Python 2 wrote it: protocol 0
    (root / "refcoco/refs(unc).p").write_bytes(pickle.dumps(refs, protocol=0))
    return root


@pytest.fixture
def reasonseg_root(tmp_path: Path) -> Path:
    """ReasonSeg as published: a short and a long question, one file in cp1252."""
    root = tmp_path / "ReasonSeg"
    short = {
        "text": ["something to drink from", "another"],
        "is_sentence": False,
        "shapes": [
            {"label": "flag", "points": [[0, 0], [63, 0], [63, 63], [0, 63]]},
            {"label": "target", "points": [[0, 0], [31, 0], [31, 31], [0, 31]]},
            {"label": "ignore this", "points": [[0, 0], [31, 0], [31, 15], [0, 15]]},
        ],
    }
    long = {
        "text": ["What could keep a caf\u00e9 warm?"],
        "is_sentence": True,
        "shapes": [{"label": "target", "points": [[32, 32], [63, 32], [63, 63], [32, 63]]}],
    }
    for number, (name, raw, encoding) in enumerate(
        (("1_a", short, "utf-8"), ("2_b", long, "cp1252"))
    ):
        picture(root / "val" / f"{name}.jpg", number)
        text = json.dumps(raw, ensure_ascii=False)
        (root / "val" / f"{name}.json").write_bytes(text.encode(encoding))
    return root
