"""Proposals ranked by a map: with a fake segmenter, and with the bundled one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from groundbrush.grounding.errors import GroundingError
from groundbrush.grounding.localize.proposals import AGREEMENTS, propose_masks
from groundbrush.grounding.metrics import mask_iou
from groundbrush.grounding.sam.coordinates import SquareFrame
from groundbrush.grounding.sam.load import load_segmenter
from groundbrush.grounding.settings import ProposalSettings
from hypothesis import given, settings
from hypothesis import strategies as st

BUNDLED = Path(__file__).parents[3] / "miniature" / "weights" / "segmenter"


class DiscSegmenter:
    """Answers a box with its ellipse and a point with a disc of radius 6, 12 or 24 around it."""

    def __init__(self):
        self.asked: list[str] = []

    def prompt_logits(self, embedding, *, boxes=None, points=None, mask=None, multimask=True):
        self.asked.append(
            "+".join(
                name
                for name, value in (("box", boxes), ("point", points), ("mask", mask))
                if value is not None
            )
        )
        ys, xs = np.mgrid[0:128, 0:128] * 2 + 1
        rows = []
        for i in range(len(boxes if boxes is not None else points)):
            if boxes is not None:
                x0, y0, x1, y1 = boxes[i]
                cx, cy, rx, ry = (x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 2, (y1 - y0) / 2
                sizes = [(rx, ry)] * 3
            else:
                cx, cy = points[i]
                sizes = [(6, 6), (12, 12), (24, 24)]
            rows.append([1 - ((xs - cx) / a) ** 2 - ((ys - cy) / b) ** 2 for a, b in sizes])
        count = 3 if multimask else 1
        logits = np.array(rows, np.float32)[:, :count]
        return logits, np.full(logits.shape[:2], 0.8, np.float32)

    def full_masks(self, embedding, logits, size_wh=None):
        return embedding.frame.masks(logits, size_wh)


class Embedded:
    def __init__(self, width=256, height=256):
        self.frame = SquareFrame((width, height), 256, 128)
        self.size_wh = (width, height)


def disc_map(cx, cy, radius, side=256):
    ys, xs = np.mgrid[0:side, 0:side] + 0.5
    return np.exp(-((xs - cx) ** 2 + (ys - cy) ** 2) / (2 * (radius / 1.6) ** 2)).astype(np.float32)


def test_the_mask_that_fits_the_map_wins():
    """The map's box is too small; the peak's middle disc covers what the map covers."""
    fake, map = DiscSegmenter(), disc_map(100, 140, 12)
    best = propose_masks(fake, Embedded(), map, [(97, 137, 103, 143)])
    assert best[0].prompt == "peak"
    area = best[0].mask.sum()
    assert np.pi * 10**2 < area < np.pi * 14**2
    assert best[0].rank_value == pytest.approx(best[0].agreement * 0.8**2, abs=1e-6)
    values = [one.rank_value for one in best]
    assert values == sorted(values, reverse=True)
    assert set(fake.asked) == {"box", "box+point", "point"}
    x0, y0, x1, y1 = best[0].box
    assert (x0 + x1) / 2 == pytest.approx(100, abs=2) and (y0 + y1) / 2 == pytest.approx(140, abs=2)


def test_the_map_itself_can_be_a_mask_prompt():
    fake = DiscSegmenter()
    chosen = ProposalSettings(prompts=("box+map",))
    propose_masks(fake, Embedded(), disc_map(100, 140, 12), [(97, 137, 103, 143)], chosen)
    assert fake.asked == ["box+mask", "box+point"], "and once more, to grow the best"


def test_near_duplicates_are_left_out():
    found = propose_masks(
        DiscSegmenter(), Embedded(), disc_map(100, 140, 20), [(80, 120, 120, 160)]
    )
    masks = [one.mask for one in found]
    for i, a in enumerate(masks):
        for b in masks[:i]:
            assert (a & b).sum() / (a | b).sum() <= 0.9
    assert len(found) < 9


def test_paper_mode_asks_with_one_box_only():
    fake = DiscSegmenter()
    found = propose_masks(
        fake,
        Embedded(),
        disc_map(100, 140, 20),
        [(80, 120, 120, 160), (0, 0, 9, 9)],
        ProposalSettings(mode="paper"),
    )
    assert fake.asked == ["box"] and len(found) == 1
    assert found[0].rank_value == found[0].score
    assert found[0].box == pytest.approx((80, 120, 120, 160), abs=2)


def test_other_components_are_tried():
    """The map's weight lies on the second box, so its mask comes first."""
    found = propose_masks(
        DiscSegmenter(),
        Embedded(),
        disc_map(200, 60, 30),
        [(10, 10, 60, 60), (170, 30, 230, 90)],
        ProposalSettings(prompts=("box", "component")),
    )
    assert [one.prompt for one in found] == ["component", "box"]


