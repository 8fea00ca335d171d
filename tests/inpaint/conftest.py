"""Fixtures: tiny random models saved once and reloaded offline, and a painter without a model."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from groundbrush.inpaint import Inpainter, InpaintSettings, load_inpainter

# The tiny models' module lies beside; pytest's importlib mode would not find it.
sys.path.insert(0, str(Path(__file__).parent))

QUICK = InpaintSettings(
    steps=3, guidance=2.0, size=64, buckets="square", min_context=4, feather=2, dilate=2
)


class NoisePainter:
    """Returns seeded noise everywhere, as a model that drifts as badly as one can."""

    def __init__(self) -> None:
        self.calls: list[dict] = []

    def paint(self, image, mask, prompt, *, seed, settings, on_step, cancelled):
        self.calls.append({"image": image, "mask": mask, "prompt": prompt, "seed": seed})
        noise = np.random.default_rng(seed).integers(0, 256, image.shape, dtype=np.uint8)
        return noise

    def cut_off(self, prompt):
        return ""


@pytest.fixture
def painter() -> NoisePainter:
    return NoisePainter()


@pytest.fixture(scope="session")
def quick() -> InpaintSettings:
    return QUICK


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory) -> Path:
    from tiny_inpainter import save_tiny

    return save_tiny(tmp_path_factory.mktemp("inpaint") / "nine", 9)


@pytest.fixture(scope="session")
def four_folder(tmp_path_factory) -> Path:
    from tiny_inpainter import save_tiny

    return save_tiny(tmp_path_factory.mktemp("inpaint") / "four", 4)


@pytest.fixture(scope="session")
def miniature_folder(tmp_path_factory) -> Path:
    from tiny_inpainter import save_tiny

    return save_tiny(tmp_path_factory.mktemp("inpaint") / "zero", 9, zero_terminal=True)


@pytest.fixture(scope="session")
def nine(tiny_folder) -> Inpainter:
    return load_inpainter(tiny_folder, offline=True)


@pytest.fixture(scope="session")
def four(four_folder) -> Inpainter:
    return load_inpainter(four_folder, offline=True)


@pytest.fixture(scope="session")
def zero(miniature_folder) -> Inpainter:
    return load_inpainter(miniature_folder, offline=True)


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (48, 80, 3), dtype=np.uint8)


@pytest.fixture
def hole() -> np.ndarray:
    mask = np.zeros((48, 80), bool)
    mask[20:30, 30:45] = True
    return mask
