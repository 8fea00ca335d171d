"""LLaVA's original layout, as ``LlavaForConditionalGeneration``.

A flat Llama with a projector and often without its vision tower, which then lies in a repository
or folder of its own: LLaVA, ShareGPT4V, Yi-VL and InternVL-Chat-ViT-6B.

Sources: https://github.com/haotian-liu/LLaVA (llava/model), https://github.com/01-ai/Yi (VL/llava),
https://github.com/OpenGVLab/InternVL (internvl_chat_llava).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, cat, nn

from ..errors import GroundingError
from ..families.base import square_grid
from .files import State, read_weights, with_tower

CLIP_TOWER = "model.vision_tower.vision_tower."
_PROJECTOR = "model.mm_projector."
_NOT_OURS = re.compile(r"rotary_emb\.inv_freq$|position_ids$|^(text_model|text_projection)\.")
_LEFT_OUT = ("visual_projection.weight", "text_projection.weight", "logit_scale")
_FOREIGN = tuple(
    "mm_ image_ tune_ freeze_ use_mm unfreeze_ optimize_ architectures auto_map model_type "
    "torch_dtype transformers_version _name".split()
)
"""Beginnings of the settings that are not the language model's."""


def llava_parts(
    folder: Path,
    raw: Mapping[str, Any],
    vision: Sequence[str],
    *,
    offline: bool,
    image_token_id: int,
) -> tuple[Any, State, Any, Any]:
    """Config, weights still under their original names, class and image processor.

    Arguments as for :func:`.original.load_original`; `vision` holds the tower, or nothing for the
    one that `raw` names.
    """
    named = (*vision, str(raw["mm_vision_tower"]))[0]
    state, tower = with_tower(read_weights(folder), CLIP_TOWER, folder, named, offline=offline)
    config = llava_config(raw, tower_config(tower), image_token_id=image_token_id)
    return config, state, _model_class(raw), clip_processor(folder, tower, config)


def llava_config(raw: Mapping[str, Any], vision: Any, *, image_token_id: int) -> Any:
    """A ``LlavaConfig`` from a flat original ``config.json`` and the tower's config.

    `image_token_id` is an id of the vocabulary that text never holds (the unknown token): the
    original marks the place of the picture by -200, which no embedding has.
    """
    from transformers import LlamaConfig, LlavaConfig

    text = LlamaConfig(**flat_settings(raw))
    rows, columns = square_grid(vision)[1]
    kept = raw.get("mm_vision_select_feature", "patch") == "cls_patch"
    return LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=image_token_id,
        image_seq_length=rows * columns + kept,
        projector_hidden_act="linear" if _projector(raw) == "linear" else "gelu",
        vision_feature_layer=raw.get("mm_vision_select_layer", -2),
        vision_feature_select_strategy="full" if kept else "default",
        tie_word_embeddings=False,
    )


