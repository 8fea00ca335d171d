"""Checkpoints in the original LLaVA layout, renamed on load into ``LlavaForConditionalGeneration``.

LLaVA, ShareGPT4V, Yi-VL and InternVL-Chat-ViT-6B were released as a flat Llama with a projector
and often without their vision tower, which then lies in a repository or folder of its own. The
weights are renamed one by one and nothing is made up: a name without a place is an error.

Sources: https://github.com/haotian-liu/LLaVA (llava/model), https://github.com/01-ai/Yi (VL/llava),
https://github.com/OpenGVLab/InternVL (internvl_chat_llava).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from grounding.errors import GroundingError
from grounding.families.common import square_grid

__all__ = ["convert_llava", "is_original", "llava_config", "load_original", "read_weights"]

State = dict[str, Tensor]
_PROJECTOR = "model.mm_projector."
_TOWER = "model.vision_tower.vision_tower."
_NOT_OURS = re.compile(r"rotary_emb\.inv_freq$|position_ids$|^(text_model|text_projection)\.")
_LEFT_OUT = ("visual_projection.weight", "text_projection.weight", "logit_scale")
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


def is_original(config: Mapping[str, Any]) -> bool:
    """Whether a ``config.json`` is of the original LLaVA layout, whatever it calls itself.

    Examples
    --------
    >>> is_original({"model_type": "llava", "mm_vision_tower": "openai/clip-vit-large-patch14"})
    True
    """
    return "mm_vision_tower" in config


def load_original(
    where: str,
    raw: Mapping[str, Any],
    *,
    dtype: torch.dtype,
    revision: str | None = None,
    offline: bool = False,
    deepest_layer: int | None = None,
    vision: str | None = None,
    tokenizer: str | None = None,
) -> tuple[nn.Module, dict[str, Any], Any, Any]:
    """Load a checkpoint of the original layout.

    Parameters
    ----------
    where
        Its folder or repository.
    raw
        Its ``config.json``.
    dtype
        Floating type of the weights.
    revision
        Of the checkpoint, if it is a repository.
    offline
        Never ask the network.
    deepest_layer
        Keep text layers up to this one (0-based); None = all.
    vision
        Folder or repository of the vision tower; None = the one that `raw` names.
    tokenizer
        Folder or repository of a fast tokenizer; None = the checkpoint's own.

    Returns
    -------
    tuple
        The model, transformers' load report, the tokenizer and the image processor.

    Raises
    ------
    GroundingError
        When the tower is not there or a weight has no place.
    """
    from transformers import AutoTokenizer

    folder = _folder(where, offline=offline, revision=revision)
    named = vision or str(raw["mm_vision_tower"])
    tower = _tower_folder(folder, named, offline=offline, weights=False)
    words = AutoTokenizer.from_pretrained(
        tokenizer or str(folder), local_files_only=offline, trust_remote_code=False
    )
    state = read_weights(folder)
    if not any(name.startswith(_TOWER) for name in state):
        tower = _tower_folder(folder, named, offline=offline)
        state |= {_TOWER + name: value for name, value in read_weights(tower).items()}
    config = llava_config(raw, _tower_config(tower), image_token_id=words.unk_token_id or 0)
    if deepest_layer is not None:
        if not 0 <= deepest_layer < config.text_config.num_hidden_layers:
            raise GroundingError(
                f"heads name layer {deepest_layer}; the model has layers 0 to "
                f"{config.text_config.num_hidden_layers - 1} (0-based)"
            )
        config.text_config.num_hidden_layers = deepest_layer + 1
    converted = convert_llava(state, config)
    loader: Any = _model_class(raw)
    model, info = loader.from_pretrained(
        None, config=config, state_dict=converted, dtype=dtype, output_loading_info=True
    )
    if info["unexpected_keys"]:
        raise GroundingError(
            f"{where} holds {len(info['unexpected_keys'])} weights without a place, first "
            f"{sorted(info['unexpected_keys'])[0]!r}; expected the layout of LLaVA, ShareGPT4V, "
            "Yi-VL or InternVL-Chat-ViT-6B"
        )
    return model, info, words, _image_processor(folder, tower, config)


def llava_config(raw: Mapping[str, Any], vision: Any, *, image_token_id: int) -> Any:
    """A ``LlavaConfig`` from a flat original ``config.json`` and the tower's config.

    Parameters
    ----------
    raw
        The original's ``config.json``.
    vision
        The tower's config.
    image_token_id
        An id of the vocabulary that text never holds (the unknown token): the original marks the
        place of the picture by -200, which no embedding has.
    """
    from transformers import LlamaConfig, LlavaConfig

    foreign = (
        "mm_", "image_", "tune_", "freeze_", "use_mm", "unfreeze_", "architectures", "auto_map",
        "model_type", "torch_dtype", "transformers_version", "_name",
    )  # fmt: skip
    text = LlamaConfig(**{k: v for k, v in raw.items() if not k.startswith(foreign)})
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


def convert_llava(state: Mapping[str, Tensor], config: Any) -> State:
    """Rename the weights of an original checkpoint, tower included.

    Parameters
    ----------
    state
        Original name -> weight; the tower's under ``model.vision_tower.vision_tower.``
    config
        The ``LlavaConfig`` they are meant for. Text layers above its number are left out.

    Returns
    -------
    dict
        Names of ``LlavaForConditionalGeneration``. A single linear projector becomes two, the
        second of them the identity, which is exact with a linear activation between.
    """
    layers = config.text_config.num_hidden_layers
    tower = {k.removeprefix(_TOWER): v for k, v in state.items() if k.startswith(_TOWER)}
    intern = config.vision_config.model_type == "internvl_vision"
    tower = convert_intern_vit(tower, config.vision_config) if intern else _clip(tower)
    out = {f"model.vision_tower.{name}": value for name, value in tower.items()}
    for name, value in state.items():
        layer = re.match(r"model\.layers\.(\d+)\.", name)
        beyond = layer is not None and int(layer[1]) >= layers
        if name.startswith(_TOWER) or beyond or _NOT_OURS.search(name):
            continue
        if name.startswith(_PROJECTOR):
            out |= _convert_projector(name.removeprefix(_PROJECTOR), value, state)
        else:
            out[
                re.sub(r"^model\.(layers|embed_tokens|norm)\b", r"model.language_model.\1", name)
            ] = value
    return out


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


def read_weights(folder: Path) -> State:
    """All weights of a checkpoint's folder: safetensors, or PyTorch files read as data only.

    Raises
    ------
    GroundingError
        When there are none.
    """
    from safetensors.torch import load_file

    files = sorted(folder.glob("*.safetensors"))
    if files:
        return {k: v for file in files for k, v in load_file(file).items()}
    files = sorted(folder.glob("pytorch_model*.bin"))
    if not files:
        raise GroundingError(
            f"{folder} holds no weights; expected *.safetensors or pytorch_model*.bin files"
        )
    return {k: v for file in files for k, v in load_pickled(file).items()}


def load_pickled(file: Path) -> State:
    """Tensors of a PyTorch file; anything but plain data in it is refused, never run.

    Raises
    ------
    GroundingError
        When the file is none, or holds more than tensors.
    """
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle, zip and torch each raise their own
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise GroundingError(
            f"{file} cannot be read as weights ({first[:150]}); expected a PyTorch file of tensors "
            "only: download it again, or save the weights alone"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise GroundingError(f"{file} holds more than named tensors; expected a state dict")
    return state


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


def _clip(state: Mapping[str, Tensor]) -> State:
    """CLIP's vision weights without their old prefix, and without its text half."""
    vision = {k: v for k, v in state.items() if not _NOT_OURS.search(k) and k not in _LEFT_OUT}
    return {k.removeprefix("vision_model."): v for k, v in vision.items()}


