"""The real pipeline classes with tiny random weights, saved, reloaded offline and run."""

from __future__ import annotations

import json
import shutil
import socket
import threading
from dataclasses import replace

import diffusers
import numpy as np
import pytest
import torch
import transformers
from groundbrush.inpaint import (
    Cancelled,
    Inpainter,
    InpaintError,
    InpaintSettings,
    fill,
    load_inpainter,
)
from groundbrush.inpaint.errors import OutOfMemoryError
from groundbrush.inpaint.painter.unet import UNetInpainter
from groundbrush.inpaint.settings import SCHEDULERS

MINIATURE = InpaintSettings(
    steps=4, guidance=3, strength=1.0, size=128, buckets="square", context=1.6, min_context=8
)


@pytest.fixture(params=["nine", "four"])
def inpainter(request) -> Inpainter:
    return request.getfixturevalue(request.param)


def test_channels(nine, four):
    assert (nine.channels, four.channels) == (9, 4)


def test_one_seed_one_picture(inpainter, picture, hole, quick):
    first = fill(inpainter, picture, hole, "red pear", seed=3, settings=quick)
    again = fill(inpainter, picture, hole, "red pear", seed=3, settings=quick)
    other = fill(inpainter, picture, hole, "red pear", seed=4, settings=quick)
    assert first.image.tobytes() == again.image.tobytes()
    assert (first.image != other.image).any()
    np.testing.assert_array_equal(first.image[~first.support], picture[~first.support])
    assert (first.image != picture)[first.support].mean() > 0.5


def test_a_repeated_prompt_is_encoded_once(inpainter, picture, hole, quick):
    calls: list[int] = []
    hook = inpainter.pipe.text_encoder_2.register_forward_hook(lambda *_: calls.append(1))
    counts = []
    for words in ("pear red", "pear red", "red red pear", "pear red"):
        made = inpainter.paint(picture[:, :48], hole[:, :48], words, seed=1, settings=quick)
        counts.append((len(calls), made.tobytes()))
    hook.remove()
    assert counts[0] == counts[1]
    assert counts[2][0] == counts[3][0] == 2 * counts[0][0] > 0
    assert counts[3][1] == counts[0][1] != counts[2][1]


def test_words_matter(inpainter, picture, hole, quick):
    red = inpainter.paint(picture[:, :48], hole[:, :48], "red", seed=1, settings=quick)
    pear = inpainter.paint(picture[:, :48], hole[:, :48], "pear", seed=1, settings=quick)
    negative = replace(quick, negative_prompt="pear")
    without = inpainter.paint(picture[:, :48], hole[:, :48], "red", seed=1, settings=negative)
    assert (red != pear).any()
    assert (red != without).any()


