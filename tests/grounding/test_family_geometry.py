"""A block painted in the picture comes back at its pixels, through each family's real classes.

The vision tower is made local: with attention's output zeroed, a patch's features depend on that
patch alone. Which of the language model's inputs change with the block then says which tokens
look at it, through the real processor, tower, pixel shuffle or pooling, and tile packing.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from grounding.errors import GroundingError
from grounding.families import FAMILIES, family_class
from grounding.families.geometry import resized_pad_region
from grounding.families.llava_next import tile_tokens

# The tiny models' module lies beside; pytest's importlib mode would not find it.
sys.path.insert(0, str(Path(__file__).parent))

CASES = [(name, how) for name, cls in FAMILIES.items() for how in cls.paddings]
SIZES = [(90, 200), (187, 90), (120, 120)]
OUTPUTS = ("out_proj", "attn.proj", "attention.projection_layer")


@pytest.fixture(scope="module")
def parts():
    """Model with a local tower, tokenizer and processor of a family, made once."""
    from tiny_families import build_model, build_processor, build_tokenizer

    made = {}

    def get(name: str):
        if name not in made:
            model = build_model(name, seed=1)
            language = {id(m) for m in language_model(model).modules()}
            zeroed = 0
            for key, module in model.model.named_modules():
                if id(module) not in language and key.endswith(OUTPUTS):
                    torch.nn.init.zeros_(module.weight)
                    torch.nn.init.zeros_(module.bias)
                    zeroed += 1
            assert zeroed >= 2, "no attention outputs found in the tower"
            if name == "deepseek_vl_hybrid":  # its second tower ends in wide convolutions
                for weight in model.model.high_res_vision_proj.parameters():
                    torch.nn.init.zeros_(weight)
            made[name] = model, build_tokenizer(name), build_processor(name)
        return made[name]

    return get


def language_model(model):
    return getattr(model.model, "language_model", None) or model.model.text_model


def image_embeddings(model, family, prepared) -> np.ndarray:
    """What the language model is given at the grid's tokens, (P, Q, width)."""
    caught = []

    def catch(_module, _args, kwargs):
        caught.append(kwargs["inputs_embeds"])
        raise StopIteration

    hook = language_model(model).register_forward_pre_hook(catch, with_kwargs=True)
    ids = torch.tensor([prepared.prefix_ids or family.prefix_ids])
    inputs = {k: torch.from_numpy(v) for k, v in prepared.inputs.items()}
    try:
        with torch.inference_mode(), pytest.raises(StopIteration):
            model.model(input_ids=ids, **inputs)
    finally:
        hook.remove()
    grid = caught[0][0, prepared.tokens.span].numpy()
    return grid.reshape(*prepared.tokens.grid_hw, -1)


@pytest.mark.parametrize(("name", "padding"), CASES)
@pytest.mark.parametrize("size", SIZES)
def test_a_block_comes_back_at_its_pixels(parts, name, padding, size):
    model, tokenizer, processor = parts(name)
    family = family_class(name)(model.config, tokenizer, processor, padding=padding)
    height, width = size
    plain = np.full((height, width, 3), 90, np.uint8)
    prepared = family.prepare(plain)
    ground = image_embeddings(model, family, prepared)
    rows, columns = prepared.tokens.grid_hw
    rx0, ry0, rx1, ry1 = prepared.tokens.region_xyxy
    cell_w, cell_h = (rx1 - rx0) / columns, (ry1 - ry0) / rows
    # At most a cell wide: inside a larger block the features need not be the strongest.
    side = min(14, 2 * int(min(cell_w, cell_h) / 2))
    for cy, cx in [(0.42, 0.62), (0.6, 0.38)]:
        image = plain.copy()
        y, x = int(cy * height), int(cx * width)
        half = side // 2
        image[y - half : y + half, x - half : x + half] = 255
        change = np.abs(image_embeddings(model, family, family.prepare(image)) - ground).mean(-1)
        ys, xs = np.mgrid[:rows, :columns] + 0.5
        # Resampling leaves faint rings around the block, and a convolution mixes neighbours.
        weight = np.where(change > 0.3 * change.max(), change, 0)
        found_x = rx0 + (weight * xs).sum() / weight.sum() * cell_w
        found_y = ry0 + (weight * ys).sum() / weight.sum() * cell_h
        assert abs(found_x - x) < 0.5 * cell_w, (found_x, x, cell_w)
        assert abs(found_y - y) < 0.5 * cell_h, (found_y, y, cell_h)
        # Far from the block nothing changes: the tower is local and the order is right.
        near = (abs(rx0 + xs * cell_w - x) < half + 3 * cell_w) & (
            abs(ry0 + ys * cell_h - y) < half + 3 * cell_h
        )
        assert change[~near].max(initial=0) < 0.25 * change.max()


