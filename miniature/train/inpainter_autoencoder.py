"""Stage 1 of the miniature inpainter: the autoencoder, on crops of composed scenes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL

from .inpainter_data import InpaintSample, make_sample, samples
from .inpainter_models import (
    InpainterSizes,
    build_autoencoder,
    encode,
    match_output_colours,
    whiten_latents,
)
from .loop import Average, Clock, Run, TrainSettings, learning_rate, say

STAGE, DONE = "autoencoder", "autoencoder done"


def images_tensor(batch: list[InpaintSample], device: torch.device) -> torch.Tensor:
    """Targets as ``(N, 3, S, S)`` float32 in -1..1."""
    stacked = torch.from_numpy(np.stack([sample.target for sample in batch]))
    return stacked.to(device).permute(0, 3, 1, 2).float() / 127.5 - 1


def holes_tensor(batch: list[InpaintSample], device: torch.device) -> torch.Tensor:
    """Holes as ``(N, 1, S, S)`` float32, 1 inside."""
    return torch.from_numpy(np.stack([s.hole for s in batch]))[:, None].to(device).float()


def psnr(output: torch.Tensor, target: torch.Tensor) -> float:
    """Mean peak signal-to-noise ratio in dB of pictures in -1..1."""
    error = ((output.clamp(-1, 1) - target) / 2).pow(2).flatten(1).mean(1)
    return float((-10 * torch.log10(error)).mean())


def reconstruction_loss(
    output: torch.Tensor, target: torch.Tensor, weight: torch.Tensor
) -> torch.Tensor:
    """L1 on pixels and on their differences: the second keeps outlines sharp."""
    error = output - target
    across = error[..., :, 1:] - error[..., :, :-1]
    down = error[..., 1:, :] - error[..., :-1, :]
    edges = (across.abs() * weight[..., 1:]).mean() + (down.abs() * weight[..., 1:, :]).mean()
    return (error.abs() * weight).mean() + 0.5 * edges


def autoencoder_batch(
    source: Iterator[InpaintSample], count: int, crop: int, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Crops about the middle and their weights (objects stand in the holes); some holes grey."""
    batch = [next(source) for _ in range(count)]
    images, holes = (
        images_tensor(batch, torch.device("cpu")),
        holes_tensor(batch, torch.device("cpu")),
    )
    emptied = torch.from_numpy(rng.random(count) < 0.25)[:, None, None, None]
    images = torch.where(emptied & (holes > 0), torch.zeros(()), images)
    weights = 1 + 1.5 * holes * ~emptied
    middle = (images.shape[-1] - crop) / 2  # where the holes, and so the objects, are
    corners = rng.uniform(0.3 * middle, 1.7 * middle, (count, 2)).round().astype(int)
    pick = [(..., slice(y, y + crop), slice(x, x + crop)) for y, x in corners]
    cut = [(images[i][p], weights[i][p]) for i, p in enumerate(pick)]
    return torch.stack([c[0] for c in cut]), torch.stack([c[1] for c in cut])


@torch.no_grad()
def autoencoder_psnr(vae: AutoencoderKL, sizes: InpainterSizes, count: int = 48) -> float:
    """PSNR in dB of held-out crops, encoded and decoded."""
    device = next(vae.parameters()).device
    batch = [make_sample("heldout", seed, sizes.side) for seed in range(count)]
    images = images_tensor(batch, device)
    return psnr(torch.cat([vae.decode(encode(vae, x)).sample for x in images.split(8)]), images)


def train_autoencoder(
    settings: TrainSettings, sizes: InpainterSizes, runs: Path, start: AutoencoderKL | None = None
) -> AutoencoderKL:
    """Stage 1. The returned autoencoder is frozen, averaged and has white latents.

    One that is trained further (``start``) is whitened already; whitening again could turn the
    axes of the latents, which the UNet that belongs to it knows.
    """
    torch.manual_seed(settings.seed)
    device = torch.device(settings.device)
    run = Run(runs, device, "autoencoder.pt")
    vae = (start or build_autoencoder(sizes)).to(device).train().requires_grad_(True)
    saved, budget = run.state(), 60 * settings.minutes_vae
    done = saved.get("stage") == DONE
    if done:
        vae.load_state_dict(saved["model"])
    if done and saved["elapsed"] >= budget:
        return vae.eval().requires_grad_(False)
    train = samples("train", settings.first_sample, sizes.side)
    batches = [images_tensor([next(train) for _ in range(8)], device) for _ in range(16)]
    if not start and not done:
        match_output_colours(vae, torch.cat(batches[:4]))
    average = Average([vae], 0.995)
    optimizer = torch.optim.AdamW(vae.parameters(), betas=(0.9, 0.98), weight_decay=0.01)
    limits = settings.minutes_vae, settings.steps_vae
    if done:  # with a smaller budget
        clock = Clock(*limits, saved["step"], saved["elapsed"])
    else:
        clock = run.resume(STAGE, vae, [optimizer], *limits, average)
    _run_autoencoder(vae, average, optimizer, clock, settings, sizes, run)
    if clock.stopped:
        raise SystemExit("stopped during the autoencoder; start again to continue")
    average.swap()
    if not start:
        whiten_latents(vae, batches)
    spent = Clock(*limits, clock.step, max(clock.elapsed, budget))
    run.keep(DONE, vae, [], spent, every=0)
    say(stage="autoencoder", done=True, heldout_psnr=autoencoder_psnr(vae, sizes))
    return vae.eval().requires_grad_(False)


def _run_autoencoder(
    vae: AutoencoderKL,
    average: Average,
    optimizer: torch.optim.Optimizer,
    clock: Clock,
    settings: TrainSettings,
    sizes: InpainterSizes,
    run: Run,
) -> None:
    """Steps of stage 1: half-size crops first (more of them), whole crops at the end."""
    clock.stop_on_sigterm()
    device = torch.device(settings.device)
    rng = np.random.default_rng([settings.seed, clock.step])
    begun = settings.first_sample + clock.step * settings.batch_vae
    source = samples("train", begun, sizes.side)
    told = time.monotonic()
    while clock.running:
        whole = clock.progress > 0.75
        count = max(1, settings.batch_vae // 2) if whole else settings.batch_vae
        crop = sizes.side if whole else sizes.side // 2
        images, weights = (t.to(device) for t in autoencoder_batch(source, count, crop, rng))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(settings.rate_vae, clock.step, clock.progress)
        latents = encode(vae, images)
        output = vae.decode(latents + 0.05 * torch.randn_like(latents)).sample
        loss = reconstruction_loss(output, images, weights) + 1e-3 * latents.pow(2).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        clock.step += 1
        average.update(clock.step)
        now = time.monotonic()
        if now - told > 60:
            told = now
            _report_autoencoder(vae, average, clock, float(loss.detach()), sizes)
        every = settings.checkpoint_every if clock.running else 0
        run.keep(STAGE, vae, [optimizer], clock, every, average)


def _report_autoencoder(
    vae: AutoencoderKL, average: Average, clock: Clock, loss: float, sizes: InpainterSizes
) -> None:
    average.swap()
    quality = autoencoder_psnr(vae, sizes, 16)
    average.swap()
    say(stage="autoencoder", step=clock.step, progress=clock.progress, loss=loss, psnr=quality)
