"""Captions say only what is true, and say exactly what they mean."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from groundbrush.miniature import captions
from groundbrush.miniature.captions import NUMBERS, caption, plural_of, words_rng
from groundbrush.miniature.phrases import expressions
from groundbrush.miniature.scenes import CROWDED, Scene, SceneObject, SceneSettings, compose
from groundbrush.miniature.vocabulary import load_vocabulary

ROOT = Path(__file__).parents[2]
WORDS = load_vocabulary()
SCENES = [compose("validation", 300 + k, CROWDED if k % 2 else None) for k in range(10)]


def drawn(*items: tuple[str, str | None, tuple[int, int, int, int]]) -> Scene:
    """A scene of given nouns, colours and boxes, each filling its box."""
    category = {kind.noun: kind.category for kind in WORDS.objects}
    instances = np.zeros((256, 256), np.int32)
    for number, (_, _, (x0, y0, x1, y1)) in enumerate(items, 1):
        instances[y0:y1, x0:x1] = number
    objects = tuple(
        SceneObject(
            noun, category[noun], colour, noun, box, max(box[2] - box[0], box[3] - box[1]) / 256
        )
        for noun, colour, box in items
    )
    blank = np.zeros((256, 256, 3), np.uint8)
    return Scene(blank, instances, objects, blank)


def meant(scene: Scene, words: str) -> set[int]:
    """Read a caption's phrase with rules of this test's own: number, size, colour, noun."""
    parts = words.lower().split()
    exact = [
        e.target
        for i in range(len(scene.objects))
        for e in expressions(scene, i)
        if e.text == " ".join(parts)
    ]
    if exact:
        return {target for target in exact if target is not None}
    noun, adjectives = parts[-1], parts[1:-1]
    singular = {plural_of(n): n for n in WORDS.nouns} | {n: n for n in WORDS.nouns}
    groups = {"animals": "animal", "vehicles": "vehicle", "fruits": "fruit"}
    fits = {
        i
        for i, o in enumerate(scene.objects)
        if (o.noun == singular.get(noun) or o.category == groups.get(noun))
        and all(a in (o.colour, o.size) for a in adjectives)
    }
    if parts[0] in NUMBERS:
        assert len(fits) in (NUMBERS.index(parts[0]), 0)
    else:
        assert parts[0] in ("a", "an", "the")
        assert len(fits) <= 1
    return fits


@pytest.mark.parametrize("scene", SCENES)
def test_every_phrase_means_exactly_its_objects(scene: Scene) -> None:
    for seed in range(12):
        said = caption(scene, np.random.default_rng(seed))
        assert said.phrases
        for phrase in said.phrases:
            assert said.text[slice(*phrase.span)] == phrase.text
            assert meant(scene, phrase.text) == set(phrase.indices)
            assert phrase.plural == (len(phrase.indices) > 1)
            union = np.any([scene.mask(i) for i in phrase.indices], axis=0)
            assert (phrase.mask(scene) == union).all()
        named = [i for phrase in said.phrases for i in phrase.indices]
        assert len(named) == len(set(named))


def test_words_agree_in_number_and_article() -> None:
    texts = [
        caption(scene, np.random.default_rng(seed)).text.lower()
        for scene in SCENES
        for seed in range(6)
    ]
    for text in texts:
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", text), text
        assert not re.search(r"there is (two|three)|there are (a|an|the)\b", text), text
        assert not re.search(r"\b(two|three) (\w+ )?(buss|cactuss|fishs|strawberrys)\b", text), text


def test_a_relation_does_not_reach_what_follows_unless_true() -> None:
    # the dog is next to the apple, the bus far from both: "apple next to a dog and a bus" is false
    scene = drawn(
        ("apple", "red", (10, 100, 70, 160)),
        ("dog", None, (80, 100, 140, 160)),
        ("bus", None, (190, 10, 250, 70)),
    )
    near = [
        text
        for seed in range(200)
        if (text := caption(scene, np.random.default_rng(seed)).text)
        and re.search("next to|beside", text)
    ]
    assert any("bus" in text for text in near)
    for text in near:
        first, _, rest = text.partition(",")
        assert "bus" not in first
        assert not rest or rest.startswith(" and ")


def test_a_relation_reaches_both_where_it_holds_of_both() -> None:
    scene = drawn(
        ("apple", "red", (100, 100, 160, 160)),
        ("dog", None, (30, 100, 90, 160)),
        ("pear", "green", (170, 60, 210, 120)),
        ("pear", "green", (170, 130, 210, 190)),
    )
    texts = {caption(scene, np.random.default_rng(seed)).text for seed in range(400)}
    assert any(
        re.search(r"apple (next to|beside) (a|the) dog and two (green )?pears", t) for t in texts
    )


def test_sides_are_said_only_of_things_on_them() -> None:
    scene = drawn(("dog", None, (10, 100, 70, 160)), ("bus", None, (180, 100, 240, 160)))
    texts = {caption(scene, np.random.default_rng(seed)).text.lower() for seed in range(80)}
    assert any("on the left" in text for text in texts)
    for text in texts:
        assert not re.search(r"bus on the left|dog on the right", text)


def test_an_empty_scene_or_an_unknown_split_is_refused() -> None:
    empty = compose("train", 0, SceneSettings(objects=(0, 0)))
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="no objects to name"):
        caption(empty, rng)
    with pytest.raises(ValueError, match="unknown split 'test'"):
        words_rng("test", 0)


def test_captions_do_not_depend_on_the_order_of_sets() -> None:
    code = (
        "from groundbrush.miniature.captions import *\n"
        "from groundbrush.miniature.scenes import compose\n"
        "for s in range(8):\n"
        "    scene, rng = compose('heldout', s), words_rng('heldout', s)\n"
        "    print(caption(scene, rng))\n"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1


def test_splits_do_not_share_their_words() -> None:
    draws = [words_rng(split, 3).random() for split in ("train", "validation", "heldout")]
    assert len(set(draws)) == 3


def test_the_examples_in_the_docstrings_run() -> None:
    failed, tried = doctest.testmod(captions)
    assert tried
    assert not failed


def test_the_page_about_the_composer_runs() -> None:
    failed, tried = doctest.testfile(str(ROOT / "docs" / "composer.md"), module_relative=False)
    assert tried > 10
    assert not failed
