"""Half precision on a CPU: the same places as float32, and recipes that name it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from groundbrush import Editor, open_picture
from groundbrush.editor.models import presets
from groundbrush.editor.models.presets import load_preset
from groundbrush.grounding.metrics import mask_iou

ROOT = Path(__file__).resolve().parents[3]
PARTS = ("lvlm", "segmenter", "inpainter")
PHRASES = ("the red apple", "the right apple", "the penguin")
SMALL = {"size": 64, "steps": 1, "strength": 1.0}


@pytest.fixture
def half(monkeypatch: pytest.MonkeyPatch) -> Editor:
    """The embedded models in bfloat16, which every processor can at least emulate."""
    monkeypatch.setattr(presets, "cpu_has_bfloat16", lambda: True)
    given = load_preset("miniature")
    parts: dict[str, Any] = {part: {**getattr(given, part), "dtype": "auto"} for part in PARTS}
    return Editor.load(dataclasses.replace(given, **parts), device="cpu", offline=True)


def test_bfloat16_finds_the_same_places_and_is_named_in_recipes(
    half: Editor, miniature: Editor
) -> None:
    image = open_picture(ROOT / "examples/demo.png")
    apart = []
    for phrase in PHRASES:
        ours, exact = (one.ground(image, phrase) for one in (half, miniature))
        assert (ours.status, half.models.grounder().lvlm.dtype.itemsize) == (exact.status, 2)
        assert ours.token_map.dtype == np.float32
        assert np.abs(ours.map - exact.map).max() < 0.05
        assert ours.presence == pytest.approx(exact.presence, abs=0.05)
        if exact.found:
            assert np.abs(np.subtract(ours.box, exact.box)).max() <= 2
            assert mask_iou(ours.mask, exact.mask) > 0.99
        apart.append(np.abs(ours.token_map - exact.token_map).max())
    assert max(apart) > 0  # it did compute in another precision

    made = half.edit(image, PHRASES[0], "a frog", settings=SMALL)
    assert made.recipe()["dtype"] == dict.fromkeys(PARTS, "bfloat16")
    assert not any("bfloat16" in note for note in half.run(made.recipe(), image).notes)
    again = miniature.run(made.recipe(), image)
    assert any("bfloat16" in note for note in again.notes)
    assert "dtype" not in again.recipe()


@pytest.mark.parametrize(
    ("dtype", "native", "expected"),
    [
        ("auto", True, "bfloat16"),
        ("auto", False, "float32"),
        ("float16", True, "bfloat16"),
        ("float32", True, "float32"),
    ],
)
def test_the_precision_on_a_cpu(
    monkeypatch: pytest.MonkeyPatch, dtype: str, native: bool, expected: str
) -> None:
    monkeypatch.setattr(presets, "cpu_has_bfloat16", lambda: native)
    assert presets.precision({"dtype": dtype}, "cpu") == expected
