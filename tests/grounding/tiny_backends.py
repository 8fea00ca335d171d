"""Tiny random models of the find backends' real classes, saved as `save_pretrained` saves them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

WORDS = "a the red blue cup dog left of on and two big chair st bernard".split()
SIDE = 56  # of SAM 3's square: 4 patches of 14


def bert_tokenizer() -> Any:
    """Word pieces; the special ones at BERT's own ids, which the model looks for."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, ".": 1012, "?": 1029}
    vocabulary |= {word: 200 + k for k, word in enumerate(WORDS)}
    core = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    core.normalizer = normalizers.BertNormalizer(lowercase=True)
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 101), ("[SEP]", 102)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )


def clip_tokenizer() -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    names = ["<|pad|>", "<|unk|>", "<|startoftext|>", "<|endoftext|>", *WORDS]
    vocabulary = {word: k for k, word in enumerate(names)}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<|unk|>"))
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing(
        single="<|startoftext|> $A <|endoftext|>",
        special_tokens=[("<|startoftext|>", 2), ("<|endoftext|>", 3)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<|pad|>",
        unk_token="<|unk|>",
        bos_token="<|startoftext|>",
        eos_token="<|endoftext|>",
    )


def build_dino(seed: int = 0, kind: str = "GroundingDino") -> Any:
    """Two layers each, 20 queries, three feature levels."""
    import torch
    import transformers

    config = getattr(transformers, f"{kind}Config")(
        backbone_config=transformers.SwinConfig(
            embed_dim=8,
            depths=[1, 1, 1],
            num_heads=[1, 2, 2],
            window_size=4,
            image_size=64,
            out_indices=[2, 3],
        ),
        text_config=transformers.BertConfig(
            vocab_size=1030,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=64,
        ),
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        num_queries=20,
        num_feature_levels=3,
        max_text_len=32,
    )
    torch.manual_seed(seed)
    return getattr(transformers, f"{kind}ForObjectDetection")(config).eval()


def build_sam3(seed: int = 0) -> Any:
    """16 patches, 6 queries."""
    import torch
    from transformers import Sam3Config, Sam3Model

    small = {"hidden_size": 32, "num_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    config = Sam3Config(
        vision_config={
            "backbone_config": {
                "model_type": "sam3_vit_model",
                "hidden_size": 32,
                "intermediate_size": 64,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "image_size": SIDE,
                "patch_size": 14,
                "window_size": 2,
                "global_attn_indexes": [1],
                "pretrain_image_size": SIDE,
            },
            "fpn_hidden_size": 32,
            "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
        },
        text_config={
            "model_type": "clip_text_model",
            "vocab_size": 64,
            "hidden_size": 32,
            "intermediate_size": 64,
            "projection_dim": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "max_position_embeddings": 12,
            "eos_token_id": 3,
        },
        geometry_encoder_config=small,
        detr_encoder_config=small,
        detr_decoder_config={**small, "num_queries": 6},
        mask_decoder_config={"hidden_size": 32, "num_attention_heads": 2},
    )
    torch.manual_seed(seed)
    return Sam3Model(config).eval()


def save_dino(folder: Path, kind: str = "GroundingDino", size: int = 64) -> Path:
    from transformers.models.grounding_dino.image_processing_pil_grounding_dino import (
        GroundingDinoImageProcessorPil,
    )

    build_dino(kind=kind).save_pretrained(folder)
    bert_tokenizer().save_pretrained(folder)
    edges = {"shortest_edge": size, "longest_edge": 2 * size}
    GroundingDinoImageProcessorPil(size=edges).save_pretrained(folder)
    return folder


def save_sam3(folder: Path) -> Path:
    """As the published checkpoint has it, but for the image processor's file, which is nested."""
    build_sam3().save_pretrained(folder)
    clip_tokenizer().save_pretrained(folder)
    told = {
        "image_processor_type": "Sam3ImageProcessorFast",
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
        "size": {"height": SIDE, "width": SIDE},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(told))
    return folder
