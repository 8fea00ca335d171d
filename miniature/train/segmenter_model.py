"""The miniature segmenter's model, what it is taught with, and how it is saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import SamConfig, SamModel, SamProcessor
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

from .segmenter_data import MASK_SIDE, SIDE, Prompt

PATCH, WIDTH = 8, 96
GRID = SIDE // PATCH


def build_model() -> SamModel:
    """A ``SamModel`` of 1.8 M parameters: 256 pixels, 32x32 embedding, 128x128 masks."""
    vision = dict(
        hidden_size=128,
        output_channels=WIDTH,
        num_hidden_layers=6,
        num_attention_heads=4,
        image_size=SIDE,
        patch_size=PATCH,
        window_size=8,
        global_attn_indexes=[2, 5],
        num_pos_feats=WIDTH // 2,
        mlp_dim=512,
        initializer_range=0.02,  # the library's 1e-10 expects loaded weights and never learns
        # Without the relative term attention is plain and fused: 0.24 against 0.40 s an image.
        use_rel_pos=False,
    )
    prompt = dict(hidden_size=WIDTH, image_size=SIDE, patch_size=PATCH)
    decoder = dict(hidden_size=WIDTH, mlp_dim=256, num_attention_heads=4, iou_head_hidden_dim=WIDTH)
    config = SamConfig(
        vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder
    )
    model = SamModel._from_config(config, attn_implementation="sdpa")
    # The library's start (0.02 everywhere) makes all tokens of the decoder alike: its first layer
    # has no residual, and prompts were still ignored after 400 steps. torch's own start is SAM's.
    for part in model.modules():
        if isinstance(part, nn.Linear | nn.Conv2d | nn.ConvTranspose2d | nn.Embedding):
            part.reset_parameters()
    # The library's frequencies (scale = width / 2) are far too wide to learn from; SAM's own is 1.
    frequencies = torch.randn(2, WIDTH // 2, generator=torch.Generator().manual_seed(0))
    frequencies[:, ::2] *= 0.3  # half of them coarse: a box is known by its corners alone
    with torch.no_grad():
        for holder in (model.shared_image_embedding, model.prompt_encoder.shared_embedding):
            holder.positional_embedding.copy_(frequencies)
            holder.positional_embedding.requires_grad_(False)
        model.vision_encoder.pos_embed.copy_(_sines(GRID, 128) * 0.2)
    return model


def _sines(cells: int, width: int) -> Tensor:
    """Fixed two-dimensional sine positions to start from, ``(1, cells, cells, width)``."""
    angles = torch.arange(cells)[:, None] / 40.0 ** (torch.arange(width // 4) / (width // 4))
    waves = torch.cat([angles.sin(), angles.cos()], 1)
    rows = waves[:, None].expand(cells, cells, -1)
    return torch.cat([rows, rows.transpose(0, 1)], 2)[None]


def encode_prompts(model: SamModel, prompts: list[Prompt]) -> tuple[Tensor, Tensor]:
    """Tokens ``(n, t, C)`` and dense terms ``(n, C, 32, 32)`` of prompts with as many tokens."""
    encoder, tokens, device = model.prompt_encoder, [], model.device
    for prompt in prompts:
        parts = [encoder.no_mask_embed.weight[:0]]  # a mask alone has no tokens
        if prompt.points is not None:
            points = torch.tensor(prompt.points, device=device)[None, None].float()
            labels = torch.tensor(prompt.labels, device=device)[None, None].float()
            parts.append(encoder._embed_points(points, labels, pad=prompt.box is None)[0, 0])
        if prompt.box is not None:
            box = torch.tensor(prompt.box, device=device)[None, None]
            parts.append(encoder._embed_boxes(box)[0, 0])
        tokens.append(torch.cat(parts))
    none = encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
    dense = none.expand(len(prompts), -1, GRID, GRID).clone()
    rough = {i: prompt.rough for i, prompt in enumerate(prompts) if prompt.rough is not None}
    if rough:
        logits = torch.from_numpy(np.stack(list(rough.values())))[:, None].float()
        dense[list(rough)] = encoder.mask_embed(logits.to(device))
    return torch.stack(tokens), dense


def decode(model: SamModel, embedding: Tensor, tokens: Tensor, dense: Tensor) -> tuple:
    """All four masks ``(n, 4, 128, 128)`` and scores ``(n, 4)``.

    The library's decoder computes all four and returns either the single or the three.
    """
    decoder, n = model.mask_decoder, len(tokens)
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    queries = torch.cat([own.expand(n, -1, -1), tokens], 1)[:, None]
    position = model.get_image_wide_positional_embeddings().expand(n, -1, -1, -1)
    queries, pixels = decoder.transformer(queries, embedding + dense, position, None)
    pixels = pixels.transpose(2, 3).reshape(n, WIDTH, GRID, GRID)
    pixels = decoder.activation(decoder.upscale_layer_norm(decoder.upscale_conv1(pixels)))
    pixels = decoder.activation(decoder.upscale_conv2(pixels)).flatten(2)
    heads = enumerate(decoder.output_hypernetworks_mlps)
    weights = torch.stack([mlp(queries[:, 0, 1 + i]) for i, mlp in heads], 1)
    masks = (weights @ pixels).reshape(n, -1, MASK_SIDE, MASK_SIDE)
    return masks, decoder.iou_prediction_head(queries[:, 0, 0])


def prompt_loss(masks: Tensor, scores: Tensor, target: Tensor, exists: Tensor) -> dict[str, Tensor]:
    """Best-of-three mask loss, single-mask loss and score regression.

    ``target`` is the share of each cell that the object covers, ``(n, 128, 128)``.
    """
    truth = target[:, None].expand_as(masks)
    cross = F.binary_cross_entropy_with_logits(masks, truth, reduction="none")
    sure = masks.sigmoid()
    focal = (cross * (0.1 + (sure.detach() - truth).square())).mean((2, 3)) * 10
    overlap = (sure * truth).sum((2, 3))
    dice = 1 - (2 * overlap + 1) / (sure.sum((2, 3)) + truth.sum((2, 3)) + 1)
    each = (focal + dice) * exists[:, None]
    count = exists.sum().clamp(min=1)
    with torch.no_grad():
        found, real = masks > 0, truth > 0.5
        iou = (found & real).sum((2, 3)) / (found | real).sum((2, 3)).clamp(min=1)
        iou = iou * exists[:, None]
    three = each[:, 1:]
    best = (three.min(1).values.sum() + 0.05 * three.mean(1).sum()) / count
    single = each[:, 0].sum() / count
    score = (scores - iou).square().mean()
    return {"best": best, "single": single, "score": score}


def inner(name: str) -> bool:
    """Whether a parameter belongs to the encoder's or decoder's blocks."""
    return ("layers." in name or "final_attn" in name) and "iou_pred" not in name


def export(model: SamModel, out: Path) -> None:
    """Save half-precision safetensors, configuration and processor."""
    half = SamModel._from_config(model.config)
    half.load_state_dict(model.state_dict())
    half.to(torch.float16).save_pretrained(out, safe_serialization=True)
    size, small = {"longest_edge": SIDE}, {"longest_edge": MASK_SIDE}
    processor = SamImageProcessorPil(
        size=size,
        pad_size={"height": SIDE, "width": SIDE},
        mask_size=small,
        mask_pad_size={"height": MASK_SIDE, "width": MASK_SIDE},
    )
    SamProcessor(processor).save_pretrained(out)
