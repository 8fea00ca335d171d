"""The picture of everything that was found: what it shows and what it leaves alone."""

from __future__ import annotations

import numpy as np
import pytest
from groundbrush.editor.pictures.panoptic_overlay import (
    LEGEND,
    PANEL,
    colour_of,
    draw_segments,
    panoptic_sheet,
    steps_strip,
)
from groundbrush.grounding.view import tight_box
from groundbrush.multiobject import Instance, PanopticGrounding, Segment


@pytest.fixture
def found() -> PanopticGrounding:
    mask = np.zeros((50, 80), bool)
    mask[10:30, 20:60] = True
    there = Segment(
        "the red apple",
        (0, 13),
        "apple",
        True,
        False,
        mask,
        0.8,
        "found",
        "here",
        (Instance(mask, tight_box(mask), 0.8, 1),),
        (1,),
    )
    gone = Segment(
        "a dog " * 20, (18, 23), "dog", True, False, np.zeros_like(mask), 0.1, "absent", "not there"
    )
    return PanopticGrounding("the red apple and a dog", (there, gone), mask.astype(np.int32))


def test_segments_are_tinted_and_the_rest_is_dimmed(found) -> None:
    image = np.full((50, 80, 3), 200, np.uint8)
    before = image.copy()
    drawn = draw_segments(image, found)
    assert (image == before).all()
    assert (drawn[0, 0] == 110).all()
    expected = 0.55 * 200 + 0.45 * np.array(colour_of(1))
    assert np.abs(drawn[20, 40] - expected).max() <= 1
    assert (drawn[10, 40] == 255).all()  # the outline


def test_the_sheet_has_room_for_every_phrase(found) -> None:
    image = np.zeros((50, 80, 3), np.uint8)
    sheet = panoptic_sheet(image, found)
    assert sheet.size == (round(80 * PANEL / 50) + LEGEND, PANEL)
    many = PanopticGrounding(
        found.caption, (found.segments[0], *[found.segments[1]] * 30), found.id_map
    )
    assert panoptic_sheet(image, many).height > PANEL
    legend = np.asarray(sheet)[:, -LEGEND:]
    assert (legend == colour_of(1)).all(2).any()
    assert (legend[:, -8:] == 255).all()  # long words are cut before the edge


def test_neighbouring_numbers_have_different_colours() -> None:
    colours = np.array([colour_of(k) for k in range(1, 30)], float)
    assert np.abs(np.diff(colours, axis=0)).max(1).min() > 40


def test_the_strip_shows_pictures_side_by_side() -> None:
    dark, light = np.zeros((40, 30, 3), np.uint8), np.full((40, 30, 3), 255, np.uint8)
    strip = steps_strip([dark, light, dark])
    assert strip.shape == (40, 90, 3)
    assert strip[0, 45].tolist() == [255] * 3
    assert steps_strip([np.zeros((2000, 1000, 3), np.uint8)]).shape == (512, 256, 3)
