"""Models to measure on: random weights in the shapes of the real ones, or scaled for a CPU.

Random weights cost what trained ones cost, and nothing has to be downloaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.common import ROOT

WORDS = ROOT / "miniature" / "weights" / "lvlm"
"""The stand-ins' tokenizer: it has words enough for phrases of the usual length."""
TEMPLATE = "a picture : <image> {phrase} ."


CELL = 8
"""Pixels of a side of a latent's cell in Stable Diffusion."""
UNET = {
    "sample_size": 128,
    "in_channels": 9,
    "out_channels": 4,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (320, 640, 1280),
    "layers_per_block": 2,
    "cross_attention_dim": 2048,
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
VAE = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 1024,
    "scaling_factor": 0.13025,
    "force_upcast": False,  # as in the one that the presets name, made for half precision
}


@dataclass(frozen=True)
class Shape:
    """A LLaVA's measures; `vision` holds layers, width, heads, side and patch of its tower."""

    name: str
    layers: int
    hidden: int
    intermediate: int
    heads: int
    vocabulary: int = 4000
    vision: tuple[int, int, int, int, int] = (6, 192, 3, 336, 14)

    @property
    def deepest(self) -> int:
        """The layer at 45% of the depth, counted from 0: where localization heads usually end."""
        return max(0, round(0.45 * self.layers) - 1)


CLIP_LARGE = (24, 1024, 16, 336, 14)
SCALED = Shape("scaled LLaVA", 20, 512, 1376, 8)
SCALED_ROWS = Shape("scaled language model", 6, 512, 1376, 8)
TINY = Shape("tiny LLaVA", 4, 32, 64, 4, 200, (2, 16, 2, 56, 14))
LLAVA_7B = Shape("LLaVA-1.5-7B", 32, 4096, 11008, 32, 32064, CLIP_LARGE)
LLAVA_13B = Shape("LLaVA-1.5-13B", 40, 5120, 13824, 40, 32064, CLIP_LARGE)


def llava(shape: Shape, device: str = "cpu", *, vision: bool = True) -> Any:
    """A `LlavaForConditionalGeneration` of that shape with random weights, in eval mode.

    On a GPU it is made there in half precision. Without `vision` its tower is the smallest.
    """
    import torch
    from transformers import (
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
    )

    layers, width, heads, side, patch = shape.vision if vision else (1, 16, 1, 28, 14)
    tower = CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        image_size=side,
        patch_size=patch,
        projection_dim=width,
    )
    text = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        intermediate_size=shape.intermediate,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        max_position_embeddings=8192,
        pad_token_id=0,
    )
    config = LlavaConfig(
        vision_config=tower,
        text_config=text,
        image_token_index=4,
        image_seq_length=(side // patch) ** 2,
        vision_feature_layer=-1,
    )
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32 if device == "cpu" else torch.float16)
    try:
        with torch.device(device):
            return LlavaForConditionalGeneration(config).eval().requires_grad_(False)
    finally:
        torch.set_default_dtype(before)


SAM_HUGE = {
    "hidden_size": 1280,
    "num_hidden_layers": 32,
    "num_attention_heads": 16,
    "mlp_dim": 5120,
    "global_attn_indexes": [7, 15, 23, 31],
}


def reader(shape: Shape, model: Any) -> Any:
    """An `LVLM` around a stand-in, its three heads at 45% of the depth and above it."""
    from groundbrush.grounding.attention.model import LVLM
    from groundbrush.grounding.families import family_class
    from transformers import AutoTokenizer
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    side = shape.vision[3]
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": side}, crop_size={"height": side, "width": side}
    )
    words = AutoTokenizer.from_pretrained(WORDS, local_files_only=True)
    family = family_class("llava")(model.config, words, processor, prompt=TEMPLATE)
    deep = shape.deepest
    heads = [(deep, 0), (deep, shape.heads - 1), (max(0, deep - 1), 1)]
    return LVLM(model, family, heads=heads)


def picture() -> np.ndarray:
    """A picture of random soft colours, (480, 640, 3) uint8."""
    import cv2

    rough = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return cv2.resize(rough, (640, 480), interpolation=cv2.INTER_CUBIC)


def phrases(count: int) -> list[str]:
    """Different phrases of usual length."""
    colours = "red green blue yellow orange purple white black".split()
    nouns = "apple dog car house penguin book banana bus".split()
    made = [f"the {c} {n} on the left of the dog" for n in nouns for c in colours]
    return (made * (1 + count // len(made)))[:count]


def count(network: Any) -> int:
    """Parameters, each once."""
    return sum(p.numel() for p in {id(p): p for p in network.parameters()}.values())
