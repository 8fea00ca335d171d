"""Train the miniature SDXL inpainter from nothing: autoencoder first, then UNet and text encoders.

Run ``python -m groundbrush.miniature.train.inpainter --minutes-vae 55 --minutes 168``. Each stage
keeps to its budget, writes a checkpoint every few minutes and resumes from it when started again;
at the end the pipeline is saved in fp16. The recipe: v-prediction with zero terminal SNR, a floored
min-SNR-5 weight (Hang et al. 2023, equation for v), loss concentrated on the hole, text dropped to
zeros (what ``force_zeros_for_empty_prompt`` feeds for guidance), averaged weights.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, StableDiffusionXLInpaintPipeline
from diffusers.utils import logging as diffusers_logging
from PIL import Image

from .inpainter_autoencoder import holes_tensor, images_tensor, train_autoencoder
from .inpainter_data import InpaintSample, make_sample, prompt_words, samples
from .inpainter_models import (
    InpainterSizes,
    build_pipeline,
    build_scheduler,
    build_text_encoders,
    build_unet,
    encode,
    train_tokenizer,
)
from .loop import Average, Clock, Run, TrainSettings, chosen_device, learning_rate, say

MINIATURE = Path(__file__).parents[1]


@dataclass(frozen=True, eq=False)
class Parts:
    """What stage 2 trains (``unet``, ``text``) and what it only uses."""

    vae: AutoencoderKL
    unet: torch.nn.Module
    text: tuple[torch.nn.Module, torch.nn.Module]
    tokenizer: object
    sizes: InpainterSizes

    @property
    def trained(self) -> torch.nn.ModuleList:
        """The modules that are trained in stage 2."""
        return torch.nn.ModuleList([self.unet, *self.text])

    def pipeline(self) -> StableDiffusionXLInpaintPipeline:
        """The parts as the pipeline users load."""
        return build_pipeline(self.vae, self.unet, self.text, self.tokenizer)


def build_parts(vae: AutoencoderKL, sizes: InpainterSizes) -> Parts:
    """Fresh UNet, text encoders and tokenizer on the autoencoder's device."""
    device = next(vae.parameters()).device
    tokenizer = train_tokenizer(prompt_words(), sizes.words)
    first, second = build_text_encoders(tokenizer, sizes)
    text = (first.to(device), second.to(device))
    return Parts(vae, build_unet(sizes).to(device), text, tokenizer, sizes)


def saved_parts(folder: Path, settings: TrainSettings, sizes: InpainterSizes, runs: Path) -> Parts:
    """The parts of a saved pipeline, with its tokenizer; the autoencoder trained further if time is
    given to it. Its latents then move, and stage 2 follows them."""
    device = torch.device(settings.device)
    saved = StableDiffusionXLInpaintPipeline.from_pretrained(
        folder, local_files_only=True, torch_dtype=torch.float32, add_watermarker=False
    ).to(device)
    vae = train_autoencoder(settings, sizes, runs, saved.vae) if settings.minutes_vae else saved.vae
    text = (saved.text_encoder.train(), saved.text_encoder_2.train())
    return Parts(vae.eval().requires_grad_(False), saved.unet.train(), text, saved.tokenizer, sizes)


class LatentBank:
    """A ring of encoded samples: target, masked picture, mask, loss weight and prompt tokens."""

    def __init__(self, parts: Parts, size: int, split: str, start: int) -> None:
        self.parts, self.size, self.filled, self._next = parts, size, 0, 0
        self.device = next(parts.vae.parameters()).device
        self._source = samples(split, start, parts.sizes.side)
        side = parts.sizes.latent_side
        self.target = torch.empty(size, 4, side, side, device=self.device)
        self.masked = torch.empty_like(self.target)
        self.mask = torch.empty(size, 1, side, side, device=self.device)
        self.weight = torch.empty_like(self.mask)
        words = parts.sizes.words
        self.tokens = torch.empty(size, words, dtype=torch.long, device=self.device)

    @torch.inference_mode()
    def add(self, count: int, outside_weight: float) -> None:
        """Encode new samples over the oldest ones."""
        batch = [next(self._source) for _ in range(count)]
        images, holes = images_tensor(batch, self.device), holes_tensor(batch, self.device)
        latents = encode(self.parts.vae, torch.cat([images, images * (holes < 0.5)]))
        where = (self._next + torch.arange(count, device=self.device)) % self.size
        self.target[where], self.masked[where] = latents[:count], latents[count:]
        # The pipeline shrinks the mask by nearest neighbour; the loss counts every touched cell.
        self.mask[where] = F.interpolate(holes, size=self.mask.shape[-2:])
        self.weight[where] = outside_weight + F.max_pool2d(holes, 8)
        self.tokens[where] = tokenize(self.parts, [sample.prompt for sample in batch])
        self._next = (self._next + count) % self.size
        self.filled = min(self.size, self.filled + count)

    def draw(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Indices of a random batch."""
        return torch.randint(self.filled, (count,), generator=generator).to(self.device)


def tokenize(parts: Parts, prompts: list[str]) -> torch.Tensor:
    """Token ids ``(N, words)``, padded as the pipeline pads."""
    rows = parts.tokenizer(
        prompts,
        padding="max_length",
        max_length=parts.sizes.words,
        truncation=True,
        return_tensors="pt",
    )
    return rows.input_ids


def encode_text(parts: Parts, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """SDXL's conditioning: both encoders' penultimate states, and the second one's pooled text."""
    first = parts.text[0](tokens, output_hidden_states=True)
    second = parts.text[1](tokens, output_hidden_states=True)
    states = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1)
    return states, second.text_embeds


