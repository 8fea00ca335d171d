"""Which phrases name several things, and which only describe one with a conjunction."""

from __future__ import annotations

import pytest
from groundbrush.multiobject import MultiObjectError
from groundbrush.multiobject.find.phrase_query import phrase_query
from groundbrush.multiobject.phrases.several import named_things


def texts(phrase: str) -> tuple[str, ...]:
    return tuple(thing.text for thing in named_things(phrase))


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
        ("the car as well as the red apple", ("the car", "the red apple")),
        ("the dog together with the cat", ("the dog", "the cat")),
        ("the cup/the plate", ("the cup", "the plate")),
        ("both the apple and the car", ("the apple", "the car")),
        ("the two apples and the car", ("the two apples", "the car")),
        ("red and green apples", ("red apples", "green apples")),
        ("the red apple the car", ("the red apple", "the car")),
        ("the apple a banana", ("the apple", "a banana")),
        ("the dog on the left the cat", ("the dog on the left", "the cat")),
        ("the cup then the plate", ("the cup", "the plate")),
        ("the star the moon the sun", ("the star", "the moon", "the sun")),
        ("an apple, a car", ("an apple", "a car")),
        ("the left and right rocket", ("the left rocket", "the right rocket")),
        ("the left and the right cup or the car", ("the left cup", "the right cup", "the car")),
        ("the first and last cup of tea", ("the first cup", "the last cup of tea")),
    ],
)
def test_several_things_are_split(phrase, things):
    assert texts(phrase) == things


@pytest.mark.parametrize(
    "phrase",
    [
        "the red apple",
        "the apple.",
        "the black and white cat",
        "the big and tall man",
        "the salt and pepper shaker",
        "the dog between the cat and the car",
        "the man with a hat and a coat",
        "the cup of tea and coffee",
        "the large, red apple",
        "the apple, left of the car",
        "the second cupcake from the left, the pink one",
        "the dog, a poodle",
        "rock and roll poster",
        "the 24/7 sign",
        "the black/white cat",
        "the table with cups and plates",
        "the man with two hats",
        "the phone someone left on the bench",
        "the phone the woman left on the bench",
        "the car the man drives",
        "the toy the dog bites",
        "the cake the children like",
        "the man giving the woman a flower",
        "the letter a on the sign",
    ],
)
def test_one_thing_stays_whole(phrase):
    assert texts(phrase) == (phrase,)


def several(phrase: str) -> tuple[str, int | None]:
    """Words for one of the things that a phrase names, and how many there are."""
    (thing,) = named_things(phrase)
    assert not thing.unclear
    query = phrase_query(thing.several, lambda text: [])
    return query.singular, query.number


@pytest.mark.parametrize(
    ("phrase", "one", "number"),
    [
        ("all the cupcakes", "the cupcake", None),
        ("every cupcake", "the cupcake", None),
        ("each of the cupcakes", "the cupcake", None),
        ("the cupcakes", "the cupcake", None),
        ("both apples", "the apple", 2),
        ("the two apples", "the apple", 2),
        ("only the 3 apples", "the apple", 3),
        ("all three cupcakes", "the cupcake", 3),
        ("two of the three cupcakes", "the cupcake", 2),
        ("a couple of apples", "the apple", 2),
        ("a dozen eggs", "the egg", 12),
        ("the two cupcakes on the right", "the cupcake on the right", 2),
        ("the girl's three dogs", "the girl's dog", 3),
        ("the two scissors", "the scissors", 2),
        ("all the trees", "the tree", None),
        ("all the fish", "the fish", None),
        ("the people on the beach", "the people on the beach", None),
    ],
)
def test_a_phrase_for_several_of_a_kind_says_how_many(phrase, one, number):
    assert several(phrase) == (one, number)


@pytest.mark.parametrize(
    "phrase",
    [
        "the cupcake",
        "one of the cupcakes",
        "the scissors",
        "the clouds",
        "the bunch of bananas",
        "the two-storey house",
        "the glass",
        "the background behind two dogs",
        "the bus stop",
        "les pommes et les poires de la table",
    ],
)
def test_one_thing_is_not_counted(phrase):
    assert all(thing.several is None for thing in named_things(phrase))


@pytest.mark.parametrize(
    ("phrase", "why"),
    [
        ("some apples", "how many"),
        ("most of the apples", "how many"),
        ("all the apples except the green one", "leaves things out"),
        ("every apple but the green one", "leaves things out"),
        ("the first two cupcakes", "counts in a row"),
        ("all the apples besides the green one", "leaves things out"),
        ("every other apple", "leaves things out"),
        ("three or four apples", "how many"),
        ("the cups on the left and right", "unclear what 'and right' belongs to"),
        ("zero apples", "names none"),
    ],
)
def test_words_that_do_not_say_which_are_unclear(phrase, why):
    (thing,) = named_things(phrase)
    assert why in thing.unclear


@pytest.mark.parametrize("phrase", ["red " * 200 + "cup", "the cup and a " + "a-" * 1000 + "b"])
def test_a_phrase_is_bounded_in_words_and_characters(phrase):
    with pytest.raises(MultiObjectError, match="expected at most 200 and 2,000: name one thing"):
        named_things(phrase)
