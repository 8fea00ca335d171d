"""Train the miniature LVLM: first its tower on patches and words, then everything on language.

``python -m groundbrush.miniature.train.lvlm --minutes-tower 40 --minutes 83`` writes
``miniature/weights/lvlm``. The language model never sees a box or a mask: where it looks emerges
from describing what a phrase refers to.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast

from ..composer import compose_wide
from ..tokenizer import build_tokenizer
from ..wide_phrases import wide_absent, wide_expressions
from .loop import Clock, Run, chosen_device
from .lvlm_data import GRID, PATCH, language_batch, normalise, square_view, tower_batch
from .lvlm_model import (
    PatchWords,
    build_model,
    export,
    image_features,
    language_loss,
    prefix_ids,
    query_rows,
)
from .muon import optimizers, step_all

WEIGHTS = Path(__file__).parents[1] / "weights" / "lvlm"
# Loss per unit of mean attention to the picture, reached after 40% of the time: a head stays with
# the picture if that is worth more than PRICE / 72 nats a word.
PRICE = 0.1


EXCHANGES = 12  # about one scene
PATCHES = 0.15  # weight of the patch labels while the tower learns


def inner(name: str) -> bool:
    """Whether a parameter belongs to the blocks or the projector."""
    return "layers." in name or "proj" in name


def rate_share(clock: Clock) -> float:
    """Warm up, hold for half the budget, then fall to 3%."""
    fall = 1 - 0.97 * max(0.0, (clock.progress - 0.5) / 0.5)
    return min(1.0, (clock.step + 1) / 100) * fall


def half_precision(device: torch.device) -> torch.autocast:
    """bf16 autocast where the hardware supports it; elsewhere it would be emulated."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def train_tower(
    model: LlavaForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    run: Run,
    args: argparse.Namespace,
) -> bool:
    """Pretrain tower, projector and word embeddings on patch labels (in place of CLIP).

    False when the process got a signal to terminate before the time was spent.
    """
    probe = PatchWords(tokenizer).to(run.device)
    both = torch.nn.ModuleDict({"model": model, "probe": probe})
    names = ("vision_tower", "projector", "embed_tokens", "probe")
    parameters = {n: p for n, p in both.named_parameters() if any(k in n for k in names)}
    optims = optimizers(parameters, inner, args.rate, args.rate)
    clock = run.resume("tower", both, optims, args.minutes_tower)
    clock.stop_on_sigterm()
    while clock.running:
        pixels, labels = tower_batch("train", [clock.step * 8 + i for i in range(8)])
        words = model.get_input_embeddings().weight
        with half_precision(run.device):
            features = image_features(model, pixels.to(run.device))
            out = probe(features, words, labels.to(run.device))
        out["loss"].backward()
        step_all(optims, list(parameters.values()), rate_share(clock))
        clock.step += 1
        if clock.step % 50 == 0:
            run.tell("tower", clock, **out)
        run.keep("tower", both, optims, clock)
    run.keep("tower", both, optims, clock, every=0)
    return not clock.stopped