@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (20, 70), (70, 20)])
@pytest.mark.parametrize("kind", ["full", "pixel", "border"])
def test_shapes_and_masks(nine, quick, shape, kind):
    image = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    mask = np.zeros(shape, bool)
    if kind == "full":
        mask[:] = True
    elif kind == "pixel":
        mask[shape[0] // 2, shape[1] // 2] = True
    else:
        mask[0] = mask[:, 0] = True
    result = fill(nine, image, mask, "red", settings=replace(quick, steps=1, strength=1.0))
    assert result.image.shape == image.shape
    np.testing.assert_array_equal(result.image[~result.support], image[~result.support])


def test_the_miniatures_schedule(zero, picture, hole):
    result = fill(zero, picture, hole, "red pear", settings=MINIATURE)
    assert result.crops[0].canvas == (128, 128)
    assert zero.pipe.scheduler.config.prediction_type == "v_prediction"
    assert zero.pipe.scheduler.config.rescale_betas_zero_snr
    # Strength 1 starts from noise alone: a 9-channel model never sees what is under the hole.
    changed = picture.copy()
    changed[hole] = 255 - changed[hole]
    settings = replace(MINIATURE, prefill="none", dilate=0, colour_match=False, feather=0)
    first = fill(zero, picture, hole, "red pear", settings=settings)
    second = fill(zero, changed, hole, "red pear", settings=settings)
    np.testing.assert_allclose(
        first.image[22:28, 32:43].astype(int), second.image[22:28, 32:43], atol=3
    )


def test_the_masked_image_shows_no_old_object(nine, picture, quick, monkeypatch):
    seen = []
    encode = nine.pipe._encode_vae_image

    def spy(image, generator):
        seen.append(image)
        return encode(image=image, generator=generator)

    monkeypatch.setattr(nine.pipe, "_encode_vae_image", spy)
    image = np.full((64, 64, 3), 255, np.uint8)
    mask = np.zeros((64, 64), bool)
    mask[13:29, 7:41] = True
    nine.paint(image, mask, "red", settings=replace(quick, strength=1.0))
    blanked = seen[-1][0].numpy()
    assert (blanked[:, mask] == 0).all()
    assert (blanked[:, ~mask] == 1).all()


def test_four_channels_get_whole_latent_cells(four, quick, monkeypatch):
    masks = []
    prepare = four.pipe.prepare_mask_latents

    def spy(mask, *arguments):
        masks.append(mask)
        return prepare(mask, *arguments)

    monkeypatch.setattr(four.pipe, "prepare_mask_latents", spy)
    mask = np.zeros((64, 64), bool)
    mask[13, 7] = True  # not the pixel that diffusers samples
    four.paint(np.zeros((64, 64, 3), np.uint8), mask, "red", settings=quick)
    expected = np.zeros((64, 64))
    expected[8:16, 0:8] = 1
    np.testing.assert_array_equal(masks[0][0, 0].numpy(), expected)


def test_no_words_means_zero_embeddings_and_one_pass(nine, picture, hole, quick, monkeypatch):
    seen = []
    forward = nine.pipe.unet.forward

    def spy(sample, time, encoder_hidden_states, **options):
        seen.append((len(sample), float(encoder_hidden_states.abs().max())))
        return forward(sample, time, encoder_hidden_states=encoder_hidden_states, **options)

    monkeypatch.setattr(nine.pipe.unet, "forward", spy)
    fill(nine, picture, hole, "", settings=quick)
    assert set(seen) == {(1, 0.0)}
    seen.clear()
    fill(nine, picture, hole, "", settings=replace(quick, negative_prompt="pear"))
    assert {size for size, _ in seen} == {2}
    assert min(largest for _, largest in seen) > 0


def test_no_words_where_zeros_were_not_trained(four_folder, picture, hole, quick):
    inpainter = load_inpainter(four_folder, offline=True)
    inpainter.pipe.register_to_config(force_zeros_for_empty_prompt=False)
    result = fill(inpainter, picture, hole, "", settings=quick)
    np.testing.assert_array_equal(result.image[~result.support], picture[~result.support])


def test_steps_are_forwarded(nine, picture, hole, quick):
    steps = []
    settings = replace(quick, steps=10, strength=0.5)
    fill(nine, picture, hole, "red", settings=settings, on_step=lambda *step: steps.append(step))
    assert steps == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]


def test_cancelled_within_a_step(inpainter, picture, hole, quick):
    stop, steps = threading.Event(), []

    def on_step(step, total):
        steps.append(step)
        stop.set()

    with pytest.raises(Cancelled, match="Stopped on request"):
        fill(inpainter, picture, hole, "red", settings=quick, on_step=on_step, cancelled=stop)
    assert steps == [1]
    after = fill(inpainter, picture, hole, "red", settings=quick)
    assert after.image.shape == picture.shape


def test_cancelled_before_the_first_step(nine, picture, hole, quick):
    steps = []
    with pytest.raises(Cancelled):
        fill(
            nine,
            picture,
            hole,
            "red",
            settings=quick,
            on_step=lambda *step: steps.append(step),
            cancelled=lambda: True,
        )
    assert steps == []


