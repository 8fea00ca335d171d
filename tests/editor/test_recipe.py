"""Recipes survive a round trip and refuse what they cannot mean."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from groundbrush.editor.errors import GroundbrushError
from groundbrush.editor.request import carried, chained, make_request, read_request

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
    file.write_text(json.dumps(request))
    again = read_request(file)
    assert {k: again[k] for k in request} == request


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
        read_request({**make_request("edit", **WORDS), **changes})


def test_a_chain_is_flat_and_in_order() -> None:
    first, second, third = ({**make_request("edit", **WORDS), "seed": k} for k in range(3))
    both = chained([first, second])
    assert [one["seed"] for one in (*both["before"], both)] == [0, 1]
    every = chained([both, third])
    assert [one["seed"] for one in (*every["before"], every)] == [0, 1, 2]
    assert all("before" not in one for one in every["before"])
    assert chained([first]) == first
    assert [one["seed"] for one in read_request(every)["before"]] == [0, 1]


def test_a_file_carries_the_last_one_where_all_are_too_long(monkeypatch) -> None:
    recipes = [make_request("edit", **WORDS) for _ in range(3)]
    assert carried(recipes) == (chained(recipes), ())
    monkeypatch.setattr("groundbrush.editor.request.RECIPE_LIMIT", 400)
    recipe, notes = carried(recipes)
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
        read_request({**make_request("edit", **WORDS), "before": before})


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
    assert make_request("edit", find="the note", paint=words)["paint"] == words
