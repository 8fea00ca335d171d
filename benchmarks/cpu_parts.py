"""What one edit costs on a CPU with each choice of models: full-size parts with random weights.

    python -m benchmarks.full_size --device cpu [--parts NAME ...] [--again]

Every part runs in a process of its own, one after the other, and only where the free memory holds
it; what was measured before is kept, so an interrupted run continues. Weights are a repeated random
block in the precision that presets take on this CPU. Times are CPU seconds of one thread. The floor
is the part's operations over the rate at which the same process multiplies large matrices.
"""

from __future__ import annotations

import contextlib
import json
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from groundbrush.editor.models.presets import precision

from benchmarks import common, stand_ins

LIMIT = 3600
"""Seconds of one part."""
PHRASE = 40  # tokens of a prompt beside the picture's
_ONCE = 10.0  # seconds from which the first run is the measurement
_BLOCK = 1 << 20
QWEN_HALF = {
    "model_type": "qwen2",
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "vocab_size": 151674,
}
LLAMA_15 = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 15,
    "num_attention_heads": 32,
    "vocab_size": 32064,
}
INTERN_VIT = {"model_type": "internvl_vision", "image_size": [448, 448]}
CLIP_336 = {
    "model_type": "clip_vision_model",
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 23,
    "num_attention_heads": 16,
    "image_size": 336,
    "patch_size": 14,
}
UNET_15 = {"sample_size": 64, "in_channels": 9, "cross_attention_dim": 768}
Run = Callable[[], Any]


def _lvlm(vision: dict[str, Any], text: dict[str, Any], tokens: int) -> tuple[list[Any], Run]:
    """A tower and a language model; one phrase: the picture's tokens and the prompt's."""
    from transformers import AutoConfig, AutoModel

    configs = [AutoConfig.for_model(**one) for one in (vision, text)]
    tower, words = (AutoModel.from_config(one) for one in configs)
    side = vision["image_size"]
    side = side if isinstance(side, int) else side[0]
    picture = torch.randn(1, 3, side, side)
    prompt = torch.randn(1, tokens + PHRASE, text["hidden_size"])

    def run() -> None:
        tower(pixel_values=picture)
        words(inputs_embeds=prompt, use_cache=False)

    return [tower, words], run


def _sam(**vision: Any) -> tuple[list[Any], Run]:
    from transformers import SamConfig, SamModel

    model = SamModel(SamConfig(vision_config=vision))
    picture, box = torch.randn(1, 3, 1024, 1024), torch.tensor([[[100.0, 100.0, 600.0, 700.0]]])
    box = box.to(torch.get_default_dtype())
    return [model], lambda: model(pixel_values=picture, input_boxes=box)


def _unet(config: dict[str, Any], side: int, words: int) -> tuple[list[Any], Run]:
    """One guided step: two latents of a canvas."""
    from diffusers import UNet2DConditionModel

    model = UNet2DConditionModel(**config)
    cells = side // stand_ins.CELL
    latents, prompt = torch.randn(2, 9, cells, cells), torch.randn(2, 77, words)
    more = {"text_embeds": torch.randn(2, 1280), "time_ids": torch.randn(2, 6)}
    added = more if "addition_embed_type" in config else None
    return [model], lambda: model(latents, torch.tensor(500), prompt, added_cond_kwargs=added)


def _vae(side: int) -> tuple[list[Any], Run]:
    """Picture and masked picture to latents, and latents back to a picture."""
    from diffusers import AutoencoderKL

    model, picture = AutoencoderKL(**stand_ins.VAE), torch.randn(1, 3, side, side)

    def run() -> None:
        for _ in range(2):
            latents = model.encode(picture).latent_dist.mode()
        model.decode(latents)

    return [model], run


def _grounding_dino() -> tuple[list[Any], Run]:
    from transformers import GroundingDinoConfig, GroundingDinoModel

    model = GroundingDinoModel(GroundingDinoConfig())
    picture, words = torch.randn(1, 3, 800, 1066), torch.randint(1000, 2000, (1, 8))
    words[0, 0], words[0, -2], words[0, -1] = 101, 1012, 102
    return [model], lambda: model(pixel_values=picture, input_ids=words)


def _sam3() -> tuple[list[Any], Run]:
    from transformers import Sam3Config, Sam3Model

    model = Sam3Model(Sam3Config())
    picture, words = torch.randn(1, 3, 1008, 1008), torch.randint(1000, 2000, (1, 32))
    mask = torch.ones_like(words)
    return [model], lambda: model(pixel_values=picture, input_ids=words, attention_mask=mask)


class Part(NamedTuple):
    """A part: what it does once, GB of free memory that it needs, and how it is made."""

    does: str
    gb: float
    made: Callable[[], tuple[list[Any], Run]]
    dtype: str = "float16"  # as the presets name it; on a CPU bfloat16 or float32 is taken


