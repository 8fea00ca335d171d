"""Results go where they went before, others beside them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from groundbrush.editor import outputs
from groundbrush.editor.pictures.overlay import contact_sheet, reduced
from groundbrush.grounding.result import Candidate, Grounding


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


def test_large_pictures_are_drawn_on_a_copy_at_the_same_places() -> None:
    pixels = np.full((1500, 3000, 3), 100, np.uint8)
    mask = np.zeros((1500, 3000), bool)
    mask[:, :1500] = True
    found = Grounding(
        phrase="the left half",
        status="found",
        reason="",
        box=(0, 0, 1500, 1500),
        mask=mask,
        score=1.0,
        candidates=(Candidate((1500, 0, 3000, 1500), 0.5, mask),),
        heads=(),
        token_map=np.array([[0, 1]], np.float32),
        region=(0, 0, 3000, 1500),
    )
    sheet = np.asarray(contact_sheet(pixels, found, mask, [("after", pixels)]))
    small = reduced(found, (300, 150))
    assert small.box == (0, 0, 150, 150)
    assert small.candidates[0].box == (150, 0, 300, 150)
    assert small.mask.shape == (150, 300) and small.mask[:, :150].all()
    assert not small.mask[:, 150:].any()
    assert small.map.shape == (150, 300)
    # Three panels of the picture beside each other; in the third the right half is darker.
    left, right = (sheet[300, 8 * 3 + 1024 * 2 + x].mean() for x in (256, 768))
    assert (round(left), round(right)) == (100, 55)
