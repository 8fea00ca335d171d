"""Loading a backend's checkpoint as safely, and with the same errors, as the other models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..checkpoints.loading import _check_complete, checked_device, checked_dtype, checked_path
from ..errors import GroundingError


@dataclass(frozen=True)
class Source:
    """A checkpoint's place, and how its weights are held."""

    given: str
    where: str
    device: torch.device
    dtype: torch.dtype
    common: dict[str, Any]
    """Arguments of every `from_pretrained`."""


def load_settings(
    path: str | Path, revision: str | None, device: Any, dtype: Any, offline: bool
) -> Source:
    """Check what was given; errors as of `load_segmenter`."""
    where = checked_path(path)
    common = {
        "revision": revision,
        "local_files_only": offline or Path(where).is_dir(),
        "trust_remote_code": False,
    }
    return Source(str(path), where, checked_device(device), checked_dtype(dtype), common)


def check_type(path: str | Path, config: Any, known: Sequence[str], title: str) -> None:
    """Refuse a checkpoint of another kind of model."""
    if config.model_type not in known:
        raise GroundingError(
            f"{path} holds a {config.model_type!r} model; {title} reads {', '.join(known)}: name "
            "another folder or repository"
        )


def load_weights(loader: Any, config: Any, source: Source) -> Any:
    """A model from safetensors, complete or refused."""
    model, info = loader.from_pretrained(
        source.where,
        config=config,
        dtype=source.dtype,
        use_safetensors=True,
        output_loading_info=True,
        **source.common,
    )
    _check_complete(source.given, info)
    return model.to(source.device)
