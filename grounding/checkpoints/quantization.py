"""Weights in 4 bits: a quarter of the memory of half precision, through bitsandbytes."""

from __future__ import annotations

import importlib.util
from typing import Any

import torch

from ..errors import GroundingError

KINDS = ("4bit",)
# Small, and what the map is read through: they keep their precision. Names of all families.
_KEPT = (
    "vision_tower",
    "vision_model",
    "visual",
    "multi_modal_projector",
    "connector",
    "aligner",
    "embed_tokens",
    "lm_head",
)


def loading_options(kind: str | None, dtype: torch.dtype, device: torch.device) -> dict[str, Any]:
    """Arguments of ``from_pretrained`` that quantise the language model's weights.

    Parameters
    ----------
    kind : "4bit" (NF4; Dettmers et al., "QLoRA", 2023), or None for none.
    dtype : In which it computes, and in which the rest is kept.
    device : Where it goes.

    Raises GroundingError for another kind, or where bitsandbytes is not installed.

    Examples
    --------
    >>> loading_options(None, torch.float16, torch.device("cpu"))
    {}
    """
    if kind is None:
        return {}
    if kind not in KINDS:
        raise GroundingError(f"quantization is {kind!r}; expected {KINDS[0]!r}, or leave it out")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise GroundingError(
            "quantization '4bit' needs the package bitsandbytes, which is not installed; expected "
            "it for weights in 4 bits. Install it with: pip install 'groundbrush[quantized]'"
        )
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=dtype,
        bnb_4bit_use_double_quant=True,
        # Matched from the start of a layer's full name, which has "model." and more before these.
        llm_int8_skip_modules=[f".*{name}" for name in _KEPT],
    )
    return {"quantization_config": config, "device_map": {"": device}}
