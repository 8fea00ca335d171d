"""A later step of a plan spares what an earlier one painted, or says that it is lost."""

from __future__ import annotations

import numpy as np
import pytest
from groundbrush import Plan, read_plan

pytestmark = pytest.mark.slow


def test_a_later_step_spares_an_earlier_one(miniature, example):
    frog, house = miniature.apply(
        example("cupcakes").path, "replace the dog with a frog and remove the house"
    )
    lost = float((frog.support & house.support).sum() / frog.support.sum())
    noted = " ".join((*frog.notes, *house.notes))
    assert lost <= 0.1 or "frog" in noted


def test_the_first_steps_check_holds_for_the_last_picture(miniature, example):
    cupcakes = example("cupcakes")
    frog, house = miniature.apply(cupcakes.path, "replace the dog with a frog and remove the house")
    found = miniature.ground(house.image, "the frog")
    stands = found.found and (found.mask & frog.support).sum() >= 0.5 * found.mask.sum()
    told = not frog.done or frog.checks.get("grounded") is False or "frog" in " ".join(house.notes)
    assert stands or told
    again = miniature.run(house.recipe(), frog.image)
    np.testing.assert_array_equal(again.image, house.image, "the recipe knows what is spared")


def test_a_step_that_names_an_earlier_result_may_paint_it(miniature, example):
    plan = read_plan("replace the car with a frog and then remove the frog")
    assert isinstance(plan, Plan)
    edits = miniature.apply(example("fruit").path, plan, settings={"steps": 2})
    car = example("fruit").mask("car")
    assert np.any([e.support for e in edits], axis=0)[car].mean() > 0.9
