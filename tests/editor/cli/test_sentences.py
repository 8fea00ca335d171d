"""``groundbrush ground-all`` and ``groundbrush apply``, with the real miniature models."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from groundbrush.editor.cli.main import main
from groundbrush.editor.plan import Plan
from groundbrush.multiobject.export.coco import rgb_to_id
from groundbrush.multiobject.export.rle import decode_rle
from PIL import Image

SENTENCE = "replace the dog with a cat and remove the cup"


def test_the_plan_is_shown_without_a_model(tmp_path: Path, capsys) -> None:
    plan = tmp_path / "plan.json"
    status = main(["apply", "missing.png", SENTENCE, "--plan-only", "--plan", str(plan)])
    assert status == 0
    assert capsys.readouterr().out.splitlines() == [
        "1. replace “the dog” with “a cat”   [replace the dog with a cat]",
        "2. remove “the cup”   [remove the cup]",
    ]
    assert [s.find for s in Plan.load(plan).steps] == ["the dog", "the cup"]
    assert main(["apply", "missing.png", "--plan-only", "--plan", str(plan), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == Plan.load(plan).as_dict()


def test_a_plan_is_written_over_nothing_but_a_plan(tmp_path: Path, capsys) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(b"all I have")
    assert main(["apply", str(photo), SENTENCE, "--plan-only", "--plan", str(photo)]) == 1
    assert "is there already and is no plan" in capsys.readouterr().err
    assert photo.read_bytes() == b"all I have"
    for sentence in (SENTENCE, "remove the dog"):
        plan = tmp_path / "plan.json"
        assert main(["apply", str(photo), sentence, "--plan-only", "--plan", str(plan)]) == 0
    assert len(Plan.load(plan).steps) == 1


def test_what_is_not_understood_is_status_1_and_paints_nothing(tmp_path: Path, capsys) -> None:
    assert main(["apply", "missing.png", "remove the dog or the cat", "--plan-only"]) == 1
    assert "not read:" in capsys.readouterr().out
    assert main(["apply", "missing.png", "remove the dog or the cat", "--out", str(tmp_path)]) == 1
    assert "not all of the sentence was understood" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_neither_sentence_nor_plan_is_wrong_usage(capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["apply", "x.png"])
    assert stop.value.code == 2
    assert "give a SENTENCE or --plan FILE" in capsys.readouterr().err


def test_apply_writes_the_result_the_strip_and_the_plan(scene_file, tmp_path: Path, capsys) -> None:
    path, scene, asked = scene_file
    status = main(
        [
            "apply",
            str(path),
            f"replace {asked.text} with a book",
            "--steps",
            "2",
            "--out",
            str(tmp_path),
            "--offline",
            "--json",
        ]
    )
    facts = json.loads(capsys.readouterr().out)
    assert status == 0
    assert facts["done"]
    assert facts["steps"][0]["recipe"]["find"] == asked.text
    with Image.open(facts["result"]) as result:
        changed = (np.asarray(result.convert("RGB")) != scene.image).any(2)
    assert 0 < changed.sum() <= facts["steps"][0]["support_pixels"]
    assert Plan.load(facts["plan"]).steps[0].paint == "a book"
    assert Path(facts["strip"]).is_file()


def test_another_plan_for_the_picture_goes_beside_the_first(scene_file, tmp_path: Path) -> None:
    path, _, asked = scene_file

    def applied(colour: str, seed: int = 0, *more: str) -> None:
        said = f"make {asked.text} {colour}"
        assert (
            main(
                [
                    "apply",
                    str(path),
                    said,
                    "--steps",
                    "2",
                    "--seed",
                    str(seed),
                    "--out",
                    str(tmp_path),
                    "--offline",
                    "--quiet",
                    *more,
                ]
            )
            == 0
        )

    applied("blue")
    first = {file: file.read_bytes() for file in tmp_path.iterdir()}
    assert sorted(file.name for file in first) == [
        "scene.applied.png",
        "scene.plan.json",
        "scene.steps.png",
    ]
    applied("green")
    applied("blue", seed=1)
    applied("blue")  # the same again
    applied("blue", 1, "--format", "webp")
    assert {file: file.read_bytes() for file in first} == first
    assert sorted(file.name for file in tmp_path.glob("*.applied.*")) == [
        "scene-2.applied.png",
        "scene-3.applied.png",
        "scene-3.applied.webp",
        "scene.applied.png",
    ]


def test_what_was_found_before_stays(scene_file, tmp_path: Path) -> None:
    path, _, asked = scene_file
    (tmp_path / "scene.found.png").write_bytes(b"somebody's")
    (tmp_path / "scene.labelme.json").write_bytes(b"somebody's")
    for _ in range(2):  # the same again goes where it was
        assert main(["ground", str(path), asked.text, "--out", str(tmp_path), "--offline"]) == 0
        assert (
            main(
                [
                    "ground-all",
                    str(path),
                    asked.text,
                    "--out",
                    str(tmp_path),
                    "--offline",
                    "--export",
                    "labelme",
                ]
            )
            == 0
        )
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "scene-2.all.png",
        "scene-2.found.png",
        "scene-2.labelme.json",
        "scene.found.png",
        "scene.labelme.json",
    ]
    assert (tmp_path / "scene.found.png").read_bytes() == b"somebody's"
    (tmp_path / "scene-2.labelme.json").write_bytes(b"corrected by hand")
    assert (
        main(
            [
                "ground-all",
                str(path),
                asked.text,
                "--out",
                str(tmp_path),
                "--offline",
                "--export",
                "labelme",
            ]
        )
        == 0
    )
    assert (tmp_path / "scene-2.labelme.json").read_bytes() == b"corrected by hand"
    assert (tmp_path / "scene-3.labelme.json").is_file()


def test_ground_all_writes_a_legend_and_exports(scene_file, tmp_path: Path, capsys) -> None:
    path, _, asked = scene_file
    status = main(
        [
            "ground-all",
            str(path),
            f"{asked.text} and a zeppelin",
            "--out",
            str(tmp_path),
            "--offline",
            "--json",
            "--export",
            "coco-panoptic",
            "--export",
            "coco-instances",
            "--export",
            "labelme",
        ]
    )
    facts = json.loads(capsys.readouterr().out)
    assert status == 0
    found, strange = facts["segments"]
    assert found["status"] != "absent"
    assert strange["status"] == "unknown"
    with Image.open(facts["overlay"]) as sheet:
        assert sheet.width > sheet.height
    with Image.open(facts["panoptic PNG"]) as png:
        ids = rgb_to_id(np.asarray(png.convert("RGB")))
    document = json.loads(Path(facts["panoptic JSON"]).read_text())
    (annotation,) = document["annotations"]
    assert annotation["file_name"] == Path(facts["panoptic PNG"]).name
    assert [s["area"] for s in annotation["segments_info"]] == [(ids == 1).sum()]
    (instance,) = json.loads(Path(facts["coco-instances"]).read_text())["annotations"]
    assert decode_rle(instance["segmentation"]).sum() == found["area"]
    (shape,) = json.loads(Path(facts["labelme"]).read_text())["shapes"][:1]
    assert shape["label"] == found["name"]


def test_a_sentence_that_names_nothing_there_is_status_1(scene_file, tmp_path, capsys) -> None:
    path, _, _ = scene_file
    command = ["ground-all", str(path), "it is quiet", "--out", str(tmp_path), "--offline"]
    assert main(command) == 1
    assert "names nothing that could be pointed at" in capsys.readouterr().out
