"""Load a diffusers pipeline as an `Inpainter`: safetensors only, no code from the model."""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from ..device.memory import enable_tiling, place
from ..device.sharing import DeviceSharing
from ..errors import InpaintError
from ..settings import SCHEDULERS, check_choice
from .control import CONDITIONERS, check_controlnet, load_controlnet
from .flow import FlowInpainter
from .inpainter import Inpainter, check_entry, explain_loading, quiet_libraries, scheduler_from
from .patchmatch import PATCHMATCH, PatchMatch
from .speed import apply_speed
from .unet import UNetInpainter

_XL = "StableDiffusionXLInpaintPipeline"
_SD = "StableDiffusionInpaintPipeline"
# A text-to-image model has the same parts, and a 4-channel UNet can fill a hole.
_PIPELINES = {
    _XL: _XL,
    "StableDiffusionXLPipeline": _XL,
    "StableDiffusionXLImg2ImgPipeline": _XL,
    _SD: _SD,
    "StableDiffusionPipeline": _SD,
    "StableDiffusionImg2ImgPipeline": _SD,
    # These denoise packed latents with a transformer: see inpaint.painter.flow.
    "FluxFillPipeline": "FluxFillPipeline",
    "FluxInpaintPipeline": "FluxInpaintPipeline",
    "FluxPipeline": "FluxInpaintPipeline",
    "FluxKontextInpaintPipeline": "FluxKontextInpaintPipeline",
    "FluxKontextPipeline": "FluxKontextInpaintPipeline",
    "QwenImageInpaintPipeline": "QwenImageInpaintPipeline",
    "QwenImagePipeline": "QwenImageInpaintPipeline",
    "QwenImageEditInpaintPipeline": "QwenImageEditInpaintPipeline",
    "QwenImageEditPipeline": "QwenImageEditInpaintPipeline",
}
_CONTROLLED = {
    _XL: "StableDiffusionXLControlNetInpaintPipeline",
    _SD: "StableDiffusionControlNetInpaintPipeline",
}


