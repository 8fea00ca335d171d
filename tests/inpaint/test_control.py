"""ControlNets: a tiny random one, saved and reloaded beside real pipeline classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from groundbrush.inpaint import InpaintError, fill, fill_many, load_inpainter
from groundbrush.inpaint.painter.control import control_image


def save_control(folder: Path, *, xl: bool = True) -> Path:
    """A random ControlNet that fits the tiny UNets; its zero convolutions are not zero."""
    from tiny_inpainter import WIDTH

    torch.manual_seed(2)
    options = {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 4,
        "projection_class_embeddings_input_dim": WIDTH + 6 * 4,
    }
    model = diffusers.ControlNetModel(
        in_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=2 * WIDTH if xl else WIDTH,
        attention_head_dim=4,
        conditioning_embedding_out_channels=(4, 4, 8, 8),
        **(options if xl else {}),
    )
    embedding = model.controlnet_cond_embedding.conv_out
    for block in (model.controlnet_down_blocks, model.controlnet_mid_block, embedding):
        for weights in block.parameters():
            torch.nn.init.normal_(weights, std=0.3)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def control(tmp_path_factory) -> dict[str, str]:
    return {"path": str(save_control(tmp_path_factory.mktemp("control") / "net"))}


@pytest.fixture(scope="module", params=["tiny_folder", "four_folder"])
def controlled(request, control):
    return load_inpainter(request.getfixturevalue(request.param), offline=True, controlnet=control)


def test_the_picture_s_edges_steer_the_painting(controlled, picture, hole, quick):
    assert type(controlled.pipe).__name__ == "StableDiffusionXLControlNetInpaintPipeline"
    assert controlled.control_conditioner == "canny"
    first = fill(controlled, picture, hole, "red", seed=3, settings=quick)
    again = fill(controlled, picture, hole, "red", seed=3, settings=quick)
    weaker = fill(
        controlled, picture, hole, "red", seed=3, settings=replace(quick, control_scale=0)
    )
    around = fill(
        controlled, picture, hole, "red", seed=3, settings=replace(quick, control="surroundings")
    )
    assert first.image.tobytes() == again.image.tobytes()
    assert (first.image != weaker.image).any() and (first.image != around.image).any()
    np.testing.assert_array_equal(first.image[~first.support], picture[~first.support])


def test_scale_zero_is_the_model_without_it(controlled, nine, four, picture, hole, quick):
    plain = nine if controlled.channels == 9 else four
    settings = replace(quick, control_scale=0)
    with_it = fill(controlled, picture, hole, "red", seed=3, settings=settings)
    without = fill(plain, picture, hole, "red", seed=3, settings=settings)
    assert np.abs(with_it.image.astype(int) - without.image).max() <= 1


def test_variants_in_one_batch(controlled, picture, hole, quick):
    together = fill_many(controlled, picture, hole, "red", seeds=(1, 2), settings=quick)
    for found in together:
        alone = fill(controlled, picture, hole, "red", seed=found.seed, settings=quick)
        assert np.abs(found.image.astype(int) - alone.image).max() <= 2


def test_it_is_shown_the_crop_before_the_hole_was_prefilled(controlled, hole, quick, monkeypatch):
    shown = []
    call = type(controlled.pipe).__call__

    def spy(self, *arguments, **options):
        shown.append(np.asarray(options["control_image"]))
        return call(self, *arguments, **options)

    monkeypatch.setattr(type(controlled.pipe), "__call__", spy)
    image = np.full((48, 80, 3), 30, np.uint8)
    image[22:28, 34:40] = 255  # inside the hole
    fill(controlled, image, hole, "red", settings=quick)
    fill(controlled, image, hole, "red", settings=replace(quick, control="surroundings"))
    assert shown[0].shape == (64, 64, 3) and set(np.unique(shown[0])) == {0, 255}
    assert not shown[1].any()


def test_edges_of_the_surroundings_end_at_the_hole(hole, quick):
    image = np.zeros((48, 80, 3), np.uint8)
    image[:, 60:] = 255  # a line outside
    image[hole] = 200
    whole = control_image("canny", image, hole, quick)
    around = control_image("canny", image, hole, replace(quick, control="surroundings"))
    assert whole[18:32, 28:47].any()
    assert not around[18:32, 28:47].any()
    np.testing.assert_array_equal(whole[:, 50:], around[:, 50:])
    assert around[:, 55:65].any()


def test_a_stable_diffusion_model_takes_one_too(nine, picture, hole, quick, tmp_path):
    from tiny_inpainter import WIDTH, unet

    small = diffusers.UNet2DConditionModel.from_config(
        {
            **unet(4).config,
            "cross_attention_dim": WIDTH,
            "addition_embed_type": None,
            "projection_class_embeddings_input_dim": None,
        }
    )
    diffusers.StableDiffusionInpaintPipeline(
        vae=nine.pipe.vae,
        text_encoder=nine.pipe.text_encoder,
        tokenizer=nine.pipe.tokenizer,
        unet=small,
        scheduler=nine.pipe.scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(tmp_path / "sd")
    net = {"path": str(save_control(tmp_path / "net", xl=False)), "conditioner": "canny"}
    inpainter = load_inpainter(tmp_path / "sd", offline=True, controlnet=net)
    assert type(inpainter.pipe).__name__ == "StableDiffusionControlNetInpaintPipeline"
    steered = fill(inpainter, picture, hole, "red", settings=quick)
    free = fill(inpainter, picture, hole, "red", settings=replace(quick, control_scale=0))
    assert (steered.image != free.image).any()
    np.testing.assert_array_equal(steered.image[~steered.support], picture[~steered.support])


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("net", "controlnet: got str 'net'; expected a mapping with path"),
        ({"conditioner": "canny"}, "expected a mapping with path, and optionally revision"),
        ({"path": "net", "scale": 1}, "expected a mapping with path"),
        ({"path": "net", "conditioner": "depth"}, "got 'depth', which cannot be computed here"),
        ({"path": "/no/net"}, "controlnet: '/no/net' could not be loaded"),
    ],
)
def test_what_cannot_be_followed_is_explained(tiny_folder, entry, expected):
    with pytest.raises(InpaintError, match=expected):
        load_inpainter(tiny_folder, offline=True, controlnet=entry)


def test_a_flow_model_takes_none(control, tmp_path):
    from tiny_flow import save_tiny_flux

    folder = save_tiny_flux(tmp_path / "flux")
    with pytest.raises(InpaintError, match="controlnet: got one for .* a FluxFillPipeline"):
        load_inpainter(folder, offline=True, controlnet=control)
