"""Parts of a support that lie far apart are painted in windows of their own."""

from __future__ import annotations

import numpy as np
import pytest
from groundbrush.inpaint import InpaintSettings, fill, fill_many
from groundbrush.inpaint.crop import MOST_WINDOWS, split_support
from groundbrush.inpaint.errors import OutOfMemoryError
from groundbrush.inpaint.paste import Target
from groundbrush.inpaint.prefill import prefill, resize_image, resize_mask
from groundbrush.inpaint.support import mask_box

SETTINGS = InpaintSettings(size=128, buckets="square", steps=2, dilate=0, min_context=8)
SHAPE = (600, 800)


def places(*boxes, shape=SHAPE):
    mask = np.zeros(shape, bool)
    for left, top, right, bottom in boxes:
        mask[top:bottom, left:right] = True
    return mask


FAR = ((20, 20, 100, 100), (700, 500, 780, 580))


class Counting:
    """Paints noise by the seed; keeps the holes it saw, and runs out of memory on request."""

    def __init__(self, exhausted=()):
        self.holes, self.exhausted = [], list(exhausted)

    def paint(self, image, mask, prompt, *, seed, settings, on_step=None, cancelled=None):
        self.holes.append(mask.copy())
        if len(self.holes) in self.exhausted:
            raise OutOfMemoryError("full")
        for step in (1, 2):
            if on_step:
                on_step(step, 2)
        noise = np.random.default_rng(seed).integers(0, 256, image.shape, np.uint8)
        return np.where(mask[..., None], noise, image)

    def paint_many(self, image, mask, prompt, *, seeds, **options):
        return [self.paint(image, mask, prompt, seed=seed, **options) for seed in seeds]

    def cut_off(self, prompt):
        return ""


@pytest.fixture
def picture():
    return np.random.default_rng(1).integers(60, 200, (*SHAPE, 3), np.uint8)


@pytest.mark.parametrize(
    ("boxes", "count"),
    [
        pytest.param(FAR, 2, id="opposite corners"),
        pytest.param((FAR[0], (60, 60, 780, 580)), 1, id="overlapping"),
        pytest.param(((300, 300, 330, 330), (360, 300, 390, 330)), 1, id="one window holds both"),
        pytest.param(((100, 100, 500, 500), (505, 300, 512, 307)), 1, id="a thing and its speck"),
        pytest.param(((100, 100, 500, 500), (780, 580, 787, 587)), 2, id="a speck far from it"),
        pytest.param(((0, 0, 60, 600), (740, 0, 800, 600)), 2, id="opposite sides"),
        pytest.param(((0, 0, 60, 600), (0, 0, 800, 60)), 1, id="sides that meet"),
        pytest.param((*FAR, (20, 500, 100, 580), (700, 20, 780, 100)), 4, id="four corners"),
    ],
)
def test_which_parts_share_a_window(boxes, count):
    support = places(*boxes)
    windows, note = split_support(support, SETTINGS)
    assert len(windows) == count
    assert (np.sum(windows, 0) == support).all()
    assert not note


def test_halves_side_by_side_stay_together_and_the_note_says_how_coarsely():
    windows, note = split_support(places((100, 100, 300, 300), (330, 100, 530, 300)), SETTINGS)
    assert len(windows) == 1
    assert "2 places share windows in which 4.7 pixels" in note


def test_many_places_share_few_windows_and_say_so():
    spots = [(x, y, x + 9, y + 9) for x in range(5, 3000, 290) for y in range(5, 2000, 290)]
    support = places(*spots, shape=(2000, 3000))
    windows, note = split_support(support, SETTINGS)
    assert 2 <= len(windows) <= MOST_WINDOWS
    assert (np.sum(windows, 0) == support).all()
    assert "painted coarsely" in note
    assert f"{len(spots)} places" in note


def test_a_dithered_mask_is_one_place():
    support = np.random.default_rng(0).random(SHAPE) < 0.2
    assert len(split_support(support, SETTINGS)[0]) == 1


def test_each_place_is_painted_as_alone(picture):
    together = fill(Counting(), picture, places(*FAR), "a frog", seed=3, settings=SETTINGS)
    assert len(together.crops) == 2
    for box in FAR:
        alone = fill(Counting(), picture, places(box), "a frog", seed=3, settings=SETTINGS)
        assert alone.crops[0] in together.crops
        assert (together.image[alone.support] == alone.image[alone.support]).all()


def test_a_window_is_matched_to_what_another_one_painted_in_it(picture):
    mask = places((100, 100, 500, 500), (540, 40, 590, 90))  # painted from top to bottom
    painter = Counting()
    done = fill(painter, picture, mask, "a frog", seed=3, settings=SETTINGS)
    expected = picture
    for part, crop in zip(split_support(mask, SETTINGS)[0], done.crops, strict=True):
        hole = resize_mask(mask[crop.slices], crop.canvas)
        canvas = prefill(resize_image(picture[crop.slices], crop.canvas), hole, SETTINGS.prefill)
        canvas = painter.paint(canvas, hole, "a frog", seed=3, settings=SETTINGS)
        expected = Target(expected, mask & part, part).paste(canvas, crop, SETTINGS)
    np.testing.assert_array_equal(done.image, expected)


def test_variants_of_several_places(picture):
    both = fill_many(Counting(), picture, places(*FAR), "x", seeds=(3, 4), settings=SETTINGS)
    for one in both:
        alone = fill(Counting(), picture, places(*FAR), "x", seed=one.seed, settings=SETTINGS)
        assert (one.image == alone.image).all()
    assert (both[0].image != both[1].image).any()


def test_one_thing_is_painted_in_one_window(picture):
    painter = Counting()
    done = fill(painter, picture, places(*FAR), "x", settings=SETTINGS, one_thing=True)
    assert len(done.crops) == len(painter.holes) == 1


def test_other_places_in_a_window_are_holes_too(picture):
    # The small one's window sees nothing of the large one, but the large one's sees it.
    boxes = (100, 100, 500, 500), (530, 300, 537, 307)
    painter = Counting()
    done = fill(painter, picture, places(*boxes), "x", settings=SETTINGS)
    assert len(done.crops) == 2
    seen = mask_box(np.any([hole for hole in painter.holes if hole.mean() > 0.3], axis=0))
    scale = SETTINGS.size / (done.crops[0].window[2] - done.crops[0].window[0])
    assert seen[2] - seen[0] > 410 * scale


def test_progress_counts_all_windows(picture):
    steps = []
    fill(
        Counting(),
        picture,
        places(*FAR),
        "x",
        settings=SETTINGS,
        on_step=lambda *step: steps.append(step),
    )
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_memory_that_runs_out_in_the_second_window_begins_again(picture):
    """The recipe holds the smaller size, with which the same windows must be chosen again."""
    done = fill(Counting(exhausted=[2]), picture, places(*FAR), "x", settings=SETTINGS)
    assert done.settings.size == 96
    assert all(crop.canvas == (96, 96) for crop in done.crops)
    again = fill(Counting(), picture, places(*FAR), "x", settings=done.settings)
    assert (done.image == again.image).all()
