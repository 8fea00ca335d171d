"""FLUX and Qwen-Image with tiny random weights: saved, reloaded offline, run by the same call."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from groundbrush.inpaint import InpaintError, InpaintSettings, fill, fill_many, load_inpainter
from groundbrush.inpaint.painter.flow import FlowInpainter
from groundbrush.inpaint.painter.unet import UNetInpainter

SETTINGS = InpaintSettings(
    steps=2, guidance=30.0, strength=1.0, size=64, buckets="square", min_context=4, dilate=2
)
KINDS = (
    "FluxFillPipeline",
    "FluxInpaintPipeline",
    "FluxKontextInpaintPipeline",
    "QwenImageInpaintPipeline",
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    from tiny_flow import save_tiny_flux, save_tiny_qwen

    root = tmp_path_factory.mktemp("flow")
    made = {kind: save_tiny_flux(root / kind, kind) for kind in KINDS if kind.startswith("Flux")}
    return {**made, "QwenImageInpaintPipeline": save_tiny_qwen(root / "qwen")}


@pytest.fixture(scope="module")
def flux(folders):
    return load_inpainter(folders["FluxFillPipeline"], offline=True)


@pytest.mark.parametrize("kind", KINDS)
def test_one_seed_one_picture_and_nothing_else_changes(folders, kind, picture, hole):
    inpainter = load_inpainter(folders[kind], offline=True)
    assert isinstance(inpainter, FlowInpainter)
    assert type(inpainter.pipe).__name__ == kind
    steps = []
    first = fill(
        inpainter,
        picture,
        hole,
        "red pear",
        seed=3,
        settings=SETTINGS,
        on_step=lambda *step: steps.append(step),
    )
    again = fill(inpainter, picture, hole, "red pear", seed=3, settings=SETTINGS)
    other = fill(inpainter, picture, hole, "red pear", seed=4, settings=SETTINGS)
    assert first.image.tobytes() == again.image.tobytes()
    assert (first.image != other.image).any()
    assert (first.image != picture)[first.support].mean() > 0.3
    np.testing.assert_array_equal(first.image[~first.support], picture[~first.support])
    assert steps == [(1, 2), (2, 2)]


@pytest.mark.parametrize("kind", KINDS)
def test_variants_are_painted_one_by_one(folders, kind, picture, hole):
    inpainter = load_inpainter(folders[kind], offline=True)
    assert inpainter.at_once((1024, 1024), 4) == 1
    together = fill_many(inpainter, picture, hole, "red", seeds=(3, 4), settings=SETTINGS)
    for found in together:
        alone = fill(inpainter, picture, hole, "red", seed=found.seed, settings=SETTINGS)
        assert found.image.tobytes() == alone.image.tobytes()


def test_channels_tell_what_the_transformer_reads(flux):
    assert flux.channels == 16 + 16 + 256


def test_cut_off_counts_t5s_tokens(flux):
    assert flux.cut_off("red pear " * 100) == ""
    unread = flux.cut_off("red pear " * 300)
    assert unread.split() == ["pear", *["red", "pear"] * 44]


def test_cancelled(flux, picture, hole):
    from groundbrush.inpaint import Cancelled

    with pytest.raises(Cancelled):
        fill(flux, picture, hole, "red", settings=SETTINGS, cancelled=lambda: True)


def test_not_a_number_is_an_error(folders, picture, hole):
    import torch

    inpainter = load_inpainter(folders["FluxFillPipeline"], offline=True)
    with torch.no_grad():
        inpainter.pipe.vae.decoder.conv_out.bias.fill_(float("nan"))
    with pytest.raises(InpaintError, match=r"not numbers .*dtype='bfloat16'"):
        fill(inpainter, picture, hole, "red", settings=SETTINGS)


def test_packed_latents_want_multiples_of_sixteen(flux):
    with pytest.raises(InpaintError, match="multiples of 16"):
        flux.paint(
            np.zeros((24, 16, 3), np.uint8), np.ones((24, 16), bool), "red", settings=SETTINGS
        )


def test_its_own_scheduler_only(flux, folders, picture, hole):
    with pytest.raises(InpaintError, match="for a flow-matching model; expected its own"):
        fill(flux, picture, hole, "red", settings=replace(SETTINGS, scheduler="ddim"))
    with pytest.raises(InpaintError, match="for a flow-matching model"):
        load_inpainter(folders["FluxFillPipeline"], offline=True, scheduler="euler")


def test_other_pipelines_are_refused(nine):
    with pytest.raises(InpaintError, match="expected an inpainting pipeline with a transformer"):
        FlowInpainter(nine.pipe)


def test_a_flow_pipeline_is_no_unet_pipeline(flux):
    with pytest.raises(InpaintError, match="UNet of None input channels"):
        UNetInpainter(flux.pipe)
