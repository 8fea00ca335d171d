"""Loading a vision-language checkpoint safely and quietly, with errors a user can act on."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import GroundingError
from ..families import Family, family_class
from .quantization import loading_options

__all__ = [
    "LoadedParts",
    "checked_device",
    "checked_dtype",
    "checked_path",
    "explained",
    "load_family",
    "load_parts",
    "quiet_transformers",
]

_quiet_lock = threading.RLock()


@dataclass(frozen=True, eq=False)
class LoadedParts:
    """What a checkpoint consists of: the model, its tokenizer and image processor, its family."""

    model: nn.Module
    tokenizer: Any
    image_processor: Any
    family: type[Family]


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No progress bars, load reports or fallback warnings inside the block; restored after."""
    from transformers.utils import logging

    # The settings are process-wide, so one loader at a time.
    with _quiet_lock:
        level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            yield
        finally:
            logging.set_verbosity(level)
            if bars:
                logging.enable_progress_bar()


def load_parts(
    path: str | Path,
    family: str,
    *,
    revision: str | None,
    device: str | torch.device,
    dtype: str | torch.dtype,
    offline: bool,
    deepest_layer: int | None = None,
    vision: str | Sequence[str] | None = None,
    tokenizer: str | None = None,
    quantization: str | None = None,
) -> LoadedParts:
    """Load a checkpoint's model, tokenizer and image processor.

    Parameters
    ----------
    path, family, revision, device, dtype, offline, vision, tokenizer, quantization
        As for :func:`grounding.attention.model.load_lvlm`.
    deepest_layer
        Load text layers up to this one (0-based) and no language head; None = everything.

    Raises
    ------
    GroundingError
        When something is missing, unreadable or of another family.
    """
    kind = family_class(family)
    kind.register()
    tokenizer = tokenizer and str(Path(tokenizer).expanduser())
    where = checked_path(path)
    torch_dtype = checked_dtype(dtype)
    target = checked_device(device)
    fewer_bits = loading_options(quantization, torch_dtype, target)
    common: dict[str, Any] = {
        "revision": revision,
        "local_files_only": offline or Path(where).is_dir(),
        "trust_remote_code": False,
    }
    with quiet_transformers(), explained(path):
        from transformers import AutoConfig, PreTrainedConfig

        raw, _ = PreTrainedConfig.get_config_dict(where, **common)
        if "mm_vision_tower" in raw:
            _check_original(where, raw, kind)
            if fewer_bits:
                raise GroundingError(
                    f"quantization is {quantization!r}, but {where} holds a model in its original "
                    "layout, which is renamed as it loads; use one that save_pretrained wrote"
                )
            from .original import load_original

            model, info, words, processor = load_original(
                where,
                raw,
                dtype=torch_dtype,
                revision=revision,
                offline=offline,
                deepest_layer=deepest_layer,
                vision=vision,
                tokenizer=tokenizer,
            )
            _check_complete(path, info)
            return LoadedParts(model.to(target), words, processor, kind)
        config = AutoConfig.from_pretrained(where, **common)
        if config.model_type not in kind.model_types:
            raise GroundingError(
                f"{path} holds a {config.model_type!r} model; family {family!r} reads "
                f"{', '.join(kind.model_types)}: name another folder or family"
            )
        words, processor = _load_processors(where, tokenizer, common, offline)
        options = {**common, **fewer_bits}
        model, info = _load_model(where, config, torch_dtype, deepest_layer, options)
        model = model.to(target)
    _check_complete(path, info)
    return LoadedParts(model, words, processor, kind)


def load_family(
    path: str | Path,
    family: str,
    *,
    revision: str | None = None,
    tokenizer: str | None = None,
    **options: Any,
) -> Family:
    """A checkpoint's family alone: what reads phrases, without weights and without the network.

    Parameters
    ----------
    path, family, revision, tokenizer
        As for :func:`grounding.attention.model.load_lvlm`.
    **options
        Its prompt, padding, query and tiles.

    Raises
    ------
    GroundingError
        When config, tokenizer or image processor are not on this machine, for a model of another
        family, and for the original LLaVA layouts, whose config is made with the model.
    """
    kind = family_class(family)
    kind.register()
    tokenizer = tokenizer and str(Path(tokenizer).expanduser())
    where = checked_path(path)
    common: dict[str, Any] = {
        "revision": revision,
        "local_files_only": True,
        "trust_remote_code": False,
    }
    with quiet_transformers(), explained(path):
        from transformers import AutoConfig, PreTrainedConfig

        raw, _ = PreTrainedConfig.get_config_dict(where, **common)
        held = str(raw.get("model_type"))
        if "mm_vision_tower" in raw or held not in kind.model_types:
            layout = "in its original layout" if "mm_vision_tower" in raw else f"of type {held!r}"
            raise GroundingError(
                f"{path} holds a model {layout}, whose words are known once it is loaded; expected "
                f"one of {', '.join(kind.model_types)} as save_pretrained writes it"
            )
        config = AutoConfig.from_pretrained(where, **common)
        words, processor = _load_processors(where, tokenizer, common, True)
        return kind(config, words, processor, **options)


