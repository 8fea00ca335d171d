"""SDXL inpainting, LLaVA-1.5-7B and SAM ViT-H at their real sizes, with random weights.

On any machine: every part is built on the meta device, which has shapes and no memory. Parameters
are counted, the UNet and the autoencoder are run, and what their layers hold at once is added up.
From these follow the memory modes that graphics cards of several sizes would be given. With
--device cuda the pipeline paints in every mode as well, with its peak of memory and seconds per
step. On a CPU `benchmarks.cpu_parts` then runs each part of what presets name.

    python -m benchmarks.full_size [--device cuda]
"""

from __future__ import annotations

import sys
import time
import weakref
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from groundbrush.inpaint import InpaintSettings, fill
from groundbrush.inpaint.device.memory import (
    GROUP,
    MODES,
    choose_mode,
    decode_bytes,
    denoise_bytes,
    place,
)
from groundbrush.inpaint.device.sharing import DeviceSharing
from groundbrush.inpaint.painter.inpainter import quiet_libraries
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks import common, cpu_parts, stand_ins
from benchmarks.stand_ins import CELL, UNET, VAE, count

FINDERS = "finders"
MINIATURE = common.ROOT / "miniature" / "weights" / "inpainter"
CLIP_L = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "projection_dim": 768,
}
CLIP_G = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "projection_dim": 1280,
    "hidden_act": "gelu",
}
CARDS_GB = (80, 40, 24, 16, 12, 8, 6)


