"""Edits by mask, box and sides, drafts, checks and retries, with a painter and a judge of ours."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from groundbrush import Editor, GroundbrushError
from groundbrush.editor.editing.verify import spoken
from groundbrush.editor.masks.history import MaskHistory
from groundbrush.editor.masks.operations import Boxes, Brush, Dilate, Erode, Feather, Invert
from groundbrush.editor.models.models import Models
from groundbrush.editor.models.presets import load_preset
from groundbrush.editor.pictures.picture import open_picture, read_recipe
from groundbrush.editor.pictures.saving import save_picture
from groundbrush.editor.request import chained
from groundbrush.grounding.result import Candidate, Grounding
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image

RED, GREEN, GREY = (220, 20, 30), (20, 200, 40), (128, 128, 128)
UNBENT = {"blend": "laplacian"}  # Poisson would bend a flat red away from RED


class FlatPainter:
    """Paints the canvas in a colour by its prompt and its seed; an empty prompt paints grey."""

    def __init__(self, fails: set[int] = frozenset()) -> None:
        self.seeds: list[int] = []
        self.prompts: list[str] = []
        self.settings: list = []
        self.fails = fails

    def paint(self, image, mask, prompt, *, seed, settings, on_step, cancelled):
        self.seeds.append(seed)
        self.prompts.append(prompt)
        self.settings.append(settings)
        if on_step is not None:
            on_step(1, 1)
        colour = {"a green thing": GREEN}.get(prompt, GREY)
        if seed in self.fails:
            colour = RED
        return np.where(mask[..., None], np.array(colour, np.uint8), image)

    def cut_off(self, prompt):
        return ""


class ColourGrounder:
    """Finds "the red thing" and "the green thing" by their colour; nothing else is there."""

    def __init__(self) -> None:
        self.lvlm = SimpleNamespace(unknown_words=lambda phrase: [])
        self.asked: list[str] = []
        self.segmenter = SimpleNamespace(predict=self._predict, prompt_logits=self._nothing)

    def look(self, pixels):
        size = pixels.shape[1::-1]
        frame = SimpleNamespace(grid_wh=size, size_wh=size)
        embedding = SimpleNamespace(pixels=pixels, size_wh=size, frame=frame)
        return SimpleNamespace(
            pixels=pixels, proxy=pixels, scale=1.0, scale_xy=(1.0, 1.0), embedding=embedding
        )

    def ground(self, view, phrase):
        self.asked.append(phrase)
        colour = {"the red thing": RED, "the green thing": GREEN}.get(phrase)
        mask = np.zeros(view.pixels.shape[:2], bool)
        if colour is not None:
            mask = (np.abs(view.pixels.astype(int) - colour) < 12).all(2)
        found = mask.sum() > 20
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box = None
        if found:
            box = (float(columns[0]), float(rows[0]), columns[-1] + 1.0, rows[-1] + 1.0)
        return Grounding(
            phrase=phrase,
            status="found" if found else "absent",
            reason="it is there" if found else "it is not there",
            box=box,
            mask=mask if found else np.zeros_like(mask),
            score=0.8 if found else 0.0,
            candidates=(Candidate(box, 0.5, mask),) if found else (),
            heads=((0, 0),),
            token_map=np.zeros((4, 4), np.float32),
            region=(0, 0, 64, 48),
        )

    def _predict(self, embedding, *, size_wh, box=None, points=None, labels=None):
        mask = (np.abs(embedding.pixels.astype(int) - RED) < 12).all(2)
        return SimpleNamespace(masks=mask[None], scores=np.ones(1))

    def _nothing(self, embedding, **prompt):
        """No other thing is beside it."""
        width, height = embedding.size_wh
        return np.full((1, 1, height, width), -9, np.float32), np.zeros((1, 1), np.float32)


class FakeModels(Models):
    """The preset's settings with models of ours."""

    words = None

    def __init__(self, fails: set[int] = frozenset()) -> None:
        super().__init__(load_preset("miniature"), device="cpu")
        self.painter, self.finder = FlatPainter(fails), ColourGrounder()
        self.grounder_was_loaded = False

    def grounder(self):
        self.grounder_was_loaded = True
        return self.finder

    def inpainter(self):
        return self.painter


@pytest.fixture
def picture() -> np.ndarray:
    pixels = np.full((48, 64, 3), 90, np.uint8)
    pixels[14:26, 20:36] = RED
    return pixels


@pytest.fixture
def box_mask() -> np.ndarray:
    mask = np.zeros((48, 64), bool)
    mask[10:30, 12:40] = True
    return mask


def editor_with(fails: set[int] = frozenset()) -> Editor:
    return Editor(FakeModels(fails))


