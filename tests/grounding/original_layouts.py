"""Tiny synthetic checkpoints of every original layout that is converted on load."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

LAYOUTS = ("llava-1.5", "llava-v1", "sharegpt4v", "yi-vl", "internvl-6b", "mini-gemini")
PROMPT = "a picture : <image> {phrase} ."


def original_names(state: dict) -> dict:
    """A `LlavaForConditionalGeneration` state under the names of haotian-liu's LLaVA-1.5."""
    out = {}
    for name, value in state.items():
        name = name.replace(
            "model.vision_tower.", "model.vision_tower.vision_tower.vision_model."
        ).replace("model.language_model.", "model.")
        name = name.replace("model.multi_modal_projector.linear_1", "model.mm_projector.0")
        out[name.replace("model.multi_modal_projector.linear_2", "model.mm_projector.2")] = value
    out["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(4)  # old Llamas saved it
    return {k: v.clone() for k, v in out.items()}


def intern_names(state: dict) -> dict:
    """An `InternVLVisionModel` state under the names of InternViT-6B, q, k and v fused."""
    out = {}
    for name, value in state.items():
        if re.search(r"\.[kv]_proj\.", name):
            continue
        if ".q_proj." in name:
            parts = [state[name.replace("q_proj", f"{p}_proj")] for p in "qkv"]
            name, value = name.replace("attention.q_proj", "attn.qkv"), torch.cat(parts)
        name = name.replace("embeddings.cls_token", "embeddings.class_embedding")
        name = name.replace("patch_embeddings.projection", "patch_embedding")
        name = name.replace("position_embeddings", "position_embedding")
        name = name.replace("encoder.layer.", "encoder.layers.").replace("attention.", "attn.")
        name = name.replace("projection_layer", "proj").replace("layernorm_before", "norm1")
        out[name.replace("layernorm_after", "norm2").replace("lambda_", "ls")] = value.clone()
    return out


def timm_names(state: Mapping[str, torch.Tensor]) -> dict:
    """A `ConvNextModel` state under timm's names, from ``stem.`` and ``stages.`` on."""
    out = {}
    for name, value in state.items():
        name = name.replace("embeddings.patch_embeddings", "stem.0")
        name = name.replace("embeddings.layernorm", "stem.1").replace("encoder.stages", "stages")
        name = name.replace("downsampling_layer", "downsample").replace(".layers.", ".blocks.")
        name = name.replace("dwconv", "conv_dw").replace("layernorm", "norm")
        name = name.replace("pwconv", "mlp.fc").replace("layer_scale_parameter", "gamma")
        out[name] = value.clone()
    return out


def mini_gemini_names(state: Mapping[str, torch.Tensor]) -> tuple[dict, dict]:
    """A Mini-Gemini's state: MGM's checkpoint, and the second tower under timm's names."""
    fine = {k: v for k, v in state.items() if k.startswith("model.high_res_tower.")}
    out = original_names({k: v for k, v in state.items() if k not in fine})
    for ours, theirs in [("query", "query"), ("key", "aux"), ("value", "val")]:
        for k in [k for k in out if k.startswith(f"model.mining.{ours}.")]:
            end = k.removeprefix(f"model.mining.{ours}.")
            out[f"model.vlm_uni_{theirs}_projector.{end}"] = out.pop(k)
    return out, timm_names({k.removeprefix("model.high_res_tower."): v for k, v in fine.items()})


def open_clip_names(fine: Mapping[str, torch.Tensor]) -> dict:
    """timm's names as OpenCLIP's file has them, with some of what is not used."""
    rest = (
        "visual.trunk.head.norm.weight",
        "visual.head.mlp.fc1.weight",
        "logit_scale",
        "text.token_embedding.weight",
        "positional_embedding",
    )
    return {f"visual.trunk.{k}": v for k, v in fine.items()} | {k: torch.ones(2) for k in rest}


def flat_config(config: Any, **changes: Any) -> dict[str, Any]:
    """The flat ``config.json`` of an original checkpoint."""
    text = config.text_config.to_dict()
    kept = ("num_", "hidden_", "vocab", "max_", "inter", "head_dim")
    return (
        {k: text[k] for k in text if k.startswith(kept)}
        | {
            "mm_projector_type": "mlp2x_gelu",
            "mm_vision_select_layer": -1,
            "mm_hidden_size": 16,
            "torch_dtype": "float16",
            "use_mm_proj": True,
            "tune_mm_mlp_adapter": False,
            "image_aspect_ratio": "pad",
        }
        | changes
    )


def save_original(
    name: str, folder: Path, build_llava: Any, tokenizer: Any, processor: Any
) -> dict[str, Any]:
    """Write a checkpoint of a layout below a folder; what `load_lvlm` needs to read it."""
    model, tower = folder / "model", folder / "tower"
    model.mkdir()
    tower.mkdir()
    tokenizer.save_pretrained(model)
    processor.save_pretrained(tower)
    if name == "mini-gemini":
        return save_mini_gemini(model, tower)
    source = build_llava(kv_heads=2, layers=3)
    settings: dict[str, Any] = {"path": model, "prompt": PROMPT}
    changes: dict[str, Any] = {"mm_vision_tower": str(tower), "model_type": "llava"}
    vision = {"model_type": "clip", "vision_config": source.config.vision_config.to_dict()}
    state = original_names(source.state_dict())
    if name == "llava-v1":
        state = {k: v for k, v in state.items() if "mm_projector" not in k}
        state |= {
            "model.mm_projector.weight": torch.randn(32, 16),
            "model.mm_projector.bias": torch.randn(32),
        }
        del (changes := changes | {"mm_projector_type": "linear"})["model_type"]
    if name == "sharegpt4v":  # its own tower, named by a repository
        changes["mm_vision_tower"] = "nobody/nothing"
        settings["vision"] = str(tower)
    if name == "yi-vl":
        changes |= {"mm_projector_type": "mlp2x_gelu_Norm", "mm_vision_tower": "./vit/clip"}
        state = {k: v for k, v in state.items() if "mm_projector" not in k}
        for i, shape in [(0, (32, 16)), (1, (32,)), (3, (32, 32)), (4, (32,))]:
            state |= {
                f"model.mm_projector.{i}.weight": torch.randn(shape),
                f"model.mm_projector.{i}.bias": torch.randn(32),
            }
    if name == "internvl-6b":
        vision, own = intern_tower()
        state = {k: v for k, v in state.items() if "vision_tower" not in k}
        state |= {f"model.vision_tower.vision_tower.{k}": v for k, v in own.items()}
    inside = "model.vision_tower.vision_tower."
    beside = {k.removeprefix(inside): v for k, v in state.items() if k.startswith(inside)}
    save_file(beside, tower / "model.safetensors")
    save_file(
        {k: v for k, v in state.items() if not k.startswith(inside)}, model / "model.safetensors"
    )
    (tower / "config.json").write_text(json.dumps(vision))
    (model / "config.json").write_text(json.dumps(flat_config(source.config, **changes)))
    if name == "yi-vl":
        (model / "vit").mkdir()
        tower.rename(model / "vit" / "clip")
    return settings


def intern_tower() -> tuple[dict[str, Any], dict]:
    """Config and weights of a tiny InternViT-6B."""
    from transformers import AutoModel, InternVLVisionConfig

    sizes = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2)
    own = InternVLVisionConfig(
        **sizes, image_size=[32, 32], patch_size=[8, 8], use_qk_norm=True, norm_type="rms_norm"
    )
    tower = AutoModel.from_config(own)
    with torch.no_grad():
        for parameter in tower.parameters():
            parameter.normal_(0, 0.3)
    raw = sizes | {
        "model_type": "intern_vit_6b",
        "image_size": 32,
        "patch_size": 8,
        "qkv_bias": False,
        "qk_normalization": True,
        "layer_norm_eps": 1e-6,
    }
    return raw, intern_names(tower.state_dict())


