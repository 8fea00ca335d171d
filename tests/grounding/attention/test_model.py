"""Reading pictures and phrases with tiny real LLaVA models."""

from __future__ import annotations

import json
import shutil
import threading

import numpy as np
import pytest
import torch
from groundbrush.grounding import LVLM, Presence, load_lvlm
from groundbrush.grounding.attention.capture import ATTENTION_NAME
from groundbrush.grounding.attention.model import chunks
from groundbrush.grounding.attention.reading import Suffix, span_tokens
from groundbrush.grounding.errors import GroundingError
from groundbrush.grounding.families import LlavaFamily

PROMPT = "a picture : <image> {phrase} ."
PHRASES = ["red cup", "the blue dog left of the big chair", "dog", "a dog is nothing"]
HEADS = [(2, 3), (0, 1), (2, 0)]
ASK = Presence("is there {phrase} ?")
NAME = Presence("{phrase} .", yes=None, no="nothing")


@pytest.fixture(scope="module")
def build(make_llava, make_tokenizer, make_processor):
    def make(*, kv_heads=2, strategy="default", heads=None, presence=None, **settings) -> LVLM:
        model = make_llava(kv_heads=kv_heads, strategy=strategy)
        family = LlavaFamily(
            model.config, make_tokenizer(), make_processor(), prompt=PROMPT, **settings
        )
        return LVLM(model, family, heads=heads, presence=presence)

    return make


def eager_forward(lvlm: LVLM, image: np.ndarray, phrase: str, template: str | None = None):
    """One plain uncached forward of the whole prompt under eager attention."""
    prompt = lvlm.family.prompts.build(phrase, template)
    pixels = torch.from_numpy(lvlm.family.prepare(image).inputs["pixel_values"])
    model = lvlm._model
    model.set_attn_implementation({"text_config": "eager"})
    with torch.inference_mode():
        out = model(
            input_ids=torch.tensor([prompt.ids]),
            pixel_values=pixels,
            output_attentions=True,
            use_cache=False,
        )
    model.set_attn_implementation({"text_config": ATTENTION_NAME})
    return prompt, out


def eager_rows(lvlm: LVLM, image: np.ndarray, phrase: str) -> np.ndarray:
    """(L, H, P, Q) from `eager_forward`."""
    prompt, out = eager_forward(lvlm, image, phrase)
    span = lvlm.family.prepare(image).tokens.span
    rows = torch.stack(out.attentions)[:, 0, :, prompt.query, span]
    return rows.reshape(*rows.shape[:2], *lvlm.grid_hw).numpy()


@pytest.mark.parametrize("kv_heads", [4, 2])
@pytest.mark.parametrize("query", ["expression", "prompt"])
def test_all_rows_equal_eager_attention(build, picture, kv_heads, query):
    lvlm = build(kv_heads=kv_heads, query=query)
    got = lvlm.head_rows(lvlm.encode(picture), PHRASES)
    assert len(got) == len(PHRASES)
    for phrase, rows in zip(PHRASES, got, strict=True):
        assert rows.shape == (4, 4, 4, 4) and rows.dtype == np.float32
        np.testing.assert_allclose(rows, eager_rows(lvlm, picture, phrase), atol=1e-5, rtol=0)


def test_class_token_is_left_out_of_the_rows(build, picture):
    lvlm = build(strategy="full")
    rows = lvlm.head_rows(lvlm.encode(picture), ["red cup"])[0]
    np.testing.assert_allclose(rows, eager_rows(lvlm, picture, "red cup"), atol=1e-5, rtol=0)


def test_named_heads_come_in_the_order_asked(build, picture):
    lvlm = build()
    encoded = lvlm.encode(picture)
    everything = lvlm.head_rows(encoded, PHRASES)
    named = lvlm.head_rows(encoded, PHRASES, HEADS)
    for rows, all_rows in zip(named, everything, strict=True):
        expected = np.stack([all_rows[layer, head] for layer, head in HEADS])
        np.testing.assert_allclose(rows, expected, atol=1e-5, rtol=0)


