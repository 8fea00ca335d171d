"""Load checkpoints safely and quietly, with errors that name the remedy."""

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
from .files import keep_layers
from .original import is_original, load_original
from .quantization import loading_options

_quiet_lock = threading.RLock()


@dataclass(frozen=True)
class Checkpoint:
    """A model's folder or repository, and how its weights are held.

    Parameters
    ----------
    given, where : As the caller named it, and as transformers takes it.
    device, dtype : Of the weights.
    options : Arguments of every `from_pretrained`.
    """

    given: str
    where: str
    device: torch.device
    dtype: torch.dtype
    options: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        path: str | Path,
        *,
        revision: str | None = None,
        device: str | torch.device = "cpu",
        dtype: str | torch.dtype = "float32",
        offline: bool = False,
    ) -> Checkpoint:
        """Check path, device and dtype as a caller passes them."""
        where = checked_path(path)
        options = {
            "revision": revision,
            "local_files_only": offline or Path(where).is_dir(),
            "trust_remote_code": False,
        }
        return cls(str(path), where, checked_device(device), checked_dtype(dtype), options)

    def config(self, known: Sequence[str], reader: str) -> Any:
        """Its config, refused if its ``model_type`` is not one that `reader` reads."""
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(self.where, **self.options)
        if config.model_type not in known:
            raise GroundingError(
                f"{self.given} holds a {config.model_type!r} model; {reader} reads "
                f"{', '.join(known)}: name another folder or repository"
            )
        return config

    def weights(self, loader: Any, config: Any, **options: Any) -> Any:
        """A model from safetensors on its device, refused if weights are missing."""
        model, info = loader.from_pretrained(
            self.where,
            config=config,
            dtype=self.dtype,
            use_safetensors=True,
            output_loading_info=True,
            **self.options,
            **options,
        )
        check_complete(self.given, info)
        return model.to(self.device)


@dataclass(frozen=True, eq=False)
class LoadedParts:
    """The parts of a checkpoint: the model, its tokenizer and image processor, its family."""

    model: nn.Module
    tokenizer: Any
    image_processor: Any
    family: type[Family]


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
    path, family, revision, device, dtype, offline, vision, tokenizer, quantization : As for
        :func:`grounding.attention.load.load_lvlm`.
    deepest_layer : Load text layers up to this one (0-based) and no language head; None =
        everything.

    Raises GroundingError when something is missing, unreadable or of another family.
    """
    kind = family_class(family)
    kind.register()
    source = Checkpoint.of(path, revision=revision, device=device, dtype=dtype, offline=offline)
    fewer_bits = loading_options(quantization, source.dtype, source.device)
    elsewhere = tokenizer and str(Path(tokenizer).expanduser())
    with loading(path):
        from transformers import AutoModel, AutoModelForImageTextToText, PreTrainedConfig

        raw, _ = PreTrainedConfig.get_config_dict(source.where, **source.options)
        if is_original(raw):
            _check_original(source.where, raw, kind, quantization)
            model, info, words, processor = load_original(
                source.where,
                raw,
                dtype=source.dtype,
                revision=revision,
                offline=offline,
                deepest_layer=deepest_layer,
                vision=vision,
                tokenizer=elsewhere,
            )
            check_complete(path, info)
            return LoadedParts(model.to(source.device), words, processor, kind)
        config = source.config(kind.model_types, f"family {family!r}")
        words, processor = _load_processors(source, elsewhere, offline)
        keep_layers(config, deepest_layer)
        loader = AutoModelForImageTextToText if deepest_layer is None else AutoModel
        model = source.weights(loader, config, **fewer_bits)
    return LoadedParts(model, words, processor, kind)


def load_family(
    path: str | Path,
    family: str,
    *,
    revision: str | None = None,
    tokenizer: str | None = None,
    **options: Any,
) -> Family:
    """A checkpoint's family alone, which reads phrases without weights and without the network.

    Parameters
    ----------
    path, family, revision, tokenizer : As for :func:`grounding.attention.load.load_lvlm`.
    **options : Its prompt, padding, query and tiles.

    Raises GroundingError when config, tokenizer or image processor are not on this machine, for a
    model of another family, and for the original LLaVA layouts, because their config is made with
    the model.
    """
    kind = family_class(family)
    kind.register()
    source = Checkpoint.of(path, revision=revision, offline=True)
    with loading(path):
        from transformers import PreTrainedConfig

        raw, _ = PreTrainedConfig.get_config_dict(source.where, **source.options)
        held = str(raw.get("model_type"))
        if is_original(raw) or held not in kind.model_types:
            layout = "in its original layout" if is_original(raw) else f"of type {held!r}"
            raise GroundingError(
                f"{path} holds a model {layout}, whose words are known once it is loaded; expected "
                f"one of {', '.join(kind.model_types)} as save_pretrained writes it"
            )
        config = source.config(kind.model_types, f"family {family!r}")
        elsewhere = tokenizer and str(Path(tokenizer).expanduser())
        return kind(config, *_load_processors(source, elsewhere, True), **options)


def _load_processors(source: Checkpoint, tokenizer: str | None, offline: bool) -> tuple[Any, Any]:
    """The tokenizer, which may be in another folder or repository, and the image processor."""
    from transformers import AutoImageProcessor, AutoTokenizer

    elsewhere = {**source.options, "revision": None, "local_files_only": offline}
    words = AutoTokenizer.from_pretrained(
        tokenizer or source.where, **(elsewhere if tokenizer else source.options)
    )
    # PIL even where torchvision is installed: the two resize differently.
    return words, AutoImageProcessor.from_pretrained(source.where, backend="pil", **source.options)


def _check_original(
    where: str, raw: Mapping[str, Any], kind: type[Family], quantization: str | None
) -> None:
    """Refuse the original LLaVA layouts for families of other classes, and quantised."""
    wanted = "mini_gemini" if "mm_vision_tower_aux" in raw else "llava"
    if wanted not in kind.model_types:
        name = {"llava": "LLaVA", "mini_gemini": "Mini-Gemini"}[wanted]
        raise GroundingError(
            f"{where} holds a model in the original {name} layout; family {kind.name!r} reads "
            f"{', '.join(kind.model_types)}: use family {wanted!r}"
        )
    if quantization:
        raise GroundingError(
            f"quantization is {quantization!r}, but {where} holds a model in its original "
            "layout, which is renamed as it loads; use one that save_pretrained wrote"
        )


def check_complete(path: str | Path, info: Mapping[str, Any]) -> None:
    """Refuse a model with weights that were not in the checkpoint (transformers' load report)."""
    lost = sorted(info["missing_keys"]) + sorted(str(k) for k in info["mismatched_keys"])
    if lost:
        raise GroundingError(
            f"{path} lacks {len(lost)} weights of its own config, first {lost[0]!r}; they would be "
            "random: get the complete checkpoint again"
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
    """A device that torch can use here."""
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
def loading(path: str | Path) -> Iterator[None]:
    """Silence transformers inside the block, and turn what a library raises into our error."""
    try:
        with quiet_transformers():
            yield
    except (GroundingError, MemoryError):
        raise
    except Exception as error:  # transformers, tokenizers, safetensors and the hub share no base
        raise GroundingError(
            f"could not load a model from {str(path)!r}: {_first_line(error)}; expected config, "
            "safetensors weights, tokenizer and image processor there, or a repository that is "
            "reachable or in the local cache"
        ) from error


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


def _first_line(error: BaseException) -> str:
    """The first line of an error's text, shortened."""
    lines = str(error).strip().splitlines()
    text = lines[0].rstrip(".") if lines else type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."
