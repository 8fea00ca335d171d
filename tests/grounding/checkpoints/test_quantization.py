"""4-bit weights: the error without bitsandbytes, and the real thing where it is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from groundbrush.grounding import load_lvlm
from groundbrush.grounding.checkpoints.loading import loading_options
from groundbrush.grounding.errors import GroundingError
from PIL import Image

ROOT = Path(__file__).parents[3]
HEADS = [(4, 7), (3, 4), (5, 7)]
OPTIONS = {
    "dtype": "float32",
    "heads": HEADS,
    "prompt": "a picture : <image> {phrase} .",
    "padding": "pad",
    "query": "prompt",
    "offline": True,
}


def test_without_the_package_the_error_names_the_command(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(GroundingError, match=r"pip install 'groundbrush\[quantized\]'"):
        load_lvlm(ROOT / "miniature/weights/lvlm", quantization="4bit", **OPTIONS)


def test_other_kinds_are_refused():
    with pytest.raises(GroundingError, match="quantization is '3bit'; expected '4bit'"):
        loading_options("3bit", torch.float16, torch.device("cpu"))


def test_the_miniature_in_four_bits_looks_at_the_same_place():
    pytest.importorskip("bitsandbytes", reason="4-bit weights need bitsandbytes")
    whole, small = (
        load_lvlm(ROOT / "miniature/weights/lvlm", quantization=kind, **OPTIONS)
        for kind in (None, "4bit")
    )
    image = np.asarray(Image.open(ROOT / "examples/fruit.png").convert("RGB"))
    maps = [sum(m.head_rows(m.encode(image), ["the red apple"], HEADS)[0]) for m in (whole, small)]
    assert np.corrcoef(maps[0].ravel(), maps[1].ravel())[0, 1] > 0.9

    def size(lvlm) -> int:
        """Of what is to shrink."""
        return sum(
            p.numel() * p.element_size()
            for name, p in lvlm._model.named_parameters()
            if "language_model.layers" in name
        )

    def packed(lvlm, part: str) -> set[str]:
        return {type(m).__name__ for name, m in lvlm._model.named_modules() if part in name}

    assert "Linear4bit" in packed(small, "language_model")
    assert "Linear4bit" not in packed(small, "vision_tower") | packed(small, "projector")
    assert 0 < size(small) < 0.3 * size(whole)
    assert small.dtype == torch.float32  # of the pixels it is given
