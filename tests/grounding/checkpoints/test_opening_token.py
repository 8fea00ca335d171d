"""The opening token of tokenizers that transformers 5 loads without their own class."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from groundbrush.grounding.checkpoints.loading import with_opening_token
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer

BOS, EOS = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"


def written(folder: Path, **settings: object) -> str:
    """A byte-level tokenizer under Llama's name, as DeepSeek's are published."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {word: k for k, word in enumerate([BOS, EOS, *letters])}
    made = Tokenizer(models.BPE(vocabulary, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([BOS, EOS])
    made.save(str(folder / "tokenizer.json"))
    settings = {"bos_token": BOS, "eos_token": EOS, "legacy": True, **settings}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    (folder / "config.json").write_text(json.dumps({"model_type": "deepseek_vl"}), "utf-8")
    return str(folder)


@pytest.mark.parametrize(
    ("settings", "opens"),
    [
        ({"tokenizer_class": "LlamaTokenizerFast", "add_bos_token": True}, True),
        ({"tokenizer_class": "LlamaTokenizerFast"}, True),  # that class's default
        ({"tokenizer_class": "LlamaTokenizerFast", "add_bos_token": False}, False),
        ({"tokenizer_class": "PreTrainedTokenizerFast"}, False),
    ],
)
def test_the_opening_token_is_written_where_the_settings_ask(tmp_path, settings, opens):
    where = written(tmp_path, **settings)
    options = {"local_files_only": True}
    words = with_opening_token(AutoTokenizer.from_pretrained(where, **options), where, options)
    tokens = words.convert_ids_to_tokens(words("a cup").input_ids)
    assert tokens == [*([BOS] if opens else []), "a", "Ġ", "c", "u", "p"]
    assert words("a cup", return_offsets_mapping=True)["offset_mapping"][-1] == (4, 5)
    assert words.decode(words("a cup").input_ids, skip_special_tokens=True) == "a cup"
    assert words("a", add_special_tokens=False).input_ids == words.convert_tokens_to_ids(["a"])
