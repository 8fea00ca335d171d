"""Mini-Gemini as a transformers model: LLaVA tokens refined by a second, finer tower.

Each of the 24 x 24 CLIP tokens attends to the patch of the high-resolution feature map under it
(patch info mining) and adds the result to itself; the number of tokens stays. transformers
does not ship this class, so it is written here around its CLIP, ConvNeXT and Gemma. Import it
through :meth:`grounding.families.mini_gemini.MiniGeminiFamily.register`.

Sources: Li et al., "Mini-Gemini: Mining the Potential of Multi-modality Vision Language Models"
(arXiv 2403.18814), Sec. 3; names and sizes from https://github.com/dvlab-research/MGM (mgm/model).
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from transformers import AutoConfig, LlavaConfig, LlavaForConditionalGeneration, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.convnext import ConvNextModel
from transformers.models.llava.modeling_llava import LlavaModel

_CONVNEXT_LARGE = {"hidden_sizes": [192, 384, 768, 1536], "depths": [3, 3, 27, 3]}


class MiniGeminiConfig(LlavaConfig):
    """A ``LlavaConfig`` with the second tower's config and its side in pixels."""

    model_type = "mini_gemini"
    sub_configs_defaults: ClassVar[dict[str, Any]] = {
        "vision_config": LlavaConfig.sub_configs_defaults["vision_config"],
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="gemma"),
        "high_res_config": SubConfigSpec(
            config_class=AutoConfig, model_type="convnext", init_kwargs=_CONVNEXT_LARGE
        ),
    }
    high_res_config: dict | PreTrainedConfig | None = None
    high_res_size: int = 768


class PatchInfoMining(nn.Module):
    """Cross-attention of each token to the fine features of its own patch, one head.

    `width` are the channels of the tokens and of what is returned.
    """

    def __init__(self, width: int, fine_width: int) -> None:
        super().__init__()
        self.query = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width))
        self.key = nn.Sequential(nn.LayerNorm(fine_width), nn.Linear(fine_width, width))
        self.value = nn.Sequential(nn.LayerNorm(fine_width), nn.Linear(fine_width, width))

    def forward(self, tokens: Tensor, fine: Tensor) -> Tensor:
        """The tokens' (B, N * N, C) values from the map (B, F, N * M, N * M): (B, N * N, C)."""
        batch, count, width = tokens.shape
        side = int(count**0.5)
        patch = fine.shape[-1] // side
        # Rows and columns of patches, then those within a patch: (B, N * N, M * M, F).
        cut = fine.unflatten(-1, (side, patch)).unflatten(-3, (side, patch))
        regions = cut.permute(0, 2, 4, 3, 5, 1).reshape(batch, count, patch**2, -1)
        scores = self.query(tokens)[:, :, None] @ self.key(regions).transpose(-1, -2)
        weights = torch.softmax(scores.float() * width**-0.5, dim=-1).to(tokens.dtype)
        return (weights @ self.value(regions))[:, :, 0]


class MiniGeminiModel(LlavaModel):
    """The base model: one picture of `high_res_size` pixels in, 24 x 24 tokens out."""

    config_class = MiniGeminiConfig

    def __init__(self, config: MiniGeminiConfig) -> None:
        super().__init__(config)
        fine: Any = config.high_res_config
        self.high_res_tower = ConvNextModel(fine)
        # The map is taken before it; the original drops it as well.
        self.high_res_tower.layernorm = nn.Identity()  # type: ignore[assignment]
        width = config.vision_config.hidden_size  # type: ignore[union-attr]
        self.mining = PatchInfoMining(width, sum(fine.hidden_sizes))
        self.post_init()

    def get_image_features(self, pixel_values: Tensor, **kwargs: Any) -> Any:
        """Tokens of pictures (B, 3, S, S), S the `high_res_size`, as the language model takes them.

        The tokens are returned as ``pooler_output``, one (N * N, width) tensor per picture.
        """
        config: Any = self.config
        side = config.vision_config.image_size
        # As the original: the coarse view is the fine one's pixels, without smoothing first.
        coarse = interpolate(pixel_values.float(), size=(side, side), mode="bilinear")
        seen = self.vision_tower(coarse.to(pixel_values.dtype), output_hidden_states=True)
        tokens = seen.hidden_states[config.vision_feature_layer][:, 1:]
        tokens = tokens + self.mining(tokens, self.fine_features(pixel_values))
        features = self.multi_modal_projector(tokens)
        # Gemma multiplies its word embeddings, and once did so with the picture's as well; now
        # only its embedding layer does.
        scale = getattr(self.get_input_embeddings(), "embed_scale", None)
        if scale is not None:
            features = features * scale.to(features.dtype)
        return BaseModelOutputWithPooling(
            last_hidden_state=seen.last_hidden_state,
            pooler_output=list(features),  # type: ignore[arg-type]
        )

    def fine_features(self, pixel_values: Tensor) -> Tensor:
        """The ConvNeXT's stages side by side at the first one's resolution, (B, F, S/4, S/4)."""
        tower = self.high_res_tower
        features, stages = tower.embeddings(pixel_values), []
        for stage in tower.encoder.stages:
            features = stage(features)
            stages.append(features)
        size = stages[0].shape[-2:]
        larger = [interpolate(s.float(), size=size, mode="bilinear") for s in stages[1:]]
        return torch.cat([stages[0], *(s.to(features.dtype) for s in larger)], dim=1)


class MiniGeminiForConditionalGeneration(LlavaForConditionalGeneration):
    """The whole model: :class:`MiniGeminiModel` and the language head."""

    config_class = MiniGeminiConfig

    def __init__(self, config: MiniGeminiConfig) -> None:
        # Past the parent, which would build a whole LLaVA first.
        super(LlavaForConditionalGeneration, self).__init__(config)
        text: Any = config.text_config
        self.model = MiniGeminiModel(config)
        self.lm_head = nn.Linear(text.hidden_size, text.vocab_size, bias=False)
        self.post_init()
