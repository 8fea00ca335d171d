"""An edit spares what touches the named thing: the real miniature, and what is kept of it."""

from __future__ import annotations

import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from groundbrush import Editor
from groundbrush.editor.batch.grounding_store import load_grounding, save_grounding
from groundbrush.editor.editing.pipeline import find_protection, settings_for
from groundbrush.editor.editing.protect import _at_scale, _without_shadow, find_protected
from groundbrush.editor.editing.region import Region
from groundbrush.editor.masks.history import MaskHistory
from groundbrush.editor.pictures.picture import open_picture
from groundbrush.editor.request import make_request
from groundbrush.inpaint import InpaintSettings
from groundbrush.inpaint.support import support
from groundbrush.miniature.scenes import Scene, compose

FEW = {"steps": 2, "guidance": 1.0}
BUS, CUPCAKE = 1, 0


@pytest.fixture(scope="module")
def scene() -> Scene:
    """A bus with a cupcake that touches its corner."""
    return compose("validation", 20_003)


def share(support: np.ndarray, scene: Scene) -> float:
    """Of the cupcake, in a support."""
    thing = scene.mask(CUPCAKE)
    return float((support & thing).sum() / thing.sum())


def test_a_neighbour_is_left_alone(miniature, scene):
    wide = {**FEW, "dilate": 0.16}
    spared = miniature.edit(scene.image, "the bus", "a frog", settings=wide)
    plain = miniature.edit(scene.image, "the bus", "a frog", settings={**wide, "spare": False})
    assert spared.settings["spare"] and "spare" not in spared.recipe()["settings"]
    assert share(plain.support, scene) > 0.15 and share(spared.support, scene) < 0.04
    assert not (spared.support & ~plain.support).any()
    assert not (spared.grounding.mask & ~spared.support).any()
    ground = plain.support & (scene.instances == 0)
    assert (ground & spared.support).sum() > 0.95 * ground.sum()
    np.testing.assert_array_equal(spared.image[~spared.support], scene.image[~spared.support])


def test_removal_wipes_no_neighbour_either(miniature, scene):
    common = {"check": False, "retries": 0}
    plain = miniature.remove(scene.image, "the bus", settings={**FEW, "spare": False}, **common)
    spared = miniature.remove(scene.image, "the bus", settings=FEW, **common)
    assert share(spared.support, scene) < 0.5 * share(plain.support, scene)


@pytest.mark.parametrize("spare", [True, False])
def test_a_recipe_gives_the_same_bytes_again(miniature, scene, spare, tmp_path):
    settings = FEW if spare else {**FEW, "spare": False}
    edit = miniature.edit(scene.image, "the bus", "a frog", seed=3, settings=settings)
    edit.save(tmp_path / "a.png")
    fresh = Editor(miniature.models)  # the same models, nothing looked at
    again = fresh.run(tmp_path / "a.png", scene.image)
    assert again.image.tobytes() == edit.image.tobytes()
    np.testing.assert_array_equal(again.support, edit.support)
    again.save(tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert json.loads(json.dumps(edit.recipe()))["settings"] == settings


def test_a_large_picture_spares_the_same(miniature, scene):
    """Found on the searched copy; the answer has the picture's size."""
    large = cv2.resize(scene.image, (2048, 2048), interpolation=cv2.INTER_CUBIC)
    settings = miniature.models.inpaint_settings(removing=False, changes={})
    small = miniature.ground(scene.image, "the bus").mask
    mask = np.kron(small, np.ones((8, 8), bool))
    view = miniature.finder.look(open_picture(large))
    assert view.scale > 1.2
    spare = find_protected(miniature.finder, open_picture(large), mask, settings)
    assert spare is not None and spare.shape == (2048, 2048)
    cupcake = np.kron(scene.mask(CUPCAKE), np.ones((8, 8), bool))
    wide = support(mask, settings)
    beside = wide & cupcake & ~mask
    assert (spare & beside).sum() > 0.8 * beside.sum()
    assert (spare & wide & ~cupcake & ~mask).sum() < 0.05 * (wide & ~cupcake & ~mask).sum()


def test_pixels_of_a_large_picture_are_fewer_on_its_copy():
    assert _at_scale(InpaintSettings(dilate=40), 8).dilate == 5
    assert _at_scale(InpaintSettings(dilate=2), 8).dilate == 1  # not a fraction
    assert _at_scale(InpaintSettings(dilate=0.06), 8).dilate == 0.06


def test_a_drawn_mask_is_meant_as_drawn_unless_asked(miniature, scene):
    """Its own pixels are painted whatever they show; what it grows by spares them, if requested."""
    mask = scene.mask(BUS)
    drawn = Region(open_picture(scene.image), MaskHistory.start(mask), exact=True)
    request = make_request("edit", find="x", paint="y", settings={"dilate": 9})
    assert not settings_for(miniature.models, request, drawn).spare
    edits = [
        miniature.edit(
            scene.image, paint="a frog", mask=mask, settings={**FEW, "dilate": 9, "spare": spare}
        )
        for spare in (False, True)
    ]
    assert share(edits[1].support, scene) < 0.3 * share(edits[0].support, scene)
    assert not (mask & ~edits[1].support).any()


def test_new_sides_spare_nothing(miniature):
    request = make_request("extend", extend={"right": 9})
    assert not settings_for(miniature.models, request).spare


def test_nobody_looks_where_the_support_does_not_grow(scene):
    settings = Editor.load("miniature").models.inpaint_settings(
        removing=False, changes={"dilate": 0, "shape": "outline"}
    )
    nobody = SimpleNamespace()
    assert find_protected(nobody, open_picture(scene.image), scene.mask(BUS), settings) is None
    off = Editor.load("miniature").models.inpaint_settings(removing=True, changes={"spare": False})
    assert find_protected(nobody, open_picture(scene.image), scene.mask(BUS), off) is None


def test_a_shadow_goes_with_the_thing_that_casts_it():
    pixels = np.full((120, 160, 3), 170, np.uint8)
    thing = np.zeros((120, 160), bool)
    thing[40:80, 60:100] = True
    shadow, other = np.zeros_like(thing), np.zeros_like(thing)
    shadow[80:92, 64:120] = True
    other[40:80, 100:130] = True
    pixels[shadow] = 110
    pixels[thing], pixels[other] = (200, 30, 30), (30, 60, 200)
    view = SimpleNamespace(proxy=pixels)
    kept = _without_shadow(view, thing, np.stack([shadow, other]))
    assert len(kept) == 1
    np.testing.assert_array_equal(kept[0], other)


def test_what_was_found_before_is_not_looked_for_again(miniature, scene, tmp_path):
    """As in a batch: the painting step has only what was kept with the grounding."""
    request = make_request("edit", find="the bus", paint="a frog", settings=FEW)
    picture = open_picture(scene.image)
    found = miniature.ground(scene.image, "the bus")
    spares = find_protection(miniature.finder, picture, request, found)
    save_grounding(tmp_path / "kept.json.gz", found, {**spares, "none": None})
    _, kept = load_grounding(tmp_path / "kept.json.gz")
    assert kept.pop("none") is None and kept.keys() == spares.keys()
    (key,) = kept
    np.testing.assert_array_equal(kept[key], spares[key])
    painter = Editor(miniature.models)
    painter.finder.look = lambda picture: pytest.fail("it looks")
    again, _ = load_grounding(tmp_path / "kept.json.gz")
    edit = painter.paint(picture, request, None, again, kept)
    assert share(edit.support, scene) < 0.04
    save_grounding(tmp_path / "plain.json.gz", found)
    assert load_grounding(tmp_path / "plain.json.gz")[1] == {}
