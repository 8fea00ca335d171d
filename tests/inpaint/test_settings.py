from __future__ import annotations

import json

import pytest
from groundbrush.inpaint import InpaintError, InpaintSettings


def test_defaults_are_sdxls():
    settings = InpaintSettings()
    assert (settings.size, settings.steps) == (1024, 30)
    assert (settings.guidance, settings.strength) == (8.0, 0.99)


def test_the_miniatures_settings_are_allowed():
    settings = InpaintSettings(
        steps=20, guidance=3, strength=1.0, size=128, buckets="square", context=1.6
    )
    assert settings.size == 128
    assert settings.strength == 1


def test_survives_json():
    settings = InpaintSettings(steps=7, scheduler="ddim", negative_prompt="blur", dilate=15)
    assert InpaintSettings.from_dict(json.loads(json.dumps(settings.as_dict()))) == settings


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"steps": 0}, "steps: got 0; expected a whole number from 1 to 1000"),
        ({"steps": 2.5}, "steps: got 2.5"),
        ({"steps": True}, "steps: got True"),
        ({"guidance": float("nan")}, "guidance: got nan"),
        ({"guidance": -1}, "expected a number from 0 to 50"),
        ({"strength": 1.5}, "strength: got 1.5"),
        ({"strength": 0.1, "steps": 5}, "leaves none to execute; expected at least 0.2"),
        ({"negative_prompt": None}, "negative_prompt: got None"),
        ({"scheduler": "eulers"}, "did you mean 'euler'?"),
        ({"buckets": "round"}, "expected one of sdxl, square"),
        ({"prefill": "gray"}, "did you mean 'grey'?"),
        ({"size": 1000}, "size: got 1000; .*a multiple of 64"),
        ({"size": 100, "buckets": "square"}, "a multiple of 8"),
        ({"size": 4096}, "from 64 to 2048"),
        ({"context": 0.9}, "context: got 0.9"),
        ({"min_context": -1}, "min_context: got -1"),
        ({"dilate": 2.5}, "a fraction below 1 or whole pixels"),
        ({"dilate": "big"}, "dilate: got 'big'"),
        ({"feather": -1}, "feather: got -1"),
        ({"fill_holes": 2}, "fill_holes: got 2"),
        ({"differential": -1}, "differential: got -1; expected a whole number from 0 to 1024"),
        ({"shape": "circle"}, "shape: got 'circle'; expected one of outline, hull, box"),
        ({"control": "edges"}, "control: got 'edges'; expected one of picture, surroundings"),
        ({"control_scale": 3}, "control_scale: got 3; expected a number from 0 to 2"),
        ({"colour_match": 1}, "colour_match: got 1; expected true or false"),
    ],
)
def test_refuses(changes, expected):
    with pytest.raises(InpaintError, match=expected):
        InpaintSettings(**changes)


def test_unknown_name_is_suggested():
    with pytest.raises(InpaintError, match=r"unknown name 'step' .did you mean 'steps'"):
        InpaintSettings.from_dict({"step": 3})


def test_from_dict_refuses_a_list():
    with pytest.raises(InpaintError, match=r"got list .*expected a mapping"):
        InpaintSettings.from_dict([("steps", 3)])
