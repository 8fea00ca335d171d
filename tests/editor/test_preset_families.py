"""Every shipped preset's language-model settings fit its family."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from groundbrush.app.commands import add_commands
from groundbrush.editor.cli.main import build_parser
from groundbrush.editor.models.presets import load_preset, preset_names
from groundbrush.grounding import Presence
from groundbrush.grounding.families import family_class

# The tiny models' module lies beside grounding's tests; importlib mode would not find it.
sys.path.insert(0, str(Path(__file__).parents[1] / "grounding"))

LARGE = [n for n in preset_names() if n != "miniature" and not load_preset(n).find]


@pytest.mark.parametrize("name", LARGE)
def test_prompts_padding_and_question_fit_the_family(name):
    from tiny_families import build_config, build_processor, build_tokenizer

    spec = load_preset(name).lvlm
    known = {
        "path",
        "revision",
        "family",
        "dtype",
        "prompt",
        "padding",
        "query",
        "heads",
        "provenance",
        "presence",
        "vision",
        "tokenizer",
        "tiles",
        "calibration",
    }
    assert set(spec) <= known
    tiny = spec["family"]
    family = family_class(tiny)(
        build_config(tiny),
        build_tokenizer(tiny),
        build_processor(tiny),
        prompt=spec.get("prompt"),
        padding=spec.get("padding"),
        query=spec["query"],
        tiles=spec.get("tiles"),
    )
    family.prepare(np.zeros((40, 60, 3), np.uint8))
    if "presence" not in spec:  # loaded without the language head
        assert spec["heads"]
        return
    ask = {k: tuple(v) if isinstance(v, list) else v for k, v in spec["presence"].items()}
    presence = Presence(**ask)
    prompt, question = (
        family.prompts.build("red cup"),
        family.prompts.build("red cup", presence.template),
    )
    n = len(family.prefix_ids)
    assert prompt.ids[:n] == question.ids[:n] == family.prefix_ids
    assert len(question.ids) > len(prompt.ids[:n])
    assert family.prompts.answer_id("yes", presence.template) != family.prompts.answer_id(
        "no", presence.template
    )


@pytest.mark.parametrize("name", LARGE)
def test_provenance_says_that_nothing_was_measured_here(name):
    preset = load_preset(name)
    said = preset.lvlm["provenance"]
    if preset.lvlm["heads"]:
        assert "not re-measured here" in said
    else:
        assert said.startswith("uncalibrated")
    assert preset.about and preset.licence and preset.size_gb


def test_the_papers_models_are_there():
    """All ten of Kang et al. (CVPR 2025), Tab. 2."""
    assert {
        "deepseek-vl-1.3b",
        "deepseek-vl-7b",
        "internvl-6b",
        "yi-vl-6b",
        "sharegpt4v-7b",
        "llava-7b",
        "llava-13b",
        "llava-1.5-7b",
        "llava-1.5-13b",
        "mini-gemini-2b",
    } <= set(LARGE)


def test_sizes_and_the_pages_table_follow_the_repositories(monkeypatch):
    root = Path(__file__).parents[2]
    monkeypatch.syspath_prepend(str(root / "docs"))
    import build

    page = build.PRESETS.read_text(encoding="utf-8")
    assert build.presets_page() == page, "run `make docs`"
    commands = build_parser([add_commands])
    written = build.PAGE.read_text(encoding="utf-8").split()
    assert build.page(commands).split() == written, "run `make docs`"  # 3.13 aligns otherwise
    facts = json.loads(build.REPOSITORIES.read_text(encoding="utf-8"))
    checked = 0
    for name in preset_names():
        preset = load_preset(name)
        spec = preset.find or preset.lvlm
        paths = [spec["path"], preset.segmenter["path"], preset.inpainter["path"]]
        paths += filter(None, [preset.inpainter.get("vae")])
        if all(path in facts for path in paths) and not spec.get("vision"):
            checked += 1
            assert abs(sum(facts[path]["gb"] for path in paths) - preset.size_gb) <= 0.7, name
    assert checked >= 18
    assert "| paper † | 23.8 | 8.3 | 6.9 |" in page  # 15 of 32 layers
    assert "| paper † | 24 | 15.4 | 6.9 |" in page


def test_the_page_on_models_names_every_preset_and_family():
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    presets = (Path(__file__).parents[2] / "docs" / "measured" / "presets.md").read_text("utf-8")
    for name in LARGE:
        assert f"`{name}`" in presets, name
        assert load_preset(name).lvlm["path"].split("/")[-1].split("-")[0] in presets, name
    for family in {load_preset(name).lvlm["family"] for name in LARGE}:
        assert f"`{family}`" in page, family
