"""Tiny random FLUX and Qwen-Image pipelines, complete down to their tokenizers."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel
from tiny_inpainter import WIDTH, text_encoder, tokenizer
from transformers import CLIPTextModel, T5Config, T5EncoderModel, T5Tokenizer

LATENTS = 4


def t5_tokenizer() -> T5Tokenizer:
    """Letters and two words."""
    letters = [(letter, -4.0) for letter in string.ascii_lowercase]
    words = [("▁", -3.0), ("▁red", -1.0), ("▁pear", -1.0)]
    marks = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    return T5Tokenizer(vocab=[*marks, *words, *letters], extra_ids=0)


def transformer(channels: int, guided: bool) -> FluxTransformer2DModel:
    """One double and one single block."""
    return FluxTransformer2DModel(
        patch_size=1,
        in_channels=channels,
        out_channels=4 * LATENTS,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        pooled_projection_dim=WIDTH,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=guided,
    )


def save_tiny_flux(folder: Path, kind: str = "FluxFillPipeline") -> Path:
    """Save a random pipeline of a FLUX class."""
    torch.manual_seed(0)
    words, letters = tokenizer(), t5_tokenizer()
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4, 4, 8, 8),
        layers_per_block=1,
        norm_num_groups=2,
        latent_channels=LATENTS,
        use_quant_conv=False,
        use_post_quant_conv=False,
        shift_factor=0.1,
        scaling_factor=0.36,
    )
    t5 = T5EncoderModel(
        T5Config(vocab_size=len(letters), d_model=WIDTH, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    )
    # FLUX Fill: latents, the masked picture's latents and the mask, a cell of 8 x 8 in channels
    channels = 4 * LATENTS + (4 * LATENTS + 4 * 64 if kind == "FluxFillPipeline" else 0)
    parts: dict[str, Any] = {
        "scheduler": FlowMatchEulerDiscreteScheduler(),
        "vae": vae,
        "text_encoder": text_encoder(CLIPTextModel, words),
        "tokenizer": words,
        "text_encoder_2": t5,
        "tokenizer_2": letters,
        "transformer": transformer(channels, kind != "FluxInpaintPipeline"),
    }
    getattr(diffusers, kind)(**parts).save_pretrained(folder)
    return folder


def save_tiny_qwen(folder: Path) -> Path:
    """Save a random Qwen-Image inpainting pipeline with a byte tokenizer."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2Tokenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    torch.manual_seed(0)
    vocabulary = {letter: number for number, letter in enumerate(bytes_to_unicode().values())}
    for mark in ("<|endoftext|>", "<|im_start|>", "<|im_end|>"):
        vocabulary[mark] = len(vocabulary)
    words = Qwen2Tokenizer(vocab=vocabulary, merges=[])
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(words),
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2], "rope_type": "default"},
        },
        vision_config={
            "depth": 1,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_heads": 2,
            "out_hidden_size": 16,
        },
    )
    parts = {
        "scheduler": FlowMatchEulerDiscreteScheduler(),
        "vae": diffusers.AutoencoderKLQwenImage(
            base_dim=4,
            z_dim=4,
            dim_mult=[1, 2, 2, 2],
            num_res_blocks=1,
            latents_mean=[0.0] * 4,
            latents_std=[1.0] * 4,
        ),
        "text_encoder": Qwen2_5_VLForConditionalGeneration(config),
        "tokenizer": words,
        "transformer": diffusers.QwenImageTransformer2DModel(
            patch_size=2,
            in_channels=16,
            out_channels=4,
            num_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=16,
            axes_dims_rope=(8, 4, 4),
        ),
    }
    diffusers.QwenImageInpaintPipeline(**parts).save_pretrained(folder)
    return folder
