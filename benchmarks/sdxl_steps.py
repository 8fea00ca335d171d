"""One guided step of SDXL inpainting: ours beside diffusers under the settings that it documents.

    python -m benchmarks.sdxl_steps [--device cuda]

On a GPU at full size and 1024 by 1024 with random weights in half precision; on a CPU, with a C++
compiler, the miniature's own networks at 128 by 128 pixels, a step of which is mostly the calls of
many small layers. Every way paints, from words and picture on, in a few steps and in many more, all
of them in turn; a step is the difference of the medians (on a CPU of the least times) over the
steps between, so that what else a way does (ours decodes) is not in it. Each setting is added to
those before it; diffusers' best is the last of its own, with the compiler settings of its page on
speed (https://huggingface.co/docs/diffusers/optimization/fp16). Ours is painted by the product, as
`speed=` says. Quantised networks, which paint other pictures, are left out.
"""

from __future__ import annotations

import copy
import sys
from argparse import Namespace
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import common
from benchmarks.full_size import random_pipe

BEST = "and compiled (diffusers' best)"
OURS = "ours, speed='compiled'"
FEW, MANY, MANY_ON_CPU = 4, 12, 28
MAX_AUTOTUNE = {"max_autotune": True, "triton.cudagraphs": True, "coordinate_descent_tuning": True}
DOCUMENTED = {
    **MAX_AUTOTUNE,
    "conv_1x1_as_mm": True,
    "epilogue_fusion": False,
    "coordinate_descent_check_all_directions": True,
}


def ways_of(pipe: Any, side: int, *, compiling: bool = True) -> dict[str, Callable[[int], Any]]:
    """What is timed, by name: each takes the number of steps, and has a UNet of its own."""
    import torch
    from groundbrush.inpaint.painter.speed import apply_speed

    settings: dict[str, Callable[[Any], Any]] = {
        "diffusers, as loaded": lambda unet: None,
        "and channels last": lambda unet: unet.to(memory_format=torch.channels_last),
        "and fused projections": lambda unet: unet.fuse_qkv_projections(),
        BEST: lambda unet: unet.compile(fullgraph=True, options=DOCUMENTED),
    }
    speeds = {"ours, speed='plain'": "plain", "ours, speed='fused'": "fused", OURS: "compiled"}
    if not compiling:
        del settings[BEST], speeds[OURS]
    made: dict[str, Callable[[int], Any]] = {}
    for number, name in enumerate(settings, 1):
        own = with_unet(pipe)
        for setting in list(settings.values())[:number]:
            setting(own.unet)
        made[name] = diffusers_way(own, side)
    for name, speed in speeds.items():
        own = with_unet(pipe)
        made[name] = our_way(own, side, apply_speed(own.unet, speed))
    return made


def with_unet(pipe: Any) -> Any:
    """The same pipeline around a copy of its UNet."""
    made = type(pipe)(**{**pipe.components, "unet": copy.deepcopy(pipe.unet)})
    made.register_to_config(force_zeros_for_empty_prompt=True)
    made.set_progress_bar_config(disable=True)
    return made


def scene(side: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture of noise and a mask in its middle."""
    image = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    mask = np.zeros((side, side), bool)
    mask[side // 3 : side // 2, side // 3 : side // 2] = True
    return image, mask


def diffusers_way(pipe: Any, side: int) -> Callable[[int], Any]:
    """diffusers' own call."""
    import torch
    from PIL import Image

    image, mask = scene(side)
    picture, hole = Image.fromarray(image), Image.fromarray(mask.astype(np.uint8) * 255)

    def paint(steps: int) -> Any:
        return pipe(
            prompt="a frog",
            image=picture,
            mask_image=hole,
            height=side,
            width=side,
            num_inference_steps=steps,
            strength=1.0,
            guidance_scale=8.0,
            generator=torch.Generator("cpu").manual_seed(1),
            output_type="latent",
        )

    return paint


def our_way(pipe: Any, side: int, compile_for: Any = None) -> Callable[[int], Any]:
    """The product's painting of one canvas."""
    from groundbrush.inpaint import InpaintSettings
    from groundbrush.inpaint.painter.unet import UNetInpainter

    inpainter, (image, mask) = UNetInpainter(pipe), scene(side)
    inpainter.placement.compile_for = compile_for

    def paint(steps: int) -> Any:
        settings = InpaintSettings(steps=steps, strength=1.0, guidance=8.0)
        return inpainter.paint(image, mask, "a frog", seed=1, settings=settings)

    return paint


def steps_of(
    ways: dict[str, Callable[[int], Any]], rounds: int, device: str, counts: tuple[int, int]
) -> common.Rows:
    """Seconds of a step in each way."""
    few, many = counts
    cases = {(name, n): lambda way=way, n=n: way(n) for name, way in ways.items() for n in counts}
    for name, way in ways.items():
        first = common.seconds(lambda way=way: way(few), device)
        print(f"{name}: first call {first:.1f} s", flush=True)
    timed = common.in_turn(cases, rounds, device)
    rows = []
    for name in ways:
        # Other load only ever adds time to a CPU's.
        short, long = (timed[name, n]["median" if device == "cuda" else "least"] for n in counts)
        rows.append(
            {
                "way": name,
                "step": round((long - short) / (many - few), 5),
                "painting": long,
                "steps": many,
                "times": {n: timed[name, n]["all"] for n in counts},
            }
        )
    return rows


def measure(args: Namespace) -> dict[str, Any]:
    """Every way; without compiled networks first, since compiling takes minutes."""
    pipe, side = random_pipe(args.device)
    counts = (FEW, MANY if args.device == "cuda" else MANY_ON_CPU)
    counts = (1, 2) if args.tiny else counts
    model = "SDXL" if args.device == "cuda" else "the miniature"
    found: dict[str, Any] = {}
    for compiling in (False,) if args.tiny else (False, True):
        ways = ways_of(pipe, side, compiling=compiling)
        rows = steps_of(ways, args.rounds if compiling else 1, args.device, counts)
        common.let_go()
        # Both compile with the same settings: wanted is no slower than two runs of one thing are.
        ratio = common.over({r["way"]: r["step"] for r in rows}, OURS, BEST)
        goal = common.target(f"a step of {model}: ours over diffusers' best", ratio, 1.02)
        found = {"side": side, "rows": rows, "targets": [goal]}
        common.write(common.topic("sdxl_steps", args.device), found, args.out)
    return found


main = common.script("sdxl_steps", __doc__, measure, rounds=8)

if __name__ == "__main__":
    sys.exit(main())
