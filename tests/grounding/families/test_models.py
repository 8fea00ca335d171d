"""Every family with a tiny random model of its real class, saved and loaded again."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from groundbrush.grounding import LVLM, Presence, load_lvlm
from groundbrush.grounding.attention.baselines import rollout, write
from groundbrush.grounding.attention.capture import ATTENTION_NAME
from groundbrush.grounding.checkpoints.loading import load_family
from groundbrush.grounding.errors import GroundingError
from groundbrush.grounding.families import FAMILIES

# The tiny models' module lies beside; pytest's importlib mode would not find it.
sys.path.insert(0, str(Path(__file__).parents[1]))

from family_checks import eager_rows

NAMES = [*FAMILIES, "paligemma2"]
TILED = [(name, tiles) for name, cls in FAMILIES.items() for tiles in cls.tilings[1:]]
PHRASES = ["red cup", "the blue dog left of the big chair", "dog ."]
HEADS = [(1, 3), (0, 1), (1, 0)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from tiny_families import save_family

    made: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in made:
            made[name] = save_family(name, tmp_path_factory.mktemp(name))
        return made[name]

    return get


@pytest.fixture(scope="module")
def load(folder):
    made: dict[str, LVLM] = {}

    def get(name: str, **settings) -> LVLM:
        family = "paligemma" if name == "paligemma2" else name
        if settings:
            return load_lvlm(folder(name), family=family, **settings)
        if name not in made:
            made[name] = load_lvlm(folder(name), family=family)
        return made[name]

    return get


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(40, 60), (96, 50)])
def test_rows_equal_eager_attention(load, name, size):
    lvlm = load(name)
    image = np.random.default_rng(7).integers(0, 256, (*size, 3), dtype=np.uint8)
    got = lvlm.head_rows(lvlm.encode(image), PHRASES)
    for phrase, rows in zip(PHRASES, got, strict=True):
        expected = eager_rows(lvlm, image, phrase)
        assert rows.shape == expected.shape == (2, 4, *expected.shape[2:])
        np.testing.assert_allclose(rows, expected, atol=1e-5, rtol=0)
        # Peaked and different from phrase to phrase, so that the comparison means something.
        assert rows.max() > 2 * rows.mean()
    assert np.abs(got[0] - got[1]).max() > 1e-3


@pytest.mark.parametrize(("name", "tiles"), TILED)
def test_rows_of_tiles_equal_eager_attention(load, name, tiles):
    lvlm = load(name, tiles=tiles)
    image = np.random.default_rng(7).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    encoded = lvlm.encode(image)
    got = lvlm.head_rows(encoded, PHRASES)
    finer = lvlm.grid_hw != encoded.tokens.grid_hw
    assert finer == (tiles == "fine")
    for phrase, rows in zip(PHRASES, got, strict=True):
        np.testing.assert_allclose(rows, eager_rows(lvlm, image, phrase), atol=1e-5, rtol=0)
    chosen = lvlm.head_rows(encoded, PHRASES, HEADS)[1]
    np.testing.assert_allclose(chosen, [got[1][i] for i in HEADS], atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_words_are_read_without_weights_as_with_them(folder, load, name, tmp_path):
    light = tmp_path / "light"
    shutil.copytree(folder(name), light, ignore=shutil.ignore_patterns("*.safetensors*"))
    family = load_family(light, "paligemma" if name == "paligemma2" else name)
    loaded = load(name).family
    for phrase in [*PHRASES, "the zorb on a blorp"]:
        assert family.prompts.build(phrase) == loaded.prompts.build(phrase)
        assert family.prompts.unknown_words(phrase) == loaded.prompts.unknown_words(phrase)
    with pytest.raises(GroundingError, match="could not load a model"):
        load_lvlm(light, family=family.name)


def test_a_model_of_another_family_is_not_read(folder):
    with pytest.raises(GroundingError, match="of type 'gemma3'.*expected one of llava"):
        load_family(folder("gemma3"), "llava")


@pytest.mark.parametrize("name", NAMES)
def test_fewer_layers_give_the_same_rows(load, name, picture):
    whole, cut = load(name), load(name, heads=[(0, 3), (0, 1)], full=False)
    assert (whole.n_layers, cut.n_layers) == (2, 1)
    got = cut.head_rows(cut.encode(picture), PHRASES, cut.heads)
    expected = whole.head_rows(whole.encode(picture), PHRASES, [(0, 3), (0, 1)])
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_one_picture_does_not_leak_into_the_next(load, name):
    """Some models remember the positions of the last picture read."""
    lvlm = load(name)
    rng = np.random.default_rng(3)
    wide, tall = (rng.integers(0, 256, (*s, 3), dtype=np.uint8) for s in [(30, 90), (90, 30)])
    first, second = lvlm.encode(wide), lvlm.encode(tall)
    again = lvlm.head_rows(first, ["dog"], HEADS)[0]
    assert first.tokens.grid_hw == again.shape[1:]
    expected = eager_rows(lvlm, wide, "dog")
    np.testing.assert_allclose(again, [expected[i] for i in HEADS], atol=1e-5, rtol=0)
    other = lvlm.head_rows(second, ["dog"], HEADS)[0]
    expected = eager_rows(lvlm, tall, "dog")
    np.testing.assert_allclose(other, [expected[i] for i in HEADS], atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_presence_is_the_answer_of_the_plain_model(load, name, picture):
    ask = Presence("is there {phrase} ?", yes="yes", no="no")
    lvlm = load(name, presence=ask)
    encoded = lvlm.encode(picture)
    got = lvlm.read(encoded, ["dog", "red cup"], HEADS)
    assert [r.presence for r in got] == pytest.approx(
        lvlm.presence(encoded, ["dog", "red cup"]), abs=1e-5
    )
    assert all(0 < r.presence < 1 for r in got)
    vocabulary = lvlm.family.prompts.tokenizer.get_vocab()
    prompt = lvlm.family.prompts.build("dog", ask.template)
    words = [lvlm.family.prompts.tokenizer.convert_ids_to_tokens(i) for i in prompt.ids[-5:]]
    assert words == ["is", "there", "dog", "?"][-5:] or words[1:] == ["is", "there", "dog", "?"]
    logits = answer_logits(lvlm, picture, prompt)
    p = torch.softmax(logits, -1)
    yes, no = float(p[vocabulary["yes"]]), float(p[vocabulary["no"]])
    assert got[0].presence == pytest.approx(yes / (yes + no), abs=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_model_writes_is_what_the_plain_model_continues(load, name, picture):
    lvlm = load(name)
    template = lvlm.family.prompts.template.replace("{phrase}", "there {phrase}")
    text = write(lvlm, lvlm.encode(picture), "dog", template, tokens=3)
    prompt, ids = lvlm.family.prompts.build("dog", template), []
    for _ in range(3):
        ids.append(int(answer_logits(lvlm, picture, prompt, ids).argmax()))
    assert text == lvlm.family.prompts.tokenizer.decode(list(ids)), (
        "a tiny model that ends early needs another seed"
    )


@pytest.mark.parametrize("name", [name for name in NAMES if "paligemma" not in name])
def test_rollout_equals_the_product_of_eager_attention(load, name, picture):
    lvlm = load(name)
    ids, inputs = whole_inputs(lvlm, picture, prompt := lvlm.family.prompts.build("red cup"))
    lvlm._model.set_attn_implementation({"text_config": "eager"})
    with torch.inference_mode():
        layers = lvlm._base(**inputs, use_cache=False, output_attentions=True).attentions
    lvlm._model.set_attn_implementation({"text_config": ATTENTION_NAME})
    flow = torch.eye(len(ids))
    for layer in layers:
        flow = (layer[0].mean(0) + torch.eye(len(ids))) / 2 @ flow
    tokens = lvlm.family.prepare(picture).tokens
    query = prompt.query - len(prompt.ids) + len(ids)
    expected = flow[query, torch.from_numpy(tokens.positions)].reshape(tokens.grid_hw)
    np.testing.assert_allclose(rollout(lvlm, picture, "red cup"), expected, atol=1e-5)
    assert expected.max() > 1.01 * expected.mean()


def test_a_family_that_reads_pictures_anew_has_no_rollout(load, picture):
    with pytest.raises(GroundingError, match="rollout is not made for the paligemma family"):
        rollout(load("paligemma"), picture, "dog")


def whole_inputs(lvlm: LVLM, image: np.ndarray, prompt, more: Sequence[int] = ()):
    prepared, usual = lvlm.family.prepare(image), len(lvlm.family.prefix_ids)
    ids = (prepared.prefix_ids or lvlm.family.prefix_ids) + prompt.ids[usual:] + tuple(more)
    inputs = {k: torch.from_numpy(v) for k, v in prepared.inputs.items() if k != "position_ids"}
    inputs["input_ids"] = torch.tensor([ids])
    kinds = (inputs["input_ids"] == lvlm.family.prompts.image_token_id).long()
    if "image_grid_thw" in inputs:
        inputs["mm_token_type_ids"] = kinds
    if "gemma" in lvlm.family.name:
        later = torch.arange(len(ids))[None] >= len(ids) - len(more)
        inputs["token_type_ids"] = kinds if lvlm.family.shares_prefix else later.long()
    return ids, inputs


def answer_logits(lvlm: LVLM, image: np.ndarray, prompt, more: Sequence[int] = ()) -> torch.Tensor:
    _, inputs = whole_inputs(lvlm, image, prompt, more)
    lvlm._model.set_attn_implementation({"text_config": "eager"})
    with torch.inference_mode():
        out = lvlm._model(**inputs, use_cache=False)
    lvlm._model.set_attn_implementation({"text_config": ATTENTION_NAME})
    return out.logits[0, -1]


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_runs_and_stays_near(load, name, picture):
    half, full = load(name, dtype="bfloat16"), load(name)
    a = half.head_rows(half.encode(picture), PHRASES)
    b = full.head_rows(full.encode(picture), PHRASES)
    for x, y in zip(a, b, strict=True):
        assert x.dtype == np.float32 and np.isfinite(x).all()
        assert np.abs(x - y).mean() < 0.1 * y.mean() + 0.01