def test_a_waiting_caller_can_cancel(nine, picture, hole, quick):
    with nine._lock, pytest.raises(Cancelled):
        fill(nine, picture, hole, "red", settings=quick, cancelled=lambda: True)


def test_the_callers_own_error_comes_through(nine, picture, hole, quick):
    def on_step(step, total):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        fill(nine, picture, hole, "red", settings=quick, on_step=on_step)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_schedulers(zero, picture, hole, name):
    before = zero.pipe.scheduler
    settings = replace(MINIATURE, scheduler=name)
    first = fill(zero, picture, hole, "red", settings=settings)
    again = fill(zero, picture, hole, "red", settings=settings)
    assert first.image.tobytes() == again.image.tobytes()
    assert zero.pipe.scheduler is before


def test_scheduler_at_load(miniature_folder):
    inpainter = load_inpainter(miniature_folder, offline=True, scheduler="euler")
    assert type(inpainter.pipe.scheduler).__name__ == "EulerDiscreteScheduler"
    assert inpainter.pipe.scheduler.config.prediction_type == "v_prediction"
    assert inpainter.pipe.scheduler.config.timestep_spacing == "trailing"


def test_tiling_and_dtype(tiny_folder, picture, hole, quick):
    inpainter = load_inpainter(tiny_folder, offline=True, tiling=True, dtype="bfloat16")
    assert inpainter.pipe.unet.dtype == torch.bfloat16
    assert inpainter.pipe.vae.use_tiling
    fill(inpainter, picture, hole, "red", settings=replace(quick, steps=1, strength=1.0))


def test_half_precision_decode_is_repeated_in_float32(
    tiny_folder, picture, hole, quick, monkeypatch
):
    inpainter = load_inpainter(tiny_folder, offline=True)
    vae = inpainter.pipe.vae.to(torch.bfloat16)
    decode, dtypes = vae.decode, []

    def overflowing(latents, return_dict):
        dtypes.append(latents.dtype)
        picture = decode(latents, return_dict=return_dict)[0]
        return (picture if latents.dtype == torch.float32 else picture * float("nan"),)

    monkeypatch.setattr(vae, "decode", overflowing)
    monkeypatch.setattr(inpainter.pipe, "_encode_vae_image", lambda image, generator: image[:, :1])
    latents = torch.zeros(1, 4, 8, 8)
    monkeypatch.setattr(type(inpainter), "_denoise", lambda *_: latents)
    result = fill(inpainter, picture, hole, "red", settings=quick)
    assert dtypes == [torch.bfloat16, torch.float32]
    assert vae.dtype == torch.bfloat16
    assert result.image.shape == picture.shape


def test_half_precision_encode_is_repeated_in_float32(tiny_folder, picture, hole, quick):
    inpainter = load_inpainter(tiny_folder, offline=True, dtype="bfloat16")
    vae, upcast = inpainter.pipe.vae, []
    encode = vae.encode

    def overflowing(image):
        upcast.append(vae.dtype)
        result = encode(image)
        if vae.dtype != torch.float32:
            result.latent_dist.mean.fill_(float("nan"))
        return result

    vae.encode = overflowing
    fill(inpainter, picture, hole, "red", settings=quick)
    assert upcast[0] == torch.bfloat16
    assert upcast[-1] == torch.float32
    assert vae.dtype == torch.bfloat16
    assert not vae.config.force_upcast


def test_not_a_number_is_an_error_not_a_black_picture(tiny_folder, picture, hole, quick):
    inpainter = load_inpainter(tiny_folder, offline=True)
    with torch.no_grad():
        inpainter.pipe.vae.decoder.conv_out.bias.fill_(float("nan"))
    with pytest.raises(InpaintError, match=r"not numbers .*dtype='float32'"):
        fill(inpainter, picture, hole, "red", settings=quick)


def test_a_failing_model_is_explained(nine, picture, hole, quick, monkeypatch):
    def broken(*arguments, **options):
        raise RuntimeError("sizes do not match")

    monkeypatch.setattr(nine.pipe.unet, "forward", broken)
    with pytest.raises(InpaintError, match="64x64 pixels: RuntimeError: sizes do not match"):
        fill(nine, picture, hole, "red", settings=quick)


