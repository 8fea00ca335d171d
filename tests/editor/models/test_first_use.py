"""Presets without heads, models without presets, and the scenes that come with the program."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from groundbrush.editor.errors import GroundbrushError
from groundbrush.editor.evaluation.calibration import preset_for, read_data
from groundbrush.editor.models import bundled, first_use
from groundbrush.editor.models.bundled import bundled_scenes, cache_folder
from groundbrush.editor.models.first_use import first_use_heads
from groundbrush.editor.models.models import Models
from groundbrush.editor.models.presets import Preset, load_preset


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("GROUNDBRUSH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def headless(**calibration: object) -> Preset:
    """The miniature without heads in its preset."""
    preset = load_preset("miniature")
    lvlm = {k: v for k, v in preset.lvlm.items() if k not in ("heads", "provenance")}
    return dataclasses.replace(preset, lvlm={**lvlm, "calibration": calibration})


def test_heads_are_found_once_and_kept(planted, squares: Callable, own_cache: Path) -> None:
    loads, said = [], []
    preset = headless(samples=24, trials=2, lowest=3)

    def load():
        loads.append(1)
        return planted

    data = squares(24)
    first = first_use_heads(preset, load, said.append, data=data)
    assert set(first.heads) == {(3, 1), (4, 2), (5, 0)}
    assert "without labels" in first.provenance
    assert any("finding them once" in words for words in said)
    spread = dataclasses.replace(preset, lvlm={**preset.lvlm, "device_map": "auto"})
    again = first_use_heads(spread, load, said.append, data=data)  # on which cards is no matter
    assert (again.heads, again.provenance) == (first.heads, first.provenance)
    assert len(loads) == 1
    # other settings are another question
    first_use_heads(headless(samples=20, trials=2, lowest=3), load, said.append, data=data)
    assert len(loads) == 2


def test_the_wait_is_announced(
    planted, squares: Callable, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(first_use, "SAY_EVERY_S", 0.0)
    first_use_heads(
        headless(samples=24, trials=2, lowest=3), lambda: planted, said.append, data=squares(24)
    )
    lines = [words for words in said if words.startswith("finding heads: ")]
    assert len(lines) >= 3
    assert all(words.endswith("s left") for words in lines)


def test_a_damaged_cache_counts_as_none(planted, squares: Callable, own_cache: Path) -> None:
    preset, data = headless(samples=24, trials=2, lowest=3), squares(24)
    first_use_heads(preset, lambda: planted, print, data=data)
    (file,) = own_cache.glob("heads/*/heads.json")
    file.write_text('{"heads": [[1')
    assert first_use_heads(preset, lambda: planted, print, data=data).heads
    assert json.loads(file.read_text())["heads"]


def test_a_preset_without_heads_grounds_after_calibrating_itself(own_cache: Path) -> None:
    said: list[str] = []
    preset = headless(samples=4, trials=1, skip_layers=1)
    models = Models(preset, device="cpu", offline=True, on_load=said.append)
    heads = models.grounder().lvlm.heads
    assert len(set(heads)) == 3
    assert min(layer for layer, _ in heads) >= 1
    assert (own_cache / "scenes-of-all-shapes-validation-4" / "complete").is_file()
    assert any("names no heads" in words for words in said)
    assert sum("loading the vision-language model" in words for words in said) == 1
    said.clear()
    again = Models(preset, device="cpu", offline=True, on_load=said.append).grounder()
    assert again.lvlm.heads == heads
    assert not any("names no heads" in words for words in said)


def test_the_bundled_scenes_have_truth(own_cache: Path) -> None:
    items = read_data(bundled_scenes(3))
    assert len(items) == 3
    assert all(item.truth.draw(item.truth.size_hw[::-1]).any() and item.box for item in items)


def test_scenes_that_are_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundled, "MODULE", "no_such_scenes")
    with pytest.raises(GroundbrushError, match="could not be composed .*--data FILE"):
        bundled_scenes(3)


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("GROUNDBRUSH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "groundbrush"


def test_a_cache_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("GROUNDBRUSH_CACHE", str(tmp_path / "file"))
    with pytest.raises(GroundbrushError, match="cannot be written"):
        bundled_scenes(3)


def test_a_preset_for_a_model(tmp_path: Path) -> None:
    folder = tmp_path / "my-llava"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llava"}')
    made = preset_for(str(folder))
    assert (made.name, made.lvlm["family"], made.lvlm["path"]) == ("my-llava", "llava", str(folder))
    assert "heads" not in made.lvlm
    assert made.segmenter == load_preset("llava-1.5-7b").segmenter
    assert preset_for("someone/some-model").lvlm["path"] == "someone/some-model"
    assert preset_for("miniature").name == "miniature"


def test_a_model_of_no_known_family(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(GroundbrushError, match="holds a 'bert' model; expected one of"):
        preset_for(str(tmp_path))
    (tmp_path / "config.json").unlink()
    with pytest.raises(GroundbrushError, match=r"has no config\.json"):
        preset_for(str(tmp_path))
    with pytest.raises(GroundbrushError, match="did you mean miniature"):
        preset_for("minature")
