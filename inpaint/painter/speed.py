"""Faster denoising at a price: a longer first picture, and bits that depend on the build.

What diffusers documents for its UNets: memory laid out by channels last, the three projections of
an attention as one product, and compilation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import InpaintError
from ..settings import check_choice

SPEEDS = ("plain", "fused", "compiled")
"""How fast to denoise; see `hasten`."""
_COMPILER = {
    "conv_1x1_as_mm": True,
    "epilogue_fusion": False,
    "coordinate_descent_tuning": True,
    "coordinate_descent_check_all_directions": True,
}
"""Inductor's settings that diffusers documents for "maximum speed"; given with each compilation,
since set globally they would change what else a process compiles."""


def hasten(network: Any, speed: str) -> Callable[[bool], None] | None:
    """Make a denoising network faster, in place.

    Before it is placed: weights that are joined later than that would not be moved with the rest.

    Parameters
    ----------
    network : UNet2DConditionModel or a transformer of diffusers
    speed : {"plain", "fused", "compiled"}
        "plain" changes nothing. "fused" lays a UNet out channels last and joins the projections of
        its attentions; numbers then differ from plain in their last bits. "compiled" compiles it
        as well: minutes for the first picture, and again for the next canvases and numbers of
        variants of another size, until the code takes any size. A picture's bits may differ between
        two processes, since the fastest kernels are chosen by measuring.

    Returns
    -------
    callable or None
        For "compiled", what compiles it, to be called before each painting with whether its weights
        come and go: see `inpaint.device.memory.Placement.compile_for`.

    Raises
    ------
    InpaintError
        For another speed, or a network whose projections cannot be joined.

    References
    ----------
    https://huggingface.co/docs/diffusers/optimization/fp16
    """
    import torch

    check_choice("speed", speed, SPEEDS)
    if speed == "plain":
        return None
    if hasattr(network, "conv_in"):
        network.to(memory_format=torch.channels_last)
    try:
        network.fuse_qkv_projections()
    except (AttributeError, ValueError) as error:
        raise InpaintError(
            f"speed: got {speed!r} for a {type(network).__name__}, whose projections cannot be "
            f"joined ({error}); expected a UNet or a FLUX or Qwen-Image transformer. Leave speed "
            "out."
        ) from error
    return _compiler(network) if speed == "compiled" else None


def _compiler(network: Any) -> Callable[[bool], None]:
    """Compiles a network, anew when it turns out that its weights come and go."""
    said: bool | None = None

    def compile_for(moves: bool) -> None:
        nonlocal said
        if moves == said:
            return
        import torch
        from torch._inductor import list_mode_options

        if said is not None:
            torch.compiler.reset()  # else the recorded graphs keep their memory
        # A recorded graph reads weights where they lay: each move would have it recorded anew.
        mode = "max-autotune-no-cudagraphs" if moves else "max-autotune"
        network.compile(options={**list_mode_options(mode), **_COMPILER})
        said = moves

    return compile_for