PARTS = {
    "SAM ViT-B": Part("a picture and a box", 3, _sam),
    "InternVL3-1B": Part("a phrase", 3, lambda: _lvlm(INTERN_VIT, QWEN_HALF, 256)),
    "SD 1.5 UNet": Part("a guided step, 512 px", 4, lambda: _unet(UNET_15, 512, 768)),
    "SD 1.5 VAE": Part("in and out, 512 px", 3, lambda: _vae(512)),
    "Grounding DINO tiny": Part("a picture and a phrase", 3, _grounding_dino, "float32"),
    "SAM ViT-H": Part("a picture and a box", 5, lambda: _sam(**stand_ins.SAM_HUGE)),
    "SDXL UNet": Part("a guided step, 1024 px", 9, lambda: _unet(stand_ins.UNET, 1024, 2048)),
    "SDXL VAE": Part("in and out, 1024 px", 5, lambda: _vae(1024)),
    "SAM 3": Part("a picture and a phrase", 7, _sam3, "float32"),
    "LLaVA-1.5-7B, 15 layers": Part("a phrase", 12, lambda: _lvlm(CLIP_336, LLAMA_15, 576)),
}
EDITS = {
    "photo-light": {"InternVL3-1B": 1, "SAM ViT-B": 1, "SD 1.5 UNet": 19, "SD 1.5 VAE": 1},
    "photo": {"LLaVA-1.5-7B, 15 layers": 1, "SAM ViT-H": 1, "SDXL UNet": 29, "SDXL VAE": 1},
    "Grounding DINO and SAM ViT-B, with SD 1.5": {
        "Grounding DINO tiny": 1,
        "SAM ViT-B": 1,
        "SD 1.5 UNet": 19,
        "SD 1.5 VAE": 1,
    },
    "SAM 3, with SDXL": {"SAM 3": 1, "SDXL UNet": 29, "SDXL VAE": 1},
}
"""What an edit with one phrase runs, and how often; text encoders are left out."""


@contextlib.contextmanager
def _drawing_nothing(dtype: torch.dtype) -> Iterator[None]:
    """Make networks in a precision without drawing weights, which takes longer than a pass."""
    from transformers.initialization import no_init_weights

    names = ("normal_", "uniform_", "erfinv_")
    before, usual = {name: getattr(torch.Tensor, name) for name in names}, torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    for name in names:
        setattr(torch.Tensor, name, lambda self, *_, **__: self)
    try:
        with no_init_weights():
            yield
    finally:
        for name, method in before.items():
            setattr(torch.Tensor, name, method)
        torch.set_default_dtype(usual)


def _fill(networks: list[Any]) -> None:
    """Give every parameter small values."""
    block = torch.randn(_BLOCK, generator=torch.Generator().manual_seed(0)) * 0.02
    for name, parameter in (one for network in networks for one in network.named_parameters()):
        flat = parameter.data.view(-1)
        for start in range(0, len(flat), _BLOCK):
            piece = flat[start : start + _BLOCK]
            piece.copy_(block[: len(piece)])
        if parameter.dim() == 1 and name.endswith("weight"):
            parameter.data.add_(1)  # the scales of norms


def case(given: dict[str, Any]) -> dict[str, Any]:
    """One part, in this process."""
    from torch.utils.flop_counter import FlopCounterMode

    common.one_thread()
    common.return_large()
    dtype = getattr(torch, given["dtype"])
    with common.Peak() as peak, torch.inference_mode():
        with _drawing_nothing(dtype):
            networks, run = PARTS[given["part"]].made()
        _fill(networks)
        for network in networks:
            network.eval()
        with FlopCounterMode(display=False) as counter:
            taken = common.seconds(run)
        if taken < _ONCE:
            taken = common.seconds(run)
    operations = counter.get_total_flops()
    return {
        "parameters": sum(stand_ins.count(network) for network in networks),
        "seconds": round(taken, 2),
        "floor_s": round(operations / common.rate(dtype), 2),
        "tflop": round(operations / 1e12, 3),
        "peak_gb": round(peak.bytes / 1e9, 2),
    }


def measure_parts(args: Namespace) -> dict[str, Any]:
    """Those of the parts that were not measured yet; written after each."""
    path = args.out / "full_size_parts.json"
    kept = json.loads(path.read_text("utf-8")) if path.exists() and not args.again else {}
    done = {row["part"]: row for row in kept.get("parts", ()) if "seconds" in row}
    found: dict[str, Any] = {}
    for name, part in PARTS.items():
        if (args.parts and name not in args.parts) or (name in done and not args.parts):
            continue
        dtype = precision({"dtype": part.dtype}, "cpu")
        if common.free_memory() < part.gb * 1e9:
            row = {"failed": f"{common.free_memory() / 1e9:.0f} GB free, {part.gb:g} needed"}
        else:
            given = {"part": name, "dtype": dtype}
            try:
                row = common.fresh("benchmarks.cpu_parts", given, LIMIT)
            except SystemExit as error:
                row = {"failed": str(error)}
        done[name] = {"part": name, "does": part.does, "dtype": dtype, **row}
        found = {"parts": [done[n] for n in PARTS if n in done], "edits": edits(done)}
        common.write("full_size_parts", found, args.out)
    return found


def edits(done: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """CPU seconds and most memory of an edit with each choice, from its parts."""
    rows = []
    for name, counts in EDITS.items():
        parts = [done.get(part, {}) for part in counts]
        if all("seconds" in part for part in parts):
            times = [part["seconds"] * n for part, n in zip(parts, counts.values(), strict=True)]
            find = sum(t for t, part in zip(times, counts, strict=True) if part[:2] != "SD")
            rows.append(
                {
                    "edit with": name,
                    "find, s": round(find, 1),
                    "paint, s": round(sum(times) - find, 1),
                    "memory, GB": round(sum(part["peak_gb"] for part in parts), 1),
                }
            )
    return rows


if __name__ == "__main__":
    print(json.dumps(case(json.loads(sys.argv[sys.argv.index("--case") + 1]))))
