"""Status and reason from hand-made proposals."""

from __future__ import annotations

import numpy as np
import pytest
from groundbrush.grounding import GroundingSettings
from groundbrush.grounding.localize.ambiguity import overlap
from groundbrush.grounding.localize.locate import (
    OtherMatches,
    are_separate,
    decide_status,
    proposal_scores,
)
from groundbrush.grounding.localize.proposals import Proposal

SETTINGS = GroundingSettings()
ROWS = np.eye(8)[None].repeat(3, 0).astype(np.float32)


def proposal(x0: int, x1: int, value: float = 0.5, score: float = 0.9) -> Proposal:
    """A mask of whole columns of a 20 x 20 picture."""
    mask = np.zeros((20, 20), bool)
    mask[:, x0:x1] = True
    box = (float(x0), 0.0, float(x1), 20.0)
    return Proposal(mask, box, score, 0.7, value, "peak", np.zeros((4, 4), np.float32))


def said(
    ranked: list[Proposal],
    presence: float | None = 0.9,
    score: float = 0.8,
    others: int | None = None,
    **seen: bool,
) -> tuple[str, str]:
    again = None if others is None else OtherMatches(((proposal(9, 11), 0.5),) * others, **seen)
    return decide_status(SETTINGS, ranked, [score] * len(ranked), presence, ROWS, again)


def test_apart_is_little_of_the_smaller_one() -> None:
    assert are_separate(proposal(0, 10).mask, proposal(10, 20).mask)
    assert are_separate(proposal(0, 10).mask, proposal(9, 19).mask)
    assert not are_separate(proposal(0, 20).mask, proposal(3, 5).mask)  # a part is no other place
    assert not are_separate(proposal(0, 10).mask, proposal(6, 16).mask)


def test_one_place_is_found() -> None:
    status, reason = said([proposal(0, 5), proposal(1, 6, value=0.49)])
    assert status == "found"
    assert "0.80" in reason


def test_the_model_goes_before_the_map() -> None:
    status, reason = said([proposal(0, 5)], presence=0.1)
    assert status == "absent"
    assert "presence 0.10, needed 0.50" in reason and reason.endswith("or take a candidate")
    assert said([], presence=0.1)[1].endswith("check the words")
    assert said([])[0] == "absent"


def test_rivals_on_the_map_count_once_each() -> None:
    near = [proposal(0, 5), proposal(8, 12, 0.48), proposal(8, 13, 0.47), proposal(15, 20, 0.46)]
    status, reason = said(near)
    assert status == "ambiguous"
    assert reason.startswith("3 places fit nearly as well; add a colour, side or neighbour")
    far = [proposal(0, 5), proposal(8, 12, 0.2), proposal(15, 20, 0.1)]
    assert said(far)[0] == "found"


def test_a_second_look_decides_where_there_was_one() -> None:
    near = [proposal(0, 5), proposal(8, 12, 0.49)]
    assert said(near, others=0)[0] == "found"
    status, reason = said([proposal(0, 5)], others=1)
    assert status == "ambiguous"
    assert reason == "2 places fit; add a colour, side or neighbour, or take a candidate"
    assert said([proposal(0, 5)], others=1, complete=False)[1].startswith("at least 2 places fit")
    assert said([proposal(0, 5)], presence=0.2, others=2)[0] == "absent"


def test_what_is_seen_beside_its_mask_is_uncertain() -> None:
    status, reason = said([proposal(0, 5)], others=0, beside=True)
    assert status == "uncertain"
    assert reason.startswith("it is still seen beside its mask")
    assert said([proposal(0, 5)], others=1, beside=True)[0] == "ambiguous"


def test_how_a_new_place_lies_to_the_covered_ones() -> None:
    known = [proposal(0, 5), proposal(5, 10)]
    assert overlap(proposal(9, 19), known) == "apart"
    assert overlap(proposal(6, 16), known) == "beside"
    assert overlap(proposal(2, 9), known) == "covered"  # by both together
    assert overlap(proposal(0, 20), [proposal(8, 12)]) == "beside"  # the whole of a part


