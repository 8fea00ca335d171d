"""The settings of the pipeline and its reduced copy; the whole is tested with the real models."""

from __future__ import annotations

import numpy as np
import pytest
from groundbrush.grounding import GroundingSettings
from groundbrush.grounding.errors import GroundingError
from groundbrush.grounding.view import shrink_image


def test_settings_from_a_preset() -> None:
    settings = GroundingSettings.from_dict({"sigma": 0.5, "proposals": {"prompts": ["peak"]}})
    assert settings.sigma == 0.5
    assert settings.proposals.prompts == ("peak",)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"sgma": 1}, "grounding settings hold the unknown name 'sgma'"),
        ({"proposals": {"prompt": []}}, "grounding.proposals holds the unknown name 'prompt'"),
        ({"boxes": {"cell": 1}}, "grounding.boxes holds the unknown name 'cell'"),
        ({"boxes": {"cells": "some"}}, "boxes.cells is 'some'; expected one of picture, all"),
        ({"absent_below": 2}, "absent_below is 2; expected 0 to 1"),
        ({"proxy": 3}, "proxy is 3; expected at least 64"),
        ({"sigma": "x"}, "sigma is 'x'; expected a number"),
        ({"boxes": 3}, "boxes is 3; expected an object of settings"),
        ({"refine": "no"}, "refine is 'no'; expected true or false"),
    ],
)
def test_bad_settings_are_named(values: dict, words: str) -> None:
    with pytest.raises(GroundingError, match=words):
        GroundingSettings.from_dict(values)


def test_large_pictures_are_searched_on_a_copy() -> None:
    proxy, scale = shrink_image(np.zeros((300, 600, 3), np.uint8), 100)
    assert proxy.shape == (50, 100, 3)
    assert scale == 6
