"""Low-rank adapters (LoRA) named by a preset: safetensors only, through peft."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import InpaintError
from .inpainter import check_entry, explain_loading


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
