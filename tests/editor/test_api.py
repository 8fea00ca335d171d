"""The editor end to end, with the real miniature models."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from groundbrush import Editor, GroundbrushError, Grounding
from groundbrush.editor.masks.operations import Level, Points, innermost
from groundbrush.editor.pictures.picture import read_recipe
from groundbrush.grounding import mask_iou
from groundbrush.miniature.phrases import absent_expressions, expressions
from groundbrush.miniature.scenes import Scene, compose
from PIL import Image

QUICK = {"steps": 4}


def test_the_named_object_is_found_in_most_held_out_scenes(miniature: Editor) -> None:
    hits = []
    for seed in range(200, 230):
        scene = compose("heldout", seed)
        for e in (e for i in range(len(scene.objects)) for e in expressions(scene, i)):
            if e.kind in ("name", "colour"):
                found = miniature.ground(scene.image, e.text)
                hits.append(mask_iou(found.mask, scene.mask(e.target)) > 0.5)
                break
    # A random object of a scene would be right about four times in ten.
    assert np.mean(hits) > 0.6, f"{sum(hits)} of {len(hits)}"


def test_absent_is_an_answer_with_a_reason(miniature: Editor) -> None:
    answers: list[Grounding] = []
    for seed in range(300, 312):
        scene = compose("heldout", seed)
        phrase = absent_expressions(scene, np.random.default_rng(seed), 1)[0].text
        answers.append(miniature.ground(scene.image, phrase))
    absent = [a for a in answers if a.status == "absent"]
    assert len(absent) >= 8
    assert all(a.box is None and not a.mask.any() and "not there" in a.reason for a in absent)


def test_grounding_has_the_promised_shapes(
    miniature: Editor, scene_file: tuple[Path, Scene, object]
) -> None:
    path, scene, asked = scene_file
    found = miniature.ground(path, asked.text)
    assert found.mask.shape == found.map.shape == scene.image.shape[:2]
    assert found.map.dtype == np.float32
    assert 0 <= found.map.min() <= found.map.max() <= 1
    assert 0 <= found.score <= 1
    assert len(found.heads) == 3
    x0, y0, x1, y1 = (int(v) for v in found.box)
    assert found.mask[y0:y1, x0:x1].sum() == found.mask.sum()


def test_the_three_kinds_of_source_agree(
    miniature: Editor, scene_file: tuple[Path, Scene, object]
) -> None:
    path, scene, asked = scene_file
    boxes = {
        miniature.ground(source, asked.text).box for source in (path, Image.open(path), scene.image)
    }
    assert len(boxes) == 1


def test_edit_changes_the_object_and_nothing_else(
    miniature: Editor, scene_file: tuple[Path, Scene, object]
) -> None:
    path, scene, asked = scene_file
    edit = miniature.edit(path, asked.text, "a yellow banana", seed=7, settings=QUICK)
    assert edit.done
    assert (edit.image == scene.image)[~edit.support].all()
    assert (edit.image != scene.image)[edit.grounding.mask].any(1).mean() > 0.5
    assert edit.checks["preserved"]


def test_same_recipe_same_bytes(
    miniature: Editor, scene_file: tuple[Path, Scene, object], tmp_path: Path
) -> None:
    path, _, asked = scene_file
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    for file in files:
        miniature.edit(path, asked.text, "a red balloon", seed=7, settings=QUICK).save(file)
    assert files[0].read_bytes() == files[1].read_bytes()
    fresh = Editor.load("miniature", device="cpu", offline=True)
    fresh.run(files[0]).save(tmp_path / "c.png")
    assert (tmp_path / "c.png").read_bytes() == files[0].read_bytes()


def test_variants_differ_and_count_their_seeds(
    miniature: Editor, scene_file: tuple[Path, Scene, object]
) -> None:
    path, _, asked = scene_file
    edit = miniature.edit(path, asked.text, "a book", seed=3, variants=2, settings=QUICK)
    assert [v.seed for v in edit.variants] == [3, 4]
    assert (edit.variants[0].image != edit.variants[1].image).any()
    alone = miniature.edit(path, asked.text, "a book", seed=4, settings=QUICK)
    # painted together, a batch's sums differ in their last bits
    assert np.abs(alone.image.astype(int) - edit.variants[1].image).max() <= 2


def test_remove_paints_background_with_a_wider_support(
    miniature: Editor, scene_file: tuple[Path, Scene, object]
) -> None:
    path, scene, asked = scene_file
    gone = miniature.remove(path, asked.text, seed=1, settings=QUICK)
    edit = miniature.edit(path, asked.text, "a book", seed=1, settings=QUICK)
    assert gone.support.sum() > edit.support.sum()
    assert (gone.image == scene.image)[~gone.support].all()


def test_checked_variants_are_ordered_by_what_the_model_sees(
    miniature: Editor, scene_file: tuple[Path, Scene, object]
) -> None:
    path, _, asked = scene_file
    edit = miniature.edit(path, asked.text, "a red balloon", variants=2, check=True, settings=QUICK)
    assert sorted(v.seed for v in edit.variants) == [0, 1]
    assert (edit.image == edit.variants[0].image).all()
    first, second = (v.checks["passed"] for v in edit.variants)
    assert edit.checks["grounded"] is first
    assert first or not second
    assert first or "passed the check" in edit.notes[-1]


def test_clicks_and_levels_ask_the_real_segmenter(
    miniature: Editor, scene_file: tuple[Path, Scene, object]
) -> None:
    path, scene, asked = scene_file
    truth = scene.mask(asked.target)
    start = miniature.mask(path, asked.text)
    x, y = innermost(truth)
    clicked = start.do(Points(((x, y),), "replace"))
    assert mask_iou(clicked.mask, truth) > 0.5
    sizes = [start.do(Level(level)).mask.sum() for level in ("subpart", "part", "whole")]
    assert sizes == sorted(sizes)
    assert (clicked.undo().mask == start.mask).all()


def test_what_is_painted_where_nothing_shows_is_told(miniature: Editor, tmp_path: Path) -> None:
    cut_out = np.full((64, 64, 4), 120, np.uint8)
    cut_out[:, :32, 3] = 0
    path = tmp_path / "cut.png"
    Image.fromarray(cut_out).save(path)
    for box, told in (((4, 4, 24, 24), True), ((40, 40, 60, 60), False)):
        edit = miniature.edit(
            path, box=box, paint="a frog", settings={"steps": 2, "strength": 1.0, "dilate": 0}
        )
        assert any("are wholly transparent in the picture" in note for note in edit.notes) is told


def test_the_last_pixel_of_a_strip_can_be_clicked(miniature: Editor) -> None:
    """Its searched copy is rounded to a size that is not quite as many times smaller."""
    from groundbrush.editor.pictures.picture import open_picture

    pixels = np.full((60, 6000, 3), 90, np.uint8)
    masks, _ = miniature.finder.segment(open_picture(pixels), points=[[3000, 59.5]], labels=[1])
    assert masks.shape[1:] == (60, 6000)
    view = miniature.finder.look(open_picture(pixels))
    height, width = view.proxy.shape[:2]
    assert view.enlarged((0, 0, width, height)) == pytest.approx((0, 0, 6000, 60))


def test_a_place_of_ones_own_needs_no_words(
    miniature: Editor, scene_file: tuple[Path, Scene, object], tmp_path: Path
) -> None:
    path, scene, asked = scene_file
    truth = scene.mask(asked.target)
    edit = miniature.edit(path, paint="a book", mask=truth, seed=3, settings=QUICK)
    assert edit.grounding is None
    assert (edit.support == truth).all()
    edit.save(tmp_path / "a.png")
    miniature.run(tmp_path / "a.png").save(tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    wide = miniature.extend(path, right=32, settings=QUICK)
    height, width = scene.image.shape[:2]
    assert wide.image.shape == (height, width + 32, 3)
    kept = ~wide.support[:, :width]
    assert (wide.image[:, :width] == scene.image)[kept].all()


def test_absent_leaves_the_picture_and_says_why(miniature: Editor) -> None:
    scene = compose("heldout", 300)
    for phrase in (e.text for e in absent_expressions(scene, np.random.default_rng(300), 6)):
        edit = miniature.edit(scene.image, phrase, "a book", settings=QUICK)
        if not edit.done:
            break
    assert not edit.done
    assert (edit.image == scene.image).all()
    assert "not there" in edit.notes[-1]
    with pytest.raises(GroundbrushError, match="nothing was painted, .*: .*not there"):
        edit.save("never.png")


def test_saved_file_keeps_exif_icc_alpha_and_holds_the_recipe(
    miniature: Editor, scene_file: tuple[Path, Scene, object], tmp_path: Path
) -> None:
    _, scene, asked = scene_file
    picture = Image.fromarray(scene.image)
    alpha = np.full(scene.image.shape[:2], 255, np.uint8)
    alpha[:40] = 90
    picture.putalpha(Image.fromarray(alpha))
    exif = Image.Exif()
    exif[0x010E] = "my holiday"
    source = tmp_path / "in.png"
    profile = _srgb()  # dated: each is another
    picture.save(source, exif=exif, icc_profile=profile)
    edit = miniature.edit(source, asked.text, "a book", seed=2, settings=QUICK)
    edit.save(tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as out:
        assert out.getexif()[0x010E] == "my holiday"
        assert out.info["icc_profile"] == profile
        assert (np.array(out)[..., 3] == alpha).all()
    saved, recipe = read_recipe(tmp_path / "out.png"), json.loads(json.dumps(edit.recipe()))
    assert saved["image"] == {**recipe["image"], "path": "in.png"}
    assert {**saved, "image": recipe["image"]} == recipe
    assert recipe["find"] == asked.text


def test_rotated_photo_is_searched_and_saved_upright(
    miniature: Editor, scene_file: tuple[Path, Scene, object], tmp_path: Path
) -> None:
    _, scene, asked = scene_file
    exif = Image.Exif()
    exif[0x0112] = 6  # stored turned; shown after a quarter turn clockwise
    Image.fromarray(np.rot90(scene.image).copy()).save(tmp_path / "turned.png", exif=exif)
    upright = miniature.ground(scene.image, asked.text)
    turned = miniature.ground(tmp_path / "turned.png", asked.text)
    assert turned.box == upright.box


def test_recipe_refuses_another_picture(
    miniature: Editor, scene_file: tuple[Path, Scene, object]
) -> None:
    path, scene, asked = scene_file
    recipe = miniature.edit(path, asked.text, "a book", settings=QUICK).recipe()
    other = scene.image.copy()
    other[0, 0] ^= 1
    with pytest.raises(GroundbrushError, match="has other pixels than the recipe was made from"):
        miniature.run(recipe, other)


@pytest.mark.parametrize(
    ("find", "words"),
    [
        ("", "find is ''; expected some words"),
        ("   ", "expected some words"),
        (None, "find is None"),
        ("the aple", "cannot find 'aple'; did you mean apple"),
        ("the apple " * 2500, "the phrase has 5,000 words"),
        ("the apple and " * 20 + "a pear", r"^find is .{,210}, which names 21 things: .{,300}$"),
    ],
)
def test_bad_phrases(miniature: Editor, find: object, words: str) -> None:
    with pytest.raises(GroundbrushError, match=words):
        miniature.ground(np.zeros((64, 64, 3), np.uint8), find)


def test_unknown_word_to_paint_is_refused_before_any_work(miniature: Editor) -> None:
    with pytest.raises(GroundbrushError, match="cannot paint 'zeppelin'"):
        miniature.edit("missing.png", "the apple", "a zeppelin")


def test_a_recipe_is_checked_like_a_call(
    miniature: Editor, scene_file: tuple[Path, Scene, object]
) -> None:
    path, _, asked = scene_file
    recipe = miniature.edit(path, asked.text, "a book", settings=QUICK).recipe()
    with pytest.raises(GroundbrushError, match="cannot paint 'zeppelin'"):
        miniature.run({**recipe, "paint": "a zeppelin"})
    with pytest.raises(GroundbrushError, match="paint is '  '"):
        miniature.run({**recipe, "paint": "  "})


def test_unknown_setting_suggests(miniature: Editor, scene_file: tuple) -> None:
    with pytest.raises(GroundbrushError, match="did you mean 'steps'"):
        miniature.edit(scene_file[0], "the apple", "a book", settings={"step": 3})


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (700, 40), (31, 33)])
def test_odd_sizes_give_an_answer(miniature: Editor, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 255, (*size, 3), dtype=np.uint8)
    found = miniature.ground(image, "the red apple")
    assert found.mask.shape == size


def test_a_large_picture_is_found_on_a_copy_and_painted_in_a_crop(
    miniature: Editor, scene_file: tuple[Path, Scene, object]
) -> None:
    _, scene, asked = scene_file
    large = np.asarray(Image.fromarray(scene.image).resize((3000, 3000), Image.Resampling.BICUBIC))
    small = miniature.ground(scene.image, asked.text)
    edit = miniature.edit(large, asked.text, "a book", settings=QUICK)
    assert edit.grounding.mask.shape == (3000, 3000)
    shrunk = np.asarray(Image.fromarray(edit.grounding.mask).resize((256, 256)))
    assert mask_iou(shrunk, small.mask) > 0.8
    assert (edit.image == large)[~edit.support].all()


def _srgb() -> bytes:
    from PIL import ImageCms

    buffer = io.BytesIO()
    buffer.write(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    return buffer.getvalue()