def test_by_mask_no_model_looks_and_the_mask_is_the_support(picture, box_mask):
    editor = editor_with()
    edit = editor.edit(picture, paint="a green thing", mask=box_mask)
    assert edit.done and edit.grounding is None
    assert not editor.models.grounder_was_loaded
    np.testing.assert_array_equal(edit.support, box_mask)
    np.testing.assert_array_equal(edit.image[~box_mask], picture[~box_mask])
    assert np.abs(edit.image[18:22, 24:30].astype(int) - GREEN).max() <= 4


def test_by_box_the_rectangles_are_the_support(picture):
    boxes = [(2, 3, 9, 9), (50, 30, 99, 99)]
    edit = editor_with().edit(picture, "the dog", "a green thing", box=boxes)
    assert "'the dog' was not searched for" in edit.notes[0]
    expected = np.zeros((48, 64), bool)
    expected[3:9, 2:9] = expected[30:, 50:] = True
    np.testing.assert_array_equal(edit.support, expected)


def test_snapped_to_the_object_the_support_grows_as_for_a_phrase(picture):
    editor = editor_with()
    snapped = editor.edit(picture, paint="a green thing", box=(15, 10, 45, 30), snap=True)
    named = editor.edit(picture, "the red thing", "a green thing")
    np.testing.assert_array_equal(snapped.support, named.support)
    assert snapped.support.sum() > 12 * 16


@pytest.mark.parametrize("kind", ["file", "rgba", "image", "grey", "binary", "history", "dict"])
def test_a_mask_may_come_as_anything(picture, box_mask, kind, tmp_path):
    grey = Image.fromarray(box_mask.astype(np.uint8) * 255)
    clear = Image.new("RGBA", grey.size, (255, 255, 255, 0))
    clear.paste((0, 160, 255, 255), mask=grey)
    grey.save(tmp_path / "mask.png")
    clear.save(tmp_path / "clear.png")
    history = MaskHistory.start(box_mask)
    given_ = {
        "file": tmp_path / "mask.png",
        "rgba": tmp_path / "clear.png",
        "image": grey,
        "grey": np.array(grey),
        "binary": box_mask.astype(np.uint8),
        "history": history,
        "dict": history.as_dict()["base"],
    }[kind]
    edit = editor_with().edit(picture, paint="a green thing", mask=given_)
    np.testing.assert_array_equal(edit.support, box_mask)


def test_operations_change_what_a_phrase_found(picture):
    editor = editor_with()
    plain = editor.mask(picture, "the red thing")
    grown = editor.mask(picture, "the red thing", operations=[Dilate(3)])
    np.testing.assert_array_equal(grown.mask, plain.do(Dilate(3)).mask)
    operation = {"op": "dilate", "pixels": 3}
    edit = editor.edit(
        picture, "the red thing", "a green thing", operations=[operation], settings={"dilate": 0}
    )
    np.testing.assert_array_equal(edit.support, grown.mask)


def test_a_history_brings_its_feather(picture, box_mask):
    history = MaskHistory.start(box_mask).do(Invert()).do(Feather(11)).do(Invert())
    edit = editor_with().edit(picture, paint="a green thing", mask=history)
    np.testing.assert_array_equal(edit.support, box_mask)
    assert edit.settings["feather"] == 11
    again = editor_with().run(edit.recipe(), picture)
    assert again.settings["feather"] == 11


def test_what_was_drawn_or_changed_keeps_its_outline(picture, box_mask):
    """A hull is for what was found: of an inverted mask it would be everything."""
    ell = box_mask.copy()
    ell[10:20, 24:] = False
    preset = load_preset("miniature")
    hull = {"shape": "hull", "dilate": 0, "fill_holes": 0}
    settings = {**preset.inpainter["settings"], **hull}
    hulled = dataclasses.replace(preset, inpainter={**preset.inpainter, "settings": settings})
    editor = editor_with()
    editor.models.preset = hulled
    picture[14:20, 28:36] = 90  # an L of red
    found = editor.edit(picture, "the red thing", "a green thing")
    assert found.support[16, 28] and not editor.mask(picture, "the red thing").mask[16, 28]
    changed = editor.edit(picture, "the red thing", "a green thing", operations=[Invert()])
    np.testing.assert_array_equal(changed.support, ~editor.mask(picture, "the red thing").mask)
    drawn = editor.edit(picture, paint="a green thing", mask=ell)
    np.testing.assert_array_equal(drawn.support, ell)
    wider = editor.extend(picture, right=9, bottom=9)
    assert not wider.support[:30, :50].any()


