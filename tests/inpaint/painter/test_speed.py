"""Faster networks paint what the plain one paints; compiling is left to machines with a GPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from groundbrush.inpaint import InpaintError, fill, load_inpainter
from groundbrush.inpaint.device.memory import place
from groundbrush.inpaint.painter.speed import apply_speed
from torch import nn


def test_fused_paints_the_same(tiny_folder, nine, quick, picture, hole):
    fast = load_inpainter(tiny_folder, offline=True, speed="fused")
    plain = fill(nine, picture, hole, "a pear", seed=3, settings=quick).image
    fused = fill(fast, picture, hole, "a pear", seed=3, settings=quick).image
    assert np.abs(plain.astype(int) - fused).max() <= 2
    weight = fast.pipe.unet.conv_in.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert any(getattr(m, "fused_projections", False) for m in fast.pipe.unet.modules())


def test_joined_weights_move_with_the_rest(tiny_folder, nine, quick, picture, hole, monkeypatch):
    """accelerate's real hooks, which leave what is made after them on the meta device."""
    from accelerate import cpu_offload
    from groundbrush.inpaint.painter import loading as pipeline

    def layer_by_layer(pipe, device, *more):
        placement = place(pipe, device, *more)
        cpu_offload(pipe.unet, torch.device("cpu"))
        return placement

    monkeypatch.setattr(pipeline, "place", layer_by_layer)
    moved = load_inpainter(tiny_folder, offline=True, speed="fused")
    assert {p.device.type for p in moved.pipe.unet.parameters()} == {"meta"}
    plain = fill(nine, picture, hole, "a pear", seed=3, settings=quick).image
    fused = fill(moved, picture, hole, "a pear", seed=3, settings=quick).image
    assert np.abs(plain.astype(int) - fused).max() <= 2


@pytest.mark.parametrize(
    ("speed", "device", "last"),
    [("auto", "cuda", True), ("auto", "cpu", False), ("plain", "cuda", False)],
)
def test_channels_last_is_the_default_on_cuda_alone(tiny_folder, speed, device, last):
    unet = load_inpainter(tiny_folder, offline=True).pipe.unet
    assert apply_speed(unet, speed, device) is None
    weight = unet.conv_in.weight
    assert weight.is_contiguous(memory_format=torch.channels_last) == last
    assert not any(getattr(m, "fused_projections", False) for m in unet.modules())


def test_refuses():
    with pytest.raises(InpaintError, match=r"speed: got 'fusd' \(did you mean 'fused'\?\)"):
        apply_speed(nn.Linear(2, 2), "fusd")
    with pytest.raises(InpaintError, match="for a Linear: its projections cannot be joined"):
        apply_speed(nn.Linear(2, 2), "fused")


def test_compiled_as_diffusers_documents(tiny_folder, quick, picture, hole, monkeypatch):
    """Before a painting, once; anew without recorded graphs when weights begin to come and go."""
    asked: list[dict] = []
    monkeypatch.setattr(torch, "compile", lambda call, **told: asked.append(told) or call)
    fast = load_inpainter(tiny_folder, offline=True, speed="compiled")
    assert not asked
    for turn in range(3):
        if turn == 2:
            fast.placement.mode = "swap"
        fast.paint(picture, hole, "a pear", seed=3, settings=quick)
        assert len(asked) == (1, 1, 2)[turn]
    graphs, none = (told["options"] for told in asked)
    assert graphs["max_autotune"] and graphs["triton.cudagraphs"] and graphs["conv_1x1_as_mm"]
    assert none == {k: v for k, v in graphs.items() if k != "triton.cudagraphs"}
    assert set(graphs) <= set(torch._inductor.list_options())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="compiles for a CUDA device")
def test_compiled_paints_the_same(tiny_folder, quick, picture, hole):
    paintings = [
        fill(
            load_inpainter(tiny_folder, offline=True, device="cuda", speed=speed),
            picture,
            hole,
            "a pear",
            seed=3,
            settings=quick,
        ).image.astype(int)
        for speed in ("plain", "compiled")
    ]
    assert np.abs(paintings[0] - paintings[1]).mean() < 2
