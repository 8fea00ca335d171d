"""Results go where they went before, others beside them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from groundbrush.editor import outputs


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The overlay is what the grounding says, as bytes."""
    monkeypatch.setattr("groundbrush.editor.pictures.overlay.draw_grounding", lambda p, f: f)
    monkeypatch.setattr("groundbrush.editor.pictures.saving.encode_png", lambda drawn: drawn)


def test_the_same_result_is_written_again_and_another_beside_it(
    drawn: None, tmp_path: Path
) -> None:
    picture = SimpleNamespace(pixels=np.zeros((2, 2, 3), np.uint8), source=Path("in/scene.jpg"))
    names = [
        outputs.save_grounding(found, picture, tmp_path)["overlay"].name
        for found in (b"one", b"two", b"one", b"two", b"three")
    ]
    assert names == [
        *("scene.found.png", "scene-2.found.png", "scene.found.png", "scene-2.found.png"),
        "scene-3.found.png",
    ]
    unnamed = SimpleNamespace(pixels=picture.pixels, source=None)
    files = outputs.save_grounding(b"one", unnamed, tmp_path / "new")
    assert files == {"overlay": tmp_path / "new" / "picture.found.png"}
    assert files["overlay"].read_bytes() == b"one"