def test_packed_phrases_equal_one_by_one(build, picture):
    lvlm = build()
    encoded = lvlm.encode(picture)
    together = lvlm.head_rows(encoded, PHRASES)
    alone = [lvlm.head_rows(encoded, [p])[0] for p in PHRASES]
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5, rtol=0)
    lvlm.family.packs_phrases = False  # a family that cannot pack runs one forward per phrase
    for a, b in zip(lvlm.head_rows(encoded, PHRASES), alone, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5, rtol=0)


def test_reading_leaves_the_encoded_picture_as_it_was(build, picture):
    lvlm = build()
    encoded = lvlm.encode(picture)
    before = [layer.keys.clone() for layer in encoded.cache.layers]
    first = lvlm.head_rows(encoded, PHRASES)
    lvlm.head_rows(encoded, ["chair"], HEADS)
    for layer, keys in zip(encoded.cache.layers, before, strict=True):
        assert layer.keys.shape[-2] == len(encoded.prefix_ids)
        torch.testing.assert_close(layer.keys, keys, atol=0, rtol=0)
    again = lvlm.head_rows(encoded, PHRASES)
    np.testing.assert_allclose(np.stack(first), np.stack(again), atol=1e-5, rtol=0)


def test_known_heads_let_fewer_layers_read_the_picture(build, picture):
    lvlm = build(heads=HEADS)
    encoded = lvlm.encode(picture)
    assert encoded.layers == 3
    assert encoded.size_wh == (60, 40)
    assert encoded.tokens.region_xyxy == (0, -10, 60, 50)
    deep = build()
    np.testing.assert_allclose(
        lvlm.head_rows(encoded, ["dog"], lvlm.heads)[0],
        deep.head_rows(deep.encode(picture), ["dog"], HEADS)[0],
        atol=1e-5,
        rtol=0,
    )
    for ask in (None, [(3, 0)]):
        with pytest.raises(GroundingError, match="4 layers are needed.*read by 3.*all_layers=True"):
            lvlm.head_rows(encoded, ["dog"], ask)
    whole = lvlm.encode(picture, all_layers=True)
    assert lvlm.head_rows(whole, ["dog"])[0].shape == (4, 4, 4, 4)


@pytest.mark.parametrize("phrase", PHRASES)
def test_presence_is_the_language_models_answer(build, picture, phrase):
    lvlm = build(presence=ASK)
    got = lvlm.presence(lvlm.encode(picture), [phrase])[0]
    _, out = eager_forward(lvlm, picture, phrase, ASK.template)
    p = torch.softmax(out.logits[0, -1], -1)
    assert got == pytest.approx(float(p[19] / (p[19] + p[20])), abs=1e-5)  # yes, no

    lvlm = build(presence=NAME)
    got = lvlm.presence(lvlm.encode(picture), [phrase])[0]
    _, out = eager_forward(lvlm, picture, phrase)
    assert got == pytest.approx(1 - float(torch.softmax(out.logits[0, -1], -1)[21]), abs=1e-5)


def test_several_spellings_add_up(build, picture):
    both = build(presence=Presence(yes=("yes", "a"), no="no"))
    got = both.presence(both.encode(picture), ["dog"])[0]
    _, out = eager_forward(both, picture, "dog", ASK.template)
    p = torch.softmax(out.logits[0, -1], -1)
    assert got == pytest.approx(float((p[19] + p[5]) / (p[19] + p[5] + p[20])), abs=1e-5)