def sdxl_parts(device: str = "meta") -> dict[str, Any]:
    """The four networks of SDXL inpainting in half precision."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    with torch.device(device):
        made = {
            "unet": UNet2DConditionModel(**UNET),
            "vae": AutoencoderKL(**VAE),
            "text_encoder": CLIPTextModel(CLIPTextConfig(**CLIP_L)),
            "text_encoder_2": CLIPTextModelWithProjection(CLIPTextConfig(**CLIP_G)),
        }
    return {name: part.half().eval().requires_grad_(False) for name, part in made.items()}


def finders() -> dict[str, Any]:
    """The models that find, on the meta device: LLaVA-1.5-7B and SAM ViT-H."""
    from transformers import SamConfig, SamModel

    with torch.device("meta"):
        segmenter = SamModel(SamConfig(vision_config=stand_ins.SAM_HUGE))
    return {"llava-1.5-7b": stand_ins.llava(stand_ins.LLAVA_7B, "meta"), "sam-vit-huge": segmenter}


class Held(TorchDispatchMode):
    """Adds up the bytes of all tensors that are alive at once, weights not counted."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        given = {
            id(t.untyped_storage())
            for t in tree_leaves((args, kwargs))
            if isinstance(t, torch.Tensor)
        }
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                self._hold(tensor.untyped_storage(), given)
        return out

    def _hold(self, storage: Any, given: set[int]) -> None:
        key = id(storage)
        if key in self._seen or key in given:
            return
        size = storage.nbytes()
        self._seen.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._drop, key, size)

    def _drop(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.now -= size


@contextmanager
def fused_attention() -> Iterator[None]:
    """On the meta device attention is spelled out, scores and all; a GPU's kernels keep none."""
    before = F.scaled_dot_product_attention

    def fused(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> Any:
        return query.new_empty((*query.shape[:-1], value.shape[-1]))

    F.scaled_dot_product_attention = fused
    try:
        yield
    finally:
        F.scaled_dot_product_attention = before


def held_by(run: Callable[[], Any]) -> tuple[int, tuple[int, ...]]:
    """Most bytes held at once, and the shape of what comes out."""
    with torch.no_grad(), fused_attention(), Held() as held:
        out = run()
    return held.peak, tuple(out.shape)


def activations(parts: dict[str, Any], width: int, height: int) -> dict[str, Any]:
    """What one guided step and decoding hold at most on a canvas, and the shapes they give."""
    cells, area = (height // CELL, width // CELL), width * height
    unet, vae = parts["unet"], parts["vae"]
    with torch.device("meta"):
        given = (torch.empty(2, 9, *cells), torch.empty(2, 77, 2048), torch.empty(1, 4, *cells))
        latents, words, image = (tensor.to(unet.dtype) for tensor in given)
        more = {"text_embeds": words[:, 0, :1280], "time_ids": words[:, 0, :6]}
        time_step = torch.empty(2)
        step, denoised = held_by(
            lambda: unet(latents, time_step, words, added_cond_kwargs=more).sample
        )
        picture, pixels = held_by(lambda: vae.decode(image).sample)
    return {
        "canvas": f"{width}x{height}",
        "latents_out": list(denoised),
        "pixels_out": list(pixels),
        "step_gb": step / 1e9,
        "decode_gb": picture / 1e9,
        "step_per_pixel": step / 2 / area,
        "decode_per_pixel": picture / 2 / area,
        "step_guess_gb": denoise_bytes(area, 2) / 1e9,
        "decode_guess_gb": decode_bytes(area, 2) / 1e9,
    }


def cards(sizes: dict[str, int], finders_bytes: dict[str, int]) -> list[dict[str, Any]]:
    """The mode that "auto" takes on cards of several sizes, by what is loaded beside."""
    work, rows = (denoise_bytes(1024**2, 2), decode_bytes(1024**2, 2)), []
    for gigabytes in CARDS_GB:
        free = int(gigabytes * 0.95e9)  # the system and the kernels take some
        row: dict[str, Any] = {"card_gb": gigabytes}
        for name, others in finders_bytes.items():
            row[name] = "-" if others > free else choose_mode(free - others, sizes, others, *work)
        rows.append(row)
    return rows


def random_pipe(device: str) -> tuple[Any, int]:
    """SDXL inpainting in random weights on a GPU, and its side; on a CPU the miniature's."""
    if device == "cpu":
        from groundbrush.inpaint import load_inpainter

        pipe = load_inpainter(MINIATURE, offline=True).pipe
        return pipe, pipe.unet.config.sample_size * pipe.vae_scale_factor
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLInpaintPipeline
    from transformers import CLIPTokenizer

    torch.manual_seed(0)
    # As torch draws them: no layer then gives values beyond 7, so half precision holds them all.
    parts = sdxl_parts(device)
    words = CLIPTokenizer.from_pretrained(MINIATURE / "tokenizer", model_max_length=77)
    pipe = StableDiffusionXLInpaintPipeline(
        **parts,
        tokenizer=words,
        tokenizer_2=words,
        scheduler=EulerDiscreteScheduler(),
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe, UNET["sample_size"] * CELL


def finders_beside(device: torch.device) -> DeviceSharing:
    """The finders, LLaVA-1.5-7B and SAM ViT-H in half precision: as many empty bytes."""
    halves = sum(count(network) for network in finders().values())
    weights = torch.nn.Parameter(torch.empty(halves, dtype=torch.float16, device=device), False)
    sharing = DeviceSharing(device)
    sharing.add(FINDERS, [torch.nn.ParameterList([weights])])
    return sharing


def turn(sharing: DeviceSharing) -> None:
    """Bring the finders back, and the painter after them."""
    for group in (FINDERS, GROUP):
        with sharing.use(group):
            pass


def on_gpu(mode: str, steps: int) -> dict[str, Any]:
    """Paint once in a mode with random weights, on the CUDA device that is there."""
    from groundbrush.inpaint.painter.unet import UNetInpainter

    pipe = random_pipe("cuda")[0].to("cpu")
    common.let_go()
    started = time.perf_counter()
    device = torch.device("cuda", 0)
    sharing = finders_beside(device) if mode == "swap" else None
    inpainter = UNetInpainter(pipe, place(pipe, device, mode, sharing))
    image = np.random.default_rng(0).integers(0, 256, (1200, 1600, 3), dtype=np.uint8)
    mask = np.zeros((1200, 1600), bool)
    mask[500:700, 700:1000] = True
    placed = time.perf_counter() - started
    times: list[float] = []

    def on_step(*_: Any) -> None:
        torch.cuda.synchronize()  # else the steps would only be handed out, not done
        times.append(time.perf_counter())

    torch.cuda.reset_peak_memory_stats()
    result = fill(
        inpainter, image, mask, "pear", settings=InpaintSettings(steps=steps), on_step=on_step
    )
    return {
        "mode": mode,
        "peak_gb": torch.cuda.max_memory_allocated() / 1e9,
        "place_s": placed,
        "step_s": float(np.median(np.diff(times))),
        "turn_s": sharing and common.seconds(lambda: turn(sharing), "cuda"),
        "canvas": list(result.crops[0].canvas),
        "preserved": bool((result.image == image)[~result.support].all()),
        "notes": list(result.notes),
    }


def measure(args: Namespace) -> dict[str, Any]:
    """Everything, as one record; painting only where the device is a GPU."""
    with quiet_libraries():
        parts, finding = sdxl_parts(), finders()
        counts = {name: count(n) for name, n in {**parts, **finding}.items()}
        language = count(finding["llava-1.5-7b"].model.language_model.layers)
        halves = sum(2 * counts[name] for name in finding)
        beside = {
            "nothing beside": 0,
            "finders": halves,
            "LVLM in 4 bits": halves - round((2 - 0.52) * language),
        }
        found: dict[str, Any] = {
            "parameters": [
                {"part": name, "parameters": n, "GB in half precision": n * 2e-9}
                for name, n in counts.items()
            ],
            "activations": [activations(parts, 1024, 1024)],
            "cards": cards({name: 2 * counts[name] for name in parts}, beside),
        }
        if args.device == "cuda":
            found["modes"] = [on_gpu(mode, args.steps) for mode in MODES[1:]]
    if args.device == "cpu" and not args.tiny:
        cpu_parts.measure_parts(args)
    return found


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--steps", type=int, default=6, help="denoising steps on a GPU")
    parser.add_argument("--parts", nargs="+", choices=list(cpu_parts.PARTS), help="of a CPU's")
    parser.add_argument("--again", action="store_true", help="measure a CPU's parts anew")


main = common.script("full_size", __doc__, measure, rounds=None, add_options=_add_options)

if __name__ == "__main__":
    sys.exit(main())
