"""Train the miniature segmenter: a small ``SamModel`` for boxes, points and rough masks.

One image embedding serves many prompts, so each scene is trained with 16 of them.
``python -m groundbrush.miniature.train.segmenter --minutes 40`` writes
``miniature/weights/segmenter``.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import SamModel

from .loop import Run, chosen_device
from .muon import optimizers, step_all
from .segmenter_data import (
    LEAST,
    MASK_SIDE,
    NO_TOKENS,
    SIDE,
    THREE_TOKENS,
    TWO_TOKENS,
    Prompt,
    empty_box,
    jitter_box,
    make_prompt,
    model_input,
    seen_sprites,
    tight_box,
    training_scene,
    wide_scenes,
)
from .segmenter_model import build_model, decode, encode_prompts, export, inner, prompt_loss

WEIGHTS = Path(__file__).parents[1] / "weights" / "segmenter"


@torch.no_grad()
def measure(model: SamModel, scenes: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """Mean IoU at full size of the best-scored mask, by prompt; and the score's own error."""
    rng = np.random.default_rng(5)
    kinds = "box", "box_single", "box20", "box30", "point", "box+point"
    rows: dict[str, list[float]] = {k: [] for k in (*kinds, "score_error", "empty_score")}
    for image, instances in scenes:
        pixels = torch.from_numpy(model_input(image))[None].to(model.device)
        embedding = model.get_image_embeddings(pixels)
        for number in np.flatnonzero(np.bincount(instances.ravel())[1:] >= LEAST) + 1:
            mask = instances == number
            box = tight_box(mask)
            depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 3)
            y, x = np.unravel_index(np.argmax(depth), depth.shape)
            point, one = np.array([[x - 1, y - 1]], np.float32), np.ones(1)
            for kind, prompt in {
                "box": Prompt(box, None, None, None, 1),
                "box20": Prompt(jitter_box(rng, box, 0.2), None, None, None, 1),
                "box30": Prompt(jitter_box(rng, box, 0.3), None, None, None, 1),
                "point": Prompt(None, point, one, None, 1),
                "box+point": Prompt(jitter_box(rng, box, 0.2), point, one, None, 1),
            }.items():
                found, score, single = _predict(model, embedding, prompt, mask.shape)
                rows[kind].append(_iou(found, mask))
                rows["score_error"].append(abs(rows[kind][-1] - score))
                if kind == "box":
                    rows["box_single"].append(_iou(single, mask))
        empty = empty_box(rng, instances)
        if empty is not None:
            prompt = Prompt(empty, None, None, None, 0)
            rows["empty_score"].append(_predict(model, embedding, prompt, instances.shape)[1])
    return {key: round(float(np.mean(values)), 4) for key, values in rows.items() if values}


def _predict(
    model: SamModel, embedding: Tensor, prompt: Prompt, shape: tuple[int, ...]
) -> tuple[np.ndarray, float, np.ndarray]:
    """Best of three masks, its score, and the single mask."""
    masks, scores = decode(model, embedding, *encode_prompts(model, [prompt]))
    best = int(scores[0, 1:].argmax()) + 1
    full = F.interpolate(masks[:, [best, 0]], (SIDE, SIDE), mode="bilinear")[0]
    found, single = (full[:, : shape[0], : shape[1]] > 0).cpu().numpy()
    return found, float(scores[0, best]), single


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


