"""Words outside a small model's vocabulary are refused by name."""

from __future__ import annotations

import pytest
from groundbrush.editor.errors import GroundbrushError
from groundbrush.editor.finder import plain_phrase
from groundbrush.editor.models.vocabulary import WordList

KNOWN = WordList(("apple", "pear", "bus"), ("red", "green"))


@pytest.mark.parametrize("prompt", ["a green pear", "Red APPLE", "the background", "bus, red"])
def test_known_words_pass(prompt: str) -> None:
    KNOWN.check_prompt(prompt)


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ("THE RED APPLE!!!", "THE RED APPLE"),
        ('"the dog".', "the dog"),
        ("“the dog, left”", "the dog, left"),
        ('the word "STOP"', 'the word "STOP"'),
        ('"STOP" or "GO"', '"STOP" or "GO"'),
        ("the dog's bone", "the dog's bone"),
        (".NET logo.", ".NET logo"),
        ("?!", "?!"),
    ],
)
def test_marks_around_a_phrase_say_nothing(given: str, plain: str) -> None:
    assert plain_phrase(given) == plain


def test_unknown_word_is_named_with_a_near_one() -> None:
    with pytest.raises(GroundbrushError, match=r"cannot paint 'pears'; did you mean pear"):
        KNOWN.check_prompt("two pears".replace("two", "a"))


def test_unknown_word_without_a_near_one_lists_what_is_known() -> None:
    with pytest.raises(GroundbrushError, match=r"'zeppelin'.*know 3 things .apple, pear, bus"):
        KNOWN.check_prompt("a zeppelin")