def save_mini_gemini(folder: Path, tower: Path, **changes: Any) -> dict[str, Any]:
    """The layout of MGM-2B: both towers apart, names of the authors' own disk in the config."""
    from tiny_families import build_model

    source = build_model("mini_gemini")
    state, fine = mini_gemini_names(source.state_dict())
    inside = "model.vision_tower.vision_tower."
    beside = {k.removeprefix(inside): v for k, v in state.items() if k.startswith(inside)}
    high = tower.parent / "high"
    high.mkdir()
    save_file(beside, tower / "model.safetensors")
    torch.save(open_clip_names(fine), high / "open_clip_pytorch_model.bin")
    # Gemma's head is its embedding: checkpoints hold it once.
    save_file(
        {k: v for k, v in state.items() if not k.startswith(inside) and "lm_head" not in k},
        folder / "model.safetensors",
    )
    vision = {"model_type": "clip", "vision_config": source.config.vision_config.to_dict()}
    (tower / "config.json").write_text(json.dumps(vision))
    raw = flat_config(
        source.config,
        model_type="mgm_gemma",
        image_size_aux=64,
        mm_vision_select_layer=-2,
        mm_vision_tower="model_zoo/OpenAI/clip-vit-large-patch14-336",
        mm_vision_tower_aux="model_zoo/OpenAI/openclip-convnext-large-d-320",
        optimize_vision_tower=False,
        **changes,
    )
    (folder / "config.json").write_text(json.dumps(raw))
    return {
        "path": folder,
        "family": "mini_gemini",
        "prompt": PROMPT,
        "vision": [str(tower), str(high)],
    }