@pytest.mark.parametrize("name", FAMILIES)
def test_wrong_images_and_paddings_are_refused(parts, name):
    model, tokenizer, processor = parts(name)
    with pytest.raises(GroundingError, match="padding='stretch'; expected one of pad"):
        family_class(name)(model.config, tokenizer, processor, padding="stretch")
    family = family_class(name)(model.config, tokenizer, processor)
    for image in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), "picture.png"):
        with pytest.raises(GroundingError, match=r"expected (an )?\(H, W, 3\)"):
            family.prepare(image)


@pytest.mark.parametrize("name", FAMILIES)
def test_single_pixels_and_strips_are_read_or_refused_in_words(parts, name):
    model, tokenizer, processor = parts(name)
    for padding in family_class(name).paddings:
        family = family_class(name)(model.config, tokenizer, processor, padding=padding)
        family.prepare(np.zeros((1, 1, 3), np.uint8))
        strip = np.zeros((3, 300, 3), np.uint8)
        try:
            x0, y0, x1, y1 = family.prepare(strip).tokens.region_xyxy
        except GroundingError as error:
            assert "300 x 3 is too thin" in str(error) and padding != "pad"
        else:
            assert (x0, x1) == (0, 300) and y1 > y0


# Positions and counts


@pytest.mark.parametrize("name", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
@pytest.mark.parametrize("size", SIZES)
def test_qwen_positions_are_the_models_own(parts, name, size):
    model, tokenizer, processor = parts(name)
    family = family_class(name)(model.config, tokenizer, processor)
    prepared = family.prepare(np.zeros((*size, 3), np.uint8))
    tail = (20, 21, 22)
    ids = torch.tensor([prepared.prefix_ids + tail])
    positions, _ = model.model.get_rope_index(
        ids,
        mm_token_type_ids=(ids == model.config.image_token_id).long(),
        image_grid_thw=torch.from_numpy(prepared.inputs["image_grid_thw"]),
    )
    n = len(prepared.prefix_ids)
    np.testing.assert_array_equal(prepared.inputs["position_ids"], positions[..., :n])
    following = np.arange(3) + prepared.next_position
    np.testing.assert_array_equal(positions[:, 0, n:], np.tile(following, (3, 1)))
    rows, columns = prepared.tokens.grid_hw
    assert 256 <= rows * columns <= 1024
    assert columns / rows == pytest.approx(size[1] / size[0], rel=0.1)


def test_qwen_bounds_the_tokens_of_large_pictures(parts):
    model, tokenizer, processor = parts("qwen2_vl")
    family = family_class("qwen2_vl")(model.config, tokenizer, processor)
    prepared = family.prepare(np.zeros((900, 1600, 3), np.uint8))
    assert prepared.tokens.count <= 1024
    with pytest.raises(GroundingError, match="300 x 3 is too thin"):
        family.prepare(np.zeros((3, 300, 3), np.uint8))
    processor = parts("qwen3_vl")[2]
    model.config.vision_config.patch_size = 8
    try:
        with pytest.raises(GroundingError, match="use the processor saved with the model"):
            family_class("qwen2_vl")(model.config, tokenizer, processor)
    finally:
        model.config.vision_config.patch_size = 4


@pytest.mark.parametrize("name", ["llava_next", "llava_onevision"])
@given(size=st.tuples(st.integers(5, 900), st.integers(5, 900)))
def test_tile_tokens_are_as_many_as_the_processor_counts(name, size):
    """The processor classes themselves count, on pictures of any shape."""
    from tiny_families import IMAGE, PINPOINTS, build_processor
    from transformers import LlavaNextProcessor, LlavaOnevisionProcessor
    from transformers.image_processing_utils import select_best_resolution

    height, width = size
    cls = LlavaNextProcessor if name == "llava_next" else LlavaOnevisionProcessor
    theirs = cls.__new__(cls)  # its constructor wants a video processor, which wants torchvision
    theirs.image_processor = build_processor(name)
    theirs.patch_size, theirs.num_additional_image_tokens = 8, 0
    theirs.num_image_tokens, theirs.vision_aspect_ratio = 16, "anyres_max_2"
    expected = theirs._get_number_of_features(height, width, IMAGE, IMAGE) - 16
    best_h, best_w = select_best_resolution((height, width), PINPOINTS)
    canvas = (best_w // IMAGE * 4, best_h // IMAGE * 4, 4)
    most = 2 if name == "llava_onevision" else None
    assert tile_tokens((width, height), canvas, most) == expected


def test_tile_tokens_by_hand():
    # 400 x 200 on 48 x 48 tokens: 24 rows are left of 48, each with a line break.
    assert tile_tokens((400, 200), (48, 48, 24)) == 24 * 48 + 24
    assert tile_tokens((200, 400), (48, 48, 24)) == 48 * 24 + 48
    assert tile_tokens((300, 300), (48, 48, 24)) == 48 * 48 + 48
    # Above 1.1 times the root of most_tiles tiles' tokens they are pooled: ratio sqrt(4 / 1) = 2.
    assert tile_tokens((300, 300), (48, 48, 24), most_tiles=1) == 24 * 24 + 24


def test_resized_pad_regions_by_hand():
    assert resized_pad_region(200, 100, 50) == (0, -48, 200, 152)
    assert resized_pad_region(100, 200, 50) == (-48, 0, 152, 200)
    assert resized_pad_region(64, 64, 50) == (0, 0, 64, 64)
    # A strip of 3 rows becomes 14, not 0: its rows are stretched, the square's edges with them.
    x0, y0, x1, y1 = resized_pad_region(300, 3, 50, 14)
    assert (x0, x1) == (0, 300)
    assert (y0, y1) == pytest.approx((-18 * 3 / 14, 32 * 3 / 14))


@pytest.mark.parametrize("name", ["deepseek_vl", "deepseek_vl_hybrid"])
def test_deepseek_pads_as_its_processor_does(parts, name):
    from PIL import Image

    model, tokenizer, processor = parts(name)
    image = np.random.default_rng(0).integers(0, 256, (64, 101, 3), dtype=np.uint8)
    own = processor(images=Image.fromarray(image), return_tensors="np")
    ours = family_class(name)(model.config, tokenizer, processor).prepare(image).inputs
    assert set(ours) == set(own)
    for key in own:
        np.testing.assert_array_equal(ours[key], own[key])


def test_onevision_pads_to_one_view(parts):
    model, tokenizer, processor = parts("llava_onevision")
    family = family_class("llava_onevision")(model.config, tokenizer, processor, padding="pad")
    prepared = family.prepare(np.zeros((90, 200, 3), np.uint8))
    assert prepared.inputs["pixel_values"].shape == (1, 1, 3, 32, 32)
    assert len(prepared.prefix_ids) == len(family.prefix_ids) + 1  # the line break
    model.config.vision_aspect_ratio, old = "anyres", model.config.vision_aspect_ratio
    try:
        with pytest.raises(GroundingError, match="such as 'anyres_max_9'"):
            family_class("llava_onevision")(model.config, tokenizer, processor).prepare(
                np.zeros((90, 200, 3), np.uint8)
            )
    finally:
        model.config.vision_aspect_ratio = old
