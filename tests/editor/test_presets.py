"""Presets: the shipped ones are valid, and bad ones are refused with the remedy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from groundbrush.editor.errors import GroundbrushError
from groundbrush.editor.models.models import Models
from groundbrush.editor.models.presets import load_preset, preset_names
from groundbrush.grounding import GroundingSettings, backend_class
from groundbrush.grounding.families import FAMILIES

SHIPPED = preset_names()


def write(path: Path, **changes: object) -> Path:
    """The miniature preset as a file of one's own, with some names changed or (None) left out."""
    raw = json.loads(load_preset("miniature").source.read_text())
    raw |= changes
    file = path / "own.json"
    file.write_text(json.dumps({k: v for k, v in raw.items() if v is not None}))
    return file


def test_the_embedded_preset_comes_first() -> None:
    assert SHIPPED[0] == "miniature"
    assert {"llava-1.5-7b", "llava-1.5-13b"} <= set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_presets_hold_what_the_layers_below_accept(name: str) -> None:
    preset = load_preset(name)
    assert preset.name == name
    if preset.find:
        backend_class(preset.find["backend"]).settings_from(preset.grounding)
        assert "unmeasured" in preset.find["provenance"]
    else:
        assert preset.lvlm["family"] in FAMILIES
        assert preset.lvlm["provenance"]
        assert all(len(pair) == 2 for pair in preset.lvlm["heads"])
        GroundingSettings.from_dict(preset.grounding)
    Models(preset).inpaint_settings(removing=False, changes={})
    Models(preset).inpaint_settings(removing=True, changes={"steps": 3})


def test_unknown_name_suggests_a_near_one() -> None:
    with pytest.raises(
        GroundbrushError, match=r"unknown preset 'minature' \(did you mean miniature"
    ):
        load_preset("minature")


def test_missing_file_is_named() -> None:
    with pytest.raises(GroundbrushError, match=r"preset file nowhere\.json is not there"):
        load_preset("nowhere.json")
    with pytest.raises(GroundbrushError, match="preset of type NoneType given; expected a name"):
        load_preset(None)


def test_not_json(tmp_path: Path) -> None:
    file = tmp_path / "own.json"
    file.write_text("{")
    with pytest.raises(GroundbrushError, match="cannot be read as JSON"):
        load_preset(file)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"segmenter": None}, "segmenter is None; expected an object with a .path."),
        ({"lvlm": "llava"}, "lvlm is 'llava'; expected an object"),
        ({"find": {"backend": "sam3", "path": "a/b"}}, "holds both lvlm and find; expected one"),
        ({"lvlm": None, "find": {"backend": "sam3"}}, "find: path is None; expected a folder"),
        (
            {"lvlm": None, "find": {"backend": "sam3", "path": "a/b", "model": 1}},
            "find holds the unknown name 'model'; expected some of backend, path, revision, dtype",
        ),
        ({"segmentr": {}}, "unknown name 'segmentr' .did you mean 'segmenter'"),
    ],
)
def test_wrong_content(tmp_path: Path, changes: dict, words: str) -> None:
    with pytest.raises(GroundbrushError, match=words):
        load_preset(write(tmp_path, **changes))


def test_preset_pointing_nowhere_is_said_at_load(tmp_path: Path) -> None:
    preset = load_preset(write(tmp_path, lvlm={"path": "./not/here", "heads": [[0, 0]]}))
    with pytest.raises(GroundbrushError, match="points to .* which is not there"):
        Models(preset, offline=True).grounder()


def test_repository_offline_is_refused_without_network(tmp_path: Path) -> None:
    preset = load_preset(write(tmp_path, lvlm={"path": "nobody/nothing", "heads": [[0, 0]]}))
    with pytest.raises(GroundbrushError, match="nobody/nothing"):
        Models(preset, offline=True).grounder()


def test_unknown_device() -> None:
    with pytest.raises(GroundbrushError, match="device 'tpu' given; expected one of auto, cpu"):
        Models(load_preset("miniature"), device="tpu")
