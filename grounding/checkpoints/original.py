"""Load checkpoints in the original LLaVA layouts, renamed into transformers' classes.

Each layout has a module: `llava_layout` (LLaVA, ShareGPT4V, Yi-VL and InternVL-Chat-ViT-6B) and
`mini_gemini_layout` (Mini-Gemini). Weights are renamed one by one and none is invented: a name
without a counterpart is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from ..errors import GroundingError
from .checkpoint import Checkpoint, check_complete
from .files import hub_folder, keep_layers
from .llava_layout import convert_llava, llava_parts
from .mini_gemini_layout import convert_mini_gemini, mini_gemini_parts

__all__ = ["is_original", "load_original"]


def is_original(config: Mapping[str, Any]) -> bool:
    """Whether a ``config.json`` is of an original LLaVA layout, whatever it calls itself.

    Examples
    --------
    >>> is_original({"model_type": "llava", "mm_vision_tower": "openai/clip-vit-large-patch14"})
    True
    """
    return "mm_vision_tower" in config


def load_original(
    source: Checkpoint,
    raw: Mapping[str, Any],
    deepest_layer: int | None = None,
    vision: str | Sequence[str] | None = None,
    tokenizer: str | None = None,
) -> tuple[nn.Module, Any, Any]:
    """Load a checkpoint of an original layout: model, tokenizer and image processor.

    Parameters
    ----------
    raw : Its ``config.json``.
    deepest_layer : Keep text layers up to this one (0-based); None = all.
    vision : Folder or repository of the vision tower, or of each; None = those that `raw` names.
    tokenizer : Folder or repository of a fast tokenizer; None = the checkpoint's own.

    Raises GroundingError when a tower is missing or a weight has no counterpart.
    """
    from transformers import AutoTokenizer

    where, offline = source.where, source.offline
    folder = hub_folder(where, offline=offline, revision=source.options["revision"])
    words = AutoTokenizer.from_pretrained(
        tokenizer or str(folder), local_files_only=offline, trust_remote_code=False
    )
    two = "mm_vision_tower_aux" in raw
    towers = (vision,) if isinstance(vision, str) else tuple(vision or ())
    if len(towers) not in (0, 1 + two):
        raise GroundingError(
            f"vision names {len(towers)} towers, {', '.join(towers)}; expected {1 + two} for "
            f"{where}{': the low and the high-resolution one' if two else ''}"
        )
    config, state, kind, processor = (mini_gemini_parts if two else llava_parts)(
        folder, raw, towers, offline=offline, image_token_id=words.unk_token_id or 0
    )
    keep_layers(config, deepest_layer)
    converted = (convert_mini_gemini if two else convert_llava)(state, config)
    del state
    model, info = kind.from_pretrained(
        None,
        config=config,
        state_dict=converted,
        dtype=source.dtype,
        output_loading_info=True,
        **source.streaming,
    )
    if info["unexpected_keys"]:
        raise GroundingError(
            f"{where} holds {len(info['unexpected_keys'])} weights without a place, first "
            f"{sorted(info['unexpected_keys'])[0]!r}; expected the layout of LLaVA, ShareGPT4V, "
            "Yi-VL, InternVL-Chat-ViT-6B or Mini-Gemini"
        )
    check_complete(source.given, info)
    return model.to(source.device), words, processor
