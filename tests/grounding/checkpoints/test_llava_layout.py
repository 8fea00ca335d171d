"""Synthetic checkpoints in the original layouts: every weight finds its place, outputs agree."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from groundbrush.grounding import load_lvlm
from groundbrush.grounding.checkpoints.files import read_weights
from groundbrush.grounding.checkpoints.loading import is_original, load_family
from groundbrush.grounding.errors import GroundingError
from safetensors.torch import save_file

# The tiny models' module lies beside; pytest's importlib mode would not find it.
sys.path.insert(0, str(Path(__file__).parents[1]))

from original_layouts import intern_names, original_names

PHRASE = "the red cup"
PROMPT = "a picture : <image> {phrase} ."


@pytest.fixture(scope="module")
def reference(make_llava):
    return make_llava(kv_heads=2, layers=3)


@pytest.fixture
def write(tmp_path, reference, make_tokenizer, make_processor):
    """An original checkpoint's folder, its tower inside the weights or beside them."""

    def make(state: dict, *, tower_beside=False, pickled=False, **changes) -> Path:
        folder, tower = tmp_path / "original", tmp_path / "tower"
        folder.mkdir()
        tower.mkdir()
        text, vision = reference.config.text_config.to_dict(), reference.config.vision_config
        raw = {
            k: text[k] for k in text if k.startswith(("num_", "hidden_", "vocab", "max_", "inter"))
        }
        raw |= {
            "model_type": "llava_llama",
            "architectures": ["LlavaLlamaForCausalLM"],
            "mm_vision_tower": str(tower),
            "mm_projector_type": "mlp2x_gelu",
            "mm_vision_select_layer": -1,
            "mm_hidden_size": 16,
            "torch_dtype": "float16",
            "use_mm_proj": True,
            "tune_mm_mlp_adapter": False,
            "image_aspect_ratio": "pad",
        } | changes
        (folder / "config.json").write_text(json.dumps(raw))
        (tower / "config.json").write_text(
            json.dumps({"model_type": "clip", "vision_config": vision.to_dict()})
        )
        make_tokenizer(with_image=False).save_pretrained(folder)
        make_processor().save_pretrained(tower)
        mark = "model.vision_tower.vision_tower."
        inside = {k: v for k, v in state.items() if not (tower_beside and k.startswith(mark))}
        beside = {k.removeprefix(mark): v for k, v in state.items() if k.startswith(mark)}
        beside |= {"text_model.final.weight": torch.ones(2), "logit_scale": torch.ones(1)}
        save_file(beside, tower / "model.safetensors")
        names = sorted(inside)
        parts = [{k: inside[k] for k in names[::2]}, {k: inside[k] for k in names[1::2]}]
        for i, part in enumerate(parts):
            if pickled:
                torch.save(part, folder / f"pytorch_model-0000{i + 1}-of-00002.bin")
            else:
                save_file(part, folder / f"model-0000{i + 1}-of-00002.safetensors")
        return folder

    return make


def rows_of(lvlm, picture):
    return lvlm.head_rows(lvlm.encode(picture), [PHRASE])[0]


@pytest.mark.parametrize("pickled", [False, True])
@pytest.mark.parametrize("tower_beside", [False, True])
def test_llava_15_layout(write, reference, picture, tower_beside, pickled):
    folder = write(
        original_names(reference.state_dict()), tower_beside=tower_beside, pickled=pickled
    )
    lvlm = load_lvlm(folder, prompt=PROMPT)
    renamed, own = lvlm._model.state_dict(), reference.state_dict()
    assert renamed.keys() == own.keys()
    for name, value in own.items():
        torch.testing.assert_close(renamed[name], value, atol=0, rtol=0)
    # The same forward as the reference's, with <unk> for the picture in place of <image>.
    prepared = lvlm.family.prepare(picture)
    pixels = torch.from_numpy(prepared.inputs["pixel_values"])
    prompt = lvlm.family.prompts.build(PHRASE)
    ids = torch.tensor([prompt.ids])
    assert (ids == 1).sum() == 16  # [UNK]
    with torch.inference_mode():
        ours = lvlm._model(input_ids=ids, pixel_values=pixels).logits
        theirs = reference(input_ids=torch.where(ids == 1, 4, ids), pixel_values=pixels).logits
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    assert rows_of(lvlm, picture).shape == (3, 4, 4, 4)


def test_only_the_layers_needed(write, reference, picture):
    folder = write(original_names(reference.state_dict()))
    whole = load_lvlm(folder, prompt=PROMPT)
    cut = load_lvlm(folder, prompt=PROMPT, heads=[(1, 2), (0, 3)], full=False)
    assert cut.n_layers == 2
    got = cut.head_rows(cut.encode(picture), [PHRASE], cut.heads)[0]
    everything = rows_of(whole, picture)
    np.testing.assert_allclose(got, [everything[1, 2], everything[0, 3]], atol=1e-5, rtol=0)
    with pytest.raises(GroundingError, match="heads name layer 7"):
        load_lvlm(folder, prompt=PROMPT, heads=[(7, 0)], full=False)