@pytest.mark.parametrize(
    "operations",
    [
        [Invert()],
        [Dilate(5), Invert()],
        [Erode(3)],
        [Boxes(((60, 60, 90, 90),), how="subtract")],
        [Brush((((80, 60), (80, 80)),), radius=6, how="subtract"), Dilate(2), Erode(2)],
    ],
)
def test_what_operations_take_out_of_a_found_mask_is_not_painted(miniature, operations):
    """Neither by the margin that found masks get, nor as a hole that is closed."""
    fruit = open_picture(Path(__file__).parents[2] / "examples" / "fruit.png")
    history = miniature.mask(fruit, "the red apple")
    found = history.mask
    for operation in operations:
        history = history.do(operation)
    edit = miniature.edit(
        fruit,
        "the red apple",
        "a frog",
        operations=operations,
        settings={"steps": 2, "strength": 1.0, "fill_holes": 0.5},
    )
    out = found & ~history.mask
    assert out.sum() > 50
    assert not (edit.support & out).any()
    assert (edit.support & history.mask).sum() == history.mask.sum()
    np.testing.assert_array_equal(edit.image[out], fruit.pixels[out])


@pytest.mark.parametrize(
    "operations", [[Invert(), Invert()], [Dilate(10), Erode(10)], [Invert(), Erode(1), Invert()]]
)
def test_what_operations_add_and_take_away_again_grows_as_ever(miniature, operations):
    fruit = open_picture(Path(__file__).parents[2] / "examples" / "fruit.png")
    history = miniature.mask(fruit, "the red apple")
    plain = history.mask.sum()
    for operation in operations:
        history = history.do(operation)
    settings = {"steps": 2, "strength": 1.0, "fill_holes": 0, "spare": False}
    edit = miniature.edit(
        fruit, "the red apple", "a frog", operations=operations, settings=settings
    )
    usual = miniature.edit(fruit, "the red apple", "a frog", settings=settings)
    assert not history.taken.any()
    grown = usual.support.sum() - plain
    assert edit.support.sum() - history.mask.sum() > 0.8 * grown > 500


def test_operations_that_leave_nothing_are_an_answer(picture):
    gone = editor_with().edit(
        picture, "the red thing", "a green thing", operations=[{"op": "erode", "pixels": 50}]
    )
    assert not gone.done
    assert gone.notes[-1] == "the operations left no pixel in the mask"


def test_operations_make_nothing_of_what_is_absent(picture):
    gone = editor_with().edit(picture, "the blue thing", "a green thing", operations=[Invert()])
    assert not gone.done and "not there" in gone.notes[-1]
    np.testing.assert_array_equal(gone.image, picture)


CALLS = {
    "mask": lambda e, p, m: e.edit(p, paint="a green thing", mask=m, seed=5),
    "boxes": lambda e, p, m: e.edit(p, paint="a green thing", box=[(1, 2, 9, 9), (20, 20, 30, 30)]),
    "snap": lambda e, p, m: e.edit(p, paint="a green thing", box=(10, 10, 40, 30), snap=True),
    "operations": lambda e, p, m: e.edit(
        p, "the red thing", "a green thing", operations=[Dilate(2), Invert()], variants=2
    ),
    "check": lambda e, p, m: e.edit(p, "the red thing", "a green thing", check=True, retries=2),
    "words": lambda e, p, m: e.edit(p, paint="a green thing", mask=m, check="the red thing"),
    "remove": lambda e, p, m: e.remove(p, "the red thing", seed=3),
    "remove mask": lambda e, p, m: e.remove(p, "the red thing", mask=m, retries=1),
    "draft": lambda e, p, m: e.edit(p, "the red thing", "a green thing", draft=True),
    "extend": lambda e, p, m: e.extend(p, "a green thing", right=9, top=4),
    "extend plain": lambda e, p, m: e.extend(p, bottom=12),
}