def load_inpainter(
    path_or_repo: str | os.PathLike[str],
    *,
    revision: str | None = None,
    device: str = "cpu",
    dtype: Any = None,
    offline: bool = False,
    variant: str | None = None,
    scheduler: str | None = None,
    vae: str | None = None,
    vae_revision: str | None = None,
    preview_vae: str | None = None,
    memory: str = "auto",
    tiling: bool = False,
    loras: Sequence[Mapping[str, Any]] = (),
    controlnet: Mapping[str, Any] | None = None,
    sharing: DeviceSharing | None = None,
    speed: str = "auto",
) -> Inpainter:
    """Load an inpainting model from a folder or a repository, safetensors only.

    Parameters
    ----------
    path_or_repo : A folder written by `save_pretrained`, ``owner/name``, or `PATCHMATCH` for one
        that loads nothing and ignores the other arguments.
    device : "cpu", "cuda", "cuda:1", "mps" or "auto".
    dtype : float32 on the CPU and float16 elsewhere by default.
    offline : Read only what is on disk.
    variant : Such as "fp16", for files named ``*.fp16.safetensors``.
    scheduler, memory, speed : See `inpaint.settings.SCHEDULERS`, `inpaint.device.memory.MODES` and
        `inpaint.painter.speed.apply_speed`.
    vae, vae_revision : Another autoencoder, such as "madebyollin/sdxl-vae-fp16-fix", or a tiny one.
    preview_vae : A tiny autoencoder of the same latents, such as "madebyollin/taesdxl", for
        previews.
    tiling : Encode and decode in slices and tiles: less memory, faint seams possible.
    loras, controlnet : See `add_loras` and
        `inpaint.painter.control.check_controlnet`.
    sharing : Shared with other models on the same accelerator.

    Returns a `UNetInpainter`, or a `FlowInpainter` for FLUX and Qwen-Image.

    Examples
    --------
    >>> inpainter = load_inpainter("models/sdxl-inpainting", offline=True)   # doctest: +SKIP
    """
    if path_or_repo == PATCHMATCH:
        return cast(Inpainter, PatchMatch())
    entry = None if controlnet is None else check_controlnet(controlnet)
    torch_device = resolve_device(device)
    options: dict[str, Any] = {"local_files_only": offline}
    with quiet_libraries():
        source = _check_source(path_or_repo)
        if scheduler is not None:
            check_choice("scheduler", scheduler, tuple(SCHEDULERS))
        options["dtype"] = _resolve_dtype(dtype, torch_device.type)
        parts = {}
        if vae is not None:
            parts["vae"] = _load_vae(vae, revision=vae_revision, **options)
        if entry is not None:
            parts["controlnet"] = load_controlnet(entry, **options)
        with explain_loading(f"inpainter: {source!r}", _remedy(source, offline)):
            pipe = _load_pipeline(source, revision=revision, variant=variant, **options, **parts)
        pipe.set_progress_bar_config(disable=True)
        pipe.watermark = None
        if scheduler is not None:
            pipe.scheduler = scheduler_from(pipe.scheduler, scheduler)
        if loras:
            add_loras(pipe, loras, offline=offline)
        if tiling:
            enable_tiling(pipe)
        if loras and speed not in ("auto", "plain"):
            pipe.fuse_lora()  # fused projections are made of the weights beneath the adapters
        network = getattr(pipe, "transformer", None) or pipe.unet
        compile_for = apply_speed(network, speed, torch_device.type)
        placement = place(pipe, torch_device, memory, sharing)
        placement.compile_for = compile_for
        preview = None
        if preview_vae is not None:
            preview = _load_vae(preview_vae, "preview_vae", **options).to(torch_device)
    if hasattr(pipe, "transformer"):
        return FlowInpainter(pipe, placement)
    conditioner = entry["conditioner"] if entry else CONDITIONERS[0]
    return UNetInpainter(pipe, placement, conditioner, preview)


def resolve_device(device: str) -> Any:
    """Return the torch.device named; "auto" takes the best there is."""
    import torch

    has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        return torch.device(next((name for name, there in has.items() if there), "cpu"))
    try:
        named = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise InpaintError(
            f"device: got {device!r}; expected 'auto', 'cpu', 'cuda', 'cuda:1' or 'mps'."
        ) from error
    beyond = named.type == "cuda" and (named.index or 0) >= torch.cuda.device_count()
    if beyond or not has.get(named.type, True):
        raise InpaintError(
            f"device: got {device!r}, which this machine or this build of torch does not offer; "
            "expected one that is there. Use device='auto' or 'cpu'."
        )
    return named


def _check_source(path_or_repo: Any) -> str:
    if not isinstance(path_or_repo, (str, os.PathLike)) or not str(path_or_repo).strip():
        raise InpaintError(
            f"inpainter: got {path_or_repo!r}; expected a folder or a repository owner/name."
        )
    source = os.fspath(path_or_repo)
    path = Path(source).expanduser()
    if path.is_dir():
        if not (path / "model_index.json").is_file():
            raise InpaintError(
                f"inpainter: the folder {source!r} has no model_index.json; expected a pipeline "
                "saved with save_pretrained. Give the folder that holds unet/ and vae/."
            )
        return str(path)
    if path.is_absolute() or source.startswith((".", "~")) or source.count("/") != 1:
        raise InpaintError(
            f"inpainter: {source!r} is no folder; expected an existing folder or a repository "
            "owner/name. Check the path, or download the model first."
        )
    return source


def _resolve_dtype(dtype: Any, device: str) -> Any:
    import torch

    if dtype is None:
        return torch.float32 if device == "cpu" else torch.float16
    known = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
    if isinstance(dtype, torch.dtype) and dtype in known.values():
        return dtype
    check_choice("dtype", dtype, tuple(known))
    return known[dtype]


