"""The parts of the miniature inpainter: tokenizer, text encoders, autoencoder, UNet, scheduler.

Every part is the real diffusers or transformers class at a small size, so the pipeline that comes
out is loaded by the same code as SDXL inpainting. Two things are not stock: the autoencoder starts
from weights that already pass colour through, and after its training the latents are whitened by
folding an affine map into its two 1x1 convolutions.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionXLInpaintPipeline,
    UNet2DConditionModel,
)
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

BOS, EOS = "<|startoftext|>", "<|endoftext|>"
ANCHOR = 3.0  # the constant that dominates a group's variance, so that GroupNorm keeps contrast
COLOUR_PATH = 8  # +r -r +g -g +b -b +anchor -anchor
# Latents are encoded deterministically: a posterior this narrow makes sample() equal mode().
LOG_VARIANCE = -30.0


@dataclass(frozen=True)
class InpainterSizes:
    """Widths of the miniature; ``side`` is the square crop it works on, in pixels."""

    side: int = 128
    autoencoder: tuple[int, ...] = (16, 32, 64, 96)
    unet: tuple[int, ...] = (48, 96, 192)
    unet_layers: int = 1
    text: int = 96
    text_layers: int = 2
    words: int = 12  # tokens per prompt, the two end marks included

    def __post_init__(self) -> None:
        if self.side % 32:
            raise ValueError(f"side must be a multiple of 32, got {self.side}")
        if len(self.autoencoder) != 4 or any(width % 16 for width in self.autoencoder):
            raise ValueError(f"autoencoder needs 4 multiples of 16, got {self.autoencoder}")
        if any(width % 16 for width in self.unet):
            raise ValueError(f"unet widths must be multiples of 16, got {self.unet}")

    @property
    def latent_side(self) -> int:
        """Side of the latent grid."""
        return self.side // 8


def train_tokenizer(words: Iterable[str], length: int) -> CLIPTokenizer:
    """A CLIP tokenizer with byte-pair merges trained until every word is one token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(
        vocab_size=100_000, min_frequency=1, end_of_word_suffix="</w>", show_progress=False
    )
    bpe.train_from_iterator(sorted(words), trainer)
    merges = _merges(bpe)
    pieces = [*alphabet, *(letter + "</w>" for letter in alphabet), *(a + b for a, b in merges)]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys([*pieces, BOS, EOS]))}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=length)


def _merges(bpe: Tokenizer) -> list[tuple[str, str]]:
    rows = json.loads(bpe.to_str())["model"]["merges"]
    return [tuple(row) if isinstance(row, list) else tuple(row.split(" ")) for row in rows]


def build_text_encoders(
    tokenizer: CLIPTokenizer, sizes: InpainterSizes
) -> tuple[CLIPTextModel, CLIPTextModelWithProjection]:
    """Two small CLIP text encoders; as in SDXL they differ in activation and projection."""
    shared: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": sizes.text,
        "intermediate_size": 2 * sizes.text,
        "num_hidden_layers": sizes.text_layers,
        "num_attention_heads": 4,
        "max_position_embeddings": sizes.words,
        "projection_dim": sizes.text,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    first = CLIPTextModel(CLIPTextConfig(hidden_act="quick_gelu", **shared))
    second = CLIPTextModelWithProjection(CLIPTextConfig(hidden_act="gelu", **shared))
    for encoder in (first, second):
        # CLIP's own scale (0.02) leaves cross-attention blind for thousands of steps.
        embeddings = encoder.get_input_embeddings()
        nn.init.normal_(embeddings.weight, std=0.7)
    return first, second


def build_unet(sizes: InpainterSizes) -> UNet2DConditionModel:
    """A 9-channel SDXL UNet: no attention at the finest grid, text and crop size added to time."""
    blocks = len(sizes.unet)
    return UNet2DConditionModel(
        sample_size=sizes.latent_side,
        in_channels=9,
        out_channels=4,
        block_out_channels=sizes.unet,
        layers_per_block=sizes.unet_layers,
        down_block_types=("DownBlock2D", *["CrossAttnDownBlock2D"] * (blocks - 1)),
        up_block_types=(*["CrossAttnUpBlock2D"] * (blocks - 1), "UpBlock2D"),
        attention_head_dim=tuple(max(1, width // 32) for width in sizes.unet),  # heads, in fact
        cross_attention_dim=2 * sizes.text,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=sizes.text + 6 * 8,
        norm_num_groups=16,
    )


def build_scheduler() -> DDIMScheduler:
    """v-prediction with zero terminal SNR, so that strength 1.0 really starts from noise."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=False,
    )


def build_autoencoder(sizes: InpainterSizes) -> AutoencoderKL:
    """An f=8 autoencoder that, untrained, already reproduces a picture's mean colours."""
    vae = AutoencoderKL(
        block_out_channels=sizes.autoencoder,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=2,
        mid_block_add_attention=False,
        sample_size=sizes.side,
        scaling_factor=1.0,
        force_upcast=False,  # small weights: half precision holds them
    )
    _pass_colour_through(vae)
    return vae


@torch.no_grad()
def _pass_colour_through(vae: AutoencoderKL) -> None:
    """Initialise a path along which +-colour and a constant travel from end to end.

    SiLU(x) - SiLU(-x) = x, so a pair of opposite channels survives the activation; the anchor pair
    holds the group's standard deviation nearly constant, so it survives GroupNorm as well.
    """
    for module in vae.modules():
        if hasattr(module, "conv_shortcut"):  # a residual block: begin as the identity
            nn.init.zeros_(module.conv2.weight)
            nn.init.zeros_(module.conv2.bias)
            if module.conv_shortcut is not None:
                _carry(module.conv_shortcut, torch.ones(1, 1))
    mean = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]) / 4
    tent = torch.outer(torch.tensor([1.0, 2.0, 1.0]), torch.tensor([1.0, 2.0, 1.0])) / 16
    for block in vae.encoder.down_blocks:
        for sampler in block.downsamplers or ():
            _carry(sampler.conv, mean)
    for block in vae.decoder.up_blocks:
        for sampler in block.upsamplers or ():
            _carry(sampler.conv, tent)
    for entrance in (vae.encoder.conv_in, vae.decoder.conv_in):
        _enter(entrance)
    for exit_ in (vae.encoder.conv_out, vae.decoder.conv_out):
        _leave(exit_)
    for affine in (vae.quant_conv, vae.post_quant_conv):
        affine.weight.copy_(torch.eye(affine.weight.shape[0])[..., None, None])
        nn.init.zeros_(affine.bias)
    vae.quant_conv.weight[4:] = 0
    vae.quant_conv.bias[4:] = LOG_VARIANCE


