"""The full stop that ends the expression is one token, whatever a tokenizer makes of its ends.

Two tokenizers of the kinds that the paper's models have, made here: SentencePiece-style BPE with
byte fallback (Llama), and byte-level BPE (Qwen, DeepSeek). Both have merges such as `".` and `..`.
"""

from __future__ import annotations

import string

import pytest
from groundbrush.grounding.errors import GroundingError
from groundbrush.grounding.families.prompts import PromptBuilder

MERGES = ['" .', "? .", ") .", ". .", ".. .", "% .", "{nl} {nl}", ". {nl}", ". {nl}{nl}"]
MERGES += ["t h", "th e", "{sp} the", "m u", "mu g", "{sp} mug", "r e", "re d", "{sp} red"]


def merges(space: str, line: str) -> list[tuple[str, str]]:
    """The merges in a tokenizer's own letters for a space and a line break."""
    pairs = [m.format(sp=space, nl=line).split(" ") for m in MERGES]
    return [(left, right) for left, right in pairs]


PHRASES = [
    "the red mug",
    "the red mug.",
    "the red mug ..",
    "the mug…",
    'the sign "stop"',
    'the sign that says "stop."',
    "the mug?",
    "(left)",
    "version 2.5",
    "the car of the U.S.",
    "50%",
    "红色的杯子",
    "红色的杯子。",
    "чашка",
    "🍕",
    "$",
]
TEMPLATES = [
    "USER: <image>\n{phrase}. ASSISTANT:",
    "USER: <image>\n{phrase} ASSISTANT:",
    "User: <image>{phrase}\n\nAssistant:",
    "<image>{phrase}.\n\n",
    "<image>{phrase}",
    "a picture : <image> {phrase} .",
]


def wrapped(core):
    from tokenizers import AddedToken
    from transformers import PreTrainedTokenizerFast

    core.add_special_tokens([AddedToken("<image>", special=True, normalized=False)])
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>", eos_token="</s>")


def bpe(alphabet, space: str, line: str, **settings):
    from tokenizers import Tokenizer, models

    own = merges(space, line)
    tokens = ["<unk>", "</s>", *alphabet, *(left + right for left, right in own)]
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    return Tokenizer(models.BPE(vocabulary, own, unk_token="<unk>", **settings))


def sentencepiece_like():
    from tokenizers import decoders, normalizers

    letters = sorted(set("▁\n.,?!:()[]$%'\"" + string.ascii_letters + string.digits))
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    core = bpe([*letters, *bytes_], "▁", "\n", byte_fallback=True)
    core.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    core.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return wrapped(core)


def byte_level():
    from tokenizers import decoders, pre_tokenizers

    core = bpe(sorted(pre_tokenizers.ByteLevel.alphabet()), "Ġ", "Ċ")
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    return wrapped(core)


@pytest.fixture(scope="module", params=[sentencepiece_like, byte_level])
def tokenizer(request):
    return request.param()


def builder(tokenizer, template: str, **settings) -> PromptBuilder:
    image = tokenizer.convert_tokens_to_ids("<image>")
    return PromptBuilder(
        tokenizer, template=template, image_token_id=image, image_length=4, **settings
    )


def text_of(tokenizer, ids) -> str:
    return tokenizer.decode(list(ids), clean_up_tokenization_spaces=False)


def test_these_tokenizers_do_merge_the_stop(tokenizer):
    for text in ('"stop".', "wait...", "(left)."):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert text_of(tokenizer, ids[-1:]).strip(" ") != ".", text


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("phrase", PHRASES)
def test_the_query_is_a_full_stop_alone(tokenizer, template, phrase):
    prompt = builder(tokenizer, template).build(phrase)
    assert text_of(tokenizer, [prompt.ids[prompt.query]]).strip(" ") == "."
    image = tokenizer.convert_tokens_to_ids("<image>")
    start = len(prompt.ids) - prompt.ids[::-1].index(image)
    written = text_of(tokenizer, prompt.ids[start : prompt.query])
    assert written.strip() == prompt.phrase
    assert prompt.phrase == phrase.rstrip(" .…。")
    ending = template.split("{phrase}")[1].lstrip(" .").rstrip(" ")
    after = text_of(tokenizer, prompt.ids[prompt.query + 1 :])
    assert after.strip(" ") == ending, "the rest of the template, and no second stop"


def test_a_typed_stop_changes_nothing(tokenizer):
    for template in TEMPLATES:
        made = builder(tokenizer, template)
        assert (
            made.build("the red mug.") == made.build("the red mug") == made.build("the red mug..")
        )


def test_a_clean_ending_keeps_the_tokenizers_own_ids(tokenizer):
    made = builder(tokenizer, "USER: <image>\n{phrase}. ASSISTANT:")
    whole = tokenizer("USER: <image>\nthe blue dog. ASSISTANT:", add_special_tokens=True)
    image = tokenizer.convert_tokens_to_ids("<image>")
    ids = list(made.build("the blue dog").ids)
    at = ids.index(image)
    assert ids[: at + 1] + ids[at + 4 :] == whole["input_ids"]


def test_the_other_modes_ask_the_last_piece_and_the_last_token(tokenizer):
    template = "USER: <image>\n{phrase}. ASSISTANT:"
    own = builder(tokenizer, template, query="expression").build("the red mug.")
    assert own.query == own.expression[1] - 1
    assert "mug".endswith(text_of(tokenizer, [own.ids[own.query]]).strip(" ."))
    last = builder(tokenizer, template, query="prompt").build("the red mug")
    assert last.query == len(last.ids) - 1


def test_the_public_codes_plain_prompt_keeps_a_typed_stop(tokenizer):
    made = builder(tokenizer, "USER: <image>\n{phrase}", query="prompt")
    assert made.build("the blue dog.").phrase == "the blue dog."


def test_the_presence_question_gets_no_stop(tokenizer):
    made = builder(tokenizer, "USER: <image>\n{phrase}. ASSISTANT:")
    question = made.build("the red mug.", "Is there {phrase} in the image?")
    assert "the red mug in the image?" in text_of(tokenizer, question.ids)


@pytest.mark.parametrize("phrase", [".", " ... ", "。", '"."', "?!"])
def test_a_stop_alone_names_nothing(tokenizer, phrase):
    with pytest.raises(GroundingError, match="expected some words"):
        builder(tokenizer, TEMPLATES[0]).build(phrase)


def test_a_tokenizer_without_a_stop_is_refused():
    from tokenizers import Tokenizer, models

    vocabulary = {w: i for i, w in enumerate(["<unk>", "the", "mug", "</s>"])}
    core = wrapped(Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>")))
    with pytest.raises(GroundingError, match="no token of its own for a full stop"):
        builder(core, "<image>{phrase}").build("mug")