def features(lvlm, picture):
    """The tower's patch features and what the projector makes of them."""
    pixels = torch.from_numpy(lvlm.family.prepare(picture).inputs["pixel_values"])
    with torch.no_grad():
        tower = lvlm._base.vision_tower(pixels, output_hidden_states=True).hidden_states[-1][:, 1:]
        return tower[0], torch.cat(list(lvlm._base.get_image_features(pixels).pooler_output))


def test_llava_v1_layout_has_one_linear_projector(write, reference, picture):
    state = {k: v for k, v in original_names(reference.state_dict()).items() if "mm_proj" not in k}
    rng = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(32, 16, generator=rng), torch.randn(32, generator=rng)
    state |= {"model.mm_projector.weight": weight, "model.mm_projector.bias": bias}
    folder = write(state, mm_projector_type="linear")
    tower, projected = features(load_lvlm(folder, prompt=PROMPT), picture)
    torch.testing.assert_close(projected, tower @ weight.T + bias, atol=1e-5, rtol=1e-5)


def test_v1_names_no_projector_type(write, reference, picture):
    state = {k: v for k, v in original_names(reference.state_dict()).items() if "mm_proj" not in k}
    state |= {
        "model.mm_projector.weight": torch.ones(32, 16),
        "model.mm_projector.bias": torch.zeros(32),
    }
    folder = write(state)
    raw = json.loads((folder / "config.json").read_text())
    del raw["mm_projector_type"]
    (folder / "config.json").write_text(json.dumps(raw))
    tower, projected = features(load_lvlm(folder, prompt=PROMPT), picture)
    torch.testing.assert_close(projected, tower.sum(-1, keepdim=True).expand(-1, 32))


def test_yi_vl_projector_with_layer_norms(write, reference, picture):
    state = {k: v for k, v in original_names(reference.state_dict()).items() if "mm_proj" not in k}
    torch.manual_seed(0)
    projector = torch.nn.Sequential(
        torch.nn.Linear(16, 32),
        torch.nn.LayerNorm(32),
        torch.nn.GELU(),
        torch.nn.Linear(32, 32),
        torch.nn.LayerNorm(32),
    )
    for parameter in projector.parameters():
        torch.nn.init.normal_(parameter)
    state |= {f"model.mm_projector.{k}": v.clone() for k, v in projector.state_dict().items()}
    folder = write(state, mm_projector_type="mlp2x_gelu_Norm")
    lvlm = load_lvlm(folder, prompt=PROMPT)
    tower, projected = features(lvlm, picture)
    torch.testing.assert_close(projected, projector(tower).detach(), atol=1e-5, rtol=1e-5)
    cut = load_lvlm(folder, prompt=PROMPT, heads=[(0, 3)], full=False)
    got = cut.head_rows(cut.encode(picture), [PHRASE], cut.heads)[0][0]
    np.testing.assert_allclose(got, rows_of(lvlm, picture)[0, 3], atol=1e-5, rtol=0)


def test_yi_vl_names_its_tower_relative_to_itself(write, reference, tmp_path):
    folder = write(
        original_names(reference.state_dict()), tower_beside=True, mm_vision_tower="./vit/clip"
    )
    with pytest.raises(GroundingError, match=r"vision tower './vit/clip'.*vision="):
        load_lvlm(folder, prompt=PROMPT, offline=True)
    (folder / "vit").mkdir()
    (tmp_path / "tower").rename(folder / "vit" / "clip")
    assert load_lvlm(folder, prompt=PROMPT, offline=True).n_layers == 3


def test_vision_and_tokenizer_may_lie_elsewhere(write, reference, tmp_path):
    folder = write(
        original_names(reference.state_dict()), tower_beside=True, mm_vision_tower="nobody/nothing"
    )
    words = tmp_path / "words"
    words.mkdir()
    for file in folder.glob("tokenizer*"):
        file.rename(words / file.name)
    lvlm = load_lvlm(
        folder, prompt=PROMPT, offline=True, vision=str(tmp_path / "tower"), tokenizer=str(words)
    )
    assert lvlm.n_layers == 3