def diffusion_loss(
    parts: Parts,
    bank: LatentBank,
    rows: torch.Tensor,
    alphas: torch.Tensor,
    dropout: float,
    generator: torch.Generator,
) -> torch.Tensor:
    """Weighted error of the predicted velocity on the bank's ``rows``."""
    count, device = len(rows), bank.device
    times = torch.randint(len(alphas), (count,), generator=generator).to(device)
    target = bank.target[rows]
    noise = torch.randn(target.shape, generator=generator).to(device)
    signal = alphas[times].sqrt()[:, None, None, None]
    spread = (1 - alphas[times]).sqrt()[:, None, None, None]
    noisy = signal * target + spread * noise
    velocity = signal * noise - spread * target
    states, pooled = encode_text(parts, bank.tokens[rows])
    kept = (torch.rand(count, generator=generator) >= dropout).to(device).float()
    side = float(parts.sizes.side)
    crop = torch.tensor([[side, side, 0, 0, side, side]], device=device).expand(count, -1)
    predicted = parts.unet(
        torch.cat([noisy, bank.mask[rows], bank.masked[rows]], dim=1),
        times,
        encoder_hidden_states=states * kept[:, None, None],
        added_cond_kwargs={"text_embeds": pooled * kept[:, None], "time_ids": crop},
    ).sample
    ratio = alphas[times] / (1 - alphas[times])
    by_time = (ratio.clamp(max=5) / (ratio + 1)).clamp(min=0.5)
    weight = bank.weight[rows]
    error = (predicted.float() - velocity).pow(2).mean(1, keepdim=True)
    each = (error * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3))
    return (each * by_time).mean()


def train_unet(parts: Parts, settings: TrainSettings, runs: Path) -> None:
    """Stage 2. Leaves the averaged weights in ``parts``."""
    torch.manual_seed(settings.seed + 1)
    run, trained = Run(runs, torch.device(settings.device), "unet.pt"), parts.trained
    average = Average([trained], 0.999)
    optimizer = torch.optim.AdamW(trained.parameters(), betas=(0.9, 0.99), weight_decay=0.01)
    limits = settings.minutes, settings.steps
    clock = run.resume("unet", trained, [optimizer], *limits, average)
    clock.stop_on_sigterm()
    _run_unet(parts, average, optimizer, clock, settings, run)
    average.swap()


def _run_unet(
    parts: Parts,
    average: Average,
    optimizer: torch.optim.Optimizer,
    clock: Clock,
    settings: TrainSettings,
    run: Run,
) -> None:
    """Steps of stage 2, with a report each minute and checkpoints."""
    begun = settings.first_sample + settings.bank_start + clock.step * settings.fresh
    bank = LatentBank(parts, settings.bank, "train", begun)
    check = LatentBank(parts, 64, "heldout", 0)
    for ring, count in ((bank, settings.bank_start), (check, 64)):
        for _ in range(0, count, 32):
            ring.add(min(32, count), settings.outside_weight)
    alphas = build_scheduler().alphas_cumprod.to(bank.device)
    generator = torch.Generator().manual_seed(settings.seed + clock.step)
    told = time.monotonic()
    recent: list[float] = []
    while clock.running:
        loss = _unet_step(parts, bank, alphas, optimizer, clock, settings, generator)
        average.update(clock.step)
        recent.append(loss)
        now, last = time.monotonic(), not clock.running
        if now - told > 60 or last:
            told = now
            _report_unet(parts, average, check, alphas, clock, recent, settings)
            recent.clear()
        every = 0 if last else settings.checkpoint_every
        run.keep("unet", parts.trained, [optimizer], clock, every, average)


