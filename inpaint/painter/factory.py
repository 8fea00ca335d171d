"""Load a diffusers pipeline as the `Inpainter` that suits it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..device.memory import place
from ..device.sharing import Turns
from .base import Inpainter
from .control import CONDITIONERS, check_controlnet
from .loading import load_pipeline, quiet_libraries, resolve_device
from .speed import hasten


def load_inpainter(
    path_or_repo: str,
    *,
    revision: str | None = None,
    device: str = "cpu",
    dtype: Any = None,
    offline: bool = False,
    variant: str | None = None,
    scheduler: str | None = None,
    vae: str | None = None,
    vae_revision: str | None = None,
    memory: str = "auto",
    tiling: bool = False,
    loras: Sequence[Mapping[str, Any]] = (),
    controlnet: Mapping[str, Any] | None = None,
    turns: Turns | None = None,
    speed: str = "plain",
) -> Inpainter:
    """Load an inpainting model from a folder or a repository, safetensors only.

    Parameters
    ----------
    path_or_repo : str or path
        A folder written by `save_pretrained`, or ``owner/name``.
    revision : str, optional
        Commit, tag or branch of the repository.
    device : str
        "cpu", "cuda", "cuda:1", "mps" or "auto".
    dtype : torch.dtype or str, optional
        float32 on the CPU and float16 elsewhere by default.
    offline : bool
        Read only what is on disk.
    variant : str, optional
        Such as "fp16", for files named ``*.fp16.safetensors``.
    scheduler : str, optional
        One of `inpaint.settings.SCHEDULERS` instead of the model's own.
    vae, vae_revision : str, optional
        Another autoencoder, such as "madebyollin/sdxl-vae-fp16-fix".
    memory : str
        One of `inpaint.device.memory.MODES`: where the parts stay.
    tiling : bool
        Encode and decode in slices and tiles: less memory, faint seams possible.
    loras : sequence of mappings
        Low-rank adapters to add, each with "path" (a folder or repository), and optionally
        "weight" (the file's name), "revision" and "scale"; needs `peft`.
    controlnet : mapping, optional
        A ControlNet to follow, see `inpaint.painter.control.check_controlnet`.
    turns : Turns, optional
        Shared with other models on the same accelerator.
    speed : {"plain", "fused", "compiled"}
        How fast to denoise, at a price: see `inpaint.painter.speed.hasten`.

    Returns
    -------
    Inpainter
        A `UNetInpainter`, or a `FlowInpainter` where the model is a FLUX
        or Qwen-Image one.

    Raises
    ------
    InpaintError
        Saying what was given, what was expected and the mend.

    Examples
    --------
    >>> inpainter = load_inpainter("models/sdxl-inpainting", offline=True)   # doctest: +SKIP
    """
    entry = None if controlnet is None else check_controlnet(controlnet)
    where = resolve_device(device)
    with quiet_libraries():
        pipe = load_pipeline(
            path_or_repo,
            revision=revision,
            device=where,
            dtype=dtype,
            offline=offline,
            variant=variant,
            scheduler=scheduler,
            vae=vae,
            vae_revision=vae_revision,
            tiling=tiling,
            loras=loras,
            controlnet=entry,
        )
        if loras and speed != "plain":
            pipe.fuse_lora()  # joined projections are made of the weights beneath the adapters
        compile_for = hasten(getattr(pipe, "transformer", None) or pipe.unet, speed)
        placement = place(pipe, where, memory, turns)
        placement.compile_for = compile_for
    if hasattr(pipe, "transformer"):
        from .flow import FlowInpainter

        return FlowInpainter(pipe, placement)
    from .unet import UNetInpainter

    return UNetInpainter(pipe, placement, entry["conditioner"] if entry else CONDITIONERS[0])
