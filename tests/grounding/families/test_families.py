"""Picture and prompt preparation of the LLaVA family."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from groundbrush.grounding import Presence
from groundbrush.grounding.errors import GroundingError
from groundbrush.grounding.families import FAMILIES, Family, ImageTokens, family_class
from groundbrush.grounding.families.geometry import crop_region, pad_to_square, squash_region
from groundbrush.grounding.families.llava import LlavaFamily
from hypothesis import given
from hypothesis import strategies as st

PROMPT = "a picture : <image> {phrase} ."
SIZES = [(90, 200), (200, 90), (120, 120), (101, 64), (64, 101)]


@pytest.fixture(scope="module")
def family(make_llava, make_tokenizer, make_processor):
    config = make_llava().config

    def make(*, strategy="default", with_image=True, prompt=PROMPT, **settings) -> LlavaFamily:
        own = config if strategy == "default" else make_llava(strategy=strategy).config
        tokenizer = make_tokenizer(with_image=with_image)
        return LlavaFamily(own, tokenizer, make_processor(), prompt=prompt, **settings)

    return make


# Geometry


def test_regions_by_hand():
    for size, expected in {(275, 183): (0, -46, 275, 229), (3, 8): (-2, 0, 6, 8)}.items():
        assert pad_to_square(np.zeros((*size[::-1], 3), np.uint8), (0, 0, 0))[1] == expected
    assert squash_region(30, 20) == (0.0, 0.0, 30.0, 20.0)
    # 16:9 at 336: 597 wide, 130 cut off on the left, so 44% of the width is lost.
    x0, y0, x1, y1 = crop_region(1920, 1080, 336)
    assert (y0, y1) == (0.0, 1080.0)
    assert x0 == pytest.approx(130 * 1920 / 597)
    assert 1 - (x1 - x0) / 1920 == pytest.approx(0.437, abs=1e-3)
    # 175 x 100 at 50: the width 87.5 is cut to 87 and the corner (87 - 50) / 2 to 18.
    assert crop_region(175, 100, 50) == pytest.approx((18 * 175 / 87, 0, 68 * 175 / 87, 100))
    assert crop_region(100, 175, 50) == pytest.approx((0, 18 * 175 / 87, 100, 68 * 175 / 87))


@given(st.integers(1, 40), st.integers(1, 40))
def test_padded_square_holds_the_image_at_its_region(width, height):
    image = np.full((height, width, 3), 200, np.uint8)
    square, region = pad_to_square(image, (1, 2, 3))
    x0, y0, x1, y1 = (int(v) for v in region)
    assert x1 - x0 == y1 - y0 == len(square) == max(width, height)
    assert abs((x0 + x1) - width) <= 1 and abs((y0 + y1) - height) <= 1
    inside = np.zeros(square.shape[:2], bool)
    inside[-y0 : -y0 + height, -x0 : -x0 + width] = True
    assert (square[inside] == 200).all()
    assert (square[~inside] == (1, 2, 3)).all()


@pytest.mark.parametrize("padding", ["pad", "crop", "squash"])
@pytest.mark.parametrize("size", SIZES)
def test_a_bright_block_comes_back_at_its_pixels(family, padding, size):
    """Through the real PIL processor: brightness per patch, mapped back by the region."""
    height, width = size
    adapter = family(padding=padding)
    for cy, cx in [(0.5, 0.5), (0.42, 0.62), (0.6, 0.4)]:
        image = np.zeros((height, width, 3), np.uint8)
        y0, x0 = int(cy * height) - 7, int(cx * width) - 7
        image[y0 : y0 + 14, x0 : x0 + 14] = 255
        prepared = adapter.prepare(image)
        pixels = prepared.inputs["pixel_values"]
        assert pixels.shape == (1, 3, 32, 32) and pixels.dtype == np.float32
        # Undo the normalisation so that only the block carries weight (padding is flat: removed).
        light = pixels[0] * np.reshape(adapter.image_processor.image_std, (3, 1, 1))
        light = (light + np.reshape(adapter.image_processor.image_mean, (3, 1, 1))).mean(0)
        light = np.where(light > 0.55, light, 0)
        rows, columns = prepared.tokens.grid_hw
        cells = light.reshape(rows, 32 // rows, columns, 32 // columns).mean((1, 3))
        rx0, ry0, rx1, ry1 = prepared.tokens.region_xyxy
        cell_w, cell_h = (rx1 - rx0) / columns, (ry1 - ry0) / rows
        ys, xs = np.mgrid[:rows, :columns] + 0.5
        x = rx0 + (cells * xs).sum() / cells.sum() * cell_w
        y = ry0 + (cells * ys).sum() / cells.sum() * cell_h
        assert abs(x - (x0 + 7)) < 0.5 * cell_w, (padding, size, x, x0 + 7)
        assert abs(y - (y0 + 7)) < 0.5 * cell_h, (padding, size, y, y0 + 7)


@pytest.mark.parametrize("size", SIZES)
def test_crop_is_what_the_processor_does_by_itself(family, make_processor, size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    own = make_processor()(images=image, return_tensors="np")["pixel_values"]
    ours = family(padding="crop").prepare(image).inputs["pixel_values"]
    np.testing.assert_array_equal(ours, own)


@pytest.mark.parametrize("size", SIZES)
def test_pad_is_what_the_llava_processor_does(family, size):
    from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    processor = LlavaImageProcessorPil(
        do_pad=True, size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    own = processor(images=image, return_tensors="np")["pixel_values"]
    adapter = family(padding="pad")
    np.testing.assert_array_equal(adapter.prepare(image).inputs["pixel_values"], own)
    adapter.image_processor = processor  # its own padding must not be applied on top
    np.testing.assert_array_equal(adapter.prepare(image).inputs["pixel_values"], own)


def test_three_pixel_high_images_are_not_read_as_channels_first(family):
    image = np.zeros((3, 30, 3), np.uint8)
    image[:, :15] = 255
    pixels = family(padding="squash").prepare(image).inputs["pixel_values"][0]
    assert (pixels[:, :, :12] > pixels[:, :, 20:].max()).all()


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
        "picture.png",
    ],
)
def test_wrong_images_are_refused(family, image):
    with pytest.raises(GroundingError, match=r"image is .*expected .*\(H, W, 3\)"):
        family().prepare(image)


def test_a_strip_is_too_thin_to_crop_but_not_to_pad(family):
    strip = np.zeros((2, 200, 3), np.uint8)
    with pytest.raises(GroundingError, match="200 x 2 is too thin.*padding='pad'"):
        family(padding="crop").prepare(strip)
    assert family(padding="pad").prepare(strip).tokens.region_xyxy == (0, -99, 200, 101)


# Prompts


def test_prompt_expands_the_image_and_finds_the_query(family):
    adapter = family()
    prompt = adapter.prompts.build("  Red \n cup ")
    # <s> a picture : <image>x16 red cup .
    assert prompt.ids == (2, 5, 6, 7, *[4] * 16, 9, 11, 8)
    assert prompt.phrase == "Red cup"
    assert prompt.expression == (20, 22)
    assert prompt.offsets == ((0, 3), (4, 7))
    assert prompt.query == 22
    assert adapter.prefix_ids == prompt.ids[:20]
    tokens = adapter.prepare(np.zeros((8, 8, 3), np.uint8)).tokens
    assert (tokens.start, tokens.grid_hw) == (4, (4, 4))
    assert family(query="expression").prompts.build("red cup").query == 21
    assert family(query="prompt").prompts.build("red cup").query == 22


def test_class_token_of_the_full_strategy_is_not_part_of_the_grid(family):
    adapter = family(strategy="full")
    assert adapter.prompts.build("dog").ids.count(4) == 17
    tokens = adapter.prepare(np.zeros((8, 8, 3), np.uint8)).tokens
    assert (tokens.start, tokens.count) == (5, 16)


def test_tokenizer_without_placeholder_gives_the_same_prompt(family):
    one, other = family(), family(with_image=False)
    for phrase in ("dog", "the red cup left of the dog"):
        assert other.prompts.build(phrase) == one.prompts.build(phrase)
    assert other.prefix_ids == one.prefix_ids


def test_another_template_continues_the_opening(family):
    adapter = family()
    expected = (*adapter.prefix_ids, 16, 17, 12, 18)
    assert adapter.prompts.build("dog", "is there {phrase} ?").ids == expected
    assert adapter.prompts.build("dog", "a picture : <image> is there {phrase} ?").ids == expected
    with pytest.raises(GroundingError, match="must open with 'a picture : <image>'"):
        adapter.prompts.build("dog", "the picture : <image> {phrase}")


def test_llava_15_template_keeps_the_line_break(family):
    adapter = family(prompt=None)
    assert adapter.prompts.full_template("is it {phrase}?") == "USER: <image>\nis it {phrase}?"


def test_braces_in_a_phrase_are_only_text(family):
    assert family().prompts.build("red {phrase} {0}").phrase == "red {phrase} {0}"


def test_byte_level_merges_across_the_phrase_border(make_llava, make_processor):
    """A BPE tokenizer that joins the phrase's end and the following full stop in one token."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {w: i for i, w in enumerate(["[UNK]", "a", "b", "c", "<image>", ".", "b.", "Ġ"])}
    core = Tokenizer(models.BPE(vocabulary, [("b", ".")], unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([AddedToken("<image>", special=True)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="[UNK]")
    config = make_llava().config
    adapter = LlavaFamily(
        config, tokenizer, make_processor(), prompt="c<image>{phrase}.", query="expression"
    )
    prompt = adapter.prompts.build("ab")
    assert prompt.ids == (3, *[4] * 16, 1, 6)  # c <image> a "b."
    assert prompt.query == 18
    assert prompt.offsets == ((0, 1), (1, 2))
    assert adapter.prefix_ids == prompt.ids[:17]


def test_unknown_words(family):
    assert family().prompts.unknown_words("the zebra left of a Dog x") == ("zebra", "x")
    assert family().prompts.unknown_words("the red cup") == ()


def test_answer_ids(family):
    adapter = family()
    assert adapter.prompts.answer_id("yes", "is there {phrase} ?") == 19
    with pytest.raises(GroundingError, match="does not know the answer 'perhaps'"):
        adapter.prompts.answer_id("perhaps", "is there {phrase} ?")


@pytest.mark.parametrize("phrase", ["", "  \n ", None, 3])
def test_empty_phrases_are_refused(family, phrase):
    with pytest.raises(GroundingError, match="expected some words"):
        family().prompts.build(phrase)


@pytest.mark.parametrize("token", ["<image>", "</s>", "[PAD]"])
def test_control_tokens_in_a_phrase_are_refused(family, token):
    with pytest.raises(GroundingError, match="control token"):
        family().prompts.build(f"red {token} cup")


@pytest.mark.parametrize(
    "template", ["{phrase}", "<image>", "{phrase} <image>", "<image><image>{phrase}"]
)
def test_templates_need_one_picture_then_one_phrase(family, template):
    with pytest.raises(GroundingError, match="must hold <image> once"):
        family(prompt=template)


def test_settings_are_checked(family, make_llava, make_tokenizer, make_processor):
    with pytest.raises(GroundingError, match="padding='stretch'; expected one of pad, crop"):
        family(padding="stretch")
    with pytest.raises(
        GroundingError, match="query='noun'; expected one of stop, expression, prompt"
    ):
        family(query="noun")
    config = make_llava().config
    config.vision_config.patch_size = 40  # larger than the picture
    with pytest.raises(GroundingError, match="whole number of tokens"):
        LlavaFamily(config, make_tokenizer(), make_processor())
    with pytest.raises(GroundingError, match="fast tokenizer"):
        LlavaFamily(make_llava().config, object(), make_processor())


def test_presence_settings_are_checked():
    assert Presence("{phrase} .", yes=None, no="nothing").yes is None
    with pytest.raises(GroundingError, match="exactly once"):
        Presence("is it there?")
    for bad in ({"no": ""}, {"no": ()}, {"yes": ("yes", "")}, {"no": None}):
        with pytest.raises(GroundingError, match="expected a word"):
            Presence(**bad)


def test_image_tokens_are_checked():
    tokens = ImageTokens(5, (2, 4), (0.0, -50.0, 200.0, 150.0))
    assert tokens.positions.tolist() == list(range(5, 13))
    assert tokens.span == slice(5, 13)
    tiles = ImageTokens(3, (2, 2), (0.0, 0.0, 8.0, 8.0), places=(3, 4, 7, 8))
    assert tiles.span is None and tiles.positions.tolist() == [3, 4, 7, 8]
    with pytest.raises(GroundingError, match="grid of at least 1 x 1"):
        ImageTokens(0, (0, 4), (0, 0, 1, 1))
    for places in [(3, 4, 7), (3, 4, 4, 7), (2, 4, 7, 8), ()]:
        with pytest.raises(GroundingError, match="one for each of 2 x 2 cells"):
            ImageTokens(3, (2, 2), (0, 0, 8, 8), places)
    for region in [(0, 0, 0, 1), (0, 0, float("nan"), 1)]:
        with pytest.raises(GroundingError, match="x0 < x1"):
            ImageTokens(0, (1, 1), region)


# Registry


def test_registry(family):
    assert family_class("llava") is LlavaFamily
    for cls in FAMILIES.values():
        assert cls.model_types and isinstance(family(), Family)
    with pytest.raises(GroundingError, match="did you mean 'llava'"):
        family_class("lava")


def test_families_import_without_torch():
    code = "import sys, grounding.families; assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