@pytest.mark.parametrize("presence", [ASK, NAME])
def test_read_gives_rows_and_presence_in_one_forward(build, picture, presence):
    lvlm = build(presence=presence, heads=HEADS)
    encoded = lvlm.encode(picture)
    rows = lvlm.head_rows(encoded, PHRASES, HEADS)
    answers = lvlm.presence(encoded, PHRASES)

    lengths: list[int] = []
    hook = lvlm._base.language_model.embed_tokens.register_forward_hook(
        lambda _m, args, _o: lengths.append(args[0].shape[1])
    )
    readings = lvlm.read(encoded, PHRASES, HEADS)
    hook.remove()

    for reading, r, p in zip(readings, rows, answers, strict=True):
        np.testing.assert_allclose(reading.rows, r, atol=1e-5, rtol=0)
        assert reading.presence == pytest.approx(p, abs=1e-5)
    start = len(encoded.prefix_ids)
    once = sum(len(lvlm.family.prompts.build(p).ids) - start for p in PHRASES)
    asked = sum(len(lvlm.family.prompts.build(p, presence.template).ids) - start for p in PHRASES)
    assert lengths == [once if presence is NAME else once + asked]


def test_rows_of_a_texts_tokens_equal_eager_attention(build, picture):
    lvlm = build()
    text = "the  blue dog\nleft of the chair"
    dog, chair, whole = (5, 13), (22, 31), (0, len(text))
    prompt, out = eager_forward(lvlm, picture, text)
    span = lvlm.family.prepare(picture).tokens.span
    every = torch.stack(out.attentions)[:, 0, :, slice(*prompt.expression), span]
    every = every.movedim(2, 0).reshape(-1, 4, 4, *lvlm.grid_hw).numpy()  # (T, L, H, P, Q)
    rows = lvlm.token_rows(lvlm.encode(picture), text, [dog, chair, whole])
    assert [len(r) for r in rows] == [2, 2, 7]
    for got, expected in zip(rows, (every[1:3], every[5:7], every), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-5, rtol=0)
    named = lvlm.token_rows(lvlm.encode(picture), text, [dog], HEADS)[0]
    picked = np.stack([every[1:3, layer, head] for layer, head in HEADS], axis=1)
    np.testing.assert_allclose(named, picked, atol=1e-5, rtol=0)
    assert lvlm.token_rows(lvlm.encode(picture), text, []) == []


def test_spans_that_stand_for_no_token_are_refused(build, picture):
    lvlm = build()
    encoded = lvlm.encode(picture)
    for span in ((3, 3), (-1, 2), (0, 40), (5, 2)):
        with pytest.raises(GroundingError, match="half-open offsets in a text of 12 characters"):
            lvlm.token_rows(encoded, "the blue dog", [span])
    with pytest.raises(GroundingError, match=r"no token for ' '"):
        lvlm.token_rows(encoded, "the blue dog", [(3, 4)])


def test_without_presence_read_gives_rows_only(build, picture):
    lvlm = build(heads=HEADS)
    encoded = lvlm.encode(picture)
    assert [r.presence for r in lvlm.read(encoded, PHRASES, HEADS)] == [None] * 4
    assert lvlm.read(encoded, [], HEADS) == []
    with pytest.raises(GroundingError, match="presence was not configured"):
        build().presence(build().encode(picture), ["dog"])