def _load_processors(
    where: str, tokenizer: str | None, common: Mapping[str, Any], offline: bool
) -> tuple[Any, Any]:
    """The tokenizer, which may lie elsewhere, and the image processor."""
    from transformers import AutoImageProcessor, AutoTokenizer

    elsewhere = {**common, "revision": None, "local_files_only": offline}
    words = AutoTokenizer.from_pretrained(
        tokenizer or where, **(elsewhere if tokenizer else common)
    )
    # PIL even where torchvision is installed: the two resize differently.
    return words, AutoImageProcessor.from_pretrained(where, backend="pil", **common)


def _check_original(where: str, raw: dict[str, Any], kind: type[Family]) -> None:
    """Refuse the original LLaVA layouts for families of other classes."""
    wanted = "mini_gemini" if "mm_vision_tower_aux" in raw else "llava"
    if wanted not in kind.model_types:
        name = {"llava": "LLaVA", "mini_gemini": "Mini-Gemini"}[wanted]
        raise GroundingError(
            f"{where} holds a model in the original {name} layout; family {kind.name!r} reads "
            f"{', '.join(kind.model_types)}: use family {wanted!r}"
        )


def _check_complete(path: str | Path, info: dict[str, Any]) -> None:
    """Refuse a model some of whose weights were not in the checkpoint."""
    lost = sorted(info["missing_keys"]) + sorted(str(k) for k in info["mismatched_keys"])
    if lost:
        raise GroundingError(
            f"{path} lacks {len(lost)} weights of its own config, first {lost[0]!r}; they would be "
            "random: get the complete checkpoint again"
        )


def _load_model(
    where: str, config: Any, dtype: torch.dtype, deepest_layer: int | None, common: dict[str, Any]
) -> tuple[nn.Module, dict[str, Any]]:
    """The whole model, or its base cut after one text layer, with transformers' load report."""
    from transformers import AutoModel, AutoModelForImageTextToText

    loader: Any = AutoModelForImageTextToText
    if deepest_layer is not None:
        loader = AutoModel
        text = config.text_config
        if not 0 <= deepest_layer < text.num_hidden_layers:
            raise GroundingError(
                f"heads name layer {deepest_layer}; the model has layers 0 to "
                f"{text.num_hidden_layers - 1} (0-based)"
            )
        text.num_hidden_layers = deepest_layer + 1
        if getattr(text, "layer_types", None):
            text.layer_types = text.layer_types[: deepest_layer + 1]
    return loader.from_pretrained(
        where, config=config, dtype=dtype, use_safetensors=True, output_loading_info=True, **common
    )


def checked_path(path: str | Path) -> str:
    """The folder, or the repository name if it looks like one."""
    text = str(path)
    folder = Path(text).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise GroundingError(
                f"{text} has no config.json; expected a model folder as save_pretrained writes it"
            )
        return str(folder)
    looks_local = isinstance(path, Path) or text.startswith((".", "/", "~")) or text.count("/") != 1
    if folder.exists() or looks_local or not all(text.split("/")):
        raise GroundingError(
            f"{text!r} is neither a folder nor a repository name like 'owner/name'; check the "
            "spelling or download the model first"
        )
    return text


def checked_dtype(dtype: str | torch.dtype) -> torch.dtype:
    """A floating torch dtype from its name."""
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise GroundingError(f"dtype={dtype!r}; expected 'float32', 'float16' or 'bfloat16'")
    return found


def checked_device(device: str | torch.device) -> torch.device:
    """A device that is there."""
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise GroundingError(
            f"device={str(device)!r} cannot be used here ({_first_line(error)}); use 'cpu' or a "
            "device that torch lists"
        ) from error
    return found


@contextmanager
def explained(path: str | Path) -> Iterator[None]:
    """Turn whatever a library raises while loading into our error."""
    try:
        yield
    except (GroundingError, MemoryError):
        raise
    except Exception as error:  # transformers, tokenizers, safetensors and the hub share no base
        raise GroundingError(
            f"could not load a model from {str(path)!r}: {_first_line(error)}; expected config, "
            "safetensors weights, tokenizer and image processor there, or a repository that is "
            "reachable or in the local cache"
        ) from error


def _first_line(error: BaseException) -> str:
    """The first line of an error's text, shortened."""
    lines = str(error).strip().splitlines()
    text = lines[0].rstrip(".") if lines else type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."
