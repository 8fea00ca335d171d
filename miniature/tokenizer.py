"""The language model's tokenizer: one token a word, spelling variants folded together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .phrases import spoken_words

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SPECIALS = ("<pad>", "<unk>", "<s>", "</s>", "<image>")
VARIANTS = {
    "gray": "grey",
    "big": "large",
    "bigger": "large",
    "biggest": "large",
    "larger": "large",
    "largest": "large",
    "little": "small",
    "smaller": "small",
    "smallest": "small",
    "tiny": "small",
    "leftmost": "left",
    "rightmost": "right",
    "topmost": "top",
    "upper": "top",
    "lower": "bottom",
    "to the left of": "left of",
    "to the right of": "right of",
    "on the left of": "left of",
    "on the right of": "right of",
    "over": "above",
    "under": "below",
    "beneath": "below",
    "beside": "next to",
    "near": "next to",
    "closest to": "next to",
    "nearest to": "next to",
    "nearest": "next to",
    "center": "centre",
}


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A word-level tokenizer over :func:`miniature.phrases.spoken_words`.

    It lower-cases, folds spelling variants and begins every text with ``<s>``.
    """
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: i for i, word in enumerate([*SPECIALS, *spoken_words()])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    folds = [normalizers.Replace(Regex(rf"\b{a}\b"), b) for a, b in VARIANTS.items()]
    core.normalizer = normalizers.Sequence([normalizers.Lowercase(), *folds])
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("isolated")]
    )
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", vocabulary["<s>"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<pad>",
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=["<image>"],
        model_max_length=2048,
    )
