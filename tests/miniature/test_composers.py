"""The wide and the foreign composer: deterministic, of all shapes, exact about what is visible."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
import pytest
from groundbrush.miniature import foreign
from groundbrush.miniature.composer import WideSettings, compose_wide
from groundbrush.miniature.composer.light import Sun, cast_shadow
from groundbrush.miniature.composer.objects import RULES, recoloured
from groundbrush.miniature.foreign import compose_foreign
from groundbrush.miniature.scenes import PAINTS, Scene, sprite_table
from groundbrush.miniature.vocabulary import load_vocabulary

COMPOSERS: dict[str, Callable[[int], Scene]] = {
    "wide": partial(compose_wide, "heldout"),
    "foreign": compose_foreign,
}


@pytest.fixture(params=COMPOSERS)
def compose(request: pytest.FixtureRequest) -> Callable[[int], Scene]:
    return COMPOSERS[request.param]


def test_a_scene_is_a_function_of_its_seed(compose: Callable[[int], Scene]) -> None:
    first, again = compose(4), compose(4)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.instances, again.instances)
    assert first.objects == again.objects
    assert not np.array_equal(first.image, compose(5).image)


def test_wide_splits_never_share_a_scene() -> None:
    assert not np.array_equal(compose_wide("train", 1).image, compose_wide("heldout", 1).image)


def test_facts_are_those_of_the_visible_pixels(compose: Callable[[int], Scene]) -> None:
    for seed in range(12):
        scene = compose(seed)
        assert scene.image.dtype == np.uint8
        assert scene.image.shape == (*scene.instances.shape, 3)
        assert set(np.unique(scene.instances)) - {0} == set(range(1, len(scene.objects) + 1))
        for index, item in enumerate(scene.objects):
            ys, xs = np.nonzero(scene.mask(index))
            assert item.box == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
            assert 0.5 <= item.visible <= 1.0
            longer = max(item.box[2] - item.box[0], item.box[3] - item.box[1])
            assert item.scale == pytest.approx(longer / scene.side)


def test_most_pictures_are_not_square(compose: Callable[[int], Scene]) -> None:
    shapes = [compose(seed).image.shape for seed in range(40)]
    assert sum(h != w for h, w, _ in shapes) >= 20
    assert {np.sign(w - h) for h, w, _ in shapes} == {-1, 0, 1}


def test_things_are_small_and_large_covered_and_whole(compose: Callable[[int], Scene]) -> None:
    items = [item for seed in range(60) for item in compose(seed).objects]
    assert sum(item.scale < 0.15 for item in items) > len(items) / 12
    assert sum(item.scale > 0.3 for item in items) > len(items) / 12
    assert sum(item.visible < 0.8 for item in items) > len(items) / 40
    assert {item.style for item in items} == {"fluent", "noto"}


def test_pixels_of_a_thing_are_the_things_and_not_the_grounds() -> None:
    """Where the map says background, an unlit and shadowless scene shows the ground itself."""
    for seed in range(8):
        scene = compose_wide("heldout", seed)
        inside = scene.instances > 0
        if not inside.any():
            continue
        change = np.abs(scene.image.astype(int) - scene.background).mean(-1)
        assert change[inside].mean() > change[~inside].mean()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("colour", load_vocabulary().paint_colours)
def test_every_rule_of_recolouring_gives_the_colour_it_names(rule: str, colour: str) -> None:
    for name, style in (("balloon", "fluent"), ("red book", "noto")):
        rgba = recoloured(name, style, colour, rule)
        hsv = cv2.cvtColor(rgba[..., :3].copy(), cv2.COLOR_RGB2HSV)[rgba[..., 3] > 200]
        hues = hsv[hsv[:, 1] > 60, 0].astype(float)
        turn = (hues - PAINTS[colour][0] + 90) % 180 - 90
        assert abs(np.median(turn)) < 8


def test_a_cast_shadow_starts_at_the_foot_and_leans() -> None:
    alpha = np.ones((40, 20), np.float32)
    canvas = np.ones((200, 200, 3), np.float32)
    cast_shadow(
        canvas, alpha, 100, 60, Sun("cast", lean=1.0, length=0.5, softness=0.005, strength=0.5)
    )
    ys, xs = np.nonzero(canvas[..., 0] < 0.75)
    assert 97 <= ys.max() <= 100  # the foot is at 60 + 40
    assert xs[ys == ys.min()].mean() > xs[ys == ys.max()].mean() + 20
    untouched = np.ones((50, 50, 3), np.float32)
    cast_shadow(untouched, alpha, 5, 5, Sun("none", 0, 1, 0.01, 0.5))
    assert (untouched == 1).all()


def test_the_foreign_composer_shares_no_code_with_the_one_trained_on() -> None:
    source = inspect.getsource(foreign)
    assert "composer import" not in source
    assert "import cv2" not in source


def test_foreign_scenes_use_held_out_photographs_only() -> None:
    assert "background_files(heldout=True)" in inspect.getsource(foreign)


def test_the_second_style_keeps_its_own_licence() -> None:
    words = {name for kind in load_vocabulary().objects for name in kind.sprites}
    assert all(sprite_table()[name]["noto"]["licence"] == "Apache-2.0" for name in words)


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="size must be"):
        WideSettings(size=(0.0, 0.4))
    with pytest.raises(ValueError, match="objects must be"):
        WideSettings(objects=(4, 2))


def test_a_scene_may_be_empty() -> None:
    scene = compose_wide("train", 3, WideSettings(objects=(0, 0)))
    assert scene.objects == ()
    assert not scene.instances.any()