@pytest.mark.parametrize("name", CALLS)
def test_recipes_cover_every_way_of_editing(picture, box_mask, name, tmp_path):
    fails = {0, 3}
    edit = CALLS[name](editor_with(fails), picture, box_mask)
    recipe = json.loads(json.dumps(edit.recipe()))
    again = editor_with(fails).run(recipe, picture)
    assert again.image.tobytes() == edit.image.tobytes()
    assert json.dumps(again.recipe()) == json.dumps(edit.recipe())
    edit.save(tmp_path / "a.png")
    # the file alone does it too: to the same bytes
    saved = editor_with(fails).run(tmp_path / "a.png", picture)
    saved.save(tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_edits_in_a_row_are_done_again_from_one_recipe(picture, tmp_path):
    editor = editor_with()
    first = editor.edit(picture, "the red thing", "a green thing", seed=3)
    second = editor.extend(first.image, "grass", right=8, seed=4)
    third = editor.remove(second.image, "the green thing", seed=5)
    chain = chained([one.recipe() for one in (first, second, third)])
    save_picture(tmp_path / "all.png", third.image, recipe=chain)
    again = editor_with().run(tmp_path / "all.png", picture)
    np.testing.assert_array_equal(again.image, third.image)
    assert again.notes == third.notes
    assert again.recipe() == read_recipe(tmp_path / "all.png")
    np.testing.assert_array_equal(again.picture.pixels, second.image)
    last = editor.edit(tmp_path / "all.png", paint="a red thing", box=(2, 2, 9, 9))
    assert last.save(tmp_path / "other.png") == ()
    assert "picture itself was overwritten" in last.save(tmp_path / "all.png")[-1]


def test_a_chain_tells_where_it_drifted(picture):
    editor = editor_with()
    first = editor.edit(picture, "the red thing", "a green thing")
    second = editor.remove(first.image, "the green thing")
    chain = chained([first.recipe(), second.recipe()])
    chain["image"]["sha256"] = "0" * 64
    assert "edit 2 of 2 starts from other pixels" in editor_with().run(chain, picture).notes[-1]
    with pytest.raises(GroundbrushError, match="other pixels than the recipe was made from"):
        editor_with().run(chain, first.image)
    with pytest.raises(GroundbrushError, match="the recipe is of preset 'another'"):
        editor_with().run({**chain, "before": [{**first.recipe(), "preset": "another"}]}, picture)


def test_a_plain_edit_has_a_plain_recipe(picture):
    recipe = editor_with().edit(picture, "the red thing", "a green thing").recipe()
    assert set(recipe) == {
        "groundbrush",
        "action",
        "find",
        "paint",
        "seed",
        "variants",
        "candidate",
        "settings",
        "preset",
        "image",
    }


def test_check_puts_the_variant_that_shows_the_new_thing_first(picture):
    editor = editor_with(fails={0, 1, 3})
    edit = editor.edit(picture, "the red thing", "a green thing", variants=4, check=True)
    assert edit.variants[0].seed == 2
    assert edit.checks["grounded"] is True and edit.checks["tries"] == 4
    assert [v.checks["passed"] for v in edit.variants] == [True, False, False, False]
    assert (edit.image == edit.variants[0].image).all()
    assert not any("passed the check" in note for note in edit.notes)


def test_of_those_that_pass_one_without_the_old_thing_is_better(picture, monkeypatch):
    """Seed 0 leaves a red corner in the hole, seed 1 none; both show the new thing."""
    editor = editor_with()
    plain = editor.models.painter.paint

    def paint(image, mask, prompt, *, seed, **more):
        painted = plain(image, mask, prompt, seed=seed, **more)
        rows, columns = np.nonzero(mask)
        if seed == 0:
            middle = (columns.min() + columns.max()) // 2
            part = np.s_[rows.min() + 12 : rows.max() - 12, columns.min() + 12 : middle]
            painted[part] = RED
        return painted

    monkeypatch.setattr(editor.models.painter, "paint", paint)
    edit = editor.edit(picture, "the red thing", "a green thing", variants=2, check=True)
    assert [v.checks["passed"] for v in edit.variants] == [True, True]
    assert [v.seed for v in edit.variants] == [1, 0]


def test_when_no_variant_passes_the_result_says_so(picture):
    edit = editor_with(fails={0, 1}).edit(
        picture, "the red thing", "a green thing", variants=2, check=True
    )
    assert edit.done and edit.checks["grounded"] is False
    assert "none of 2 paintings passed the check" in edit.notes[-1]
    assert "'the green thing' is not found" in edit.notes[-1]


def test_what_was_there_before_does_not_pass_for_the_new_thing(picture):
    picture[2:10, 50:60] = GREEN
    edit = editor_with(fails={0}).edit(picture, "the red thing", "a green thing", check=True)
    assert edit.checks["grounded"] is False
    assert "found elsewhere" in edit.notes[-1]


def test_without_check_nobody_looks_and_seeds_keep_their_order(picture):
    editor = editor_with(fails={0})
    edit = editor.edit(picture, "the red thing", "a green thing", variants=3)
    assert [v.seed for v in edit.variants] == [0, 1, 2]
    assert editor.models.finder.asked == ["the red thing"]
    assert edit.variants[0].checks["passed"] is None
    assert "grounded" not in edit.checks


def test_removal_tries_new_seeds_until_it_is_gone(picture):
    editor = editor_with(fails={7, 8})
    edit = editor.remove(picture, "the red thing", seed=7, settings=UNBENT)
    assert editor.models.painter.seeds == [7, 8, 9]
    assert edit.checks["gone"] is True and edit.checks["tries"] == 3
    assert [v.seed for v in edit.variants] == [9]
    assert any("it took 3 paintings" in note for note in edit.notes)


def test_removal_gives_up_after_its_retries_and_says_so(picture):
    editor = editor_with(fails=set(range(99)))
    edit = editor.remove(picture, "the red thing", settings=UNBENT)
    assert editor.models.painter.seeds == [0, 1, 2, 3]
    assert edit.done and edit.checks["gone"] is False
    assert "none of 4 paintings passed" in edit.notes[-1]
    assert "still found there" in edit.notes[-1]
    once = editor_with(fails=set(range(99)))
    assert len(once.remove(picture, "the red thing", retries=0, settings=UNBENT).variants) == 1
    assert once.models.painter.seeds == [0]


def test_removal_unchecked_paints_once(picture):
    editor = editor_with(fails={0})
    edit = editor.remove(picture, "the red thing", check=False)
    assert editor.models.painter.seeds == [0]
    assert "gone" not in edit.checks


def test_a_twin_elsewhere_does_not_make_removal_fail(picture, box_mask):
    picture[34:44, 48:62] = RED
    editor = editor_with()
    edit = editor.remove(picture, "the red thing", mask=box_mask)
    assert edit.checks["gone"] is True


def test_removal_has_a_wider_support_and_the_presets_words(picture):
    editor = editor_with()
    gone = editor.remove(picture, "the red thing")
    edit = editor.edit(picture, "the red thing", "a green thing")
    assert (gone.support >= edit.support).all() and gone.support.sum() > edit.support.sum()
    assert editor.models.painter.prompts[0] == editor.models.removal_prompt


def test_removal_without_words_is_not_checked(picture, box_mask):
    editor = editor_with(fails={0})
    edit = editor.remove(picture, mask=box_mask)
    assert "gone" not in edit.checks and editor.models.painter.seeds == [0]
    assert not editor.models.grounder_was_loaded


class Answers:
    """A language model that is shown pictures and says how sure it is of a few words."""

    presence_settings = object()

    def __init__(self, sure: dict[str, float]) -> None:
        self.sure, self.shown = sure, []
        self.unknown_words = lambda phrase: []

    def encode(self, pixels):
        self.shown.append(pixels)
        return pixels

    def presence(self, encoded, phrases):
        return [self.sure.get(phrase, 0.1) for phrase in phrases]


def test_removal_describes_what_lies_around(picture):
    editor = editor_with()
    answers = Answers({"grass": 0.7, "sky": 0.9, "water": 0.6})
    editor.models.finder.lvlm = answers
    edit = editor.remove(picture, "the red thing")
    (prompt,) = editor.models.painter.prompts
    assert prompt == f"sky, grass, {editor.models.removal_prompt}"
    assert "around it there seems to be sky and grass: painted so" in edit.notes
    (shown,) = answers.shown
    assert shown.shape[0] < 48 and (np.abs(shown.astype(int) - RED).sum(2) > 100).all()
    again = editor.run(edit.recipe(), picture)
    assert again.image.tobytes() == edit.image.tobytes()


def test_nobody_looks_around_where_nobody_is_asked(picture, box_mask):
    editor = editor_with()
    editor.models.finder.lvlm = Answers({"sky": 0.9})
    editor.remove(picture, mask=box_mask)
    editor.remove(picture, "the red thing", check=False)
    editor.extend(picture, right=9)
    assert set(editor.models.painter.prompts) == {editor.models.removal_prompt}
    assert editor.models.finder.lvlm.shown == []


def test_a_model_of_few_words_is_not_asked_for_others(picture, monkeypatch):
    editor = editor_with()
    editor.models.finder.lvlm = Answers({"sky": 0.9})
    monkeypatch.setattr(FakeModels, "words", SimpleNamespace())
    editor.remove(picture, "the red thing")
    assert editor.models.painter.prompts == [editor.models.removal_prompt]


def test_draft_takes_fewer_steps_and_says_so(picture):
    editor = editor_with()
    edit = editor.edit(picture, "the red thing", "a green thing", draft=True)
    full = editor.edit(picture, "the red thing", "a green thing")
    assert edit.settings["steps"] < full.settings["steps"]
    assert any(note.startswith("draft:") for note in edit.notes)
    mine = editor.edit(
        picture, "the red thing", "a green thing", draft=True, settings={"steps": 17}
    )
    assert mine.settings["steps"] == 17


@pytest.mark.parametrize("sides", [{"right": 20}, {"left": 7, "top": 5}, {"bottom": 90}])
def test_extending_keeps_the_picture_and_paints_the_new_side(picture, sides):
    edit = editor_with().extend(picture, "a green thing", **sides)
    left, top = sides.get("left", 0), sides.get("top", 0)
    shape = (48 + top + sides.get("bottom", 0), 64 + left + sides.get("right", 0))
    assert edit.image.shape[:2] == shape
    old = np.s_[top : top + 48, left : left + 64]
    kept = ~edit.support[old]
    assert kept.mean() > 0.6
    np.testing.assert_array_equal(edit.image[old][kept], picture[kept])
    new = np.ones(shape, bool)
    new[old] = False
    assert np.abs(edit.image[new].astype(int) - GREEN).max() < 40  # resampled along the seam


def test_an_extended_picture_keeps_its_alpha(picture, tmp_path):
    clear = Image.fromarray(picture)
    clear.putalpha(Image.fromarray(np.full((48, 64), 77, np.uint8)))
    clear.save(tmp_path / "in.png")
    edit = editor_with().extend(tmp_path / "in.png", right=10)
    edit.save(tmp_path / "out.png")
    alpha = np.array(Image.open(tmp_path / "out.png"))[..., 3]
    assert (alpha[:, :64] == 77).all() and (alpha[:, 64:] == 255).all()


@given(
    kind=st.sampled_from(["empty", "full", "pixel", "border", "parts", "noise"]),
    shape=st.sampled_from([(1, 1), (3, 17), (48, 64), (90, 31)]),
    seed=st.integers(0, 2**32),
    dilate=st.sampled_from([None, 0, 3, 0.2]),
    blend=st.sampled_from(["feather", "poisson", "laplacian"]),
    removing=st.booleans(),
)
@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_outside_the_support_nothing_changes(kind, shape, seed, dilate, blend, removing):
    draw = np.random.default_rng(seed)
    image = draw.integers(0, 256, (*shape, 3), dtype=np.uint8)
    mask = np.zeros(shape, bool)
    if kind == "full":
        mask[:] = True
    elif kind == "pixel":
        mask[draw.integers(shape[0]), draw.integers(shape[1])] = True
    elif kind == "border":
        mask[0] = mask[:, -1] = True
    elif kind == "parts":
        mask[:: max(1, shape[0] // 3), :: max(1, shape[1] // 3)] = True
    elif kind == "noise":
        mask[draw.random(shape) < 0.3] = True
    changes = {"blend": blend} | ({} if dilate is None else {"dilate": dilate})
    options = {"mask": mask, "seed": seed, "settings": changes}
    editor, before = editor_with(), image.copy()
    if not mask.any():
        with pytest.raises(GroundbrushError, match="the mask marks no pixel"):
            editor.edit(image, paint="a green thing", **options)
        return
    if removing:
        edit = editor.remove(image, **options)
    else:
        edit = editor.edit(image, paint="a green thing", **options)
    assert (edit.image.shape, edit.image.dtype) == (image.shape, np.uint8)
    np.testing.assert_array_equal(edit.image[~edit.support], image[~edit.support])
    np.testing.assert_array_equal(image, before)
    assert (edit.support >= mask).all() and edit.checks["preserved"]
    if not dilate:
        np.testing.assert_array_equal(edit.support, mask)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "LA"])
def test_modes_and_sizes_are_kept(mode, tmp_path, box_mask):
    draw = np.random.default_rng(3)
    source = Image.fromarray(draw.integers(0, 256, (48, 64, 3), dtype=np.uint8)).convert(mode)
    if "A" in mode:
        source.putalpha(Image.fromarray(draw.integers(0, 256, (48, 64), dtype=np.uint8)))
    source.save(tmp_path / "in.png")
    editor_with().edit(tmp_path / "in.png", paint="a green thing", mask=box_mask).save(
        tmp_path / "out.png"
    )
    with Image.open(tmp_path / "out.png") as out:
        assert out.size == source.size
        assert out.mode == {"P": "RGB"}.get(mode, mode)
        before, after = (np.array(i.convert("RGBA")) for i in (source, out))
    np.testing.assert_array_equal(after[..., 3], before[..., 3])
    np.testing.assert_array_equal(after[~box_mask], before[~box_mask])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"paint": "a thing"}, "no mask or box is given; expected some words"),
        ({"box": (1, 1, 9, 9)}, "paint is None; expected some words"),
        ({"paint": "a thing", "box": (9, 1, 1, 9)}, "expected x0,y0,x1,y1 in pixels"),
        ({"paint": "a thing", "box": (70, 1, 99, 9)}, "lies outside the picture of 64x48"),
        ({"paint": "a thing", "box": ()}, r"box \(\) given"),
        (
            {"paint": "a thing", "box": (1, 1, 9, 9), "mask": np.ones((48, 64), bool)},
            "a mask and a box given; expected one of them",
        ),
        (
            {"paint": "a thing", "mask": np.ones((64, 48), bool)},
            "the mask is 48x64 pixels and the picture 64x48",
        ),
        ({"paint": "a thing", "mask": np.zeros((48, 64), bool)}, "the mask marks no pixel"),
        ({"paint": "a thing", "mask": np.ones((48, 64))}, "compare a float mask with a threshold"),
        ({"paint": "a thing", "mask": "nowhere.png"}, "nowhere.png"),
        (
            {"paint": "a thing", "mask": np.ones((48, 64), bool), "candidate": 1},
            "a candidate and a mask or box given",
        ),
        (
            {"paint": "a thing", "box": (1, 1, 9, 9), "operations": [{"op": "dilat"}]},
            "did you mean 'dilate'",
        ),
        (
            {"paint": "a thing", "box": (1, 1, 9, 9), "operations": "dilate"},
            "operations is 'dilate'; expected a list",
        ),
        ({"paint": "a thing", "box": (1, 1, 9, 9), "check": "  "}, "check is '  '"),
        ({"paint": "a thing", "box": (1, 1, 9, 9), "retries": 99}, "retries is 99; expected a"),
        ({"paint": "a thing", "box": (1, 1, 9, 9), "draft": 1}, "draft is 1; expected true"),
    ],
)
def test_bad_places_are_explained(picture, options, words):
    with pytest.raises(GroundbrushError, match=words):
        editor_with().edit(picture, **options)


