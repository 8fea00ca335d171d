"""Longer ordinals, two-step relations, negations, groups: true of what they are about."""

from __future__ import annotations

import numpy as np
import pytest
from groundbrush.miniature.composer import compose_wide
from groundbrush.miniature.phrases import place_words
from groundbrush.miniature.scenes import Scene, SceneObject
from groundbrush.miniature.tokenizer import build_tokenizer
from groundbrush.miniature.wide_phrases import (
    groups,
    vary,
    wide_absent,
    wide_exchanges,
    wide_expressions,
)

Box = tuple[int, int, int, int]


def drawn(*items: tuple[str, str, str | None, Box], shape: tuple[int, int] = (200, 400)) -> Scene:
    objects = tuple(
        SceneObject(
            noun, category, colour, noun, box, max(box[2] - box[0], box[3] - box[1]) / max(shape)
        )
        for noun, category, colour, box in items
    )
    blank = np.zeros((*shape, 3), np.uint8)
    return Scene(blank, np.zeros(shape, np.int32), objects, blank)


def said(scene: Scene, index: int, kind: str) -> set[str]:
    return {e.text for e in wide_expressions(scene, index) if e.kind == kind}


def test_four_alike_are_counted_from_both_ends() -> None:
    cars = [("car", "vehicle", "red", (x, 80, x + 40, 120)) for x in (250, 10, 90, 340)]
    scene = drawn(*cars)
    assert said(scene, 0, "ordinal") == {
        "the third car from the left",
        "the second car from the right",
    }
    assert said(scene, 3, "ordinal") == {
        "the fourth car from the left",
        "the first car from the right",
    }


def test_a_relation_in_two_steps_singles_out_its_thing() -> None:
    scene = drawn(
        ("car", "vehicle", "red", (100, 60, 140, 100)),
        ("car", "vehicle", "blue", (300, 60, 340, 100)),
        ("apple", "fruit", "green", (20, 60, 50, 90)),
        ("apple", "fruit", "green", (200, 60, 230, 90)),
    )
    assert "the apple left of the red car" in said(scene, 2, "two-step")
    assert "the apple right of the red car" in said(scene, 3, "two-step")
    assert not {t for t in said(scene, 2, "two-step") if "left of the blue car" in t}  # both are
    assert "the car left of the blue car" in said(scene, 0, "two-step")


def test_negations_name_the_only_other_one() -> None:
    scene = drawn(
        ("dog", "animal", None, (10, 10, 50, 50)),
        ("cat", "animal", None, (100, 10, 140, 50)),
        ("apple", "fruit", "red", (200, 10, 230, 40)),
    )
    assert said(scene, 0, "negated") == {"the animal that is not a cat"}
    three = drawn(
        *(
            ("car", "vehicle", c, (x, 10, x + 40, 50))
            for x, c in ((10, "red"), (100, "red"), (200, "blue"))
        )
    )
    assert "the car which is not red" in said(three, 2, "negated")
    assert not said(three, 0, "negated")


def test_words_of_place_are_about_the_picture_numbers_about_its_square() -> None:
    scene = drawn(("dog", "animal", None, (0, 0, 20, 20)))  # 400 wide, 200 high
    assert place_words(scene, 0) == ("top", "left", "1", "5")


def test_groups_are_counted_and_told_from_left_to_right() -> None:
    scene = drawn(
        ("car", "vehicle", "red", (300, 10, 340, 50)), ("car", "vehicle", "red", (10, 10, 50, 50))
    )
    found = [e for seed in range(30) for e in groups(scene, np.random.default_rng(seed))]
    assert {e.answer for e in found if e.prompt.startswith("how many")} == {"2"}
    asked = {e.prompt for e in found if e.answer == "2 small red car , small red car"}
    assert {"all the cars .", "the cars .", "both cars ."} <= asked


def test_a_phrase_is_also_asked_without_its_article() -> None:
    asked = {vary(np.random.default_rng(seed), "the apple") for seed in range(40)}
    assert asked == {"the apple", "apple", "an apple"}


@pytest.mark.parametrize("seed", range(15))
def test_every_expression_is_of_one_thing_and_every_word_is_known(seed: int) -> None:
    scene, tokenizer = compose_wide("validation", seed), build_tokenizer()
    texts = [e.text for i in range(len(scene.objects)) for e in wide_expressions(scene, i)]
    assert len(texts) == len(set(texts))  # the same words never mean two things
    said = wide_exchanges(scene, np.random.default_rng(seed), 12)
    assert len(said) <= 12
    words = [w for e in said for w in (e.prompt, e.answer)] + texts
    words += [e.text for e in wide_absent(scene, np.random.default_rng(seed), 9)]
    unknown = tokenizer.unk_token_id
    assert not [w for w in words if unknown in tokenizer(w)["input_ids"]]


def test_absent_phrases_have_no_target_and_are_not_there() -> None:
    for seed in range(20):
        scene = compose_wide("validation", seed)
        there = {e.text for i in range(len(scene.objects)) for e in wide_expressions(scene, i)}
        for expression in wide_absent(scene, np.random.default_rng(seed), 6):
            assert expression.target is None
            assert expression.text not in there


def test_the_full_stop_is_a_token_of_its_own_typed_or_not() -> None:
    tokenizer = build_tokenizer()
    stop = tokenizer.convert_tokens_to_ids(".")
    assert tokenizer("the red car.")["input_ids"] == tokenizer("the red car .")["input_ids"]
    assert tokenizer("the red car.")["input_ids"][-1] == stop