def _carry(conv: nn.Conv2d, kernel: torch.Tensor) -> None:
    """Let ``conv`` hand the colour path on, smoothed by ``kernel``, and the anchor as it is."""
    conv.weight[:COLOUR_PATH] = 0
    conv.weight[:, COLOUR_PATH - 2 : COLOUR_PATH] = 0
    conv.bias[:COLOUR_PATH] = 0
    for channel in range(COLOUR_PATH - 2):
        conv.weight[channel, channel] = kernel
    for channel in range(COLOUR_PATH - 2, COLOUR_PATH):
        conv.bias[channel] = ANCHOR if channel % 2 == 0 else -ANCHOR


def _enter(conv: nn.Conv2d) -> None:
    """Let ``conv`` split three colours into opposite pairs and make the anchor."""
    middle = conv.kernel_size[0] // 2
    conv.weight[:COLOUR_PATH] = 0
    conv.bias[:COLOUR_PATH] = 0
    for channel in range(COLOUR_PATH - 2):
        conv.weight[channel, channel // 2, middle, middle] = 1 - 2 * (channel % 2)
    conv.bias[COLOUR_PATH - 2], conv.bias[COLOUR_PATH - 1] = ANCHOR, -ANCHOR


def _leave(conv: nn.Conv2d) -> None:
    """Let ``conv`` join the opposite pairs into three colours."""
    middle = conv.kernel_size[0] // 2
    conv.weight[:3] = 0
    conv.bias[:3] = 0
    for channel in range(COLOUR_PATH - 2):
        conv.weight[channel // 2, channel, middle, middle] = 1 - 2 * (channel % 2)


def encode(vae: AutoencoderKL, images: torch.Tensor) -> torch.Tensor:
    """Latents ``(N, 4, H/8, W/8)`` of images ``(N, 3, H, W)`` in -1..1, without sampling."""
    return vae.quant_conv(vae.encoder(images))[:, :4]


@torch.no_grad()
def match_output_colours(vae: AutoencoderKL, images: torch.Tensor) -> None:
    """Rescale the decoder's last layer by least squares, so that untrained colours are right."""
    decoded = vae.decode(encode(vae, images)).sample
    for channel in range(3):
        x, y = decoded[:, channel].flatten(), images[:, channel].flatten()
        slope = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
        vae.decoder.conv_out.weight[channel] *= slope
        bias = vae.decoder.conv_out.bias
        bias[channel] = slope * bias[channel] + y.mean() - slope * x.mean()


@torch.no_grad()
def whiten_latents(vae: AutoencoderKL, images: Iterable[torch.Tensor]) -> None:
    """Give the latents zero mean and unit covariance, leaving every decoded picture unchanged.

    The map is folded into ``quant_conv`` and its inverse into ``post_quant_conv``; the diffusion
    model then sees four equally important channels and ``scaling_factor`` stays 1.
    """
    latents = torch.cat([encode(vae, batch).movedim(1, -1).reshape(-1, 4) for batch in images])
    mean = latents.mean(0)
    values, vectors = torch.linalg.eigh(torch.cov(latents.T))
    whiten = torch.diag(values.clamp(min=1e-6).rsqrt()) @ vectors.T
    colour = vectors @ torch.diag(values.clamp(min=1e-6).sqrt())
    inward, outward = vae.quant_conv, vae.post_quant_conv
    inward.weight[:4] = torch.einsum("ij,jkyx->ikyx", whiten, inward.weight[:4].clone())
    inward.bias[:4] = whiten @ (inward.bias[:4] - mean)
    inward.weight[4:] = 0
    inward.bias[4:] = LOG_VARIANCE
    outward.bias += torch.einsum("ijyx,j->i", outward.weight, mean)
    outward.weight.copy_(torch.einsum("ijyx,jk->ikyx", outward.weight.clone(), colour))


def build_pipeline(
    vae: AutoencoderKL,
    unet: UNet2DConditionModel,
    text: tuple[CLIPTextModel, CLIPTextModelWithProjection],
    tokenizer: CLIPTokenizer,
) -> StableDiffusionXLInpaintPipeline:
    """The pipeline as it is saved; an absent negative prompt means zeros, as in training."""
    return StableDiffusionXLInpaintPipeline(
        vae=vae,
        text_encoder=text[0],
        text_encoder_2=text[1],
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet,
        scheduler=build_scheduler(),
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    )
