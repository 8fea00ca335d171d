"""Boxes in words: each family's form, read by hand-made answers; what is no box is none."""

from __future__ import annotations

import pytest
from groundbrush.grounding.families import FAMILIES
from groundbrush.grounding.families.dialects import DIALECTS, box_dialect

REGION = (0.0, -50.0, 200.0, 150.0)  # a picture of 200 by 100 in a padded square


@pytest.mark.parametrize(
    ("family", "text"),
    [
        ("llava", "[0.25, 0.25, 0.75, 0.5]"),
        ("deepseek_vl", "It is at [0.25,0.25,0.75,0.50]."),
        ("internvl", "<ref>the dog</ref><box>[[250, 250, 750, 500]]</box>"),
        ("paligemma", "<loc0256><loc0256><loc0512><loc0768> dog"),
        ("gemma3", '[{"box_2d": [250, 250, 500, 750], "label": "dog"}]'),
        ("qwen2_vl", "<|box_start|>(250,250),(750,500)<|box_end|>"),
        ("qwen2_5_vl", '```json\n[{"bbox_2d": [70, 70, 210, 140], "label": "dog"}]\n```'),
        ("qwen3_vl", '{"bbox_2d": [250, 250, 750, 500]}'),
    ],
)
def test_every_form_gives_the_same_box(family, text):
    found = box_dialect(family).read(text, REGION, prepared_wh=(280, 280))
    assert found == pytest.approx((50, 0, 150, 50))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I cannot see a dog in this picture.",
        "[0.25, 0.25, 0.75]",
        "[25, 25, 75, 50]",  # another scale
        "[0.75, 0.25, 0.25, 0.5]",  # no area
    ],
)
def test_what_is_no_box_is_a_refusal(text):
    assert box_dialect("llava").read(text, REGION) is None


def test_dialects_are_of_families_and_hold_the_phrase_once():
    assert DIALECTS.keys() <= FAMILIES.keys()
    for name in FAMILIES:
        assert box_dialect(name).question.count("{phrase}") == 1
