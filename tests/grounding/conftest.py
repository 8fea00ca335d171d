"""Tiny random LLaVA models, with attention peaked enough for an error to show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

SPECIAL = ["[PAD]", "[UNK]", "<s>", "</s>", "<image>"]
WORDS = [
    "a",
    "picture",
    ":",
    ".",
    "red",
    "blue",
    "cup",
    "dog",
    "left",
    "of",
    "the",
    "is",
    "there",
    "?",
    "yes",
    "no",
    "nothing",
    "big",
    "chair",
    "object",
]


def build_tokenizer(*, with_image: bool = True):
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = SPECIAL if with_image else [*SPECIAL[:4], "[UNUSED]"]
    vocabulary = {word: i for i, word in enumerate(special + WORDS)}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", vocabulary["<s>"])]
    )
    extra = {"additional_special_tokens": ["<image>"]} if with_image else {}
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="[PAD]",
        unk_token="[UNK]",
        bos_token="<s>",
        eos_token="</s>",
        **extra,
    )


def build_processor(size: int = 32):
    from transformers import AutoImageProcessor  # noqa: F401  (initialises the lazy module)
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    return CLIPImageProcessorPil(
        size={"shortest_edge": size}, crop_size={"height": size, "width": size}
    )


def build_llava(*, kv_heads: int = 4, layers: int = 4, strategy: str = "default", seed: int = 0):
    import torch
    from transformers import (
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
    )

    vision = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
        projection_dim=16,
    )
    text = LlamaConfig(
        vocab_size=len(SPECIAL) + len(WORDS),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=kv_heads,
        max_position_embeddings=256,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=3,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=SPECIAL.index("<image>"),
        image_seq_length=16 + (strategy == "full"),
        vision_feature_layer=-1,
        vision_feature_select_strategy=strategy,
    )
    torch.manual_seed(seed)
    model = LlavaForConditionalGeneration(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" not in name and weight.dim() > 1:
                weight.normal_(0, 0.35)
    return model


@pytest.fixture(scope="session")
def make_llava() -> Callable:
    return build_llava


@pytest.fixture(scope="session")
def make_tokenizer() -> Callable:
    return build_tokenizer


@pytest.fixture(scope="session")
def make_processor() -> Callable:
    return build_processor


@pytest.fixture(scope="session")
def llava_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grouped-heads model saved as `save_pretrained` saves it."""
    folder = tmp_path_factory.mktemp("tiny-llava")
    build_llava(kv_heads=2).save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    build_processor().save_pretrained(folder)
    return folder


@pytest.fixture
def picture() -> np.ndarray:
    """A landscape picture of random colours, (40, 60, 3) uint8."""
    return np.random.default_rng(7).integers(0, 256, (40, 60, 3), dtype=np.uint8)