def test_proposals_of_a_large_picture_stay_at_the_proxy():
    embedded = Embedded(4000, 3000)
    found = propose_masks(
        DiscSegmenterScaled(4000 / 256),
        embedded,
        np.ascontiguousarray(disc_map(100, 100, 12)[:192]),
        [(1000, 1000, 2000, 2000)],
        ProposalSettings(proxy=512),
    )
    assert found[0].mask.shape == (384, 512)
    x0, y0, x1, y1 = found[0].box
    scale = 4000 / 256
    assert (x0 + x1) / 2 == pytest.approx(100 * scale, abs=2 * scale)
    assert (y0 + y1) / 2 == pytest.approx(100 * scale, abs=2 * scale)


class DiscSegmenterScaled(DiscSegmenter):
    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def prompt_logits(self, embedding, *, boxes=None, points=None, mask=None, multimask=True):
        boxes = None if boxes is None else np.asarray(boxes) / self.scale
        points = None if points is None else np.asarray(points) / self.scale
        return super().prompt_logits(
            embedding, boxes=boxes, points=points, mask=mask, multimask=multimask
        )


def test_agreement_by_hand():
    heat = np.array([[3.0, 0.0], [4.0, 0.0]])
    cosine, contrast = AGREEMENTS["cosine"], AGREEMENTS["contrast"]
    left = np.array([[True, False], [True, False]])
    assert cosine(left, heat) == pytest.approx(7 / (5 * np.sqrt(2)))
    assert contrast(left, heat) == pytest.approx(3.5)
    assert cosine(~left, heat) == 0.0
    assert contrast(np.ones((2, 2), bool), heat) == 0.0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 100))
def test_cosine_ignores_scale_and_stays_within_one(seed, factor):
    rng = np.random.default_rng(seed)
    heat, mask = rng.random((6, 7)), rng.random((6, 7)) < 0.4
    cosine = AGREEMENTS["cosine"]
    value = cosine(mask, heat)
    assert 0 <= value <= 1 + 1e-9
    assert cosine(mask, heat * factor) == pytest.approx(value)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"mode": "best"}, "mode is 'best'; expected one of map, paper"),
        ({"prompts": ("circle",)}, "box\\+peak"),
        ({"prompts": ()}, "expected some of"),
        ({"agreement": "dot"}, "is 'dot'; expected one of cosine, contrast"),
        ({"duplicate_iou": 0.0}, "duplicate_iou"),
        ({"keep": 0}, "keep"),
        ({"score_power": -1.0}, "score_power"),
        ({"keep": "6"}, "keep is '6'; expected a whole number"),
        ({"surer": None}, "surer is None; expected a number"),
        ({"peaks": True}, "peaks is True; expected a whole number"),
        ({"prompts": "box"}, "prompts is 'box'; expected a list of names"),
    ],
)
def test_bad_settings_are_named(wrong, says):
    with pytest.raises(GroundingError, match=says):
        ProposalSettings(**wrong)


def test_the_paper_s_way_needs_a_box():
    map = disc_map(100, 140, 20)
    with pytest.raises(GroundingError, match="with a box"):
        propose_masks(DiscSegmenter(), Embedded(), map, [], ProposalSettings(mode="paper"))


