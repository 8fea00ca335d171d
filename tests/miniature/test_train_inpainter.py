"""The inpainter's training script: data, initialisation, whitening, two tiny stages, resuming."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from groundbrush.miniature.train import inpainter
from groundbrush.miniature.train.inpainter_autoencoder import autoencoder_psnr, images_tensor
from groundbrush.miniature.train.inpainter_data import (
    REMOVAL_PROMPTS,
    InpaintSample,
    make_sample,
    prompt_words,
)
from groundbrush.miniature.train.inpainter_models import (
    InpainterSizes,
    build_autoencoder,
    build_scheduler,
    encode,
    match_output_colours,
    train_tokenizer,
    whiten_latents,
)
from groundbrush.miniature.train.loop import (
    Average,
    Clock,
    TrainSettings,
    learning_rate,
    load_checkpoint,
)
from PIL import Image

TINY = InpainterSizes(side=32, autoencoder=(16, 16, 16, 16), unet=(16, 16, 32), text=16)
QUICK = TrainSettings(
    minutes_vae=5,
    minutes=5,
    steps_vae=2,
    steps=2,
    batch_vae=2,
    batch=2,
    bank=8,
    bank_start=4,
    fresh=1,
)


def test_sample_is_a_pure_function_of_split_and_seed() -> None:
    first, again, other = (make_sample(s, 7) for s in ("train", "train", "heldout"))
    assert np.array_equal(first.target, again.target) and first.prompt == again.prompt
    assert not np.array_equal(first.target, other.target)


def test_samples_name_known_words_and_have_holes_inside_the_crop() -> None:
    known = set(prompt_words())
    drawn = [make_sample("train", seed, 64) for seed in range(60)]
    assert all(set(sample.prompt.split()) <= known for sample in drawn)
    shares = [sample.hole.mean() for sample in drawn]
    assert min(shares) > 0.02 and max(shares) < 0.95
    removals = [sample for sample in drawn if sample.prompt in REMOVAL_PROMPTS]
    assert 0 < len(removals) < 30


def test_sample_of_unequal_sizes_is_refused() -> None:
    with pytest.raises(ValueError, match="agree in size"):
        InpaintSample(np.zeros((8, 8, 3), np.uint8), np.zeros((4, 4), bool), "dog")


def test_every_word_is_one_token_and_others_are_spelt_out() -> None:
    tokenizer = train_tokenizer(prompt_words(), 12)
    assert all(len(tokenizer.tokenize(word)) == 1 for word in prompt_words())
    ids = tokenizer("a green pear").input_ids
    assert (ids[0], ids[-1], len(ids)) == (tokenizer.bos_token_id, tokenizer.eos_token_id, 5)
    assert len(tokenizer.tokenize("zebra")) > 1


def test_untrained_autoencoder_passes_colour_through() -> None:
    torch.manual_seed(0)
    vae = build_autoencoder(TINY)
    images = images_tensor(
        [make_sample("train", seed, 64) for seed in range(8)], torch.device("cpu")
    )
    match_output_colours(vae, images)
    flat = torch.tensor([0.6, -0.2, 0.1])[None, :, None, None].expand(1, 3, 64, 64)
    with torch.no_grad():
        colour = vae.decode(encode(vae, flat)).sample[..., 16:48, 16:48].mean((0, 2, 3))
    assert torch.allclose(colour, torch.tensor([0.6, -0.2, 0.1]), atol=0.12)


def test_whitening_changes_latents_but_no_picture() -> None:
    torch.manual_seed(0)
    vae = build_autoencoder(TINY)
    images = torch.rand(8, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        before = vae.decode(encode(vae, images)).sample
        whiten_latents(vae, [images])
        latents = encode(vae, images)
        assert torch.allclose(vae.decode(latents).sample, before, atol=1e-3)
        assert torch.allclose(vae.encode(images).latent_dist.sample(), latents, atol=1e-4)
    assert torch.allclose(latents.mean((0, 2, 3)), torch.zeros(4), atol=1e-3)
    assert torch.allclose(torch.cov(latents.movedim(1, 0).flatten(1)), torch.eye(4), atol=1e-2)


def test_scheduler_ends_in_pure_noise() -> None:
    scheduler = build_scheduler()
    assert float(scheduler.alphas_cumprod[-1]) == pytest.approx(0.0, abs=1e-6)
    scheduler.set_timesteps(20)
    assert int(scheduler.timesteps[0]) == 999


def test_clock_carries_time_over_and_ends_by_steps_or_minutes() -> None:
    assert not Clock(1.0, None, step=3, elapsed=60.0).running
    clock = Clock(100.0, 4, step=3)
    assert clock.running and clock.progress == pytest.approx(0.75)
    clock.step = 4
    assert not clock.running


def test_learning_rate_warms_up_and_decays() -> None:
    assert learning_rate(1.0, 0, 0.0) == pytest.approx(1 / 150)
    assert learning_rate(1.0, 1000, 0.2) == pytest.approx(1.0)
    assert learning_rate(1.0, 1000, 1.0) == pytest.approx(0.02)


def test_average_swaps_back_and_forth() -> None:
    layer = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(layer.weight, 0.0)
    average = Average([layer], 0.999)
    torch.nn.init.constant_(layer.weight, 11.0)
    average.update(1)  # decay (1 + 1) / (10 + 1): the average moves by 9/11
    average.swap()
    assert layer.weight.item() == pytest.approx(9.0)
    average.swap()
    assert layer.weight.item() == pytest.approx(11.0)


@pytest.mark.parametrize(
    ("field", "value"), [("bank_start", 99), ("text_dropout", 1.0), ("batch", 0)]
)
def test_bad_settings_are_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field if field != "batch" else "at least 1"):
        replace(QUICK, **{field: value})


def test_both_stages_run_resume_and_export(tmp_path: Path) -> None:
    runs, out = tmp_path / "runs", tmp_path / "out"
    inpainter.train(QUICK, TINY, runs, out)
    first = load_checkpoint(runs / "unet.pt", torch.device("cpu"))
    assert first is not None and first["step"] == 2
    inpainter.train(replace(QUICK, steps=3), TINY, runs, out)
    second = load_checkpoint(runs / "unet.pt", torch.device("cpu"))
    assert second is not None and second["step"] == 3
    assert second["elapsed"] > first["elapsed"]

    pipeline = inpainter.StableDiffusionXLInpaintPipeline.from_pretrained(
        out, local_files_only=True, torch_dtype=torch.float32
    )
    assert pipeline.unet.config.in_channels == 9
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    assert pipeline.scheduler.config.rescale_betas_zero_snr
    assert pipeline.scheduler.config.timestep_spacing == "trailing"
    sample = make_sample("heldout", 3, 32)
    painted = inpainter.paint(pipeline, sample, "a red balloon", 0)
    assert isinstance(painted, Image.Image) and painted.size == (32, 32)
    again = inpainter.paint(pipeline, sample, "a red balloon", 0)
    assert np.array_equal(np.asarray(painted), np.asarray(again))


def test_finished_autoencoder_is_not_trained_again(tmp_path: Path) -> None:
    vae = inpainter.train_autoencoder(QUICK, TINY, tmp_path)
    again = inpainter.train_autoencoder(QUICK, TINY, tmp_path)
    assert not any(p.requires_grad for p in again.parameters())
    assert autoencoder_psnr(again, TINY, 2) == pytest.approx(autoencoder_psnr(vae, TINY, 2))


def test_training_further_moves_the_autoencoder_but_not_the_axes_of_its_latents(
    tmp_path: Path,
) -> None:
    out, further = tmp_path / "out", tmp_path / "further"
    inpainter.train(QUICK, TINY, tmp_path / "runs", out)
    inpainter.train(replace(QUICK, first_sample=500), TINY, tmp_path / "more", further, start=out)
    before, after = (
        inpainter.StableDiffusionXLInpaintPipeline.from_pretrained(
            folder, local_files_only=True, torch_dtype=torch.float32
        )
        for folder in (out, further)
    )
    assert before.tokenizer.get_vocab() == after.tokenizer.get_vocab()
    images = images_tensor([make_sample("heldout", s, 32) for s in range(4)], torch.device("cpu"))
    with torch.no_grad():
        old, new = encode(before.vae, images), encode(after.vae, images)
    assert not torch.equal(old, new)
    assert torch.corrcoef(torch.stack([old.flatten(), new.flatten()]))[0, 1] > 0.98
