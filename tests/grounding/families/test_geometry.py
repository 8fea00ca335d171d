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
from groundbrush.grounding.errors import GroundingError
from groundbrush.grounding.families import FAMILIES, family_class
from groundbrush.grounding.families.geometry import resized_pad_region, tiled_region
from groundbrush.grounding.families.llava_next import tile_grid, tile_region
from hypothesis import given, settings
from hypothesis import strategies as st

# The tiny models' module lies beside; pytest's importlib mode would not find it.
sys.path.insert(0, str(Path(__file__).parents[1]))

from family_checks import block_comes_back, make_local

CASES = [
    (name, how, tiles)
    for name, cls in FAMILIES.items()
    for how in cls.paddings
    for tiles in cls.tilings
]
ODD = [
    (f"{name}_odd", how, tiles)
    for name in ("llava_onevision", "smolvlm")
    for how in FAMILIES[name].paddings
    for tiles in FAMILIES[name].tilings
]
SIZES = [(90, 200), (187, 90), (120, 120)]


@pytest.fixture(scope="module")
def parts():
    """Model with a local tower, tokenizer and processor of a family, made once."""
    from tiny_families import build_model, build_processor, build_tokenizer

    made = {}

    def get(name: str):
        if name not in made:
            model = build_model(name, seed=1)
            make_local(model)
            made[name] = model, build_tokenizer(name), build_processor(name)
        return made[name]

    return get


@pytest.mark.parametrize(("name", "padding", "tiles"), CASES + ODD)
@pytest.mark.parametrize("size", SIZES)
def test_a_block_comes_back_at_its_pixels(parts, name, padding, tiles, size):
    model, tokenizer, processor = parts(name)
    family = family_class(name.removesuffix("_odd"))(
        model.config, tokenizer, processor, padding=padding, tiles=tiles
    )
    block_comes_back(model, family, size)


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
@settings(deadline=None)  # the first one imports
@given(size=st.tuples(st.integers(5, 900), st.integers(5, 900)))
def test_tiles_take_as_many_tokens_as_the_processor_counts(name, size):
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
    rows, columns = tile_grid((width, height), canvas, most)
    assert rows * columns + rows == expected  # each row with a line break


def test_tile_grids_by_hand():
    # 400 x 200 on 48 x 48 tokens: 24 rows are left of 48.
    assert tile_grid((400, 200), (48, 48, 24)) == (24, 48)
    assert tile_grid((200, 400), (48, 48, 24)) == (48, 24)
    assert tile_grid((300, 300), (48, 48, 24)) == (48, 48)
    # Above 1.1 times the root of most_tiles tiles' tokens they are pooled: ratio sqrt(4 / 1) = 2.
    assert tile_grid((300, 300), (48, 48, 24), most_tiles=1) == (24, 24)


@given(
    size=st.tuples(st.integers(30, 900), st.integers(30, 900)),
    tiles=st.tuples(st.integers(1, 4), st.integers(1, 4)),
)
def test_tile_regions_are_the_picture_but_for_a_cell(size, tiles):
    """Rows or columns of padding are dropped in pairs, so at most a cell is over or lost."""
    canvas = (24 * tiles[0], 24 * tiles[1], 24)
    rows, columns = tile_grid(size, canvas)
    if not (rows and columns):
        return
    x0, y0, x1, y1 = tile_region(size, canvas, 336)
    cell_w, cell_h = (x1 - x0) / columns, (y1 - y0) / rows
    resized = min(size) * min(336 * t / s for t, s in zip(tiles, size, strict=True))
    assert cell_w == pytest.approx(cell_h, rel=1.1 / resized)  # its shorter side is rounded up
    for low, high, side, cell in [(x0, x1, size[0], cell_w), (y0, y1, size[1], cell_h)]:
        assert abs(low) < 1.1 * cell and abs(high - side) < 1.1 * cell


