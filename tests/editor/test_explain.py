"""Explaining a grounding, with the real miniature models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from groundbrush.editor.explain import explain
from groundbrush.editor.pictures.picture import open_picture

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_an_explanation_has_a_map_of_every_head(miniature):
    source = open_picture(EXAMPLES / "fruit.png")
    found = miniature.ground(source, "the red apple")
    made = explain(miniature, source, found)
    assert tuple(h.head for h in made.heads) == found.heads
    assert all(0 < h.attention_sum < 1.001 and np.isfinite(h.entropy) for h in made.heads)
    assert {h.picture.shape for h in made.heads} == {made.combined.shape}
    assert made.reason == found.reason
    assert made.advice
