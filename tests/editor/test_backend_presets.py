"""Presets that find with another backend: everything downstream takes their answers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from groundbrush import Editor, GroundbrushError
from groundbrush.editor.batch.grounding_store import load_grounding, save_grounding
from groundbrush.editor.cli.main import main
from groundbrush.editor.evaluation.arms import PAPER, PRESET
from groundbrush.editor.evaluation.job import EvaluationJob, run_evaluation
from groundbrush.editor.explain import explain
from groundbrush.editor.models.models import Models
from groundbrush.editor.models.presets import load_preset
from groundbrush.editor.pictures.overlay import draw_grounding, draw_map
from groundbrush.editor.pictures.picture import open_picture
from PIL import Image

# The tiny models' modules lie beside grounding's tests; importlib mode would not find them.
sys.path.insert(0, str(Path(__file__).parents[1] / "grounding"))

BACKENDS = ("grounding-dino", "sam3")


@pytest.fixture(scope="module")
def presets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A preset file of each backend with a tiny random model; any score will do."""
    from tiny_backends import save_dino, save_sam3

    made = {}
    for name, save in (("grounding-dino", save_dino), ("sam3", save_sam3)):
        folder = tmp_path_factory.mktemp(name)
        raw = json.loads(load_preset("miniature").source.read_text())
        del raw["lvlm"], raw["vocabulary"]
        raw |= {
            "name": name,
            "find": {"backend": name, "path": str(save(folder / "model"))},
            "grounding": {"absent_below": 0.0, "uncertain_below": 0.0},
        }
        made[name] = folder / "preset.json"
        made[name].write_text(json.dumps(raw))
    return made


@pytest.fixture(scope="module")
def editors(presets: dict[str, Path]) -> dict[str, Editor]:
    return {n: Editor.load(p, device="cpu", offline=True) for n, p in presets.items()}


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    image = np.random.default_rng(5).integers(0, 90, (96, 128, 3), dtype=np.uint8)
    image[30:70, 40:90] = (220, 40, 40)
    return image


@pytest.mark.parametrize("name", BACKENDS)
def test_a_preset_finds_edits_and_explains(
    name: str, editors: dict[str, Editor], picture: np.ndarray, tmp_path: Path
) -> None:
    editor = editors[name]
    found = editor.ground(picture, "the red Flurble")  # any word may be queried
    assert found.found and found.heads == () and found.mask.shape == (96, 128)
    assert found.mask.any() and found.detection is not None
    assert draw_grounding(picture, found).shape == draw_map(picture, found).shape == picture.shape
    why = explain(editor, open_picture(picture), found)
    assert why.heads == () and why.combined.shape[2] == 3 and found.reason in why.reason
    save_grounding(tmp_path / "kept.json.gz", found)
    kept, _ = load_grounding(tmp_path / "kept.json.gz")
    np.testing.assert_array_equal(kept.mask, found.mask)
    assert (kept.status, kept.score, kept.heads) == (found.status, found.score, ())
    edit = editor.edit(picture, "the red cup", "a blue cup", settings={"steps": 2})
    assert edit.done and edit.grounding.phrase == "the red cup"
    np.testing.assert_array_equal(edit.image[~edit.support], picture[~edit.support])
    assert edit.recipe()["preset"] == name


@pytest.mark.parametrize("name", BACKENDS)
def test_clicks_and_boxes_go_to_the_segmenter(
    name: str, editors: dict[str, Editor], picture: np.ndarray
) -> None:
    mask = editors[name].mask(picture, box=(40, 30, 90, 70), snap=True).mask
    assert mask.shape == (96, 128) and mask[35:65, 45:85].mean() > 0.5


def test_absent_is_an_answer_and_nothing_is_painted(
    presets: dict[str, Path], picture: np.ndarray
) -> None:
    raw = json.loads(presets["sam3"].read_text()) | {"grounding": {"absent_below": 1.0}}
    strict = presets["sam3"].with_name("strict.json")
    strict.write_text(json.dumps(raw))
    edit = Editor.load(strict, device="cpu", offline=True).edit(picture, "a cup", "a dog")
    assert not edit.done and "needed 1.00" in edit.grounding.reason
    np.testing.assert_array_equal(edit.image, picture)


@pytest.mark.parametrize("name", BACKENDS)
def test_everything_of_a_sentence(
    name: str, editors: dict[str, Editor], picture: np.ndarray
) -> None:
    found = editors[name].ground_all(picture, "a red cup and a dog")
    assert [s.phrase for s in found.segments] == ["the red cup", "the dog"]
    assert all(s.mask.any() and s.status != "absent" for s in found.segments)
    with pytest.raises(GroundbrushError, match="caption"):
        editors[name].ground_all(picture, "a red cup and a dog", mode="caption")


