"""Faster denoising, at the price of a slower first picture and of bits that differ by build.

As diffusers documents: channels-last memory, fused attention projections, and compilation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import InpaintError
from ..settings import check_choice

SPEEDS = ("auto", "plain", "fused", "compiled")
# diffusers' inductor settings for "maximum speed"; passed to each compilation, since global ones
# would change what else a process compiles.
_COMPILER = {
    "conv_1x1_as_mm": True,
    "epilogue_fusion": False,
    "coordinate_descent_tuning": True,
    "coordinate_descent_check_all_directions": True,
}


def apply_speed(network: Any, speed: str, device: str = "cpu") -> Callable[[bool], None] | None:
    """Make a diffusers network faster, in place, before its weights are placed on a device.

    "auto" lays a UNet out channels last on CUDA, which takes no memory; "fused" does so anywhere,
    and fuses its attention projections (a second copy of those weights); last bits differ.
    "compiled" also compiles it: minutes for the first picture, and again for other sizes of canvas
    and batch; kernels are chosen by measuring, so bits may differ between processes. See
    https://huggingface.co/docs/diffusers/optimization/fp16.

    Returns, for "compiled", ``compile_for(moves)``, to call before each painting with whether
    weights are moved between calls; else None.

    Raises InpaintError for another speed, or a network with projections that cannot be fused.
    """
    import torch

    check_choice("speed", speed, SPEEDS)
    changes = device == "cuda" if speed == "auto" else speed != "plain"
    if changes and hasattr(network, "conv_in"):
        network.to(memory_format=torch.channels_last)
    if speed in ("auto", "plain"):
        return None
    try:
        network.fuse_qkv_projections()
    except (AttributeError, ValueError) as error:
        raise InpaintError(
            f"speed: got {speed!r} for a {type(network).__name__}: its projections cannot be "
            f"joined ({error}); expected a UNet or a FLUX or Qwen-Image transformer. Leave speed "
            "out."
        ) from error
    return _compiler(network) if speed == "compiled" else None


def _compiler(network: Any) -> Callable[[bool], None]:
    """Return a function that compiles a network, again if its weights begin to move."""
    compiled_for: bool | None = None

    def compile_for(moves: bool) -> None:
        nonlocal compiled_for
        if moves == compiled_for:
            return
        import torch
        from torch._inductor import list_mode_options

        if compiled_for is not None:
            torch.compiler.reset()  # else the recorded graphs keep their memory
        # A CUDA graph reads weights where they lay: each move would have it recorded anew.
        mode = "max-autotune-no-cudagraphs" if moves else "max-autotune"
        network.compile(options={**list_mode_options(mode), **_COMPILER})
        compiled_for = moves

    return compile_for