def training_step(model: SamModel, seeds: list[int], names: tuple[str, ...]) -> dict[str, float]:
    """Losses of one batch of scenes, with gradients accumulated on the model."""
    scenes = [training_scene(seed, names) for seed in seeds]
    pixels = torch.from_numpy(np.stack([model_input(image) for image, _ in scenes]))
    embeddings = model.vision_encoder(pixels.to(model.device)).last_hidden_state
    sums: dict[str, float] = {}
    total = embeddings.new_zeros(())
    for kinds, share in ((TWO_TOKENS, 0.6), (THREE_TOKENS, 0.25), (NO_TOKENS, 0.15)):
        prompts, targets = [], []
        for seed, (_, instances) in zip(seeds, scenes, strict=True):
            rng = np.random.default_rng([13, len(kinds), seed])
            padded = np.zeros((SIDE, SIDE), np.int32)
            padded[: instances.shape[0], : instances.shape[1]] = instances
            for kind in kinds:
                prompt = make_prompt(rng, kind, instances)
                wanted = (padded == prompt.target) & (prompt.target > 0)
                prompts.append(prompt)
                targets.append(
                    cv2.resize(
                        wanted.astype(np.float32),
                        (MASK_SIDE, MASK_SIDE),
                        interpolation=cv2.INTER_AREA,
                    )
                )
        exists = pixels.new_tensor([float(prompt.target > 0) for prompt in prompts])
        pictures = embeddings.repeat_interleave(len(kinds), 0)
        masks, scores = decode(model, pictures, *encode_prompts(model, prompts))
        truth = torch.from_numpy(np.stack(targets))
        losses = prompt_loss(masks, scores, truth.to(model.device), exists.to(model.device))
        total = total + share * (losses["best"] + 0.5 * losses["single"] + losses["score"])
        for key, value in losses.items():
            sums[key] = sums.get(key, 0.0) + share * value.item()
    total.backward()
    return sums


def _schedule(step: int, share: float) -> float:
    """Warm up over 100 steps, then half a cosine down over the span of time."""
    return min(1, (step + 1) / 100) * (0.02 + 0.98 * math.cos(math.pi / 2 * min(share, 1)) ** 2)


def train(
    minutes: float, batch: int, run: Run, start: Path | None = None, first_seed: int = 50_000_000
) -> SamModel:
    """Train for a span of wall time, from the run's checkpoint if it has one; the learning rate
    follows the share of the time that is spent. `start` holds weights to begin from, on new seeds
    and at half the rates."""
    torch.manual_seed(0)
    model, names, check = build_model(), seen_sprites(), wide_scenes(24)
    if start:
        model.load_state_dict(SamModel.from_pretrained(start, dtype=torch.float32).state_dict())
    first = first_seed if start else 0
    model.train().to(run.device)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    slower = 0.5 if start else 1.0
    optims = optimizers(trained, inner, 2e-3 * slower, 1e-3 * slower)
    clock = run.resume("segmenter", model, optims, minutes)
    clock.stop_on_sigterm()
    smooth: dict[str, float] = {}
    while clock.running:
        share = _schedule(clock.step, clock.progress)
        seeds = [first + clock.step * batch + i for i in range(batch)]
        losses = training_step(model, seeds, names)
        step_all(optims, list(model.parameters()), share)
        clock.step += 1
        smooth = {k: 0.95 * smooth.get(k, v) + 0.05 * v for k, v in losses.items()}
        if clock.step % 20 == 0:
            run.tell("segmenter", clock, **smooth)
        if run.keep("segmenter", model, optims, clock, every=300):
            run.tell("segmenter", clock, **measure(model.eval(), check))
            model.train()
    run.keep("segmenter", model, optims, clock, every=0)
    return model.eval()


def main(argv: list[str] | None = None) -> None:
    """Command line: train, measure on held-out scenes, export."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument(
        "--first-seed", type=int, default=50_000_000, help="of scenes after --start"
    )
    parser.add_argument("--start", type=Path, help="saved weights to begin from")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--run", type=Path, default=Path("runs/segmenter"))
    parser.add_argument("--scenes", type=int, default=200, help="to measure on at the end")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    run = Run(args.run, chosen_device(args.device))
    model = train(args.minutes, args.batch, run, args.start, args.first_seed)
    print(measure(model, wide_scenes(args.scenes)), flush=True)
    export(model, args.out)


if __name__ == "__main__":
    main()