def _unet_step(
    parts: Parts,
    bank: LatentBank,
    alphas: torch.Tensor,
    optimizer: torch.optim.Optimizer,
    clock: Clock,
    settings: TrainSettings,
    generator: torch.Generator,
) -> float:
    bank.add(settings.fresh, settings.outside_weight)
    rows = bank.draw(settings.batch, generator)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(settings.rate, clock.step, clock.progress)
    with torch.autocast(bank.device.type, torch.bfloat16, enabled=bank.device.type == "cuda"):
        loss = diffusion_loss(parts, bank, rows, alphas, settings.text_dropout, generator)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], 1.0)
    optimizer.step()
    clock.step += 1
    return float(loss.detach())


@torch.no_grad()
def _report_unet(
    parts: Parts,
    average: Average,
    check: LatentBank,
    alphas: torch.Tensor,
    clock: Clock,
    recent: list[float],
    settings: TrainSettings,
) -> None:
    """Training loss since the last report, and the averaged weights' loss on held-out crops."""
    average.swap()
    rows = torch.arange(check.filled, device=check.device)
    fixed = torch.Generator().manual_seed(1)
    heldout = float(diffusion_loss(parts, check, rows, alphas, 0.0, fixed))
    average.swap()
    say(
        stage="unet",
        step=clock.step,
        samples=clock.step * settings.batch,
        progress=clock.progress,
        loss=float(np.mean(recent)),
        heldout=heldout,
    )


def paint(
    pipeline: StableDiffusionXLInpaintPipeline, sample: InpaintSample, prompt: str, seed: int
) -> Image.Image:
    """Fill the sample's hole as the product does: strength 1, guidance 3, 20 steps."""
    picture = np.where(sample.hole[..., None], np.uint8(127), sample.target)
    side = sample.hole.shape[0]
    return pipeline(
        prompt=prompt,
        image=Image.fromarray(picture),
        mask_image=Image.fromarray(sample.hole.astype(np.uint8) * 255),
        height=side,
        width=side,
        strength=1.0,
        num_inference_steps=20,
        guidance_scale=3.0,
        generator=torch.Generator().manual_seed(seed),
    ).images[0]


def export(parts: Parts, out: Path) -> None:
    """Save the pipeline in fp16 safetensors and prove that it loads and paints."""
    parts.pipeline().to(torch.float16).save_pretrained(out, safe_serialization=True)
    loaded = StableDiffusionXLInpaintPipeline.from_pretrained(
        out, local_files_only=True, torch_dtype=torch.float32, add_watermarker=False
    )
    loaded.set_progress_bar_config(disable=True)
    paint(loaded, make_sample("heldout", 0, parts.sizes.side), "background", 0)
    megabytes = sum(f.stat().st_size for f in out.rglob("*") if f.is_file()) / 1e6
    say(stage="export", out=out, megabytes=megabytes)


def train(
    settings: TrainSettings, sizes: InpainterSizes, runs: Path, out: Path, start: Path | None = None
) -> None:
    """Both stages, from nothing or from saved weights, and the export."""
    if start:
        parts = saved_parts(start, settings, sizes, runs)
    else:
        vae = train_autoencoder(settings, sizes, runs)
        torch.manual_seed(settings.seed)
        parts = build_parts(vae, sizes)
    train_unet(parts, settings, runs)
    export(parts, out)


def main(argv: list[str] | None = None) -> None:
    """Command line: budgets in, weights out."""
    parser = argparse.ArgumentParser(
        description=__doc__, prog="python -m groundbrush.miniature.train.inpainter"
    )
    parser.add_argument(
        "--minutes-vae",
        type=float,
        help=f"{TrainSettings.minutes_vae:g} from nothing, 0 with --start",
    )
    parser.add_argument("--minutes", type=float, default=TrainSettings.minutes)
    parser.add_argument("--start", type=Path, help="a saved pipeline to train further")
    parser.add_argument("--rate", type=float, default=TrainSettings.rate)
    parser.add_argument("--rate-vae", type=float, default=TrainSettings.rate_vae)
    parser.add_argument("--first-sample", type=int, default=0, help="seed of the first sample")
    parser.add_argument("--batch", type=int, default=TrainSettings.batch)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=Path, default=MINIATURE.parent / "runs" / "inpainter")
    parser.add_argument("--out", type=Path, default=MINIATURE / "weights" / "inpainter")
    given = parser.parse_args(argv)
    torch.set_num_threads(given.threads)
    diffusers_logging.set_verbosity_error()
    minutes_vae = 0.0 if given.start else TrainSettings.minutes_vae
    settings = TrainSettings(
        minutes_vae=minutes_vae if given.minutes_vae is None else given.minutes_vae,
        minutes=given.minutes,
        batch=given.batch,
        device=str(chosen_device(given.device)),
        seed=given.seed,
        rate=given.rate,
        rate_vae=given.rate_vae,
        first_sample=given.first_sample,
    )
    train(settings, InpainterSizes(), given.runs, given.out, given.start)


if __name__ == "__main__":
    main()
