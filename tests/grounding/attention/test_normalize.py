"""What a phrase excludes: the words, the maps, and the chain on the miniature."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from groundbrush.grounding import GroundingSettings
from groundbrush.grounding.attention.normalize import definite, read_negation
from groundbrush.grounding.attention.reading import Reading
from groundbrush.grounding.families import ImageTokens
from groundbrush.grounding.localize.locate import read_phrases, subtract_maps
from groundbrush.grounding.metrics import mask_iou
from groundbrush.grounding.pipeline import Grounder


@pytest.mark.parametrize(
    ("phrase", "whole", "excluded"),
    [
        ("the apple that is not green", "the apple that is not green", "the green apple"),
        ("The apple that isn't green.", "The apple that is not green", "The green apple"),
        ("the apple that’s not green", "the apple that is not green", "the green apple"),
        ("apple which is not green", "apple that is not green", "the green apple"),
        ("the cups that aren't blue", "the cups that are not blue", "the blue cups"),
        ("the non-green apple", "the apple that is not green", "the green apple"),
        ("the big non-green apple", "the big apple that is not green", "the green big apple"),
        ("the dog not on the sofa", "the dog that is not on the sofa", "the dog on the sofa"),
        (
            "the man who is not wearing a hat",
            "the man that is not wearing a hat",
            "the man wearing a hat",
        ),
        ("the cup, not the blue one", "the cup that is not the blue one", "the blue cup"),
        ("the cup but not the blue one", "the cup that is not the blue one", "the blue cup"),
        ("the animal that is not a dog", "the animal that is not a dog", "the dog"),
        (
            "the apple that is not green on the left",
            "the apple that is not green on the left",
            "the green apple on the left",
        ),
    ],
)
def test_a_negation_names_what_it_excludes(phrase, whole, excluded):
    assert read_negation(phrase) == (whole, excluded)


@pytest.mark.parametrize(
    "phrase",
    [
        "the apple",
        "the knot",
        "the notebook that is red",
        "a forget-me-not",
        "nothing",
        "",
        "not",
        "the apple that is not",
        "the cannon",
        "the sign that says do not enter",
        "the man who does not wear a hat",
        "the forget me not flowers",
        "the apple and not the pear",
        "the sign with do not enter on it",
        "the dog that is small but not brown",
    ],
)
def test_other_phrases_are_left_alone(phrase):
    assert read_negation(phrase) is None


def test_a_thing_is_asked_for_as_the_thing():
    assert definite("A dog") == "the dog"
    assert definite("an apple on a table") == "the apple on a table"
    assert definite("animal") == "animal"


def test_the_excluded_cells_are_taken_out_head_by_head():
    rows = np.zeros((2, 6, 6), np.float32)
    rows[:, 1, 1] = rows[:, 4, 4] = 1.0  # both apples
    excluded = np.zeros((2, 6, 6), np.float32)
    excluded[0, 1, 1] = excluded[1, 4, 4] = 1.0
    left = subtract_maps(rows, excluded)
    assert left[0, 1, 1] == 0 and left[0, 4, 4] == 1
    assert left[1, 4, 4] == 0 and left[1, 1, 1] == 1
    assert rows[0, 1, 1] == 1, "the rows given are not changed"


def test_padding_has_no_say_in_what_is_excluded():
    rows = np.ones((1, 9, 9), np.float32)
    excluded = np.zeros((1, 9, 9), np.float32)
    excluded[0, 4, :2], excluded[0, 4, 2:] = 1, 0.35
    within = np.zeros((9, 9), bool)
    within[3:6] = True
    left = subtract_maps(rows, excluded, within)
    assert left[0, 4, 0] == 0 and left[0, 3:6, 6:].all()
    assert not subtract_maps(rows, excluded)[0, 4].any(), "with the padding the whole row goes"


def test_a_head_with_nothing_left_keeps_its_map():
    rows = np.zeros((1, 5, 5), np.float32)
    rows[0, 2, 2] = 1.0
    np.testing.assert_array_equal(subtract_maps(rows, rows), rows)


class _Answers:
    """A fake LVLM with fixed readings by phrase."""

    def __init__(self, readings):
        self.readings, self.asked = readings, []

    def read(self, encoded, phrases, heads):
        self.asked.append(list(phrases))
        return [self.readings[phrase] for phrase in phrases]


def test_endless_phrases_are_not_searched_for_negations():
    assert read_negation("the cup that is not red" + " " * 2000) is not None  # tidied first
    assert read_negation("the x " + "that is " * 200 + "not y") is None


@pytest.mark.parametrize(("presence", "kept"), [(0.9, 0.0), (0.1, 1.0), (None, 0.0)])
def test_what_is_not_in_the_picture_excludes_nothing(presence, kept):
    rows = np.zeros((1, 6, 6), np.float32)
    rows[0, 1, 1] = rows[0, 4, 4] = 1.0
    green = np.zeros_like(rows)
    green[0, 1, 1] = 1.0
    lvlm = _Answers(
        {
            "the cup": Reading(rows, 1.0),
            "the apple that is not green": Reading(rows, 1.0),
            "the green apple": Reading(green, presence),
        }
    )
    tokens = ImageTokens(0, (6, 6), (0.0, 0.0, 6.0, 6.0))
    encoded = SimpleNamespace(tokens=tokens, size_wh=(6, 6))
    found = read_phrases(
        lvlm, encoded, ["the cup", "the non-green apple"], None, GroundingSettings()
    )
    assert lvlm.asked == [["the cup", "the apple that is not green", "the green apple"]]
    assert found[0].rows[0, 1, 1] == 1.0
    assert found[1].rows[0, 1, 1] == kept


def test_the_miniature_finds_more_with_it_than_subtract_maps():
    from groundbrush import Editor
    from groundbrush.miniature.calibration import calibration_samples

    grounder = Editor.load("miniature", offline=True, device="cpu").models.grounder()
    plain = Grounder(
        grounder.lvlm, grounder.segmenter, dataclasses.replace(grounder.settings, reword=False)
    )
    ours = theirs = 0
    for drawn in calibration_samples(10, kinds=("negated",)):
        view, phrase, truth = grounder.look(drawn.image), drawn.phrase, drawn.mask
        ours += mask_iou(grounder.ground(view, phrase).mask, truth) > 0.5
        theirs += mask_iou(plain.ground(view, phrase).mask, truth) > 0.5
    assert ours > theirs
    assert ours >= 6