@pytest.mark.parametrize(
    ("sides", "words"),
    [
        ({}, "no side to extend given"),
        ({"right": -4}, "right is -4; expected a whole number"),
        ({"left": 2.5}, "left is 2.5"),
        ({"right": 60_000, "bottom": 60_000}, "extended it would be 60064x60048"),
    ],
)
def test_bad_sides_are_explained(picture, sides, words):
    with pytest.raises(GroundbrushError, match=words):
        editor_with().extend(picture, **sides)


@pytest.mark.parametrize(
    ("prompt", "phrase"),
    [
        ("a green pear, studio light", "the green pear"),
        ("An apple", "the apple"),
        ("the last cupcake", "the last cupcake"),
        ("snow", "the snow"),
        (", odd", "the , odd"),
    ],
)
def test_the_phrase_that_is_looked_for(prompt, phrase):
    assert spoken(prompt) == phrase


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mask": {"size": [3, 3], "bits": "x"}}, "the recipe's mask cannot be read"),
        ({"mask": "m.png"}, "the recipe's mask is 'm.png'"),
        ({"operations": {"op": "dilate"}}, "expected a list"),
        ({"extend": {"right": 4}}, "extend given for the action 'edit'"),
        ({"action": "extend"}, "extend is None; expected pixels by left"),
        ({"snap": "yes"}, "snap is 'yes'; expected true or false"),
    ],
)
def test_a_recipe_that_cannot_be_meant_is_explained(picture, changes, words):
    recipe = editor_with().edit(picture, "the red thing", "a green thing").recipe()
    with pytest.raises(GroundbrushError, match=words):
        editor_with().run({**recipe, **changes}, picture)


