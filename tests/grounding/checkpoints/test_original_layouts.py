"""Every original layout shows what a family must show: rows, places, fewer layers, no leaks."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from groundbrush.grounding import Presence, load_lvlm
from groundbrush.grounding.errors import GroundingError
from safetensors.torch import load_file, save_file

# The helpers lie beside; pytest's importlib mode would not find them.
sys.path.insert(0, str(Path(__file__).parents[1]))

from family_checks import block_comes_back, eager_rows, make_local
from original_layouts import LAYOUTS, save_original, timm_names

PHRASES = ["red cup", "the blue dog left of the big chair", "dog ."]


@pytest.fixture(scope="module")
def saved(tmp_path_factory, make_llava, make_tokenizer, make_processor):
    made = {}

    def get(name: str) -> dict:
        if name not in made:
            torch.manual_seed(0)
            made[name] = save_original(
                name,
                tmp_path_factory.mktemp("original"),
                make_llava,
                make_tokenizer(with_image=False),
                make_processor(),
            )
        return made[name]

    return get


@pytest.fixture(scope="module")
def load(saved):
    made = {}

    def get(name: str, **settings):
        if settings:
            return load_lvlm(**saved(name), **settings, offline=True)
        if name not in made:
            made[name] = load_lvlm(**saved(name), offline=True)
        return made[name]

    return get


@pytest.mark.parametrize("name", LAYOUTS)
def test_rows_equal_eager_attention(load, name):
    lvlm = load(name)
    for size in [(40, 60), (96, 50)]:
        image = np.random.default_rng(7).integers(0, 256, (*size, 3), dtype=np.uint8)
        got = lvlm.head_rows(lvlm.encode(image), PHRASES)
        for phrase, rows in zip(PHRASES, got, strict=True):
            np.testing.assert_allclose(rows, eager_rows(lvlm, image, phrase), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_block_comes_back_at_its_pixels(load, name):
    lvlm = load(name, heads=[(0, 0)])
    make_local(lvlm._model)
    for size in [(90, 200), (187, 90), (120, 120)]:
        block_comes_back(lvlm._model, lvlm.family, size)


@pytest.mark.parametrize("name", LAYOUTS)
def test_fewer_layers_give_the_same_rows(load, name, picture):
    whole, cut = load(name), load(name, heads=[(0, 3), (0, 1)], full=False)
    assert cut.n_layers == 1 < whole.n_layers
    got = cut.head_rows(cut.encode(picture), PHRASES, cut.heads)
    expected = whole.head_rows(whole.encode(picture), PHRASES, cut.heads)
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", LAYOUTS)
def test_one_picture_does_not_leak_into_the_next(load, name):
    lvlm = load(name)
    rng = np.random.default_rng(3)
    wide, tall = (rng.integers(0, 256, (*s, 3), dtype=np.uint8) for s in [(30, 90), (90, 30)])
    first, second = lvlm.encode(wide), lvlm.encode(tall)
    for encoded, image in [(first, wide), (second, tall)]:
        rows = lvlm.head_rows(encoded, ["dog"])[0]
        np.testing.assert_allclose(rows, eager_rows(lvlm, image, "dog"), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", LAYOUTS)
def test_presence_is_asked(load, name, picture):
    lvlm = load(name, presence=Presence("is there {phrase} ?", yes="yes", no="no"))
    found = lvlm.presence(lvlm.encode(picture), ["dog", "red cup"])
    assert all(0 < p < 1 for p in found) and found[0] != found[1]


# Mini-Gemini


def source_model():
    from tiny_families import build_model

    return build_model("mini_gemini")


@pytest.mark.parametrize("inside", [False, True])
def test_mini_gemini_converts_without_a_weight_left_over(saved, load, tmp_path, picture, inside):
    """Towers apart, as released, or in the checkpoint, as the authors save trained ones."""
    settings, source = dict(saved("mini-gemini")), source_model()
    if inside:
        low, _ = settings.pop("vision")
        state = load_file(settings["path"] / "model.safetensors")
        prefix = "model.vision_tower.vision_tower."
        state |= {prefix + k: v for k, v in load_file(f"{low}/model.safetensors").items()}
        fine = timm_names(source.model.high_res_tower.state_dict())
        state |= {f"model.vision_tower_aux.vision_{k}": v for k, v in fine.items()}
        for file in settings["path"].glob("*.json"):
            (tmp_path / file.name).write_text(file.read_text())
        save_file(state, tmp_path / "model.safetensors")
        settings |= {"path": tmp_path, "vision": [low, "nobody/nothing"]}
    lvlm = load_lvlm(**settings, offline=True)
    converted, own = lvlm._model.state_dict(), source.state_dict()
    assert converted.keys() == own.keys()
    for name, value in own.items():
        torch.testing.assert_close(converted[name], value, atol=0, rtol=0)
    pixels = torch.from_numpy(lvlm.family.prepare(picture).inputs["pixel_values"])
    ids = torch.tensor([lvlm.family.prompts.build("red cup").ids])
    with torch.inference_mode():
        ours = lvlm._model(input_ids=ids, pixel_values=pixels).logits
        theirs = source(input_ids=torch.where(ids == 1, 4, ids), pixel_values=pixels).logits
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_patch_info_mining_by_hand():
    """Token by token: softmax over the fine features that lie under it, and no others."""
    from groundbrush.grounding.families.mini_gemini_model import PatchInfoMining

    torch.manual_seed(0)
    mining = PatchInfoMining(6, 5)
    tokens, fine = torch.randn(2, 9, 6), torch.randn(2, 5, 12, 12)
    with torch.no_grad():
        got = mining(tokens, fine)
        for b in range(2):
            for i in range(9):
                row, column = divmod(i, 3)
                patch = fine[b, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
                patch = patch.reshape(5, 16).T
                scores = mining.key(patch) @ mining.query(tokens[b, i]) / 6**0.5
                expected = torch.softmax(scores, 0) @ mining.value(patch)
                torch.testing.assert_close(got[b, i], expected, atol=1e-5, rtol=0)


def test_mini_gemini_features_are_the_originals(picture):
    """Step by step as MGM's encode_images and Gemma of its time: both towers, mined, projected."""
    from torch.nn.functional import interpolate

    model = source_model().model
    pixels = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        coarse = interpolate(pixels, size=(32, 32), mode="bilinear", align_corners=False)
        tokens = model.vision_tower(coarse, output_hidden_states=True).hidden_states[-2][:, 1:]
        x, stages = model.high_res_tower.embeddings(pixels), []
        for stage in model.high_res_tower.encoder.stages:
            x = stage(x)
            stages.append(interpolate(x, size=(16, 16), mode="bilinear", align_corners=False))
        assert [s.shape[1] for s in stages] == [8, 8, 16, 16]
        mined = tokens + model.mining(tokens, torch.cat(stages, 1))
        embeddings = model.multi_modal_projector(mined)
        got = model.get_image_features(pixels).pooler_output[0]
    # Gemma then multiplied all its inputs by the root of their width, pictures too.
    torch.testing.assert_close(got, embeddings[0] * 32**0.5, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image_grid": 2}, "image_grid=2 in the config of a Mini-Gemini; built here is 1"),
        ({"model_type": "mgm_llama"}, "model_type='mgm_llama'"),
        ({"mm_projector_type": "linear"}, "mm_projector_type='linear'"),
        ({"mm_vision_select_feature": "cls_patch"}, "built here is 'patch'"),
    ],
)
def test_other_mini_geminis_are_refused(saved, tmp_path, change, words):
    settings = saved("mini-gemini")
    for file in settings["path"].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    raw = json.loads((tmp_path / "config.json").read_text()) | change
    (tmp_path / "config.json").write_text(json.dumps(raw))
    with pytest.raises(GroundingError, match=words):
        load_lvlm(**{**settings, "path": tmp_path}, offline=True)


