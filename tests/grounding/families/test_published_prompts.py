"""Prompts equal what the published chat templates render; ``published.json`` holds the facts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from groundbrush.editor.models.presets import load_preset, preset_names
from groundbrush.grounding.families import family_class

FACTS = json.loads(Path(__file__).with_name("published.json").read_text("utf-8"))
FAMILIES = [name for name in FACTS if name != "about"]
SAME = {"qwen2_5_vl": "qwen2_vl", "deepseek_vl_hybrid": "deepseek_vl"}
"""Families whose published template is another's."""


@pytest.mark.parametrize("name", [*FAMILIES, *SAME])
def test_a_familys_prompt_is_its_published_templates(name):
    facts = FACTS[SAME.get(name, name)]
    ours = family_class(name).default_prompt
    assert ours.replace("<image>", facts["picture"]).replace("{phrase}", "WORDS") == facts["prompt"]


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