@pytest.mark.parametrize("map", [None, "x", np.zeros(4), np.full((4, 4), np.nan)])
def test_what_is_no_map_is_named(map):
    with pytest.raises(GroundingError, match="the map"):
        propose_masks(DiscSegmenter(), Embedded(), map, [(40, 40, 60, 60)])


def test_bundled_segmenter_ranks_by_the_map():
    """An ideal map of one object, half covered: the proposals still cover the whole of it."""
    from groundbrush.miniature.scenes import compose

    bundled, scores = load_segmenter(BUNDLED, offline=True), []
    for seed in range(6):
        scene = compose("heldout", seed)
        truth = scene.mask(0)
        x0, y0, x1, y1 = scene.objects[0].box
        low = truth.copy()
        low[: (y0 + y1) // 2] = False  # heads sit low on the object
        found = propose_masks(
            bundled,
            bundled.embed(scene.image),
            low.astype(np.float32),
            [(x0, (y0 + y1) // 2, x1, y1)],
        )
        scores.append(mask_iou(found[0].mask, truth))
    assert np.mean(scores) > 0.5


class PartSegmenter(DiscSegmenter):
    """Answers a point with a small disc, unsurely, and a box with a disc of `radius`, surely."""

    def __init__(self, radius: float, score: float = 0.9):
        super().__init__()
        self.radius, self.score = radius, score

    def prompt_logits(self, embedding, *, boxes=None, points=None, mask=None, multimask=True):
        self.asked.append("point" if boxes is None else "box+point")
        ys, xs = np.mgrid[0:128, 0:128] * 2 + 1
        radius, score = (12, 0.6) if boxes is None else (self.radius, self.score)
        away = np.hypot(xs - 100, ys - 140)
        logits = np.where(away < radius, 9, -9).astype(np.float32)
        count = len(points)
        return np.tile(logits, (count, 3, 1, 1)), np.full((count, 3), score, np.float32)


PEAK = ProposalSettings(prompts=("peak",))


@pytest.mark.parametrize(("weight", "first"), [(1.0, "box"), (0.95, "box"), (0.5, "peak")])
def test_a_box_counts_as_much_as_its_weight_says(weight, first):
    # the box fits the map best; the disc about the peak fits it nearly as well
    kinds = ProposalSettings(prompts=("box", "peak"), box_weight=weight)
    box = [(82, 122, 118, 158)]
    best, *_ = propose_masks(DiscSegmenter(), Embedded(), disc_map(100, 140, 17), box, kinds)
    assert best.prompt == first


def grown_radius(segmenter, settings: ProposalSettings = PEAK) -> float:
    heat = disc_map(100, 140, 16)
    best, *_ = propose_masks(segmenter, Embedded(), heat, [], settings)
    return float(np.sqrt(best.mask.sum() / np.pi))


def test_a_part_grows_to_the_whole_that_the_segmenter_is_surer_of():
    fake = PartSegmenter(18)
    assert grown_radius(fake) == pytest.approx(18, abs=1)
    assert fake.asked == ["point", "box+point", "box+point"], "until it no longer grows"


@pytest.mark.parametrize(
    ("radius", "score", "why"),
    [
        (18, 0.6 + PEAK.surer - 0.01, "not surer enough"),
        (24, 0.9, "four times the part"),
        (8, 0.9, "smaller"),
    ],
)
def test_a_part_does_not_grow_to_a_mask_that_is(radius, score, why):
    assert grown_radius(PartSegmenter(radius, score)) == pytest.approx(12, abs=1), why


def test_growth_can_be_switched_off_and_the_papers_mode_has_none():
    never = ProposalSettings(prompts=("peak",), surer=1)
    assert grown_radius(PartSegmenter(18), never) == pytest.approx(12, abs=1)
    fake, box = DiscSegmenter(), [(80, 120, 120, 160)]
    paper = ProposalSettings(mode="paper")
    propose_masks(fake, Embedded(), disc_map(100, 140, 16), box, paper)
    assert fake.asked == ["box"]