def test_previews_are_of_the_whole_picture(picture, box_mask, monkeypatch):
    editor = editor_with()

    def paint(image, mask, prompt, *, on_preview, **options):
        on_preview(1, 4, np.full_like(image, 50))
        return image

    monkeypatch.setattr(editor.models.painter, "paint", paint)
    seen = []
    editor.edit(
        picture,
        paint="a green thing",
        mask=box_mask,
        on_preview=lambda *preview: seen.append(preview),
    )
    step, total, shown = seen[0]
    assert (step, total, shown.shape) == (1, 4, picture.shape)
    np.testing.assert_array_equal(shown[~box_mask], picture[~box_mask])
    assert (shown[box_mask] != picture[box_mask]).any()


def test_the_command_line_edits_by_mask_and_box(picture, box_mask, tmp_path, monkeypatch, capsys):
    from groundbrush.editor.cli.main import main

    editor = editor_with()
    monkeypatch.setattr(Editor, "load", classmethod(lambda cls, *a, **k: editor))
    Image.fromarray(picture).save(tmp_path / "in.png")
    Image.fromarray(box_mask).save(tmp_path / "mask.png")
    common = [str(tmp_path / "in.png"), "--quiet", "--json", "--out", str(tmp_path / "out")]

    def run(*arguments: str, status: int = 0) -> dict:
        assert main([arguments[0], *common, *arguments[1:]]) == status
        return json.loads(capsys.readouterr().out)

    facts = run("edit", "--paint", "a green thing", "--mask", str(tmp_path / "mask.png"))
    assert facts["support_pixels"] == box_mask.sum() and "phrase" not in facts
    assert (
        run(
            "edit",
            "--paint",
            "a green thing",
            "--box",
            "2,2,12,12",
            "--box",
            "20,30,30,40",
            "--grow",
            "-1",
        )["support_pixels"]
        == 128
    )
    checked = run(
        "edit",
        "--find",
        "the red thing",
        "--paint",
        "a green thing",
        "--check",
        "--variants",
        "2",
        "--set",
        "blend=laplacian",
        "--set",
        "feather=3",
    )
    assert checked["grounded"] is True and len(checked["variants"]) == 2
    other = run(
        "edit",
        "--find",
        "the red thing",
        "--paint",
        "a green thing",
        "--check-for",
        "the red thing",
        status=1,
    )
    assert other["grounded"] is False and other["done"] is False
    gone = run("remove", "--find", "the red thing", "--shadow", "--level", "whole")
    assert gone["gone"] is True
    wider = run("extend", "--right", "50%", "--top", "6")
    assert Image.open(wider["result"]).size == (96, 54)
    recipe = Path(wider["recipe"])
    result = np.asarray(Image.open(wider["result"]))
    assert main(["edit", "--recipe", str(recipe), "--quiet", "--out", str(tmp_path / "two")]) == 0
    assert (np.asarray(Image.open(tmp_path / "two" / "in.edited.png")) == result).all()


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["edit", "--paint", "x", "--box", "1,2,3"], 2, "expected x0,y0,x1,y1"),
        (["edit", "--paint", "x", "--box", "1,2,3,wide"], 2, "--box '1,2,3,wide' given"),
        (["edit", "--paint", "x", "--box", "1,2,9,9", "--set", "steps"], 2, "expected NAME=VALUE"),
        (
            ["edit", "--paint", "x", "--box", "1,2,9,9", "--set", "steps=2", "--steps", "3"],
            2,
            "steps is given by --set and by an option",
        ),
        (
            ["edit", "--paint", "x", "--box", "1,2,9,9", "--set", "steps=2", "--set", "steps=2"],
            2,
            "--set steps is given twice",
        ),
        (
            ["edit", "--paint", "x", "--find", "y", "--snap"],
            2,
            "--snap takes the object in a --box",
        ),
        (
            ["edit", "--paint", "x", "--box", "1,2,9,9", "--set", "blend=magic"],
            1,
            "blend: got 'magic'",
        ),
        (["edit", "--paint", "x", "--box", "90,90,99,99"], 1, "lies outside the picture"),
        (["extend", "--right", "wide"], 2, "expected pixels such as 128 or a share"),
        (["extend", "--right", "inf"], 2, "expected pixels such as 128 or a share"),
        (["extend", "--right", "nan%"], 2, "expected pixels such as 128 or a share"),
        (["extend"], 2, "say where: --left, --top, --right, --bottom"),
    ],
)
def test_the_command_line_explains(
    arguments, status, words, picture, tmp_path, monkeypatch, capsys
):
    from groundbrush.editor.cli.main import main

    editor = editor_with()
    monkeypatch.setattr(Editor, "load", classmethod(lambda cls, *a, **k: editor))
    Image.fromarray(picture).save(tmp_path / "in.png")
    command = [arguments[0], str(tmp_path / "in.png"), *arguments[1:], "--out", str(tmp_path)]
    if status == 1:
        assert main(command) == 1
    else:
        with pytest.raises(SystemExit) as stop:
            main(command)
        assert stop.value.code == status
    assert words in capsys.readouterr().err


