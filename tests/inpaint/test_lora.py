"""LoRA from a preset: checked, refused without peft, and applied where peft is installed."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch
from groundbrush.inpaint import InpaintError, fill, load_inpainter

needs_peft = pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="needs peft")


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("folder", "loras: got str 'folder'; expected a mapping with path"),
        ({"path": ""}, "expected a mapping with path"),
        ({"path": "x", "strength": 1}, "optionally weight, revision, scale"),
        ({"path": "x", "scale": "much"}, "got scale 'much'"),
        ({"path": "x", "scale": True}, "got scale True"),
    ],
)
def test_a_wrong_entry_is_explained(tiny_folder, entry, words):
    with pytest.raises(InpaintError, match=words):
        load_inpainter(tiny_folder, offline=True, loras=[entry])


def test_without_peft_the_error_names_the_install_command(tiny_folder, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "peft" else find(name, *a)
    )
    with pytest.raises(InpaintError, match=r"pip install 'groundbrush\[lora\]'"):
        load_inpainter(tiny_folder, offline=True, loras=[{"path": "x"}])


def save_lora(inpainter, folder):
    """A rank-2 adapter of the UNet's attention, in diffusers' own layout."""
    from safetensors.torch import save_file

    torch.manual_seed(5)
    weights = {}
    for name, part in inpainter.pipe.unet.named_modules():
        if name.endswith(("to_q", "to_v")):
            weights[f"unet.{name}.lora_A.weight"] = torch.randn(2, part.in_features)
            weights[f"unet.{name}.lora_B.weight"] = torch.randn(part.out_features, 2)
    folder.mkdir()
    save_file(weights, folder / "pytorch_lora_weights.safetensors")
    return folder


@needs_peft
@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_joined_projections_keep_the_adapter(
    tiny_folder, nine, picture, hole, quick, tmp_path, scale
):
    loras = [{"path": str(save_lora(nine, tmp_path / "lora")), "scale": scale}]
    plain, joined = (
        fill(
            load_inpainter(tiny_folder, offline=True, loras=loras, speed=speed),
            picture,
            hole,
            "red",
            settings=quick,
        ).image.astype(int)
        for speed in ("plain", "fused")
    )
    assert np.abs(plain - joined).max() <= 2


@needs_peft
def test_an_adapter_changes_the_picture_by_its_scale(
    tiny_folder, nine, picture, hole, quick, tmp_path
):
    path = str(save_lora(nine, tmp_path / "lora"))
    plain = fill(nine, picture, hole, "red", settings=quick).image
    pictures = [
        fill(
            load_inpainter(tiny_folder, offline=True, loras=[{"path": path, "scale": scale}]),
            picture,
            hole,
            "red",
            settings=quick,
        ).image
        for scale in (0.0, 1.0)
    ]
    np.testing.assert_array_equal(pictures[0], plain)
    assert (pictures[1] != plain).any()


@needs_peft
def test_an_adapter_that_is_not_there_is_explained(tiny_folder, tmp_path):
    with pytest.raises(InpaintError, match="could not be loaded .*expected an adapter"):
        load_inpainter(tiny_folder, offline=True, loras=[{"path": str(tmp_path)}])