def test_out_of_memory_is_explained(tiny_folder, picture, hole, quick, monkeypatch):
    inpainter, sizes = load_inpainter(tiny_folder, offline=True), []

    def full(sample, *arguments, **options):
        sizes.append(8 * sample.shape[-1])
        raise torch.OutOfMemoryError("no")

    monkeypatch.setattr(inpainter.pipe.unet, "forward", full)
    with pytest.raises(OutOfMemoryError, match=r"out of memory .*memory='sequential'"):
        fill(inpainter, picture, hole, "red", settings=replace(quick, size=128))
    # tiles first, then three smaller canvases
    assert sizes == [128, 128, 96, 72]


def test_out_of_memory_steps_down_and_says_so(tiny_folder, picture, hole, quick, monkeypatch):
    inpainter = load_inpainter(tiny_folder, offline=True)
    forward = inpainter.pipe.unet.forward

    def small(sample, *arguments, **options):
        if sample.shape[-1] > 12:
            raise torch.OutOfMemoryError("no")
        return forward(sample, *arguments, **options)

    monkeypatch.setattr(inpainter.pipe.unet, "forward", small)
    result = fill(inpainter, picture, hole, "red", settings=replace(quick, size=128))
    assert (result.crops[0].canvas, result.settings.size) == ((96, 96), 96)
    assert result.notes[0] == "Memory ran out at size 128: painted at 96."
    assert "in tiles" in result.notes[1]
    assert inpainter.pipe.vae.use_tiling
    np.testing.assert_array_equal(result.image[~result.support], picture[~result.support])


@pytest.mark.parametrize(
    "shortage",
    [
        torch.OutOfMemoryError("no"),
        RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_a_passing_shortage_only_costs_the_tiles(
    tiny_folder, picture, hole, quick, monkeypatch, shortage
):
    inpainter = load_inpainter(tiny_folder, offline=True)
    decode, calls = inpainter.pipe.vae.decode, []

    def once(*arguments, **options):
        calls.append(1)
        if len(calls) == 1:
            raise shortage
        return decode(*arguments, **options)

    monkeypatch.setattr(inpainter.pipe.vae, "decode", once)
    result = fill(inpainter, picture, hole, "red", settings=quick)
    assert result.settings == quick
    assert inpainter.memory_notes == result.notes
    assert len(result.notes) == 1


def test_previews_show_the_picture_on_its_way(inpainter, picture, hole, quick):
    seen = []
    settings = replace(quick, steps=10, strength=1.0)
    result = fill(
        inpainter,
        picture,
        hole,
        "red",
        seed=3,
        settings=settings,
        on_preview=lambda *preview: seen.append(preview),
    )
    assert [(step, total) for step, total, _ in seen] == [(2, 10), (4, 10), (6, 10), (8, 10)]
    for _, _, shown in seen:
        np.testing.assert_array_equal(shown[~result.support], picture[~result.support])
    assert (seen[0][2] != seen[-1][2]).any()
    unseen = fill(inpainter, picture, hole, "red", seed=3, settings=settings)
    assert unseen.image.tobytes() == result.image.tobytes()


def test_paint_wants_multiples_of_eight(nine, quick):
    with pytest.raises(InpaintError, match=r"got 20x16 pixels; .*multiples of 8"):
        nine.paint(np.zeros((16, 20, 3), np.uint8), np.ones((16, 20), bool), "red", settings=quick)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"image": np.zeros((16, 16, 3))}, "dtype float64; expected .H, W, 3. uint8"),
        ({"mask": np.full((16, 16), 255, np.uint8)}, "expected .H, W. bool"),
        ({"mask": np.ones((8, 16), bool)}, "for an image of"),
        ({"mask": np.zeros((16, 16), bool)}, "no pixel is marked"),
        ({"prompt": None}, "prompt: got NoneType"),
        ({"seed": -1}, "seed: got int -1"),
    ],
)
def test_a_painter_that_is_used_alone_checks_its_arguments(nine, quick, change, says):
    good = {"image": np.zeros((16, 16, 3), np.uint8), "mask": np.ones((16, 16), bool)}
    with pytest.raises(InpaintError, match=says):
        nine.paint(**{**good, "prompt": "red", **change}, settings=quick)