def test_internvit_6b_tower(write, reference, picture, tmp_path):
    from transformers import AutoModel, InternVLVisionConfig

    torch.manual_seed(0)
    own = InternVLVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=[32, 32],
        patch_size=[8, 8],
        use_qk_norm=True,
        norm_type="rms_norm",
    )
    tower = AutoModel.from_config(own).eval()
    for parameter in tower.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    names = original_names(reference.state_dict())
    state = {k: v for k, v in names.items() if "vision_tower" not in k}
    renamed = intern_names(tower.state_dict())
    assert {
        "embeddings.class_embedding",
        "encoder.layers.1.attn.qkv.weight",
        "encoder.layers.0.attn.q_norm.weight",
        "encoder.layers.0.ls1",
        "encoder.layers.0.norm2.weight",
    } <= set(renamed)
    state |= {f"model.vision_tower.vision_tower.{k}": v for k, v in renamed.items()}
    folder = write(state)
    raw = {
        "model_type": "intern_vit_6b",
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 8,
        "qkv_bias": False,
        "qk_normalization": True,
        "layer_norm_eps": 1e-6,
    }
    (tmp_path / "tower" / "config.json").write_text(json.dumps(raw))
    lvlm = load_lvlm(folder, prompt=PROMPT)
    pixels = torch.from_numpy(lvlm.family.prepare(picture).inputs["pixel_values"])
    with torch.inference_mode():
        mine = lvlm._base.vision_tower(pixels, output_hidden_states=True).hidden_states[-1]
        theirs = tower(pixels, output_hidden_states=True).hidden_states[-1]
    torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)
    assert rows_of(lvlm, picture).shape == (3, 4, 4, 4)


def test_position_embeddings_of_another_resolution_are_resized():
    from groundbrush.grounding.checkpoints.llava_layout import convert_intern_vit
    from transformers import InternVLVisionConfig

    config = InternVLVisionConfig(image_size=[48, 48], patch_size=[8, 8])
    ramp = torch.linspace(0, 1, 4)[None, :, None].expand(4, 4, 1).reshape(1, 16, 1)
    positions = torch.cat([torch.full((1, 1, 1), 9.0), ramp], dim=1)
    out = convert_intern_vit({"embeddings.position_embedding": positions}, config)
    grid = out["embeddings.position_embeddings"]
    assert grid.shape == (1, 37, 1) and grid[0, 0, 0] == 9
    columns = grid[0, 1:].reshape(6, 6)
    torch.testing.assert_close(columns[0], columns[5])
    assert (columns[0].diff() > 0).all()


# What is refused


def test_unknown_and_missing_weights_are_named(write, reference):
    state = original_names(reference.state_dict())
    folder = write(state | {"model.vision_resampler.query": torch.ones(2)})
    with pytest.raises(GroundingError, match=r"1 weights without a place.*vision_resampler"):
        load_lvlm(folder, prompt=PROMPT)


def test_missing_weights_are_not_made_up(write, reference):
    state = original_names(reference.state_dict())
    del state["model.layers.1.mlp.up_proj.weight"]
    with pytest.raises(GroundingError, match=r"lacks 1 weights.*layers\.1\.mlp\.up_proj"):
        load_lvlm(write(state), prompt=PROMPT)


def test_foreign_projectors_and_families_are_refused(write, reference):
    folder = write(original_names(reference.state_dict()), mm_projector_type="ldpnet")
    with pytest.raises(GroundingError, match="mm_projector_type='ldpnet'; expected one of linear"):
        load_lvlm(folder, prompt=PROMPT)
    with pytest.raises(GroundingError, match="original LLaVA layout.*use family 'llava'"):
        load_lvlm(folder, family="gemma3")
    with pytest.raises(GroundingError, match="device_map is 'auto', but .* in its original layout"):
        load_lvlm(folder, device_map="auto")


def test_words_of_an_original_layout_are_not_read_without_the_model(write, reference):
    folder = write(original_names(reference.state_dict()))
    with pytest.raises(GroundingError, match="in its original layout, of unknown vocabulary until"):
        load_family(folder, "llava", prompt=PROMPT)


class Trap:
    """Pickles as a call that would leave a trace if it were ever made."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


def test_pickles_are_data_never_code(tmp_path):
    trace = tmp_path / "trace"
    torch.save({"weight": Trap(trace)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(GroundingError, match=r"pytorch_model\.bin cannot be read as weights"):
        read_weights(tmp_path)
    assert not trace.exists()
    torch.save({"weight": 3}, tmp_path / "pytorch_model.bin")
    with pytest.raises(GroundingError, match="more than named tensors"):
        read_weights(tmp_path)
    (tmp_path / "pytorch_model.bin").unlink()
    with pytest.raises(GroundingError, match="holds no weights"):
        read_weights(tmp_path)


def test_layouts_are_told_apart(reference):
    assert is_original({"mm_vision_tower": "openai/clip-vit-large-patch14-336"})
    assert not is_original(reference.config.to_dict())