def test_a_repository_that_cannot_be_fetched_is_named() -> None:
    for name in BACKENDS:
        raw = load_preset(name)
        with pytest.raises(GroundbrushError, match=r"is not complete on this machine, and offline"):
            Models(raw, device="cpu", offline=True).grounder()


def test_the_model_of_a_preset_is_named_where_only_it_is_missing(tmp_path: Path) -> None:
    for name in BACKENDS:
        raw = json.loads(load_preset(name).source.read_text())
        raw["segmenter"] = {"path": "bundled:miniature/weights/segmenter"}
        file = tmp_path / "own.json"
        file.write_text(json.dumps(raw))
        with pytest.raises(GroundbrushError, match=f"^{raw['find']['path']}, the detector"):
            Models(load_preset(file), device="cpu", offline=True).grounder()
        raw["find"] = {"backend": "owl", "path": "bundled:miniature/weights/lvlm"}
        raw["inpainter"] = {"path": "bundled:miniature/weights/inpainter"}
        file.write_text(json.dumps(raw))
        with pytest.raises(GroundbrushError, match="find backend 'owl' given; expected one of gr"):
            Models(load_preset(file), device="cpu", offline=True).grounder()


def test_what_needs_heads_says_so(
    presets: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path), "--offline"]
    assert main(["calibrate", str(presets["sam3"]), *out]) == 1
    assert "finds with 'sam3' and has no lvlm, but this needs heads" in capsys.readouterr().err
    job = EvaluationJob(benchmark="scenes", data=tmp_path, out=tmp_path, arms=(PRESET, PAPER))
    with pytest.raises(GroundbrushError, match="no heads or maps to switch, as 'paper' does"):
        run_evaluation(job, load_preset(presets["sam3"]))


def test_presets_shows_the_backend(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets", "sam3", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["find"]["backend"] == "sam3" and "lvlm" not in shown


# ------------------------------------------------------------------------------ evaluation


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory, picture: np.ndarray) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    Image.fromarray(picture).save(folder / "1.png")
    rows: list[dict[str, Any]] = [
        {"image": "1.png", "phrase": "cup", "kind": "name", "box": [40, 30, 90, 70]},
        {"image": "1.png", "phrase": "red cup", "kind": "attribute", "box": [40, 30, 90, 70]},
        {"image": "1.png", "phrase": "cup on the left", "kind": "relation", "box": [0, 0, 9, 9]},
        {"image": "1.png", "phrase": "a dog", "kind": "absent"},
        {"image": "1.png", "phrase": "the red cup " * 20, "kind": "name", "box": [0, 0, 9, 9]},
    ]
    (folder / "examples.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def evaluated(preset: Path, examples: Path, out: Path) -> int:
    return main(
        [
            "evaluate",
            "scenes",
            "--data",
            str(examples),
            "--preset",
            str(preset),
            "--out",
            str(out),
            "--offline",
            "--device",
            "cpu",
            "--quiet",
        ]
    )


def test_evaluate_and_compare(
    presets: dict[str, Path], examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in BACKENDS:
        raw = json.loads(presets[name].read_text())
        raw["grounding"] = {"absent_below": 0.999999}  # evaluation answers nevertheless
        presets[name].with_name("own.json").write_text(json.dumps(raw))
        assert evaluated(presets[name].with_name("own.json"), examples, tmp_path) == 0
    records = [json.loads(line) for line in (tmp_path / "sam3/scenes.jsonl").open()][1:]
    assert [("error" in r) for r in records] == [False] * 4 + [True]
    assert "tokens long; SAM 3 takes 12: shorten it" in records[-1]["error"]
    assert all(r["heads"] == [] and r["status"] != "absent" for r in records[:4])
    assert all(r["map_box_iou"] is not None for r in records[:3])
    page = (tmp_path / "sam3/scenes.md").read_text()
    assert "backend: sam3 (" in page and "heads:" not in page and "Acc@0.5 before SAM" in page
    groups = json.loads((tmp_path / "sam3/scenes.json").read_text())["groups"]
    assert groups["all: absent"]["refused"]["value"] == 1
    capsys.readouterr()
    files = [str(tmp_path / name / "scenes.json") for name in BACKENDS]
    assert main(["evaluate", "compare", *files, "--out", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told["groups"]["all: name"]) == list(BACKENDS)
    assert told["groups"]["all: name"]["sam3"] == groups["all: name"]
    text = (tmp_path / "scenes-compared.md").read_text()
    assert "| items | n | grounding-dino | sam3 |" in text and "| all: relation | 1 |" in text