def test_cut_off(nine):
    # 12 tokens less the two marks: "red" and "pear" are one each, so ten words fit.
    assert nine.cut_off("red pear " * 5) == ""
    assert nine.cut_off("red pear " * 5 + "pear red") == "pear red"


def test_painting_is_silent(tiny_folder, picture, hole, quick, capfd):
    verbosity = diffusers.utils.logging.get_verbosity()
    theirs = transformers.utils.logging.get_verbosity()
    bars = transformers.utils.logging.is_progress_bar_enabled()
    inpainter = load_inpainter(tiny_folder, offline=True)
    inpainter.pipe.vae.register_to_config(force_upcast=True)
    fill(inpainter, picture, hole, "red pear " * 9, settings=replace(quick, scheduler="ddim"))
    assert capfd.readouterr() == ("", "")
    assert diffusers.utils.logging.get_verbosity() == verbosity
    assert transformers.utils.logging.get_verbosity() == theirs
    assert transformers.utils.logging.is_progress_bar_enabled() == bars


def test_loading_touches_no_network_and_no_watermark(tiny_folder, monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    inpainter = load_inpainter(str(tiny_folder), offline=True)
    assert inpainter.pipe.watermark is None


def test_another_autoencoder(tiny_folder, tmp_path):
    shutil.copytree(tiny_folder / "vae", tmp_path / "vae")
    config = json.loads((tmp_path / "vae/config.json").read_text())
    config["scaling_factor"] = 0.5
    (tmp_path / "vae/config.json").write_text(json.dumps(config))
    inpainter = load_inpainter(tiny_folder, offline=True, vae=str(tmp_path / "vae"))
    assert inpainter.pipe.vae.config.scaling_factor == 0.5


def test_a_tiny_autoencoder_decodes_previews_or_all(tiny_folder, picture, hole, quick, tmp_path):
    torch.manual_seed(0)
    shape = dict.fromkeys(("encoder_block_out_channels", "decoder_block_out_channels"), (8,) * 4)
    diffusers.AutoencoderTiny(
        **shape, num_encoder_blocks=(1,) * 4, num_decoder_blocks=(1,) * 4
    ).save_pretrained(tmp_path / "tiny")
    given = {"picture": picture, "hole": hole, "prompt": "red"}
    made = {}
    for options in ({}, {"preview_vae": str(tmp_path / "tiny")}, {"vae": str(tmp_path / "tiny")}):
        inpainter, shown = load_inpainter(tiny_folder, offline=True, **options), []
        result = fill(
            inpainter,
            *given.values(),
            seed=1,
            settings=replace(quick, steps=6),
            on_preview=lambda *preview, shown=shown: shown.append(preview[2]),
        )
        made["".join(options)] = result.image.tobytes(), shown[0].tobytes(), shown[0].shape
    usual, preview, whole = made.values()
    assert usual[0] == preview[0] != whole[0]
    assert usual[1] != preview[1]
    assert usual[2] == preview[2] == whole[2]


def test_an_sd15_pipeline_works_too(nine, picture, hole, quick, tmp_path):
    from tiny_inpainter import WIDTH, unet

    small = diffusers.UNet2DConditionModel.from_config(
        {
            **unet(9).config,
            "cross_attention_dim": WIDTH,
            "addition_embed_type": None,
            "projection_class_embeddings_input_dim": None,
        }
    )
    pipe = diffusers.StableDiffusionInpaintPipeline(
        vae=nine.pipe.vae,
        text_encoder=nine.pipe.text_encoder,
        tokenizer=nine.pipe.tokenizer,
        unet=small,
        scheduler=nine.pipe.scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.save_pretrained(tmp_path)
    inpainter = load_inpainter(tmp_path, offline=True)
    for prompt in ("red", ""):
        result = fill(inpainter, picture, hole, prompt, settings=quick)
        np.testing.assert_array_equal(result.image[~result.support], picture[~result.support])


def test_a_text_to_image_model_can_fill(four_folder, tmp_path):
    shutil.copytree(four_folder, tmp_path / "base")
    index = tmp_path / "base/model_index.json"
    parts = json.loads(index.read_text())
    index.write_text(json.dumps({**parts, "_class_name": "StableDiffusionXLPipeline"}))
    assert load_inpainter(tmp_path / "base", offline=True).channels == 4


def test_other_pipelines_are_refused_before_their_weights_are_read(tmp_path):
    index = {"_class_name": "AudioLDMPipeline", "_diffusers_version": "0.42.1"}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(InpaintError, match="is a AudioLDMPipeline; expected one of StableDiff"):
        load_inpainter(tmp_path, offline=True)


def test_other_channel_counts_are_refused(nine):
    from tiny_inpainter import unet

    parts = {**nine.pipe.components, "unet": unet(8)}
    pipe = diffusers.StableDiffusionXLInpaintPipeline(**parts, add_watermarker=False)
    with pytest.raises(InpaintError, match=r"UNet of 8 input channels; expected .* 4 or 9"):
        UNetInpainter(pipe)


def test_pickled_weights_are_refused(tiny_folder, tmp_path):
    folder = tmp_path / "pickled"
    shutil.copytree(tiny_folder, folder)
    weights = folder / "unet/diffusion_pytorch_model.safetensors"
    weights.unlink()
    torch.save({}, folder / "unet/diffusion_pytorch_model.bin")
    with pytest.raises(InpaintError, match=r"could not be loaded .*\*\.bin files are refused"):
        load_inpainter(folder, offline=True)


def test_a_truncated_file_is_explained(tiny_folder, tmp_path):
    folder = tmp_path / "cut"
    shutil.copytree(tiny_folder, folder)
    weights = folder / "vae/diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InpaintError, match=r"could not be loaded .*copy or convert it again"):
        load_inpainter(folder, offline=True)


@pytest.mark.parametrize(
    ("source", "options", "expected"),
    [
        ("/no/such/folder", {}, "is no folder; expected an existing folder or a repository"),
        ("./missing", {}, "is no folder"),
        ("", {}, "expected a folder or a repository"),
        (None, {}, "got None"),
        ("nobody/nothing", {}, "could not be loaded .*download it once online"),
        ("tiny", {"dtype": "float64"}, "dtype: got 'float64' .did you mean"),
        ("tiny", {"device": "gpu"}, "device: got 'gpu'; expected 'auto', 'cpu'"),
        ("tiny", {"scheduler": "dimm"}, "did you mean 'ddim'"),
        ("tiny", {"vae": "/no/vae"}, "vae: '/no/vae' could not be loaded"),
        ("tiny", {"memory": "offload"}, "memory: got 'offload' with device 'cpu'"),
        ("tiny", {"memory": "ofload"}, "memory: got 'ofload' .did you mean 'offload'"),
        ("tiny", {"variant": "fp8"}, "could not be loaded .*fp8"),
    ],
)
def test_what_cannot_be_loaded_is_explained(tiny_folder, source, options, expected):
    source = tiny_folder if source == "tiny" else source
    with pytest.raises(InpaintError, match=expected):
        load_inpainter(source, offline=True, **options)


def test_a_folder_without_a_pipeline_is_explained(tmp_path):
    with pytest.raises(InpaintError, match=r"has no model_index\.json"):
        load_inpainter(tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_missing_device_is_explained(tiny_folder):
    with pytest.raises(InpaintError, match="does not offer"):
        load_inpainter(tiny_folder, offline=True, device="cuda")
