"""What several packages' tests share: the miniature editor, loaded once, and a scene it knows."""

from __future__ import annotations

import gc
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from groundbrush import Editor
from groundbrush.grounding.errors import GroundingError
from groundbrush.grounding.families import ImageTokens
from groundbrush.miniature.phrases import Expression, expressions
from groundbrush.miniature.scenes import Scene, compose
from groundbrush.multiobject.export.rle import encode_rle
from hypothesis import HealthCheck, settings
from PIL import Image

# A machine that is busy with something else is no mistake of ours, and whether a change passes must
# not depend on luck: the same examples each time. New ones are drawn by
# `pytest -m hypothesis --hypothesis-profile explore`.
_CALM: Any = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("repeatable", derandomize=True, **_CALM)
settings.register_profile("explore", **_CALM)
settings.load_profile("explore" if os.environ.get("GROUNDBRUSH_FUZZ") else "repeatable")


@pytest.fixture(scope="module", autouse=True)
def _libraries_are_not_searched_for_garbage() -> None:
    """A collection over torch and transformers takes most of a second, and a batch asks for one."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def miniature() -> Editor:
    """The real embedded models."""
    return Editor.load("miniature", device="cpu", offline=True)


def easy_scene(seed: int) -> tuple[Scene, Expression]:
    """A held-out scene and the name of one of its objects that has no twin."""
    while True:
        scene = compose("heldout", seed)
        asked = [
            e for i in range(len(scene.objects)) for e in expressions(scene, i) if e.kind == "name"
        ]
        if asked:
            return scene, asked[0]
        seed += 1


@pytest.fixture(scope="session")
def scene_file(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Scene, Expression]:
    """A held-out scene as a PNG, with a phrase for one of its objects."""
    scene, asked = easy_scene(4)
    path = tmp_path_factory.mktemp("scenes") / "scene.png"
    Image.fromarray(np.ascontiguousarray(scene.image)).save(path)
    return path, scene, asked


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: flushing to a busy disk takes seconds."""
    disk = Path("/dev/shm")
    if not disk.is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=disk) as folder:
        yield Path(folder)


# A model with planted localization heads, and pictures with phrases it knows.
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
    """JSONL of pictures with two phrases each; their masks are known unless `truth` is false."""

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


# Files of two seconds and more: they load models, start processes or draw many examples.
SLOW = (
    "app/page/ app/http/test_server.py benchmarks/ docs/test_examples.py docs/test_several.py "
    "editor/batch/test_checking.py editor/batch/test_command.py editor/batch/test_crashes.py "
    "editor/batch/test_places.py editor/batch/test_ray.py editor/batch/test_review_browser.py "
    "editor/batch/test_run.py editor/cli/ editor/evaluation/ editor/models/test_first_use.py "
    "editor/test_accounted_for.py editor/test_api.py editor/test_apply.py "
    "editor/test_backend_presets.py editor/test_editing editor/test_journal.py "
    "editor/test_neighbours.py editor/test_plan editor/test_threads.py grounding/attention/ "
    "grounding/families/ grounding/heads/test_ranking.py grounding/localize/test_ambiguity.py "
    "grounding/sam/ inpaint/device/ inpaint/painter/ miniature/ multiobject/test_ground_all.py "
    "multiobject/test_phrases.py promises/ robustness/ test_security.py"
).split()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make test-fast` leaves out."""
    tests = Path(__file__).parent
    for item in items:
        name = item.path.relative_to(tests).as_posix()
        if name.startswith(tuple(SLOW)) or "miniature" in getattr(item, "fixturenames", ()):
            item.add_marker("slow")
