"""Check a checkpoint's folder or repository, and load it quietly with errors of ours."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..errors import GroundingError

SPREADS = ("auto", "balanced", "balanced_low_0", "sequential")
"""accelerate's ways to spread layers; ``balanced_low_0`` leaves the first accelerator to others."""
_quiet_lock = threading.RLock()


@dataclass(frozen=True)
class Checkpoint:
    """A model's folder or repository, and how its weights are held.

    Parameters
    ----------
    given, where : As the caller named it, and as transformers takes it.
    device, dtype : Of the weights.
    options : Arguments of every `from_pretrained`.
    offline : Never use the network, also for other repositories that it names.
    spread : How accelerate spreads the layers over all accelerators; None = all on `device`.
    """

    given: str
    where: str
    device: torch.device
    dtype: torch.dtype
    options: Mapping[str, Any]
    offline: bool = False
    spread: str | None = None

    @classmethod
    def of(
        cls,
        path: str | Path,
        *,
        revision: str | None = None,
        device: str | torch.device = "cpu",
        dtype: str | torch.dtype = "float32",
        offline: bool = False,
        spread: str | None = None,
    ) -> Checkpoint:
        """Check path, device, dtype and spread as a caller passes them."""
        if spread not in (None, *SPREADS):
            raise GroundingError(
                f"device_map={spread!r}; expected one of {', '.join(SPREADS)}, or none for one "
                "device"
            )
        where = checked_path(path)
        options = {
            "revision": revision,
            "local_files_only": offline or Path(where).is_dir(),
            "trust_remote_code": False,
        }
        held = checked_device(device), checked_dtype(dtype)
        return cls(str(path), where, *held, options, offline, spread)

    @property
    def streaming(self) -> dict[str, Any]:
        """Options of `from_pretrained` that read each weight straight onto an accelerator."""
        return {} if self.device.type == "cpu" else {"device_map": self.spread or {"": self.device}}

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
            **{**options, **self.streaming, **self.options},
        )
        check_complete(self.given, info)
        if self.spread is None or self.device.type == "cpu":
            return model.to(self.device)
        if {"cpu", "disk"} & set(model.hf_device_map.values()):
            raise GroundingError(
                f"out of memory: {self.given} does not fit on all accelerators together; expected "
                "its weights to fit. Close other programs, or choose a smaller model"
            )
        return model


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
    except GroundingError:
        raise
    except Exception as error:  # transformers, tokenizers, safetensors and the hub share no base
        if _memory_ran_out(error):
            error.__traceback__ = None  # it holds what was placed already
            raise GroundingError(
                f"out of memory while the model {str(path)!r} was loaded; expected its weights to "
                "fit. Close other programs, choose a smaller model, or another device"
            ) from error
        raise GroundingError(
            f"could not load a model from {str(path)!r}: {_reason(error)}"
        ) from error


def _memory_ran_out(error: Exception) -> bool:
    message = str(error).lower()
    named = "out of memory" in message or "can't allocate memory" in message
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or named


def _reason(error: Exception) -> str:
    """What a library says, and the remedy."""
    text = str(error)
    if "gated repo" in text:  # transformers' first line has neither the address nor the remedy
        page = re.search(r"https://huggingface\.co/[\w.-]+/[\w.-]+", text)
        at = page[0].rstrip(".") if page else "its page on huggingface.co"
        return f"it is gated; accept its licence at {at}, then run `hf auth login`"
    if "sentencepiece" in text.lower():
        return (
            "its tokenizer.model needs the package sentencepiece; install it with: pip install "
            "'groundbrush[sentencepiece]', or name a repository with a tokenizer.json as tokenizer"
        )
    return (
        f"{_first_line(error)}; expected config, safetensors weights, tokenizer and image "
        "processor there, or a repository that is reachable or in the local cache"
    )


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
