"""The example pictures are what the composer draws, and their phrases are true."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from groundbrush.miniature.phrases import expressions
from groundbrush.miniature.scenes import CROWDED, Scene, compose
from groundbrush.miniature.vocabulary import load_vocabulary
from PIL import Image

FOLDER = Path(__file__).parents[2] / "examples"
ROWS = json.loads((FOLDER / "examples.json").read_text(encoding="utf-8"))
WORDS = load_vocabulary()
by_name = pytest.mark.parametrize("row", ROWS, ids=[row["name"] for row in ROWS])


def scene_of(row: dict) -> Scene:
    return compose(row["split"], row["seed"], CROWDED if row["crowded"] else None)


def true_of(scene: Scene, phrase: str) -> set[int]:
    every = ((i, e) for i in range(len(scene.objects)) for e in expressions(scene, i))
    return {i for i, e in every if e.text == phrase}


def test_there_is_a_picture_for_every_example_and_no_other() -> None:
    assert {path.name for path in FOLDER.glob("*.png")} == {row["image"] for row in ROWS}
    assert len(ROWS) == 6


@by_name
def test_pictures_equal_what_the_composer_draws(row: dict) -> None:
    picture = np.asarray(Image.open(FOLDER / row["image"]))
    assert row["split"] == "heldout" and (picture == scene_of(row).image).all()


@by_name
def test_phrases_are_true_of_exactly_one_object(row: dict) -> None:
    scene = scene_of(row)
    for found in (*row["find"], row["edit"]):
        assert true_of(scene, found["phrase"]) == {found["target"]}
        assert tuple(found["box"]) == scene.objects[found["target"]].box
    for step in row["sentence"]["steps"]:
        assert true_of(scene, step["phrase"]) == {step["target"]}


@by_name
def test_absent_phrases_name_nothing_in_the_scene(row: dict) -> None:
    objects = scene_of(row).objects
    for phrase in row["absent"]:
        *colour, noun = phrase.removeprefix("the ").split()
        assert noun in WORDS.nouns
        assert not [o for o in objects if o.noun == noun and (not colour or o.colour == colour[0])]


@by_name
def test_what_is_painted_is_known(row: dict) -> None:
    for paint in [row["edit"]["paint"], *(step["paint"] for step in row["sentence"]["steps"])]:
        assert paint is None or set(paint.split()[1:]) <= {*WORDS.nouns, *WORDS.colours}


@by_name
def test_captions_and_sentences_hold_their_phrases(row: dict) -> None:
    for phrase in row["caption"]["phrases"]:
        start, stop = phrase["span"]
        assert row["caption"]["text"][start:stop] == phrase["text"]
    for step in row["sentence"]["steps"]:
        assert step["phrase"] in row["sentence"]["text"]


def test_together_they_show_every_kind_and_several_things() -> None:
    kinds = {found["kind"] for row in ROWS for found in row["find"]}
    assert {"name", "colour", "side", "size", "ordinal", "relation", "category"} <= kinds
    assert any(phrase["plural"] for row in ROWS for phrase in row["caption"]["phrases"])
    actions = {step["action"] for row in ROWS for step in row["sentence"]["steps"]}
    assert actions == {"replace", "recolour", "remove"}
