"""Referring expressions are true of their object alone, and only known words are said."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from groundbrush.miniature.phrases import absent_expressions, expressions, refer
from groundbrush.miniature.scenes import CROWDED, Scene, SceneObject, compose
from groundbrush.miniature.tokenizer import build_tokenizer


def drawn(*items: tuple[str, str | None, tuple[int, int, int, int]]) -> Scene:
    """A scene of given nouns, colours and boxes; only the facts matter here."""
    objects = tuple(
        SceneObject(
            noun,
            "animal" if noun == "dog" else "thing",
            colour,
            noun,
            box,
            max(box[2] - box[0], box[3] - box[1]) / 256,
        )
        for noun, colour, box in items
    )
    blank = np.zeros((256, 256, 3), np.uint8)
    return Scene(blank, np.zeros((256, 256), np.int32), objects, blank)


def said(scene: Scene, index: int) -> set[str]:
    """The expressions that are needed, not merely true."""
    return {e.text for e in expressions(scene, index) if e.kind != "redundant"}


LEFT, RIGHT = (10, 100, 80, 170), (180, 100, 250, 170)


def test_an_only_one_is_called_by_its_name() -> None:
    scene = drawn(("dog", None, LEFT), ("car", "red", RIGHT))
    assert said(scene, 0) == {"the dog", "the animal"}
    assert said(scene, 1) == {"the car", "the red car"}


def test_twins_need_a_side() -> None:
    scene = drawn(("car", "red", LEFT), ("car", "red", RIGHT))
    assert said(scene, 0) == {
        *("the left car", "the car on the left"),
        *("the left red car", "the red car on the left"),
    }


def test_colour_tells_twins_apart() -> None:
    scene = drawn(("car", "red", LEFT), ("car", "blue", RIGHT))
    assert "the blue car" in said(scene, 1)
    assert "the car" not in said(scene, 1)


def test_size_needs_a_clear_difference() -> None:
    near = drawn(("car", "red", LEFT), ("car", "red", (180, 100, 252, 172)))
    far = drawn(("car", "red", LEFT), ("car", "red", (140, 90, 255, 205)))
    assert not {t for t in said(near, 1) if "large" in t}
    assert "the large car" in said(far, 1)
    assert "the small car" in said(far, 0)


def test_relation_singles_out_the_twin_beside_the_neighbour() -> None:
    scene = drawn(("car", "red", LEFT), ("car", "red", RIGHT), ("dog", None, (90, 100, 130, 170)))
    assert "the car next to the dog" in said(scene, 0)
    assert "the car right of the dog" in said(scene, 1)
    assert "the car next to the dog" not in said(scene, 1)


THREE = ((10, 90, 60, 140), (100, 110, 150, 160), (190, 100, 240, 150))


def test_three_alike_are_counted_from_both_ends() -> None:
    # drawn out of order: the objects' own order must not matter
    scene = drawn(*(("dog", None, THREE[k]) for k in (1, 2, 0)))
    counted = [[e.text for e in expressions(scene, i) if e.kind == "ordinal"] for i in range(3)]
    assert counted == [
        ["the middle dog", "the second dog from the left", "the second dog from the right"],
        ["the third dog from the left", "the first dog from the right"],
        ["the first dog from the left", "the third dog from the right"],
    ]


def test_counting_needs_exactly_three_well_apart() -> None:
    two = drawn(*(("dog", None, box) for box in THREE[:2]))
    # centres at 0.137, 0.234 (closer than a tenth of the side) and 0.84
    close = drawn(
        ("dog", None, (10, 10, 60, 60)), ("dog", None, (35, 150, 85, 200)), ("dog", None, THREE[2])
    )
    four = drawn(*(("dog", None, (x, 100, x + 40, 140)) for x in (5, 75, 145, 215)))
    for scene in (two, close, four):
        kinds = {e.kind for i in range(len(scene.objects)) for e in expressions(scene, i)}
        assert "ordinal" not in kinds


def test_counting_can_be_among_those_of_one_colour() -> None:
    red = [("car", "red", box) for box in THREE]
    scene = drawn(*red, ("car", "blue", (100, 200, 150, 250)))
    assert "the second red car from the left" in said(scene, 1)
    assert not {t for t in said(scene, 1) if t.startswith("the second car")}  # four cars in all


def test_the_one_of_another_colour_is_the_one_that_is_not() -> None:
    scene = drawn(("car", "red", LEFT), ("car", "red", RIGHT), ("car", "blue", (100, 10, 150, 60)))
    negated = [[e.text for e in expressions(scene, i) if e.kind == "negated"] for i in range(3)]
    assert negated == [[], [], ["the car that is not red"]]


def test_of_two_colours_each_is_not_the_other() -> None:
    scene = drawn(("car", "red", LEFT), ("car", "blue", RIGHT))
    assert "the car that is not blue" in said(scene, 0)
    assert "the car that is not red" in said(scene, 1)


@pytest.mark.parametrize(
    "colours", [("red", "blue", "green"), ("red", "red", "red"), ("red", None, "blue"), ("red",)]
)
def test_not_is_said_only_where_it_singles_one_out(colours: tuple[str | None, ...]) -> None:
    cars = [("car", colour, box) for colour, box in zip(colours, THREE, strict=False)]
    scene = drawn(*cars, ("book", "red", (100, 200, 150, 250)))
    assert not [t for i in range(len(colours)) for t in said(scene, i) if " not " in t]


@pytest.mark.parametrize("seed", range(12))
def test_crowded_scenes_keep_expressions_apart(seed: int) -> None:
    scene = compose("train", seed, CROWDED)
    texts = [t for i in range(len(scene.objects)) for t in said(scene, i)]
    assert len(texts) == len(set(texts))


@pytest.mark.parametrize("seed", range(25))
def test_no_expression_is_said_of_two_objects(seed: int) -> None:
    scene = compose("train", seed)
    texts = [t for i in range(len(scene.objects)) for t in said(scene, i)]
    assert len(texts) == len(set(texts))


@pytest.mark.parametrize("seed", range(10))
def test_absent_phrases_are_of_nothing_in_the_scene(seed: int) -> None:
    scene = compose("train", seed)
    every = {e.text for i in range(len(scene.objects)) for e in expressions(scene, i)}
    for e in absent_expressions(scene, np.random.default_rng(seed), 8):
        assert e.text not in every
        assert refer(scene, e).answer == "nothing"


@pytest.mark.parametrize(
    ("spoken", "folded"),
    [
        ("The BIG gray car", "the large grey car"),
        ("the leftmost dog", "the left dog"),
        ("the dog beside the car", "the dog next to the car"),
    ],
)
def test_spelling_variants_read_alike(spoken: str, folded: str) -> None:
    tokenizer = build_tokenizer()
    assert tokenizer(spoken)["input_ids"] == tokenizer(folded)["input_ids"]


def test_facts_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        compose("train", 0).objects[0].noun = "cat"
