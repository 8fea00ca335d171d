"""Which phrases name several things, and which only describe one with a conjunction."""

from __future__ import annotations

import pytest
from groundbrush.multiobject.phrases.several import named_things


@pytest.mark.parametrize(
    ("phrase", "things"),
    [
        ("the red apple and the car", ("the red apple", "the car")),
        ("apple . car .", ("apple", "car")),
        ("the car and the banana", ("the car", "the banana")),
        ("the red apple, the car", ("the red apple", "the car")),
        ("dog, cat, car", ("dog", "cat", "car")),
        ("apple and pear", ("apple", "pear")),
        ("the dog or the cat", ("the dog", "the cat")),
        ("the apple & the car", ("the apple", "the car")),
        ("the left apple and right apple", ("the left apple", "right apple")),
        ("the cup on the left and the plate", ("the cup on the left", "the plate")),
    ],
)
def test_several_things_are_split(phrase, things):
    assert named_things(phrase) == things


@pytest.mark.parametrize(
    "phrase",
    [
        "the red apple",
        "the apple.",
        "the black and white cat",
        "the salt and pepper shaker",
        "the dog between the cat and the car",
        "the man with a hat and a coat",
        "the cup of tea and coffee",
        "the large, red apple",
        "the apple, left of the car",
        "the second cupcake from the left, the pink one",
        "the dog, a poodle",
        "rock and roll poster",
    ],
)
def test_one_thing_stays_whole(phrase):
    assert named_things(phrase) == (phrase,)
