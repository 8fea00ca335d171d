"""Results as JSON values: rounded, plain, and complete."""

from __future__ import annotations

import json

import numpy as np
from groundbrush.editor.facts import edit_facts, grounding_facts, segment_facts
from groundbrush.editor.pictures.picture import open_picture
from groundbrush.grounding.result import Candidate, Grounding
from groundbrush.multiobject import Instance, Segment

MASK = np.zeros((8, 8), bool)
MASK[2:4, 2:6] = True


def test_a_grounding() -> None:
    found = Grounding(
        phrase="the cup",
        mask=MASK,
        box=(np.float32(2), 2.04, 6, 4),
        token_map=np.ones((2, 2), np.float32),
        score=np.float32(0.123456),
        status="ambiguous",
        reason="two cups",
        candidates=(Candidate((0.0, 1.26, 2.0, 3.0), 0.5, MASK),),
        heads=((0, 1),),
        query="stop",
        region=(0.0, 0.0, 8.0, 8.0),
    )
    facts = grounding_facts(found)
    assert json.loads(json.dumps(facts)) == {
        "phrase": "the cup",
        "status": "ambiguous",
        "reason": "two cups",
        "score": 0.1235,
        "box": [2.0, 2.0, 6.0, 4.0],
        "candidates": [{"box": [0.0, 1.3, 2.0, 3.0], "score": 0.5}],
        "heads": [[0, 1]],
        "query": "stop",
    }


def test_a_segment() -> None:
    cup = Instance(MASK, (2.0, 2.0, 6.0, 4.0), 0.9)
    segment = Segment("the cup", (0, 7), "cup", True, False, MASK, 0.9, "found", "", (cup,), (1,))
    facts = segment_facts(segment)
    assert json.loads(json.dumps(facts)) == facts
    assert (facts["area"], facts["boxes"], facts["ids"]) == (8, [[2.0, 2.0, 6.0, 4.0]], [1])


def test_an_edit_that_found_nothing(miniature) -> None:
    picture = open_picture(np.full((64, 64, 3), 200, np.uint8))
    facts = edit_facts(miniature.edit(picture, "the penguin", "a pear"))
    assert json.loads(json.dumps(facts)) == facts
    assert (facts["done"], facts["support_pixels"], facts["seed"]) == (False, 0, 0)
    assert facts["reason"]
