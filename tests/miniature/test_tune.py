"""Tuning: the choice that is written is the one a preset gives back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from groundbrush.editor.models.presets import FOLDER, load_preset
from groundbrush.grounding import GroundingSettings, ProposalSettings
from groundbrush.grounding.heads.discovery import DiscoverySettings
from groundbrush.miniature.heads import LOWEST, SKIP_LAYERS
from groundbrush.miniature.scenes import compose
from groundbrush.miniature.tune import (
    Choice,
    Option,
    Painted,
    asked_of,
    changed,
    options_of,
    write_page,
    write_preset,
)

CHOICE = Choice(
    "expression",
    ((3, 1), (2, 7)),
    GroundingSettings(
        sigma=0.5, absent_below=0.3, proposals=ProposalSettings(prompts=("box", "peak"), peaks=2)
    ),
)


def test_a_written_choice_comes_back_from_the_preset(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    shutil.copy(FOLDER / "miniature.json", path)
    found = {
        "query": CHOICE.query,
        "heads": [list(h) for h in CHOICE.heads],
        "settings": json.loads(json.dumps(changed(CHOICE.settings, GroundingSettings()))),
    }
    write_preset(path, 12, found, {"guidance": 2.5})
    preset = load_preset(str(path))
    assert GroundingSettings.from_dict(preset.grounding) == CHOICE.settings
    assert preset.inpainter["settings"]["guidance"] == 2.5
    assert preset.inpainter["settings"]["steps"] == 20
    assert preset.lvlm["query"] == "expression"
    assert [tuple(h) for h in preset.lvlm["heads"]] == list(CHOICE.heads)
    assert "label-free discovery on 12 validation scenes" in preset.lvlm["provenance"]


def test_only_what_differs_from_the_defaults_is_written() -> None:
    assert changed(GroundingSettings(), GroundingSettings()) == {}
    assert changed(CHOICE.settings, GroundingSettings()) == {
        "sigma": 0.5,
        "absent_below": 0.3,
        "proposals": {"prompts": ("box", "peak"), "peaks": 2},
    }


@pytest.mark.parametrize("setting", ["smoothing", "prompts to SAM", "ranking", "border"])
def test_every_option_differs_from_the_others_in_its_own_setting_only(setting: str) -> None:
    options = options_of(CHOICE, [(0, k) for k in range(8)])[setting].values()
    assert len({repr(o) for o in options}) == len(options) > 1
    assert {o.heads for o in options} == {CHOICE.heads}


def test_questions_are_one_of_a_kind_with_their_targets() -> None:
    scene = compose("validation", 4)
    asked = asked_of(scene, 4)
    assert asked and all(0 <= target < len(scene.objects) for _, target in asked)
    assert asked == asked_of(scene, 4)


def test_the_page_holds_every_option(tmp_path: Path) -> None:
    path = tmp_path / "T.md"
    write_page(
        path,
        [Option("border", "GrabCut", 0.7512, 0.8)],
        "Absent below 0.4.",
        60,
        [Painted("guidance", 2.0, 0.91234, 7.0)],
        24,
    )
    text = path.read_text()
    assert "| border | GrabCut | 0.751 | 0.80 |" in text and "Absent below 0.4." in text
    assert "| guidance | 2.0 | 0.912 | 7.0 |" in text


def test_calibrate_counts_as_many_heads_as_the_tuning_did() -> None:
    own = load_preset("miniature").lvlm["calibration"]
    settings = DiscoverySettings.from_dict(own)
    assert (settings.lowest, settings.skip_layers) == (LOWEST, SKIP_LAYERS)