def test_tiled_regions_spread_the_gaps_between_tiles():
    """Cells of 3 tiles of 27 patches of 14 in 384 pixels, against where the patches are."""
    x0, y0, x1, y1 = tiled_region((0, 0, 3 * 384, 384), (1, 3), 378 / 384)
    cells = x0 + (np.arange(81) + 0.5) * (x1 - x0) / 81
    patches = np.concatenate([384 * t + 14 * (np.arange(27) + 0.5) for t in range(3)])
    assert np.abs(cells - patches).max() < 3 and abs((cells - patches).mean()) < 1e-9
    assert (y0, y1) == (-3, 381)


def test_tiles_that_a_family_lacks_are_refused(parts):
    for name, tiles in [("llava", "fine"), ("llava_next", "off"), ("internvl", "coarse")]:
        model, tokenizer, processor = parts(name)
        with pytest.raises(GroundingError, match=f"tiles='{tiles}'; expected one of"):
            family_class(name)(model.config, tokenizer, processor, tiles=tiles)


@pytest.mark.parametrize("name", ["internvl", "idefics3", "smolvlm"])
def test_tiled_prompts_are_the_processors_own(parts, name):
    """The tokens that transformers' processor classes write for a picture in tiles."""
    import transformers as t

    model, tokenizer, processor = parts(name)
    family = family_class(name)(model.config, tokenizer, processor, tiles="fine")
    image = np.random.default_rng(0).integers(0, 256, (90, 200, 3), dtype=np.uint8)
    prepared = family.prepare(image)
    cls = {
        "internvl": t.InternVLProcessor,
        "idefics3": t.Idefics3Processor,
        "smolvlm": t.SmolVLMProcessor,
    }[name]
    theirs = cls.__new__(cls)  # their constructors want video processors and more tokens
    theirs.image_token, theirs.fake_image_token = family.image_token, "<fake_token_around_image>"
    theirs.global_image_tag = theirs.global_image_token = "<global-img>"
    theirs.start_image_token, theirs.end_image_token = "<img>", "</img>"
    theirs.image_seq_len = theirs.image_seq_length = 16
    own = {"crop_to_patches": True} if name == "internvl" else {"return_row_col_info": True}
    out = processor(images=[image], return_tensors="np", **own)
    np.testing.assert_array_equal(out["pixel_values"], prepared.inputs["pixel_values"])
    picture = theirs.replace_image_token(out, 0)
    opening = family.default_prompt.partition("<image>")[0]
    ids = tokenizer(opening + picture)["input_ids"]
    n = len(prepared.prefix_ids)
    assert tuple(ids[:n]) == prepared.prefix_ids and family.image_token not in picture[-5:]
    assert len(ids) == n + 1  # what closes the picture
    views = prepared.inputs["pixel_values"].reshape(-1, 3, 32, 32)
    assert ids.count(model.config.image_token_id) == 16 * len(views)
    assert prepared.tokens.count == 16 * (len(views) - 1)


def test_prompts_without_a_picture_token_cannot_be_tiled(parts):
    model, _, processor = parts("idefics3")
    other = parts("qwen2_vl")[1]  # knows no <image>, so the pieces around it are tokenised
    family = family_class("idefics3")(model.config, other, processor, tiles="fine")
    with pytest.raises(GroundingError, match="expected one each: .*tiles='off'"):
        family.prepare(np.zeros((90, 200, 3), np.uint8))


def test_small_square_pictures_are_one_view(parts):
    model, tokenizer, processor = parts("internvl")
    family = family_class("internvl")(model.config, tokenizer, processor, tiles="fine")
    prepared = family.prepare(np.zeros((20, 20, 3), np.uint8))
    assert prepared.inputs["pixel_values"].shape == (1, 3, 32, 32)
    assert prepared.prefix_ids is None and prepared.tokens.grid_hw == (4, 4)


def test_mini_gemini_mines_each_region_where_it_lies(parts):
    """With the first tower blind, only the second shows the block: at the same cell."""
    model, tokenizer, processor = parts("mini_gemini")
    weight = model.model.vision_tower.embeddings.patch_embedding.weight
    kept = weight.detach().clone()
    try:
        torch.nn.init.zeros_(weight)
        for size in SIZES:
            block_comes_back(
                model, family_class("mini_gemini")(model.config, tokenizer, processor), size
            )
    finally:
        weight.data.copy_(kept)


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
