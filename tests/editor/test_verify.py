"""The thresholds that decide what the user reads about a painting, each at its edge."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from groundbrush.editor.editing.pipeline import settings_for
from groundbrush.editor.editing.region import Region
from groundbrush.editor.editing.verify import Verifier
from groundbrush.editor.masks.history import MaskHistory
from groundbrush.editor.models.models import Models
from groundbrush.editor.models.presets import load_preset
from groundbrush.editor.pictures.picture import open_picture
from groundbrush.editor.request import make_request
from groundbrush.grounding.result import Candidate, Grounding
from groundbrush.inpaint.crop import Crop
from groundbrush.inpaint.support import mask_box

SHAPE = (40, 120)


def found_at(mask: np.ndarray, status: str = "found", others: tuple = ()) -> Grounding:
    """A grounding of "the pear" with this mask, and other candidates."""
    box = mask_box(mask) if mask.any() else None
    area = (0, 0, SHAPE[1], SHAPE[0])
    candidates = tuple(Candidate(mask_box(one), 0.7, one) for one in others)
    head_map = np.zeros((2, 2), np.float32)
    return Grounding("the pear", status, "", box, mask, 0.8, candidates, ((0, 0),), head_map, area)


def gone(
    before: Grounding, after: np.ndarray, candidate: int | None = None, words: str = "the pear"
) -> bool | None:
    """Whether the pear counts as gone when `after` is what is found once it is painted over."""
    pixels = np.zeros((*SHAPE, 3), np.uint8)
    later = found_at(after, "found" if after.any() else "absent")
    later = dataclasses.replace(later, phrase=words)
    finder = SimpleNamespace(
        models=SimpleNamespace(words=None, preset=SimpleNamespace(wordless=False)),
        look_once=lambda _: None,
        ground_view=lambda view, phrase: later,
    )
    region = Region(open_picture(pixels), MaskHistory.start(before.mask), before)
    request = make_request("remove", find=words, check=True, candidate=candidate)
    return Verifier.of(finder, region, request).check(pixels, before.mask).passed


def area(left: int, right: int) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[10:30, left:right] = True
    return mask


def test_a_removed_thing_is_gone_unless_something_touches_the_hole() -> None:
    before = found_at(area(20, 40))
    assert gone(before, area(0, 0)) is True
    assert gone(before, area(41, 60)) is False, "one pixel away: a remnant"
    assert gone(before, area(42, 60)) is None, "two pixels away: another one"
    assert gone(before, area(30, 90)) is False, "it covers half of where the old one stood"


def test_a_candidate_beside_the_thing_is_a_twin_and_a_part_of_it_is_not() -> None:
    thing, twin = area(20, 40), area(43, 60)
    wide = area(20, 42)  # what was painted reaches to the twin
    pixels_of = {"twin": (twin,), "part": (area(41, 60),)}
    for name, others in pixels_of.items():
        before = found_at(thing, others=others)
        region = Region(
            open_picture(np.zeros((*SHAPE, 3), np.uint8)), MaskHistory.start(thing), before
        )
        finder = SimpleNamespace(
            models=SimpleNamespace(words=None, preset=SimpleNamespace(wordless=False)),
            look_once=lambda _: None,
            ground_view=lambda view, phrase, seen=others[0]: found_at(seen),
        )
        request = make_request("remove", find="the pear", check=True)
        verdict = Verifier.of(finder, region, request).check(region.picture.pixels, wide)
        assert verdict.passed is (None if name == "twin" else False)
        assert verdict.outside is (name == "part"), "other seeds cannot change it"


def test_of_several_that_fit_it_is_unknown_whether_the_one_meant_is_gone() -> None:
    twin = area(80, 100)
    before = found_at(area(20, 40), "ambiguous", (twin,))
    assert gone(before, twin) is None
    assert gone(before, area(0, 0)) is True
    assert gone(before, twin, candidate=0) is True, "one was chosen"


def test_what_is_found_elsewhere_by_the_same_name_may_have_been_meant() -> None:
    before, other = found_at(area(20, 40)), area(80, 100)
    assert gone(before, other) is None
    assert gone(dataclasses.replace(before, score=0.849), other) is None
    assert gone(dataclasses.replace(before, score=0.851), other) is True, "it fitted better"
    assert gone(before, other, words="the left pear") is True, "the words move on to the next one"
    assert gone(before, other, candidate=0) is True, "one was chosen"


def test_of_places_in_a_window_each_the_worst_one_counts() -> None:
    """One of two places is 40 levels too bright; their mean would hide half of it."""
    before, both = np.full((*SHAPE, 3), 90, np.uint8), area(10, 30) | area(90, 110)
    after = before.copy()
    after[area(90, 110)] += 40
    finder = SimpleNamespace(models=SimpleNamespace(words=None))
    verifier = Verifier(finder, open_picture(before), None, gone=True)
    crops = Crop((0, 0, 60, 40), (60, 40)), Crop((60, 0, 120, 40), (60, 40))
    for windows, seam in ((crops, 40), (crops[:1], 20), ((), 20)):
        verdict = verifier.check(after, both, windows)
        assert verdict.seam == pytest.approx(seam)
        assert verdict.ring_colour == pytest.approx(seam, abs=0.5)


def passes(mask: np.ndarray, box: tuple[float, float, float, float], support: np.ndarray) -> bool:
    """Whether a thing found with this mask and box counts as painted into the support."""
    pixels = np.zeros((*SHAPE, 3), np.uint8)
    found = Grounding(
        "the pear",
        "found",
        "it is there",
        box,
        mask,
        0.8,
        (),
        ((0, 0),),
        np.zeros((2, 2), np.float32),
        (0, 0, SHAPE[1], SHAPE[0]),
    )
    finder = SimpleNamespace(
        models=SimpleNamespace(words=None, preset=SimpleNamespace(wordless=False)),
        look=lambda _: None,
        look_once=lambda _: None,
        ground_view=lambda view, phrase: found,
    )
    verifier = Verifier(finder, open_picture(pixels), "the pear", gone=False)
    return bool(verifier.check(pixels, support).passed)


def test_half_of_the_mask_must_lie_in_the_hole() -> None:
    mask, support = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    mask[10:20, 10:20] = True
    support[10:15, 10:20] = support[25, 10:20] = True  # 50 of 100 pixels, the whole box
    assert passes(mask, (10, 10, 20, 20), support)
    support[12, 15] = False
    assert not passes(mask, (10, 10, 20, 20), support)


@pytest.mark.parametrize(("width", "enough"), [(80, True), (79, False)])
def test_four_fifths_of_the_box_must_lie_in_the_holes_box(width: int, enough: bool) -> None:
    mask, support = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    mask[:4, :4] = True
    support[:10, :width] = True
    assert passes(mask, (0, 0, 100, 10), support) is enough


@pytest.mark.parametrize(("steps", "draft"), [(30, 10), (29, 9), (12, 4), (9, 4)])
def test_a_draft_takes_a_third_of_the_steps_and_at_least_four(steps: int, draft: int) -> None:
    preset = load_preset("miniature")
    inpainter = {k: v for k, v in preset.inpainter.items() if k not in ("draft", "removal")}
    settings = {**inpainter.get("settings", {}), "steps": steps}
    models = Models(dataclasses.replace(preset, inpainter={**inpainter, "settings": settings}))
    request = make_request("edit", find="the cup", paint="a vase", draft=True)
    assert settings_for(models, request).steps == draft
