"""One ablation at a time: by name, with what it is compared with."""

from __future__ import annotations

import numpy as np
import pytest
from groundbrush.editor.errors import GroundbrushError
from groundbrush.editor.evaluation.arms import ablation_arms, chosen_arms
from groundbrush.editor.models.presets import load_preset
from groundbrush.grounding.heads.ranking import HeadMeasurements

ARMS = ablation_arms(load_preset("miniature").lvlm)


def test_an_arm_comes_with_what_it_is_compared_with():
    chosen = chosen_arms(ARMS, ["paper, sigma=2", "SAM: one box"])
    assert [arm.name for arm in chosen] == ["preset", "paper", "paper, sigma=2", "SAM: one box"]


def test_an_unknown_arm_is_told_which_there_are():
    with pytest.raises(GroundbrushError, match=r"no ablation 'k=9'.*SAM: one box"):
        chosen_arms(ARMS, ["k=9"])


def test_the_papers_arms_leave_the_words_as_they_stand():
    by_name = {arm.name: arm for arm in ARMS}
    for name in ("paper", "paper, sigma=2", "like-reference", "words as they stand"):
        assert by_name[name].grounding["reword"] is False, name


def test_heads_by_calibration_are_compared_with_three():
    rng = np.random.default_rng(0)
    measured = HeadMeasurements(rng.random((20, 4, 6)), rng.random((20, 4, 6)))
    arms = ablation_arms(load_preset("miniature").lvlm, measured, lowest=3, threshold=0.0)
    assert [arm.name for arm in chosen_arms(arms, ["k=1"])] == ["preset", "k=1", "k=3"]
    assert len({arm.heads for arm in arms if arm.name in ("k=1", "k=2", "k=3")}) == 3
