"""Tiny random SDXL inpainting pipelines, complete down to a real CLIP tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DDIMScheduler,
    EulerDiscreteScheduler,
    StableDiffusionXLInpaintPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

WORDS = ("red", "pear")
MAX_WORDS = 12
WIDTH = 16


def tokenizer() -> CLIPTokenizer:
    """A byte-pair tokenizer with merges that make one token of each of `WORDS`."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    vocabulary = letters + [letter + "</w>" for letter in letters]
    merges = []
    for word in WORDS:
        left = word[0]
        for place, letter in enumerate(word[1:], start=1):
            right = letter + ("</w>" if place == len(word) - 1 else "")
            merges.append((left, right))
            left += right
            vocabulary.append(left)
    vocabulary += ["<|startoftext|>", "<|endoftext|>"]
    numbers = {token: number for number, token in enumerate(dict.fromkeys(vocabulary))}
    return CLIPTokenizer(vocab=numbers, merges=merges, model_max_length=MAX_WORDS)


def text_encoder(kind: type, words: CLIPTokenizer) -> Any:
    """A two-layer CLIP text encoder."""
    config = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        projection_dim=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=MAX_WORDS,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    return kind(config)


def autoencoder() -> AutoencoderKL:
    """An autoencoder with f = 8, as SDXL's."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4, 4, 8, 8),
        layers_per_block=1,
        norm_num_groups=2,
        latent_channels=4,
        sample_size=64,
        force_upcast=False,
    )


def unet(channels: int) -> UNet2DConditionModel:
    """A two-level UNet with SDXL's text and size conditioning."""
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=channels,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=2 * WIDTH,
        attention_head_dim=4,
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=WIDTH + 6 * 4,
    )


def save_tiny(folder: Path, channels: int = 9, zero_terminal: bool = False) -> Path:
    """Save a random pipeline; `zero_terminal` gives it v-prediction and zero-terminal SNR."""
    torch.manual_seed(channels)
    words = tokenizer()
    if zero_terminal:
        scheduler = DDIMScheduler(
            prediction_type="v_prediction",
            rescale_betas_zero_snr=True,
            timestep_spacing="trailing",
            clip_sample=False,
        )
    else:
        scheduler = EulerDiscreteScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"
        )
    pipe = StableDiffusionXLInpaintPipeline(
        vae=autoencoder(),
        text_encoder=text_encoder(CLIPTextModel, words),
        text_encoder_2=text_encoder(CLIPTextModelWithProjection, words),
        tokenizer=words,
        tokenizer_2=words,
        unet=unet(channels),
        scheduler=scheduler,
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    )
    pipe.save_pretrained(folder)
    return folder


def save_control(folder: Path, *, xl: bool = True) -> Path:
    """A random ControlNet that fits the tiny UNets; its zero convolutions are not zero."""
    torch.manual_seed(2)
    options = {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 4,
        "projection_class_embeddings_input_dim": WIDTH + 6 * 4,
    }
    model = ControlNetModel(
        in_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=2 * WIDTH if xl else WIDTH,
        attention_head_dim=4,
        conditioning_embedding_out_channels=(4, 4, 8, 8),
        **(options if xl else {}),
    )
    embedding = model.controlnet_cond_embedding.conv_out
    for block in (model.controlnet_down_blocks, model.controlnet_mid_block, embedding):
        for weights in block.parameters():
            torch.nn.init.normal_(weights, std=0.3)
    model.save_pretrained(folder)
    return folder
