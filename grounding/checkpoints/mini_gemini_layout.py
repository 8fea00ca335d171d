"""Mini-Gemini's original layout, as :mod:`grounding.families.mini_gemini_model`.

A flat Gemma with LLaVA's projector, the three projections of patch info mining and, usually apart,
two towers: CLIP's as transformers saves it and OpenCLIP's ConvNeXT as timm names it.

Sources: https://github.com/dvlab-research/MGM (mgm/model), https://github.com/mlfoundations/open_clip,
https://github.com/huggingface/pytorch-image-models (timm/models/convnext.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import GroundingError
from ..families.base import square_grid
from .files import State, read_weights, with_tower
from .llava_layout import (
    CLIP_TOWER,
    clip_processor,
    clip_weights,
    convert_projector,
    flat_settings,
    language_weights,
    tower_config,
)

_FINE_TOWER = "model.vision_tower_aux."
_FINE_PARTS = re.compile(
    r"model\.vision_tower_aux\.(?:visual\.trunk\.|vision_)((?:stem|stages)\..*)"
)
"""Only the stem and the stages are used: ``visual.trunk.`` in OpenCLIP's own file, ``vision_`` in
checkpoints that hold them."""
_MINING = {"query": "query", "aux": "key", "val": "value"}
_CONVNEXT = (
    (r"^stem\.0\.", "embeddings.patch_embeddings."),
    (r"^stem\.1\.", "embeddings.layernorm."),
    (r"^stages\.", "encoder.stages."),
    (r"\.downsample\.", ".downsampling_layer."),
    (r"\.blocks\.", ".layers."),
    (r"\.conv_dw\.", ".dwconv."),
    (r"\.norm\.", ".layernorm."),
    (r"\.mlp\.fc([12])\.", r".pwconv\1."),
    (r"\.gamma$", ".layer_scale_parameter"),
)


def mini_gemini_parts(
    folder: Path,
    raw: Mapping[str, Any],
    vision: Sequence[str],
    *,
    offline: bool,
    image_token_id: int,
) -> tuple[Any, State, Any, Any]:
    """Config, weights still under their original names, class and image processor.

    Arguments as for :func:`.original.load_original`; `vision` holds both towers, or nothing for
    those that `raw` names.

    Raises GroundingError for a variant that is not built here, or when a tower is not there.
    """
    from ..families.mini_gemini_model import MiniGeminiForConditionalGeneration

    _check(raw)
    low, high = vision or (str(raw["mm_vision_tower"]), str(raw["mm_vision_tower_aux"]))
    state, tower = with_tower(read_weights(folder), CLIP_TOWER, folder, low, offline=offline)
    if not any(name.startswith(_FINE_TOWER) for name in state):
        state, _ = with_tower(state, _FINE_TOWER, folder, high, offline=offline)
    config = mini_gemini_config(raw, tower_config(tower), state, image_token_id=image_token_id)
    return config, state, MiniGeminiForConditionalGeneration, clip_processor(folder, tower, config)


def mini_gemini_config(
    raw: Mapping[str, Any], vision: Any, state: Mapping[str, Tensor], *, image_token_id: int
) -> Any:
    """A ``MiniGeminiConfig`` from the original ``config.json`` and the first tower's config.

    The second tower's sizes are those of its weights in `state`. `image_token_id` is an id of the
    vocabulary that text never holds; it marks the picture's place.
    """
    from transformers import GemmaConfig

    from ..families.mini_gemini_model import MiniGeminiConfig

    rows, columns = square_grid(vision)[1]
    return MiniGeminiConfig(
        vision_config=vision,
        text_config=GemmaConfig(**flat_settings(raw)),
        high_res_config=_convnext_config(_fine_weights(state)),
        high_res_size=int(raw.get("image_size_aux", 320)),
        image_token_index=image_token_id,
        image_seq_length=rows * columns,
        vision_feature_layer=raw.get("mm_vision_select_layer", -2),
        tie_word_embeddings="lm_head.weight" not in state,
    )


def convert_mini_gemini(state: Mapping[str, Tensor], config: Any) -> State:
    """Rename the weights of an original checkpoint, towers included.

    The towers' names begin with ``model.vision_tower.vision_tower.`` and
    ``model.vision_tower_aux.``; text layers above the number in `config` are left out.
    """
    tower = {k.removeprefix(CLIP_TOWER): v for k, v in state.items() if k.startswith(CLIP_TOWER)}
    out = {f"model.vision_tower.{name}": value for name, value in clip_weights(tower).items()}
    for name, value in _fine_weights(state).items():
        for pattern, replacement in _CONVNEXT:
            name = re.sub(pattern, replacement, name)
        out[f"model.high_res_tower.{name}"] = value
    rest: State = {}
    for name, value in state.items():
        mined = re.fullmatch(r"model\.vlm_uni_(query|aux|val)_projector\.(.*)", name)
        if mined:
            out[f"model.mining.{_MINING[mined[1]]}.{mined[2]}"] = value
        elif not name.startswith((CLIP_TOWER, _FINE_TOWER)):
            rest[name] = value
    return out | convert_projector(rest) | language_weights(rest, config)


def _fine_weights(state: Mapping[str, Tensor]) -> State:
    """The ConvNeXT's weights among all, from ``stem.`` and ``stages.`` on."""
    found = ((_FINE_PARTS.fullmatch(name), value) for name, value in state.items())
    return {part[1]: value for part, value in found if part}


def _convnext_config(state: Mapping[str, Tensor]) -> Any:
    """A ``ConvNextConfig`` with the sizes of the weights."""
    from transformers import ConvNextConfig

    blocks = [m for k in state if (m := re.fullmatch(r"stages\.(\d+)\.blocks\.(\d+)\.gamma", k))]
    stages = range(1 + max((int(m[1]) for m in blocks), default=-1))
    if not stages or "stem.0.weight" not in state:
        raise GroundingError(
            "the high-resolution tower holds no ConvNeXT (stem and stages); expected OpenCLIP's "
            "weights, e.g. of laion/CLIP-convnext_large_d_320.laion2B-s29B-b131K-ft-soup"
        )
    return ConvNextConfig(
        patch_size=state["stem.0.weight"].shape[-1],
        hidden_sizes=[state[f"stages.{i}.blocks.0.gamma"].shape[0] for i in stages],
        depths=[1 + max(int(m[2]) for m in blocks if int(m[1]) == i) for i in stages],
        num_stages=len(stages),
    )


def _check(raw: Mapping[str, Any]) -> None:
    """Refuse the variants that are not built here."""
    kind = raw.get("model_type")
    for name, value, known in (
        ("model_type", "gemma" if "gemma" in str(kind) else kind, "gemma"),
        ("mm_projector_type", raw.get("mm_projector_type"), "mlp2x_gelu"),
        ("mm_vision_select_feature", raw.get("mm_vision_select_feature", "patch"), "patch"),
        ("image_grid", raw.get("image_grid", 1), 1),
    ):
        if value != known:
            raise GroundingError(
                f"{name}={value!r} in the config of a Mini-Gemini; built here is {known!r} "
                "(Mini-Gemini-2B): HD variants and other language models are not"
            )