def _resized_positions(positions: Tensor, side: int) -> Tensor:
    """(1, 1 + p * p, C) position embeddings for side x side patches, the class token's kept."""
    old = int((positions.shape[1] - 1) ** 0.5)
    grid = positions[:, 1:].float().reshape(1, old, old, -1).permute(0, 3, 1, 2)
    grid = nn.functional.interpolate(grid, size=(side, side), mode="bicubic", align_corners=False)
    patches = grid.flatten(2).transpose(1, 2).to(positions.dtype)
    return torch.cat([positions[:, :1], patches], dim=1)


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
                nn.Linear(wide, width), nn.LayerNorm(width), nn.GELU(),
                nn.Linear(width, width), nn.LayerNorm(width),
            )  # fmt: skip

    return YiVLForConditionalGeneration


def _folder(
    where: str, *, offline: bool, revision: str | None = None, weights: bool = True
) -> Path:
    """A local folder, or the cached copy of a repository's data files."""
    local = Path(where).expanduser()
    if local.is_dir():
        return local
    from huggingface_hub import snapshot_download

    wanted = ["*.json", "*.model", *(["*.safetensors", "*.bin"] if weights else [])]
    return Path(
        snapshot_download(
            where, revision=revision, local_files_only=offline, allow_patterns=wanted,
            ignore_patterns=["*training_args*", "*optimizer*"],
        )
    )  # fmt: skip


def _tower_folder(folder: Path, named: str, *, offline: bool, weights: bool = True) -> Path:
    """The tower's folder: beside the weights (Yi-VL), anywhere else, or a repository.

    Without `weights` only a repository's settings are fetched: InternViT-6B alone is 12 GB, and
    the checkpoint may hold it.
    """
    beside = folder / named
    if beside.is_dir():
        return beside
    try:
        return _folder(named, offline=offline, weights=weights)
    except Exception as error:  # the hub's errors share no base
        raise GroundingError(
            f"the vision tower {named!r} that {folder} names is not there "
            f"({type(error).__name__}); give its folder or repository as vision=... (in a preset: "
            "lvlm.vision)"
        ) from error


def _tower_config(tower: Path) -> Any:
    """The tower's config: CLIP's, or InternViT-6B's rewritten."""
    from transformers import CLIPVisionConfig, InternVLVisionConfig, PreTrainedConfig

    raw, _ = PreTrainedConfig.get_config_dict(str(tower), local_files_only=True)
    raw = raw.get("vision_config", raw)
    if "qk_normalization" not in raw:
        return CLIPVisionConfig(**{k: v for k, v in raw.items() if k != "model_type"})
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


def _image_processor(folder: Path, tower: Path, config: Any) -> Any:
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