def test_several_places_are_told_before_a_weak_score() -> None:
    assert said([proposal(0, 5)], score=0.1)[0] == "uncertain"
    assert said([proposal(0, 5)], score=0.1, others=1)[0] == "ambiguous"


def test_the_score_by_hand() -> None:
    heat = np.zeros((20, 20), np.float32)
    heat[:, 0:5] = 1.0
    assert proposal_scores([proposal(0, 5, score=0.81)], heat, None) == pytest.approx((0.9,))
    both = [proposal(0, 5, score=0.5), proposal(10, 15)]
    assert proposal_scores(both, heat, 0.25) == pytest.approx((0.5, 0))
    # the map at another resolution says the same
    assert proposal_scores([proposal(0, 5, score=0.81)], heat[::2, ::2], None) == pytest.approx(
        (0.9,)
    )
    assert proposal_scores([], heat, 1.0) == ()


# --- the thresholds, each at its edge ---------------------------------------------------------


def test_a_place_found_without_a_presence_answer_says_so() -> None:
    assert said([proposal(0, 5)], presence=None) == (
        "found",
        "score 0.80: its heads and the segmenter agree; presence was not checked",
    )
    assert "not checked" not in said([proposal(0, 5)])[1]


def test_presence_of_exactly_the_threshold_is_there() -> None:
    assert said([proposal(0, 5)], presence=0.5)[0] == "found"
    assert said([proposal(0, 5)], presence=0.499)[0] == "absent"


def test_a_score_of_exactly_the_threshold_is_found() -> None:
    assert said([proposal(0, 5)], score=0.35)[0] == "found"
    assert said([proposal(0, 5)], score=0.349)[0] == "uncertain"


def test_a_rival_counts_above_its_share_of_the_best_rank() -> None:
    assert said([proposal(0, 5, 1.0), proposal(8, 12, 0.85)])[0] == "found"
    assert said([proposal(0, 5, 1.0), proposal(8, 12, 0.851)])[0] == "ambiguous"


def test_masks_that_share_three_tenths_are_one_object() -> None:
    assert are_separate(proposal(0, 10).mask, proposal(8, 18).mask)
    assert not are_separate(proposal(0, 10).mask, proposal(7, 17).mask)


@pytest.mark.parametrize(("distance", "why"), [(4, "the map is diffuse"), (5, "different places")])
def test_heads_look_at_different_places_from_a_quarter_of_the_side(distance: int, why: str) -> None:
    rows = np.zeros((2, 8, 8), np.float32)
    rows[0, 2, 0] = rows[1, 2, distance] = 1.0  # the mean distance from their mean is half of it
    reason = decide_status(SETTINGS, [proposal(0, 5)], [0.1], 0.9, rows)[1]
    assert why in reason


def test_half_of_the_maps_weight_counts_in_full() -> None:
    heat = np.zeros((20, 20), np.float32)
    heat[:, 0:4] = heat[:, 10:14] = 1.0
    sure = [proposal(0, 4, score=1.0), proposal(0, 3, score=1.0)]
    assert proposal_scores(sure, heat, None) == pytest.approx((1.0, np.sqrt(0.75)))


@pytest.mark.parametrize(
    ("shared", "where"), [(5, "apart"), (6, "beside"), (13, "beside"), (14, "covered")]
)
def test_how_much_of_a_new_mask_may_be_covered(shared: int, where: str) -> None:
    wide, tall = np.zeros((2, 40, 40), bool)
    wide[0:20, 0:20] = True  # 20 columns, of which `shared` are covered
    tall[:, 20 - shared : 40] = True
    box = (0.0, 0.0, 1.0, 1.0)
    new, known = (
        Proposal(mask, box, 0.9, 0.7, 0.5, "peak", np.zeros((4, 4), np.float32))
        for mask in (wide, tall)
    )
    assert overlap(new, [known]) == where


def test_a_new_mask_that_holds_half_of_a_covered_one_is_beside() -> None:
    assert overlap(proposal(0, 20), [proposal(18, 19)]) == "beside"
    assert overlap(proposal(4, 20), [proposal(0, 8)]) == "beside"  # holds half, 1/4 is covered
    assert overlap(proposal(5, 20), [proposal(0, 8)]) == "apart"  # holds 3/8, 1/5 is covered
