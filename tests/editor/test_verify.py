"""The thresholds that decide what the user reads about a painting, each at its edge."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from groundbrush.editor.editing.pipeline import settings_for
from groundbrush.editor.editing.verify import Verifier
from groundbrush.editor.models.models import Models
from groundbrush.editor.models.presets import load_preset
from groundbrush.editor.pictures.picture import open_picture
from groundbrush.editor.request import make_request
from groundbrush.grounding.result import Grounding

SHAPE = (40, 120)


def passes(mask: np.ndarray, box: tuple[float, float, float, float], support: np.ndarray) -> bool:
    """Whether a thing found with this mask and box counts as painted into the support."""
    pixels = np.zeros((*SHAPE, 3), np.uint8)
    found = Grounding(
        "the pear",
        "found",
        "it is there",
        box,
        mask,
        0.8,
        (),
        ((0, 0),),
        np.zeros((2, 2), np.float32),
        (0, 0, SHAPE[1], SHAPE[0]),
    )
    finder = SimpleNamespace(
        models=SimpleNamespace(words=None),
        look=lambda _: None,
        look_once=lambda _: None,
        ground_view=lambda view, phrase: found,
    )
    verifier = Verifier(finder, open_picture(pixels), "the pear", gone=False)
    return bool(verifier.check(pixels, support).passed)


def test_half_of_the_mask_must_lie_in_the_hole() -> None:
    mask, support = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    mask[10:20, 10:20] = True
    support[10:15, 10:20] = support[25, 10:20] = True  # 50 of 100 pixels, the whole box
    assert passes(mask, (10, 10, 20, 20), support)
    support[12, 15] = False
    assert not passes(mask, (10, 10, 20, 20), support)


@pytest.mark.parametrize(("width", "enough"), [(80, True), (79, False)])
def test_four_fifths_of_the_box_must_lie_in_the_holes_box(width: int, enough: bool) -> None:
    mask, support = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    mask[:4, :4] = True
    support[:10, :width] = True
    assert passes(mask, (0, 0, 100, 10), support) is enough


@pytest.mark.parametrize(("steps", "draft"), [(30, 10), (29, 9), (12, 4), (9, 4)])
def test_a_draft_takes_a_third_of_the_steps_and_at_least_four(steps: int, draft: int) -> None:
    preset = load_preset("miniature")
    inpainter = {k: v for k, v in preset.inpainter.items() if k not in ("draft", "removal")}
    settings = {**inpainter.get("settings", {}), "steps": steps}
    models = Models(dataclasses.replace(preset, inpainter={**inpainter, "settings": settings}))
    request = make_request("edit", find="the cup", paint="a vase", draft=True)
    assert settings_for(models, request).steps == draft
