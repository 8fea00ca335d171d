"""Recipes survive a round trip and refuse what they cannot mean."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from groundbrush.editor.errors import GroundbrushError
from groundbrush.editor.outputs import save_edit
from groundbrush.editor.pictures.picture import read_recipe
from groundbrush.editor.request import chained, make_request, read_request, recipe_for_file

WORDS = {
    "find": "the red apple",
    "paint": "a green pear",
    "seed": 7,
    "variants": 2,
    "candidate": None,
    "settings": {"steps": 4},
}


def test_round_trip_through_a_file(tmp_path: Path) -> None:
    request = make_request("edit", **WORDS)
    file = tmp_path / "recipe.json"
    file.write_text(json.dumps(request.as_dict()))
    again = read_request(file)
    assert again == request


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": -1}, "seed is -1; expected a whole number from 0"),
        ({"seed": True}, "seed is True"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"variants": 0}, "variants is 0; expected a whole number from 1 to 16"),
        ({"candidate": -1}, "candidate is -1"),
        ({"find": "  "}, "find is '  '; expected some words"),
        ({"settings": 3}, "settings is 3; expected a mapping"),
    ],
)
def test_bad_values_are_named(changes: dict, words: str) -> None:
    with pytest.raises(GroundbrushError, match=words):
        make_request("edit", **{**WORDS, **changes})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"groundbrush": 99}, "recipe version 99"),
        ({"action": "explode"}, "action is 'explode'; expected one of edit, remove"),
        ({"surprise": 1}, "unknown name 'surprise'"),
        ({"paint": None}, "paint is None; expected some words that say what to paint"),
        ({"image": "x.png"}, "image is 'x.png'"),
    ],
)
def test_what_is_no_recipe(changes: dict, words: str) -> None:
    with pytest.raises(GroundbrushError, match=words):
        read_request({**make_request("edit", **WORDS).as_dict(), **changes})


def test_a_chain_is_flat_and_in_order() -> None:
    recipe = make_request("edit", **WORDS).as_dict()
    first, second, third = ({**recipe, "seed": k} for k in range(3))
    both = chained([first, second])
    assert [one["seed"] for one in (*both["before"], both)] == [0, 1]
    every = chained([both, third])
    assert [one["seed"] for one in (*every["before"], every)] == [0, 1, 2]
    assert all("before" not in one for one in every["before"])
    assert chained([first]) == first
    assert [one.seed for one in read_request(every).before] == [0, 1]


def test_a_file_carries_the_last_one_where_all_are_too_long(monkeypatch) -> None:
    recipes = [make_request("edit", **WORDS).as_dict() for _ in range(3)]
    assert recipe_for_file(recipes) == (chained(recipes), ())
    monkeypatch.setattr("groundbrush.editor.request.RECIPE_LIMIT", 400)
    recipe, notes = recipe_for_file(recipes)
    assert recipe == recipes[-1]
    assert "3 recipes" in notes[0]


@pytest.mark.parametrize(
    ("before", "words"),
    [
        ("edit", "expected a list of fewer than 100 recipes"),
        ([{}] * 100, "expected a list of fewer than 100 recipes"),
        ([3], "not the recipe of one edit"),
        ([{"groundbrush": 1, "before": [{}]}], "not the recipe of one edit"),
        ([{"groundbrush": 1, "action": "edit", "find": "", "paint": "a"}], "find is ''"),
        ([{"groundbrush": 9}], "recipe version 9 given"),
    ],
)
def test_what_cannot_come_before(before, words: str) -> None:
    with pytest.raises(GroundbrushError, match=words):
        read_request({**make_request("edit", **WORDS).as_dict(), "before": before})


@pytest.mark.parametrize("name", ["find", "paint"])
def test_half_a_character_is_refused(name: str) -> None:
    words = {"find": "the cup", "paint": "a vase"} | {name: "the red apple \udce9"}
    with pytest.raises(GroundbrushError, match=f"{name} is .*not whole text at character 15"):
        make_request("edit", **words)


@pytest.mark.parametrize(
    "words", ["not the red apple", "everything but the dog", "All except the cup"]
)
def test_all_but_a_thing_is_refused_with_the_way_to_it(words: str) -> None:
    with pytest.raises(GroundbrushError, match="expected the thing itself.*--invert"):
        make_request("edit", find=words, paint="a vase")
    assert make_request("edit", find="the note", paint=words).paint == words


def test_a_saved_recipe_names_the_picture_from_its_own_folder(
    miniature: Any, scene_file: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, (path, _, asked) = tmp_path / "home", scene_file
    home.mkdir()
    shutil.copy(path, home / "scene.png")
    edit = miniature.edit(home / "scene.png", asked.text, "a frog", settings={"steps": 2})
    edit.save(home / "out" / "frog.png")
    files, _ = save_edit(edit, home / "out", "png")
    for saved in (home / "out" / "frog.png", files["result"], files["recipe"]):
        assert read_recipe(saved)["image"]["path"] == "../scene.png"
        assert str(tmp_path) not in json.dumps(read_recipe(saved))
    edit.save(home / "asked.png", relative=False)
    assert read_recipe(home / "asked.png")["image"]["path"] == str(home / "scene.png")
    home.rename(tmp_path / "moved")  # the picture and its edits move together
    monkeypatch.chdir(tmp_path)
    for name in ("moved/out/frog.png", f"moved/out/{files['recipe'].name}"):
        again = miniature.run(name)
        assert (again.image == edit.image).all()
    again.save("elsewhere/again.png")
    assert read_recipe("elsewhere/again.png")["image"]["path"] == "../moved/scene.png"
    # as recipes named pictures before: from where the program ran
    monkeypatch.chdir(tmp_path / "moved")
    old = read_recipe(f"out/{files['recipe'].name}")
    old["image"]["path"] = "scene.png"
    Path("out/old.recipe.json").write_text(json.dumps(old))
    shutil.copy("out/frog.png", "out/scene.png")  # another of that name beside the recipe
    assert (miniature.run("out/old.recipe.json").image == edit.image).all()