def _load_pipeline(source: str, **options: Any) -> Any:
    """Load a pipeline; a model of another kind is refused before its weights are read."""
    import diffusers

    index = {name: options[name] for name in ("revision", "local_files_only")}
    saved = diffusers.DiffusionPipeline.load_config(source, **index).get("_class_name")
    if saved not in _PIPELINES:
        raise InpaintError(
            f"inpainter: {source!r} is a {saved}; expected one of {', '.join(_PIPELINES)}. "
            "Use one of these, such as an SDXL inpainting model."
        )
    name = _PIPELINES[saved]
    if name == _SD:
        # It judges finished pictures; only latents are taken from the pipeline here.
        options |= {"safety_checker": None, "requires_safety_checker": False}
    if name == _XL:
        # With invisible-watermark installed, SDXL would stamp its pictures.
        options["add_watermarker"] = False
    if "controlnet" in options:
        if name not in _CONTROLLED:
            raise InpaintError(
                f"controlnet: got one for {source!r}, which is a {saved}; expected a Stable "
                "Diffusion or SDXL model. Leave controlnet out."
            )
        name = _CONTROLLED[name]
    return getattr(diffusers, name).from_pretrained(
        source, use_safetensors=True, trust_remote_code=False, **options
    )


def _load_vae(source: str, field: str = "vae", **options: Any) -> Any:
    import diffusers

    remedy = (
        "; expected a folder or repository of an AutoencoderKL or AutoencoderTiny in safetensors. "
        "Check the name, or leave it out."
    )
    with explain_loading(f"{field}: {source!r}", remedy):
        where = {
            name: options[name] for name in ("revision", "local_files_only") if name in options
        }
        saved = diffusers.AutoencoderKL.load_config(source, **where).get("_class_name")
        tiny = saved == "AutoencoderTiny"
        kind = diffusers.AutoencoderTiny if tiny else diffusers.AutoencoderKL
        return kind.from_pretrained(source, use_safetensors=True, **options).eval()


def _remedy(source: str, offline: bool) -> str:
    if Path(source).is_dir():
        return (
            ". Expected a complete pipeline with *.safetensors weights (pickled *.bin files are "
            "refused): copy or convert it again."
        )
    if offline:
        return ". Expected it in the local cache, since offline is set: download it once online."
    return ". Expected a public repository with safetensors: check its name and the network."


def add_loras(pipe: Any, loras: Sequence[Mapping[str, Any]], *, offline: bool) -> None:
    """Load adapters into a pipeline and enable them.

    Each has "path" (a folder or repository), and optionally "weight" (the file's name), "revision"
    and "scale" (1.0). Raises InpaintError for a wrong entry, a missing `peft`, or an adapter that
    does not fit the model.
    """
    scales = [_checked_scale(entry) for entry in loras]
    if importlib.util.find_spec("peft") is None:
        raise InpaintError(
            "loras: got some, but the package peft is not installed; expected it for LoRA. "
            "Install it with: pip install 'groundbrush[lora]'"
        )
    remedy = (
        "; expected an adapter for this model in safetensors. Check its path and which model it "
        "was made for."
    )
    names = [f"lora{number}" for number in range(len(loras))]
    for name, entry in zip(names, loras, strict=True):
        with explain_loading(f"loras: {entry['path']!r}", remedy):
            pipe.load_lora_weights(
                entry["path"],
                adapter_name=name,
                weight_name=entry.get("weight"),
                revision=entry.get("revision"),
                local_files_only=offline,
                use_safetensors=True,
            )
    pipe.set_adapters(names, adapter_weights=scales)


def _checked_scale(entry: Any) -> float:
    check_entry("loras", entry, ("weight", "revision", "scale"))
    scale = entry.get("scale", 1.0)
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not math.isfinite(scale):
        raise InpaintError(f"loras: got scale {scale!r}; expected a number such as 0.8.")
    return float(scale)
