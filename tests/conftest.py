"""What several packages' tests share: the miniature editor, loaded once, and a scene it knows."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from groundbrush import Editor
from groundbrush.miniature.phrases import Expression, expressions
from groundbrush.miniature.scenes import Scene, compose
from hypothesis import HealthCheck, settings
from PIL import Image

# A machine that is busy with something else is no mistake of ours, and whether a change passes must
# not depend on luck: the same examples each time. New ones are drawn by
# `pytest -m hypothesis --hypothesis-profile explore`.
_CALM: Any = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("repeatable", derandomize=True, **_CALM)
settings.register_profile("explore", **_CALM)
settings.load_profile("explore" if os.environ.get("GROUNDBRUSH_FUZZ") else "repeatable")


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