def flat_settings(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The language model's settings in a flat original ``config.json``."""
    return {k: v for k, v in raw.items() if not k.startswith(_FOREIGN)}


def convert_llava(state: Mapping[str, Tensor], config: Any) -> State:
    """Rename the weights of an original checkpoint, tower included.

    The tower's names begin with ``model.vision_tower.vision_tower.``; text layers above the number
    in `config`, a ``LlavaConfig``, are left out.

    Returns names of ``LlavaForConditionalGeneration``. A single linear projector becomes two,
    the second of them the identity, which is exact with a linear activation between.
    """
    tower = {k.removeprefix(CLIP_TOWER): v for k, v in state.items() if k.startswith(CLIP_TOWER)}
    intern = config.vision_config.model_type == "internvl_vision"
    tower = convert_intern_vit(tower, config.vision_config) if intern else clip_weights(tower)
    out = {f"model.vision_tower.{name}": value for name, value in tower.items()}
    rest = {k: v for k, v in state.items() if not k.startswith(CLIP_TOWER)}
    return out | convert_projector(rest) | language_weights(rest, config)


def language_weights(state: Mapping[str, Tensor], config: Any) -> State:
    """A flat language model's weights under new names, and all others under their own.

    Text layers above the config's number and the projector are left out.
    """
    out: State = {}
    for name, value in state.items():
        layer = re.match(r"model\.layers\.(\d+)\.", name)
        beyond = layer is not None and int(layer[1]) >= config.text_config.num_hidden_layers
        if beyond or name.startswith(_PROJECTOR) or _NOT_OURS.search(name):
            continue
        new = re.sub(r"^model\.(layers|embed_tokens|norm)\b", r"model.language_model.\1", name)
        out[new] = value
    return out


def convert_projector(state: Mapping[str, Tensor]) -> State:
    """The projector's weights among an original checkpoint's, renamed."""
    out: State = {}
    for name, value in state.items():
        if name.startswith(_PROJECTOR):
            out |= _convert_projector(name.removeprefix(_PROJECTOR), value, state)
    return out


def _projector(raw: Mapping[str, Any]) -> str:
    """The projector's kind: ``linear``, ``mlp`` or ``mlp_norm`` (Yi-VL)."""
    given = str(raw.get("mm_projector_type", "linear"))
    kinds = {"linear": "linear", "mlp2x_gelu": "mlp", "mlp2x_gelu_Norm": "mlp_norm"}
    if given not in kinds:
        raise GroundingError(
            f"mm_projector_type={given!r}; expected one of {', '.join(kinds)}: this projector is "
            "not built here"
        )
    return kinds[given]


def _convert_projector(name: str, value: Tensor, state: Mapping[str, Tensor]) -> State:
    """One weight of the projector under its new name, and the identity where one is missing."""
    base = "model.multi_modal_projector."
    if name == "weight":
        eye = torch.eye(value.shape[0], dtype=value.dtype)
        return {
            base + "linear_1.weight": value,
            base + "linear_2.weight": eye,
            base + "linear_2.bias": torch.zeros(value.shape[0], dtype=value.dtype),
        }
    if name == "bias":
        return {base + "linear_1.bias": value}
    if _PROJECTOR + "4.weight" in state:
        return {base + name: value}
    index, _, rest = name.partition(".")
    numbered = {"0": "linear_1", "2": "linear_2"}
    return {f"{base}{numbered.get(index, index)}.{rest}": value}


def clip_weights(state: Mapping[str, Tensor]) -> State:
    """CLIP's vision weights without their old prefix, and without its text half."""
    vision = {k: v for k, v in state.items() if not _NOT_OURS.search(k) and k not in _LEFT_OUT}
    return {k.removeprefix("vision_model."): v for k, v in vision.items()}


def _model_class(raw: Mapping[str, Any]) -> Any:
    """The class the weights belong in: transformers' own, or with Yi-VL's projector."""
    from transformers import LlavaForConditionalGeneration

    if _projector(raw) != "mlp_norm":
        return LlavaForConditionalGeneration

    class YiVLForConditionalGeneration(LlavaForConditionalGeneration):
        """LLaVA with a layer norm after each linear layer of the projector."""

        def __init__(self, config: Any) -> None:
            super().__init__(config)
            wide, width = config.vision_config.hidden_size, config.text_config.hidden_size
            self.model.multi_modal_projector = nn.Sequential(
                nn.Linear(wide, width),
                nn.LayerNorm(width),
                nn.GELU(),
                nn.Linear(width, width),
                nn.LayerNorm(width),
            )

    return YiVLForConditionalGeneration


def tower_config(tower: Path) -> Any:
    """The tower's config from its folder: CLIP's, or InternViT-6B's rewritten."""
    from transformers import CLIPVisionConfig, PreTrainedConfig

    raw, _ = PreTrainedConfig.get_config_dict(str(tower), local_files_only=True)
    raw = raw.get("vision_config", raw)
    if "qk_normalization" not in raw:
        return CLIPVisionConfig(**{k: v for k, v in raw.items() if k != "model_type"})
    return intern_config(raw)


def clip_processor(folder: Path, tower: Path, config: Any) -> Any:
    """The tower's image processor; InternViT's is CLIP's with ImageNet's colours."""
    from transformers import AutoImageProcessor
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    if config.vision_config.model_type == "internvl_vision":
        return CLIPImageProcessorPil(
            image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225]
        )
    for place in (folder, tower):
        if (place / "preprocessor_config.json").is_file():
            return AutoImageProcessor.from_pretrained(str(place), backend="pil")
    return CLIPImageProcessorPil()


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