def test_threads_share_one_model(build, picture):
    lvlm = build(presence=NAME)
    encoded = lvlm.encode(picture)
    expected = {p: lvlm.read(encoded, [p])[0] for p in PHRASES}
    wrong: list[str] = []

    def work(phrase: str) -> None:
        for _ in range(3):
            got = lvlm.read(encoded, [phrase])[0]
            if not np.allclose(got.rows, expected[phrase].rows, atol=1e-5, rtol=0):
                wrong.append(phrase)

    threads = [threading.Thread(target=work, args=(p,)) for p in PHRASES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_chunks_keep_order_and_limit():
    sizes = [4, 3, 2, 9, 1, 1]
    parts = list(chunks([Suffix(tuple(range(n))) for n in sizes], 7))
    assert [[len(s.ids) for s in part] for part in parts] == [[4, 3], [2], [9], [1, 1]]
    assert list(chunks([], 7)) == []


def test_tokens_of_a_span_are_those_that_share_a_character():
    offsets = [(0, 1), (2, 5), (6, 9), (9, 10)]  # of "a red dog."
    spans = [(1, 5), (4, 8), (8, 12), (11, 12)]
    assert span_tokens(" a  red dog.", offsets, spans) == [[0, 1], [1], [2, 3], [3]]


# Bad input


def test_overlong_phrases_are_refused_with_the_numbers(build, picture):
    lvlm = build()
    encoded = lvlm.encode(picture)
    # Prompt: 20 tokens up to the picture, the phrase, a full stop; the tiny model reads 256.
    assert lvlm.head_rows(encoded, ["dog " * 235], HEADS)[0].shape == (3, 4, 4)
    message = r"236 words.*picture's 20 tokens.*has 257.*at most 256.*at least 1 tokens"
    with pytest.raises(GroundingError, match=message):
        lvlm.head_rows(encoded, ["dog " * 236], HEADS)
    with pytest.raises(GroundingError, match="5000 words"):
        lvlm.head_rows(encoded, ["dog " * 5000])


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        ([(4, 0)], r"head \(4, 0\) is not in the loaded model.*layers 0 to 3 with heads 0 to 3"),
        ([(0, 4)], r"head \(0, 4\)"),
        ([(-1, 0)], r"0-based"),
        ([], "heads is empty"),
        ([3], "expected .layer, head. pairs"),
    ],
)
def test_wrong_heads_are_refused(build, picture, heads, message):
    lvlm = build()
    with pytest.raises(GroundingError, match=message):
        lvlm.head_rows(lvlm.encode(picture), ["dog"], heads)
    with pytest.raises(GroundingError, match=message):
        build(heads=heads)


def test_one_text_is_not_a_list_of_phrases(build, picture):
    lvlm = build()
    with pytest.raises(GroundingError, match=r"expected a list: \['dog'\]"):
        lvlm.head_rows(lvlm.encode(picture), "dog")


def test_presence_answers_must_differ(build):
    with pytest.raises(GroundingError, match="begin with the same token"):
        build(presence=Presence(yes="no", no="no"))
    with pytest.raises(GroundingError, match="does not know the answer"):
        build(presence=Presence(yes="indeed"))


# Loading


def test_loaded_from_disk_equals_in_memory(build, picture, llava_folder):
    there = load_lvlm(llava_folder, prompt=PROMPT, presence=NAME)
    here = build(presence=NAME)
    a = there.read(there.encode(picture), PHRASES)
    b = here.read(here.encode(picture), PHRASES)
    for x, y in zip(a, b, strict=True):
        np.testing.assert_allclose(x.rows, y.rows, atol=1e-5, rtol=0)
        assert x.presence == pytest.approx(y.presence, abs=1e-5)
    assert (there.n_layers, there.n_heads, there.grid_hw) == (4, 4, (4, 4))
    assert there.unknown_words("red zebra") == ("zebra",)


def test_cut_model_gives_the_same_rows(picture, llava_folder):
    whole = load_lvlm(str(llava_folder), prompt=PROMPT)
    cut = load_lvlm(str(llava_folder), prompt=PROMPT, heads=HEADS, full=False)
    assert cut.n_layers == 3
    assert sum(p.numel() for p in cut._model.parameters()) < sum(
        p.numel() for p in whole._model.parameters()
    )
    got = cut.head_rows(cut.encode(picture), PHRASES, HEADS)
    expected = whole.head_rows(whole.encode(picture), PHRASES, HEADS)
    np.testing.assert_allclose(np.stack(got), np.stack(expected), atol=1e-5, rtol=0)


def test_half_precision_rows_are_float32_and_near(picture, llava_folder):
    half = load_lvlm(llava_folder, prompt=PROMPT, dtype="bfloat16")
    full = load_lvlm(llava_folder, prompt=PROMPT)
    a = half.head_rows(half.encode(picture), ["dog"])[0]
    b = full.head_rows(full.encode(picture), ["dog"])[0]
    assert a.dtype == np.float32
    assert np.abs(a - b).mean() < 0.01


