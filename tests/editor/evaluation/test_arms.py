"""One ablation at a time: by name, with what it is compared with."""

from __future__ import annotations

import numpy as np
import pytest
from groundbrush.editor.errors import GroundbrushError
from groundbrush.editor.evaluation.ablations import ablation_arms
from groundbrush.editor.evaluation.arms import Greedy, chosen_arms, free_arm
from groundbrush.editor.models.presets import load_preset
from groundbrush.grounding import GroundingSettings
from groundbrush.grounding.heads.ranking import HeadMeasurements

ARMS = ablation_arms(load_preset("miniature").lvlm)


def test_an_arm_comes_with_what_it_is_compared_with():
    chosen = chosen_arms(ARMS, ["paper, sigma=1.8", "SAM: one box"])
    assert [arm.name for arm in chosen] == ["preset", "paper", "paper, sigma=1.8", "SAM: one box"]


def test_an_unknown_arm_is_told_which_there_are():
    with pytest.raises(GroundbrushError, match=r"no ablation 'k=9'.*SAM: one box"):
        chosen_arms(ARMS, ["k=9"])


def test_the_papers_arms_leave_the_words_as_they_stand():
    by_name = {arm.name: arm for arm in ARMS}
    for name in ("paper", "paper, sigma=1.8", "like-reference", "words as they stand"):
        assert by_name[name].grounding["reword"] is False, name


def test_heads_by_calibration_are_compared_with_three():
    rng = np.random.default_rng(0)
    measured = HeadMeasurements(rng.random((20, 4, 6)), rng.random((20, 4, 6)))
    arms = ablation_arms(load_preset("miniature").lvlm, measured, lowest=3, threshold=0.0)
    assert [arm.name for arm in chosen_arms(arms, ["k=1"])] == ["preset", "k=1", "k=3"]
    assert len({arm.heads for arm in arms if arm.name in ("k=1", "k=2", "k=3")}) == 3


def test_table_5_and_the_baselines_by_hand():
    # Heads of layers 2 and 3, two each: the first has the largest sum, the last the lowest entropy.
    sums, entropies = np.full((2, 5, 4, 2), 0.5)
    sums[:, 2:] = [[0.9, 0.8], [0.7, 0.1]]
    entropies[:, 2:] = [[3, 2], [1, 0.5]]
    measured = HeadMeasurements(sums, entropies)
    ious = np.arange(8).reshape(4, 2) / 10
    arms = ablation_arms(
        load_preset("miniature").lvlm, measured, ious=ious, lowest=3, threshold=0.6
    )
    heads = {arm.name: arm.heads for arm in arms}
    assert heads["criterion 1 only"] == ((2, 0), (2, 1), (3, 0))
    assert heads["criterion 2 only"] == ((2, 1), (3, 0), (3, 1))
    assert heads["k=3"] == ((2, 0), (2, 1), (3, 0))  # the last head's sum is below tau
    assert len(heads["mean of all heads"]) == 8
    assert heads["largest sums"] == ((2, 0), (2, 1), (3, 0))
    assert heads["best layer, by labels"] == ((3, 0), (3, 1))
    assert heads["best heads, by labels"] == ((3, 1), (3, 0), (2, 1))
    assert len(set(heads["random heads"])) == 3 and min(heads["random heads"])[0] >= 2


def test_contrastive_discovery_chooses_by_how_much_rows_differ():
    rng = np.random.default_rng(0)
    sums, contrasts = rng.uniform(0.5, 1, (2, 4, 4, 3))
    entropies = np.ones((4, 4, 3))
    contrasts[:, 3] = 2.0  # the rows of the last layer differ most between two phrases
    measured, contrast = (HeadMeasurements(one, entropies) for one in (sums, contrasts))
    lvlm = load_preset("miniature").lvlm
    arms = ablation_arms(lvlm, measured, contrasts=contrast, lowest=3, threshold=1.5 / 2)
    by_name = {arm.name: arm for arm in arms}
    assert set(by_name["contrastive heads"].heads) == {(3, 0), (3, 1), (3, 2)}
    assert by_name["contrastive heads minus neutral"].neutral == "subtract"
    assert "contrastive heads" not in {arm.name for arm in ARMS}


def test_greedy_by_sum_takes_the_largest_sums_of_a_sample():
    rows = np.zeros((3, 2, 2, 2))
    rows[..., 0, 0] = [[0.9, 0.9], [0.2, 0.6], [0.4, 0.1]]
    assert Greedy(2, by="sum", skip_layers=1).choose(rows) == ((1, 1), (2, 0))


def test_table_8_has_the_papers_grid():
    names = {arm.name for arm in ARMS}
    assert {f"paper, sigma={s}" for s in ("0", "0.4", "0.8", "1.4", "1.8")} <= names
    assert {f"paper, kernel={k}" for k in (1, 3, 5, 9, 11)} <= names


def test_an_arm_of_ones_own():
    arm = free_arm(["sigma=.4", "boxes.component=hull", "query=stop", "heads=[[4,7],[3,4]]"])
    assert arm.lvlm == {"query": "stop"} and arm.heads == ((4, 7), (3, 4))
    settings = arm.settings(GroundingSettings(refine=False))
    assert (settings.sigma, settings.boxes.component, settings.refine) == (0.4, "hull", False)
    prompts = free_arm(['proposals.prompts=["box", "peak"]']).settings(GroundingSettings())
    assert prompts.proposals.prompts == ("box", "peak")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("sigma", "expected NAME=VALUE"),
        ("sigmaa=1", "expected heads, query.*sigma"),
        ("sigma=wide", "a value of its type"),
        ("looks=1.5", "a value of its type"),
        ("refine=1", "a value of its type"),
        ("boxes.shape=hull", "expected heads, query"),
        ("box.component=hull", "expected heads, query"),
        ("boxes.component=round", "expected one of largest, hull, all"),
        ("heads=[4,7]", "not a .layer, head. pair"),
    ],
)
def test_wrong_settings_are_named(given, words):
    with pytest.raises(GroundbrushError, match=words):
        free_arm([given])