def test_towers_are_two_and_convnext(saved):
    settings = saved("mini-gemini")
    low, high = settings["vision"]
    with pytest.raises(GroundingError, match=r"vision names 1 towers, .*expected 2 .*: the low"):
        load_lvlm(**{**settings, "vision": low}, offline=True)
    with pytest.raises(GroundingError, match="holds no ConvNeXT"):
        load_lvlm(**{**settings, "vision": [low, low]}, offline=True)
    with pytest.raises(GroundingError, match="vision names 2 towers, .*expected 1"):
        load_lvlm(**{**saved("llava-1.5"), "vision": [low, high]}, offline=True)
    with pytest.raises(GroundingError, match="original Mini-Gemini layout.*use family 'mini_gem"):
        load_lvlm(**{**settings, "family": "llava"}, offline=True)


def test_high_res_sides_are_whole_patches_under_each_token():
    from groundbrush.grounding.families import family_class
    from tiny_families import build_config, build_processor, build_tokenizer

    config = build_config("mini_gemini")
    config.high_res_size = 72
    with pytest.raises(GroundingError, match="high_res_size=72 in patches of 4 over 4 x 4 tokens"):
        family_class("mini_gemini")(
            config, build_tokenizer("mini_gemini"), build_processor("mini_gemini")
        )