def test_loading_is_quiet_and_restores_the_settings(llava_folder, capfd):
    from transformers.utils import logging

    level = logging.get_verbosity()
    load_lvlm(llava_folder, prompt=PROMPT, heads=HEADS, full=False)
    assert capfd.readouterr() == ("", "")
    assert logging.get_verbosity() == level and logging.is_progress_bar_enabled()


def test_settings_that_contradict_full(llava_folder):
    for extra in ({}, {"heads": HEADS, "presence": ASK}):
        with pytest.raises(GroundingError, match="full=False loads only the layers"):
            load_lvlm(llava_folder, prompt=PROMPT, full=False, **extra)
    with pytest.raises(GroundingError, match="heads name layer 9; the model has layers 0 to 3"):
        load_lvlm(llava_folder, prompt=PROMPT, full=False, heads=[(9, 0)])


def copied(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "model")


def test_missing_folders_and_odd_names(tmp_path):
    for path in (tmp_path / "none", "./none", "none", "a/b/c", "/none", "a/"):
        with pytest.raises(GroundingError, match="neither a folder nor a repository name"):
            load_lvlm(path)
    with pytest.raises(GroundingError, match="has no config.json"):
        load_lvlm(tmp_path)


def test_repository_that_is_not_in_the_cache():
    with pytest.raises(GroundingError, match="could not load a model from 'nobody/nothing-here'"):
        load_lvlm("nobody/nothing-here", offline=True)


@pytest.mark.parametrize(
    "name", ["model.safetensors", "tokenizer.json", "preprocessor_config.json"]
)
def test_incomplete_folders(llava_folder, tmp_path, name):
    folder = copied(llava_folder, tmp_path)
    (folder / name).unlink()
    with pytest.raises(GroundingError, match="could not load a model from|no character offsets"):
        load_lvlm(folder, prompt=PROMPT)


def test_damaged_files(llava_folder, tmp_path):
    folder = copied(llava_folder, tmp_path)
    (folder / "config.json").write_text("{")
    with pytest.raises(GroundingError, match="could not load a model"):
        load_lvlm(folder, prompt=PROMPT)
    shutil.copy(llava_folder / "config.json", folder)
    (folder / "model.safetensors").write_bytes(b"not a model")
    with pytest.raises(GroundingError, match="could not load a model"):
        load_lvlm(folder, prompt=PROMPT)


def test_pickled_weights_are_not_read(llava_folder, tmp_path):
    folder = copied(llava_folder, tmp_path)
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(GroundingError, match="safetensors"):
        load_lvlm(folder, prompt=PROMPT)


def test_missing_weights_are_not_made_up(llava_folder, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = copied(llava_folder, tmp_path)
    weights = load_file(folder / "model.safetensors")
    name = next(k for k in weights if k.endswith("q_proj.weight") and "language_model" in k)
    del weights[name]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(GroundingError, match="lacks 1 weights.*q_proj.weight.*random"):
        load_lvlm(folder, prompt=PROMPT)


def test_other_model_types(llava_folder, tmp_path):
    folder = copied(llava_folder, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config["text_config"]))
    with pytest.raises(GroundingError, match="holds a 'llama' model; family 'llava' reads llava"):
        load_lvlm(folder, prompt=PROMPT)
    with pytest.raises(GroundingError, match="no model family 'llama'"):
        load_lvlm(folder, family="llama")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dtype": "float33"}, "expected 'float32'"),
        ({"dtype": "int8"}, "expected 'float32'"),
        ({"device": "gpu"}, "device='gpu' cannot be used here"),
        ({"device": "cuda:99"}, "device='cuda:99' cannot be used here"),
        ({"prompt": "no picture {phrase}"}, "must hold <image> once"),
    ],
)
def test_wrong_settings(llava_folder, settings, message):
    with pytest.raises(GroundingError, match=message):
        load_lvlm(llava_folder, **{"prompt": PROMPT, **settings})
