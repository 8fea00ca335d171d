"""The composer: deterministic, honest about what it drew, splits kept apart."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from groundbrush.miniature.scenes import (
    PAINTS,
    SceneSettings,
    background_files,
    compose,
    painted_sprite,
)
from groundbrush.miniature.vocabulary import load_vocabulary


def test_a_scene_is_a_function_of_its_seed_and_split() -> None:
    first, again = compose("heldout", 11), compose("heldout", 11)
    assert (first.image == again.image).all()
    assert first.objects == again.objects
    assert (compose("train", 11).image != first.image).any()


@pytest.mark.parametrize("seed", range(6))
def test_instances_agree_with_the_facts(seed: int) -> None:
    scene = compose("train", seed)
    assert scene.image.shape == (256, 256, 3)
    assert scene.image.dtype == np.uint8
    assert set(np.unique(scene.instances)) == {0, *range(1, len(scene.objects) + 1)}
    for number, item in enumerate(scene.objects):
        ys, xs = np.nonzero(scene.mask(number))
        assert item.box == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)


def test_background_without_objects_is_background() -> None:
    scene = compose("train", 0, SceneSettings(objects=(0, 0)))
    assert scene.objects == ()
    assert not scene.instances.any()


def test_held_out_backgrounds_are_never_trained_on() -> None:
    assert not set(background_files(True)) & set(background_files(False))
    assert len(background_files(True)) >= 10


@pytest.mark.parametrize("colour", load_vocabulary().paint_colours)
def test_paint_moves_the_hue_and_keeps_the_outline(colour: str) -> None:
    rgba = painted_sprite("balloon", colour)
    assert (rgba[..., 3] == painted_sprite("balloon", "red")[..., 3]).all()
    hsv = cv2.cvtColor(rgba[..., :3].copy(), cv2.COLOR_RGB2HSV)[rgba[..., 3] > 200].astype(float)
    turn = (hsv[hsv[:, 1] > 60, 0] - PAINTS[colour][0] + 90) % 180 - 90
    assert abs(np.median(turn)) < 6


def test_unknown_split_and_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown split 'test'; expected one of train"):
        compose("test", 0)
    with pytest.raises(ValueError, match="objects must be"):
        SceneSettings(objects=(3, 2))
    with pytest.raises(ValueError, match="size must be"):
        SceneSettings(size=(0.0, 0.5))