def train_language(
    model: LlavaForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    run: Run,
    args: argparse.Namespace,
) -> bool:
    """Train language model and projector on answers only; False when stopped by a signal.

    For the first ``args.joint`` of the time the tower learns as well, from the answers and from
    its patch labels; afterwards it stays as it is, which makes a step cheaper.
    """
    probe = PatchWords(tokenizer).to(run.device)
    both = torch.nn.ModuleDict({"model": model, "probe": probe})
    parameters = dict(both.named_parameters())
    optims = optimizers(parameters, inner, args.rate, args.rate)
    clock = run.resume("language", both, optims, args.minutes)
    clock.stop_on_sigterm()
    head, generator = prefix_ids(tokenizer), torch.Generator().manual_seed(clock.step)
    price = PRICE if args.start else 0.0
    while clock.running:
        seeds = [args.first_seed + clock.step * args.batch + i for i in range(args.batch)]
        batch = language_batch("train", seeds, tokenizer, EXCHANGES).to(run.device)
        # Few image tokens are cheap and make heads sharp; the last tenth reads like real use.
        low, high = (0.2, 0.45) if clock.progress < 0.9 else (0.4, 0.9)
        share = float(np.random.default_rng(clock.step).uniform(low, high))
        keep, learning = max(1, int(share * GRID**2)), clock.progress < args.joint
        with half_precision(run.device):
            with torch.set_grad_enabled(learning):
                hidden = model.model.vision_tower(batch.pixels).last_hidden_state
            features = model.model.multi_modal_projector(hidden[:, 1:])
            words = model.get_input_embeddings().weight
            seen = probe(features, words, batch.labels)
            loss, right, paid = language_loss(model, features, batch, head, keep, generator)
        price = max(price, PRICE * min(1.0, clock.progress / 0.4))
        (loss + price * paid + (PATCHES * seen["loss"] if learning else 0)).backward()
        step_all(optims, list(parameters.values()), rate_share(clock))
        clock.step += 1
        if clock.step % 25 == 0:
            run.tell(
                "language",
                clock,
                loss=loss,
                right=right,
                paid=paid,
                **{k: v for k, v in seen.items() if k in ("thing", "nothing", "colour", "row")},
            )
        if clock.step % 250 == 0:
            run.tell("language", clock, **early_signs(model, tokenizer))
        run.keep("language", both, optims, clock)
    run.keep("language", both, optims, clock, every=0)
    return not clock.stopped


def early_signs(
    model: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, scenes: int = 24
) -> dict[str, float]:
    """On validation scenes: the best head's pointing and mass in the named mask, its place, and
    how often presence is answered rightly."""
    model.eval()
    mass, points, present, absent = [], [], [], []
    for seed in range(scenes):
        scene, rng = compose_wide("validation", seed), np.random.default_rng(seed)
        image, owner = square_view(scene)
        asked = [e for i in range(len(scene.objects)) for e in wide_expressions(scene, i)]
        asked = [asked[i] for i in rng.choice(len(asked), min(3, len(asked)), replace=False)]
        asked += wide_absent(scene, rng, 1)
        rows, answers = query_rows(
            model, tokenizer, normalise(image[None]), [e.text for e in asked]
        )
        for expression, row, answer in zip(asked, rows, answers, strict=True):
            if expression.target is None:
                absent.append(answer == "nothing")
                continue
            present.append(answer != "nothing")
            mask = torch.from_numpy(owner == expression.target + 1).float()
            cover = torch.nn.functional.avg_pool2d(mask[None], PATCH)[0]
            flat = row.flatten(-2)
            mass.append((row * cover).sum((-1, -2)) / flat.sum(-1))
            points.append(cover.flatten()[flat.argmax(-1)] > 0.3)
    heads, hits = torch.stack(mass).mean(0), torch.stack(points).float().mean(0)
    best = divmod(int(heads.argmax()), heads.shape[1])
    return {
        "mass": heads.max(),
        "pointing": hits.max(),
        "layer": best[0],
        "head": best[1],
        "present": float(np.mean(present)),
        "absent": float(np.mean(absent)),
        "third_mass": heads.flatten().sort().values[-3],
    }


def main(argv: list[str] | None = None) -> None:
    """Command line; see ``--help``."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes-tower", type=float, default=40)
    parser.add_argument("--minutes", type=float, default=83, help="of language training")
    parser.add_argument(
        "--start", type=Path, help="folder of saved weights to begin from, without a tower stage"
    )
    parser.add_argument("--joint", type=float, default=0.6, help="share in which the tower learns")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--first-seed", type=int, default=10_000_000)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda")
    parser.add_argument("--run", type=Path, default=Path("runs/lvlm"))
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="where the model is saved")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    tokenizer = build_tokenizer()
    device = chosen_device(args.device)
    model, run = build_model(tokenizer), Run(args.run, device)
    stage = run.state().get("stage", "language" if args.start else "tower")
    if args.start and not run.path.is_file():
        saved = LlavaForConditionalGeneration.from_pretrained(args.start, dtype=torch.float32)
        model.load_state_dict(saved.state_dict())
    model.train().to(device)
    if stage == "tower" and not train_tower(model, tokenizer, run, args):
        return
    if train_language(model, tokenizer, run, args):
        print(early_signs(model, tokenizer, 60), flush=True)
        export(model, tokenizer, args.out)


if __name__ == "__main__":
    main()
