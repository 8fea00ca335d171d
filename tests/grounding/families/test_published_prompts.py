"""Prompts, tokens and grids equal those of the published templates and the real processors.

``published.json`` holds the facts.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import transformers
from groundbrush.editor.models.presets import load_preset, preset_names
from groundbrush.grounding.families import FAMILIES, family_class
from PIL import Image

# The tiny tokenizers' module lies beside; pytest's importlib mode would not find it.
sys.path.insert(0, str(Path(__file__).parents[1]))

FACTS = json.loads(Path(__file__).with_name("published.json").read_text("utf-8"))
SAME = {"qwen2_5_vl": "qwen2_vl", "deepseek_vl_hybrid": "deepseek_vl"}
"""Families whose published facts are another's."""
NAMED = {
    "gemma3": {
        "image_token": "<image_soft_token>",
        "boi_token": "<start_of_image>",
        "eoi_token": "<end_of_image>",
    },
    "internvl": {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
    },
}
"""What the published tokenizers call the tokens of a picture, beside ``image_token``."""


def facts_of(name: str) -> dict:
    return FACTS[SAME.get(name, name)]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_familys_prompt_is_its_published_templates(name):
    facts, ours = facts_of(name), family_class(name).default_prompt
    assert ours.replace("<image>", facts["picture"]).replace("{phrase}", "WORDS") == facts["prompt"]


@pytest.fixture
def published(monkeypatch):
    """A family and the real processor by the published numbers, with one tiny tokenizer."""
    from tiny_families import build_config, build_processor, build_tokenizer
    from transformers.models.smolvlm import processing_smolvlm
    from transformers.processing_utils import ProcessorMixin

    # Processors ask for packages that only their videos need.
    monkeypatch.setattr(ProcessorMixin, "check_argument_for_proper_class", lambda *_: object)
    monkeypatch.setattr(processing_smolvlm, "num2words", str)

    def make(name: str):
        facts, family = facts_of(name), family_class(name)
        tokenizer, config = build_tokenizer(name), build_config(name)
        for attribute, token in NAMED.get(name, {"image_token": family.image_token}).items():
            setattr(tokenizer, attribute, token)
            setattr(tokenizer, f"{attribute}_id", tokenizer.convert_tokens_to_ids(token))
        tokenizer.video_token, tokenizer.video_token_id = "<video>", -1
        pictures = build_processor(name)
        pictures = type(pictures)(**facts["image"])
        for part, values in (
            (config.vision_config, facts["vision"]),
            (config, facts.get("config")),
        ):
            for key, value in (values or {}).items():
                setattr(part, key, value)
        if hasattr(pictures, "image_grid_pinpoints"):
            config.image_grid_pinpoints = pictures.image_grid_pinpoints
        kind = next(
            getattr(transformers, known)
            for known in dir(transformers)
            if known.lower().replace("_", "") == f"{name}_processor".replace("_", "")
        )
        video = {"video_processor": None} if "video_processor" in kind.get_attributes() else {}
        theirs = kind(pictures, tokenizer, **video, **facts["processor"])
        return family(config, tokenizer, pictures, padding="squash", query="expression"), theirs

    return make


@pytest.mark.parametrize("name", [n for n in FAMILIES if "processor" in facts_of(n)])
def test_tokens_are_those_of_the_real_processor(published, name):
    """The query token alone is ours: a full stop, see ``test_query_token``."""
    family, processor = published(name)
    facts, picture = facts_of(name), np.zeros((512, 512, 3), np.uint8)
    prepared, prompt = family.prepare(picture), family.prompts.build("red cup")
    text = facts["prompt"].replace("WORDS", "red cup")
    text = text.removeprefix("<image>").strip() if name == "paligemma" else text
    (expected,) = processor(images=[Image.fromarray(picture)], text=[text])["input_ids"]
    ours = [*(prepared.prefix_ids or family.prefix_ids), *prompt.ids[len(family.prefix_ids) :]]
    assert ours == list(expected)
    assert list(prepared.tokens.grid_hw) == facts["grid"]
    places = prepared.tokens.positions
    assert set(np.asarray(ours)[places]) == {family.prompts.image_token_id}


@pytest.mark.parametrize("name", ["llava-1.5-7b", "llava-1.5-13b", "photo", "llava-next-7b"])
def test_the_papers_stop_is_all_that_a_preset_adds(name):
    spec = load_preset(name).lvlm
    default = family_class(spec["family"]).default_prompt
    assert spec["prompt"] == default.replace("{phrase}", "{phrase}.")


def test_all_other_prompts_are_those_of_original_layouts():
    own = {name for name in preset_names() if "prompt" in load_preset(name).lvlm}
    hub = {"llava-1.5-7b", "llava-1.5-13b", "photo", "llava-next-7b", "miniature"}
    original = {"llava-7b", "llava-13b", "sharegpt4v-7b", "yi-vl-6b", "internvl-6b"}
    assert own == hub | original | {"mini-gemini-2b"}
