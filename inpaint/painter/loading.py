"""Load diffusers pipelines: safetensors only, no code from the model, silent, errors of ours."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ..errors import InpaintError
from ..settings import SCHEDULERS, check_choice

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
    # These denoise packed latents with a transformer: see inpaint.flow.
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

_QUIET_LOCK = threading.Lock()
_quiet = SimpleNamespace(scopes=0, before=[])


def load_pipeline(
    path_or_repo: str | os.PathLike[str],
    *,
    revision: str | None,
    device: Any,
    dtype: Any,
    offline: bool,
    variant: str | None,
    scheduler: str | None,
    vae: str | None,
    vae_revision: str | None,
    tiling: bool,
    loras: Sequence[Mapping[str, Any]] = (),
    controlnet: Mapping[str, Any] | None = None,
) -> Any:
    """Return a ready pipeline, still on the CPU; see `inpaint.painter.factory.load_inpainter`.

    `device` is the torch.device it is meant for: the usual precision depends on it.
    """
    source = _check_source(path_or_repo)
    if scheduler is not None:
        check_choice("scheduler", scheduler, tuple(SCHEDULERS))
    options = {"local_files_only": offline, "dtype": _resolve_dtype(dtype, device.type)}
    try:
        parts = {}
        if vae is not None:
            parts["vae"] = _load_vae(vae, revision=vae_revision, **options)
        if controlnet is not None:
            from .control import load_controlnet

            parts["controlnet"] = load_controlnet(
                controlnet, offline=offline, dtype=options["dtype"]
            )
        pipe = _load(source, revision=revision, variant=variant, **options, **parts)
    except InpaintError:
        raise
    except Exception as error:
        raise _explain(error, source, offline) from error
    pipe.set_progress_bar_config(disable=True)
    pipe.watermark = None
    if scheduler is not None:
        pipe.scheduler = scheduler_from(pipe.scheduler, scheduler)
    if loras:
        from .lora import add_loras

        add_loras(pipe, loras, offline=offline)
    if tiling:
        pipe.vae.enable_slicing()
        pipe.vae.enable_tiling()
    return pipe


def scheduler_from(current: Any, name: str) -> Any:
    """Return the scheduler called `name` with the noise schedule of `current`."""
    import diffusers

    check_choice("scheduler", name, tuple(SCHEDULERS))
    if type(current).__name__.startswith("FlowMatch"):
        raise InpaintError(
            f"scheduler: got {name!r} for a flow-matching model; expected its own. Leave the "
            "scheduler out of the settings and the preset."
        )
    with quiet_libraries():
        return getattr(diffusers, SCHEDULERS[name]).from_config(current.config)


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence diffusers and transformers for a while, and put their settings back.

    The settings are the process's, so scopes are counted: the first one in saves them and the
    last one out restores them, whichever thread that is.
    """
    import diffusers.utils.logging
    import transformers.utils.logging

    libraries = (diffusers.utils.logging, transformers.utils.logging)
    with _QUIET_LOCK:
        if not _quiet.scopes:
            for library in libraries:
                before = library.get_verbosity(), library.is_progress_bar_enabled()
                _quiet.before.append((library, *before))
                library.set_verbosity_error()
                library.disable_progress_bar()
        _quiet.scopes += 1
    try:
        yield
    finally:
        with _QUIET_LOCK:
            _quiet.scopes -= 1
            while _quiet.before and not _quiet.scopes:
                library, verbosity, bars = _quiet.before.pop()
                library.set_verbosity(verbosity)
                if bars:
                    library.enable_progress_bar()


def resolve_device(device: str) -> Any:
    """Return the torch.device named; "auto" takes the best there is."""
    import torch

    has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        return torch.device(next((name for name, there in has.items() if there), "cpu"))
    try:
        place = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise InpaintError(
            f"device: got {device!r}; expected 'auto', 'cpu', 'cuda', 'cuda:1' or 'mps'."
        ) from error
    if not has.get(place.type, True):
        raise InpaintError(
            f"device: got {device!r}, which this machine or this build of torch does not offer; "
            "expected one that is there. Use device='auto' or 'cpu'."
        )
    return place


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


def _load(source: str, **options: Any) -> Any:
    """Refuse by the model's index before its gigabytes are read."""
    import diffusers

    where = {name: options[name] for name in ("revision", "local_files_only")}
    saved = diffusers.DiffusionPipeline.load_config(source, **where).get("_class_name")
    if saved not in _PIPELINES:
        raise InpaintError(
            f"inpainter: {source!r} is a {saved}; expected one of {', '.join(_PIPELINES)}. "
            "Use one of these, such as an SDXL inpainting model."
        )
    name = _PIPELINES[saved]
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
    pipeline = getattr(diffusers, name)
    return pipeline.from_pretrained(
        source, use_safetensors=True, trust_remote_code=False, **options
    )


def _load_vae(source: str, **options: Any) -> Any:
    import diffusers

    try:
        return diffusers.AutoencoderKL.from_pretrained(source, use_safetensors=True, **options)
    except Exception as error:
        raise InpaintError(
            f"vae: {source!r} could not be loaded ({_first_line(error)}); expected a folder or "
            "repository of an AutoencoderKL in safetensors. Check the name, or leave it out."
        ) from error


def _explain(error: Exception, source: str, offline: bool) -> InpaintError:
    """Say what a library's failure to load means."""
    if Path(source).is_dir():
        mend = (
            "Expected a complete pipeline with *.safetensors weights (pickled *.bin files are "
            "refused): copy or convert it again."
        )
    elif offline:
        mend = "Expected it in the local cache, since offline was asked: download it once online."
    else:
        mend = "Expected a public repository with safetensors: check its name and the network."
    return InpaintError(f"inpainter: {source!r} could not be loaded ({_first_line(error)}). {mend}")


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__
