"""The sentence's own settings and geometry; the whole of it is tested with the real models."""

from __future__ import annotations

import numpy as np
import pytest

from grounding import GroundingSettings
from grounding.errors import GroundingError
from grounding.ground import _inside, _shrink


def test_settings_from_a_preset() -> None:
    settings = GroundingSettings.from_dict({"sigma": 0.5, "proposals": {"prompts": ["peak"]}})
    assert settings.sigma == 0.5
    assert settings.proposals.prompts == ("peak",)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"sgma": 1}, "grounding settings hold the unknown name 'sgma'"),
        ({"proposals": {"prompt": []}}, "grounding.proposals holds the unknown name 'prompt'"),
        ({"absent_below": 2}, "absent_below is 2; expected 0 to 1"),
        ({"proxy": 3}, "proxy is 3; expected at least 64"),
    ],
)
def test_bad_settings_are_named(values: dict, words: str) -> None:
    with pytest.raises(GroundingError, match=words):
        GroundingSettings.from_dict(values)


def test_padding_is_not_searched() -> None:
    # A 4:2 picture padded to a square: the first and last rows of a 4x4 grid are padding.
    inside = _inside((4, 4), (0, -1, 4, 3), (4, 2))
    assert inside.tolist() == [[False] * 4, [True] * 4, [True] * 4, [False] * 4]


def test_a_sliver_keeps_the_cells_it_touches() -> None:
    inside = _inside((4, 4), (-149.5, 0, 150.5, 300), (1, 300))
    assert inside.any()


def test_large_pictures_are_searched_on_a_copy() -> None:
    proxy, scale = _shrink(np.zeros((300, 600, 3), np.uint8), 100)
    assert proxy.shape == (50, 100, 3)
    assert scale == 6
