"""InternViT-6B, the tower of InternVL-Chat, as transformers' ``InternVLVisionModel``.

Source: https://github.com/OpenGVLab/InternVL (internvl_chat_llava).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, cat, nn

from .files import State

_INTERN_SIDE = 336
"""InternVL-Chat reads its 224-pixel InternViT-6B at 336 pixels."""
_INTERN = (
    (r"^embeddings\.class_embedding$", "embeddings.cls_token"),
    (r"^embeddings\.patch_embedding\.", "embeddings.patch_embeddings.projection."),
    (r"^embeddings\.position_embedding$", "embeddings.position_embeddings"),
    (r"^encoder\.layers\.", "encoder.layer."),
    (r"\.attn\.(q_norm|k_norm)\.", r".attention.\1."),
    (r"\.attn\.proj\.", ".attention.projection_layer."),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
    (r"\.ls([12])$", r".lambda_\1"),
)


def intern_config(raw: Mapping[str, Any]) -> Any:
    """An ``InternVLVisionConfig`` from InternViT-6B's ``config.json``."""
    from transformers import InternVLVisionConfig

    side = raw["image_size"]
    return InternVLVisionConfig(
        hidden_size=raw["hidden_size"],
        intermediate_size=raw["intermediate_size"],
        num_hidden_layers=raw["num_hidden_layers"],
        num_attention_heads=raw["num_attention_heads"],
        attention_bias=raw.get("qkv_bias", False),
        use_qk_norm=raw["qk_normalization"],
        norm_type=raw.get("norm_type", "rms_norm"),
        hidden_act=raw.get("hidden_act", "gelu"),
        layer_norm_eps=raw.get("layer_norm_eps", 1e-6),
        image_size=[_INTERN_SIDE, _INTERN_SIDE] if side == 224 else [side, side],
        patch_size=[raw["patch_size"], raw["patch_size"]],
    )


def convert_intern_vit(state: Mapping[str, Tensor], config: Any) -> State:
    """InternViT-6B's weights under the names of transformers' ``InternVLVisionModel``.

    Fused queries, keys and values are split, and position embeddings of another resolution are
    resized as the original does on the fly.
    """
    out: State = {}
    for name, value in state.items():
        fused = re.fullmatch(r"encoder\.layers\.(\d+)\.attn\.qkv\.(weight|bias)", name)
        if fused:
            for part, piece in zip("qkv", value.chunk(3), strict=True):
                out[f"encoder.layer.{fused[1]}.attention.{part}_proj.{fused[2]}"] = piece.clone()
            continue
        new = name
        for pattern, replacement in _INTERN:
            new = re.sub(pattern, replacement, new)
        out[new] = value
    side = config.image_size[0] // config.patch_size[0]
    key = "embeddings.position_embeddings"
    if key in out and out[key].shape[1] != side**2 + 1:
        out[key] = _resized_positions(out[key], side)
    return out


def _resized_positions(positions: Tensor, side: int) -> Tensor:
    """(1, 1 + p * p, C) position embeddings for side x side patches, the class token's kept."""
    old = int((positions.shape[1] - 1) ** 0.5)
    grid = positions[:, 1:].float().reshape(1, old, old, -1).permute(0, 3, 1, 2)
    grid = nn.functional.interpolate(grid, size=(side, side), mode="bicubic", align_corners=False)
    patches = grid.flatten(2).transpose(1, 2).to(positions.dtype)
    return cat([positions[:, :1], patches], dim=1)