def test_a_format_that_cannot_hold_the_picture_is_told_before_a_model_loads(
    picture, tmp_path, monkeypatch, capsys
):
    from groundbrush.editor.cli.main import main

    monkeypatch.setattr(Editor, "load", classmethod(lambda cls, *a, **k: pytest.fail("loaded")))
    alpha = np.full(picture.shape[:2], 9, np.uint8)
    Image.fromarray(np.dstack((picture, alpha))).save(tmp_path / "in.png")
    place = ["--box", "1,2,9,9"]
    for command in (
        ["edit", *place, "--paint", "x"],
        ["remove", *place],
        ["extend", "--top", "9"],
        ["apply", "remove the dog"],
    ):
        given = [command[0], str(tmp_path / "in.png"), *command[1:], "--format", "jpg"]
        assert main([*given, "--out", str(tmp_path / "out")]) == 1
        assert "cannot hold the input's transparency" in capsys.readouterr().err
    edit = editor_with().edit(tmp_path / "in.png", "the red thing", "a green thing")
    edit.save(tmp_path / "edited.png")
    again = ["edit", "--recipe", str(tmp_path / "edited.png"), "--format", "jpg"]
    assert main([*again, "--out", str(tmp_path / "out")]) == 1
    assert "cannot hold the input's transparency" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_numbers_of_numpy_are_numbers(picture):
    settings = {"steps": np.int32(4), "guidance": np.float32(5)}
    edit = editor_with().edit(
        picture, "the red thing", "a green thing", seed=np.int64(3), settings=settings
    )
    assert json.loads(json.dumps(edit.recipe()))["settings"] == {"steps": 4, "guidance": 5.0}
    assert edit.seed == 3


@pytest.mark.parametrize("command", [["edit", "in.png", "--paint", "x"], ["remove", "in.png"]])
def test_no_place_is_wrong_usage(command, capsys):
    from groundbrush.editor.cli.main import main

    with pytest.raises(SystemExit) as stop:
        main(command)
    assert stop.value.code == 2
    assert "--mask" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"controlnet": {"net": "x"}}, "controlnet: got .*expected a mapping with path"),
        ({"lora": "x"}, "unknown name 'lora'; expected some of .*loras"),
        ({"loras": [{"file": "x"}]}, "loras: got .*expected a mapping with path"),
    ],
)
def test_a_preset_that_asks_for_more_than_there_is_is_explained(changes, words):
    preset = load_preset("miniature")
    preset = dataclasses.replace(preset, inpainter={**preset.inpainter, **changes})
    with pytest.raises(GroundbrushError, match=words):
        Models(preset, device="cpu", offline=True).inpainter()
