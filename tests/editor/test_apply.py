"""Doing plans: the order of steps with a painter of squares, the whole with the real miniature."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from groundbrush import Editor, GroundbrushError, Plan, Step, read_plan
from groundbrush.editor.editing.result import Edit, Variant
from groundbrush.editor.masks.source import decode_mask
from groundbrush.editor.outputs import save_applied
from groundbrush.editor.pictures.picture import Picture, open_picture, read_recipe
from groundbrush.editor.plan import apply as module
from groundbrush.editor.plan.apply import apply_plan
from groundbrush.grounding.result import Candidate, Grounding
from groundbrush.grounding.view import tight_box
from groundbrush.inpaint import InpaintSettings
from groundbrush.miniature.scenes import compose
from groundbrush.multiobject.instances import split_instances
from PIL import Image
from scipy import ndimage

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "black": (0, 0, 0)}


class SquareFinder:
    """Finds squares by their colour; `run` paints them over, wholly predictable."""

    def __init__(self) -> None:
        preset = SimpleNamespace(inpainter={})
        usual = InpaintSettings(dilate=1 / 6)
        self.models = SimpleNamespace(
            words=None, grounder=lambda: None, preset=preset, inpaint_settings=lambda **_: usual
        )
        self.painted: list[tuple[str, str | None, int, int | None]] = []

    def check_phrase(self, phrase: str) -> str:
        return phrase

    def ground(self, picture: Picture, phrase: str) -> Grounding:
        colour = COLOURS[phrase.split()[-2]]
        labels, count = ndimage.label((picture.pixels == colour).all(2))
        masks = [labels == k for k in range(1, count + 1)]
        nothing = np.zeros(labels.shape, bool)
        first = masks[0] if masks else nothing
        others = tuple(Candidate(tight_box(m), 0.8, m) for m in masks[1:])
        height, width = labels.shape
        status = "ambiguous" if len(masks) > 1 else "found" if masks else "absent"
        return Grounding(
            phrase,
            status,
            "no such square" if not masks else "squares",
            tight_box(first) if masks else None,
            first,
            0.9,
            others,
            ((0, 0),),
            (labels > 0).astype(np.float32),
            (0, 0, width, height),
        )

    def look(self, picture: Picture) -> Picture:
        return picture

    def look_once(self, pixels: np.ndarray) -> Picture:
        return open_picture(pixels)

    def ground_view(self, view: Picture, phrase: str) -> Grounding:
        return self.ground(view, phrase)

    def find_masks(self, picture: Picture, wanted: list) -> list[list[np.ndarray]]:
        """Plural places are the squares themselves, as the real grounder's would be."""
        return [
            [
                one.mask
                for one in split_instances(
                    picture.pixels, self.ground(picture, words), at_most=count, refine=False
                )
            ]
            for words, count in wanted
        ]

    def is_sure(self, picture: Picture, phrase: str) -> bool:
        return True

    def whole(self, picture: Picture, mask: np.ndarray) -> np.ndarray:
        return mask

    def run(self, finder, picture, request, callbacks, found, *, chosen=False) -> Edit:
        mask = np.zeros(picture.pixels.shape[:2], bool) if found is None else found.mask
        if request.mask is not None:
            mask = decode_mask(request.mask)
        elif request.candidate is not None:
            mask = found.candidates[request.candidate].mask
        word = "black" if request.paint is None else request.paint.split()[-2]
        image = picture.pixels.copy()
        image[mask] = COLOURS[word]
        self.painted.append((request.find, request.paint, request.seed, request.candidate))
        done = bool(mask.any())
        return Edit(
            done,
            image,
            picture,
            found,
            mask,
            {},
            request.seed,
            (Variant(image, request.seed),) if done else (),
            {"preserved": True},
            () if done else (found.reason,),
            {},
            request,
        )


@pytest.fixture
def painter(monkeypatch) -> SquareFinder:
    made = SquareFinder()
    monkeypatch.setattr("groundbrush.editor.plan.apply.run_request", made.run)
    return made


def squares(*colours: str) -> np.ndarray:
    """Squares of 6 by 6 in a row."""
    image = np.zeros((10, 10 * len(colours), 3), np.uint8)
    for k, colour in enumerate(colours):
        image[2:8, 10 * k + 2 : 10 * k + 8] = COLOURS[colour]
    return image


def row(image: np.ndarray) -> list[str]:
    names = {v: k for k, v in COLOURS.items()}
    return [names[tuple(image[5, x])] for x in range(5, image.shape[1], 10)]


def run(painter: SquareFinder, sentence: str | Plan, *colours: str) -> list[Edit]:
    plan = read_plan(sentence) if isinstance(sentence, str) else sentence
    return apply_plan(painter, open_picture(squares(*colours)), plan)


def test_each_step_starts_from_what_the_one_before_left(painter) -> None:
    edits = run(
        painter,
        "replace the red square with a blue square and remove the green square",
        "red",
        "green",
    )
    assert row(edits[0].image) == ["blue", "green"]
    assert row(edits[1].picture.pixels) == ["blue", "green"]
    assert row(edits[1].image) == ["blue", "black"]
    assert [e.seed for e in edits] == [0, 1]


def test_words_mean_the_things_that_were_there_not_those_just_painted(painter) -> None:
    swap = "replace the red square with a green square and the green square with a red square"
    for order in (("red", "green"), ("green", "red"), ("blue", "red", "green")):
        edits = run(painter, swap, *order)
        names = {"red": "green", "green": "red"}
        assert row(edits[-1].image) == [names.get(c, c) for c in order]


def test_it_means_the_result_of_the_step_before(painter) -> None:
    edits = run(
        painter, "replace the red square with a green square and make it blue", "green", "red"
    )
    assert row(edits[-1].image) == ["green", "blue"]


def test_steps_on_the_same_place_run_in_order(painter) -> None:
    plan = Plan(
        "",
        (
            Step("edit", "the red square", "a green square"),
            Step("edit", "the green square", "a blue square"),
            Step("remove", "the blue square"),
        ),
    )
    assert row(run(painter, plan, "red")[-1].image) == ["black"]


def touching(*colours: str) -> np.ndarray:
    """Squares of 6 by 6 without a gap."""
    image = np.zeros((10, 6 * len(colours) + 4, 3), np.uint8)
    for k, colour in enumerate(colours):
        image[2:8, 6 * k + 2 : 6 * k + 8] = COLOURS[colour]
    return image


SWAP = Step("edit", "the red square", "a green square")


def test_a_step_leaves_out_what_an_earlier_one_painted_beside_it(painter) -> None:
    image = touching("red", "blue")
    plan = Plan("", (SWAP, Step("remove", "the blue square")))
    _, second = apply_plan(painter, open_picture(image), plan)
    (spare,) = second.request.operations
    assert spare.op == "spare"
    assert (decode_mask(spare.mask) == (image == COLOURS["red"]).all(2)).all()
    assert any("'the green square'" in note for note in second.notes)


@pytest.mark.parametrize(
    ("colours", "then"),
    [
        pytest.param(("red", "black", "blue"), Step("remove", "the blue square"), id="apart"),
        pytest.param(("red", "blue"), Step("remove", "the green square", at=0), id="named"),
        pytest.param(("red", "blue"), Step("remove", "the green square"), id="made"),
    ],
)
def test_a_step_leaves_nothing_out_that_it_means(painter, colours, then) -> None:
    edits = apply_plan(painter, open_picture(touching(*colours)), Plan("", (SWAP, then)))
    assert all(edit.request.operations == () for edit in edits)
    assert all("grounded" not in edit.checks for edit in edits)


def test_a_removed_thing_leaves_nothing_to_spare(painter) -> None:
    plan = Plan("", (Step("remove", "the red square"), Step("remove", "the blue square")))
    edits = apply_plan(painter, open_picture(touching("red", "blue")), plan)
    assert edits[1].request.operations == ()


def test_what_a_later_step_painted_over_is_not_called_done(painter, monkeypatch) -> None:
    def all_black(finder, picture, request, callbacks, found, **_) -> Edit:
        edit = SquareFinder.run(painter, finder, picture, request, callbacks, found)
        if request.paint is not None:
            return edit
        image = np.zeros_like(edit.image)
        return dataclasses.replace(edit, image=image, support=np.ones_like(edit.support))

    monkeypatch.setattr("groundbrush.editor.plan.apply.run_request", all_black)
    plan = Plan("", (SWAP, Step("remove", "the blue square")))
    first, second = apply_plan(painter, open_picture(squares("red", "blue")), plan)
    assert first.checks["grounded"] is False
    assert first.notes[-1] == "'the green square' is no longer found there after later steps"
    assert "grounded" not in second.checks


def test_what_failed_is_the_reason_and_not_what_was_left_out(painter, monkeypatch) -> None:
    def failing(finder, picture, request, callbacks, found, **_) -> Edit:
        edit = SquareFinder.run(painter, finder, picture, request, callbacks, found)
        return dataclasses.replace(edit, checks={"gone": False}, notes=("it still stands",))

    monkeypatch.setattr("groundbrush.editor.plan.apply.run_request", failing)
    plan = Plan("", (SWAP, Step("remove", "the blue square")))
    second = apply_plan(painter, open_picture(touching("red", "blue")), plan)[1]
    assert second.notes[0].startswith("left out what earlier steps painted")
    assert second.unmet == "it still stands"


@pytest.mark.parametrize("left", [False, True])
def test_a_twin_beside_the_hole_that_a_later_step_removes_is_no_remnant(
    painter, monkeypatch, left
) -> None:
    def unsure(finder, picture, request, callbacks, found, **_) -> Edit:
        edit = SquareFinder.run(painter, finder, picture, request, callbacks, found)
        first = edit.support[:, :8].any()
        image = picture.pixels if left and not first else edit.image
        return dataclasses.replace(edit, image=image, checks={"gone": not first})

    monkeypatch.setattr("groundbrush.editor.plan.apply.run_request", unsure)
    image = open_picture(touching("red", "black"))
    image.pixels[2:8, 9:14] = COLOURS["red"]
    edits = apply_plan(painter, image, Plan("", (Step("remove", "the red square", count=None),)))
    # what stays is tried twice more
    assert len(edits) == (4 if left else 2)
    assert edits[0].checks["gone"] is not left
    assert edits[-1].checks["gone"] is not left


@pytest.mark.parametrize("further", [0, 2])
def test_one_of_all_that_is_missed_at_first_is_removed_or_reported(
    painter, monkeypatch, further
) -> None:
    """Whatever step follows."""
    find = painter.find_masks
    once = iter([1])
    monkeypatch.setattr(
        painter, "find_masks", lambda p, w: [m[: next(once, None)] for m in find(p, w)]
    )
    plan = Plan(
        "", (Step("remove", "the red square", count=None), Step("remove", "the blue square"))
    )
    image = open_picture(squares("red", "red", "blue"))
    monkeypatch.setattr("groundbrush.editor.plan.apply.MOST_FURTHER", further)
    *reds, _ = apply_plan(painter, image, plan)
    assert len(reds) == (2 if further else 1)
    assert (reds[-1].checks.get("gone") is False) is not bool(further)
    assert row(reds[-1].image)[:2] == ["black", "black" if further else "red"]


def test_one_of_all_that_may_still_stand_leaves_it_open(painter, monkeypatch) -> None:
    """The last of three umbrellas was found with .9, which is not enough to paint it over."""
    paint = painter.run

    def passed(*args, **chosen) -> Edit:
        return dataclasses.replace(paint(*args, **chosen), checks={"gone": True})

    monkeypatch.setattr("groundbrush.editor.plan.apply.run_request", passed)
    monkeypatch.setattr(painter, "is_sure", lambda picture, phrase: False)
    find, number = painter.find_masks, iter([1])
    monkeypatch.setattr(
        painter, "find_masks", lambda p, w: [m[: next(number, None)] for m in find(p, w)]
    )
    (edit,) = run(painter, Plan("", (Step("remove", "the red square", count=None),)), "red", "red")
    assert edit.checks["gone"] is None
    assert "may still stand elsewhere" in edit.notes[-1]


@pytest.mark.parametrize(("first", "turns"), [("blue", 2), ("green", 3)])
def test_what_is_left_of_a_place_is_replaced_unless_an_earlier_step_painted_it(
    painter, monkeypatch, first, turns
) -> None:
    """One place was found for the red square and the blue one."""
    place = (squares("red", "blue", "black") > 0).any(2)
    find = painter.find_masks
    monkeypatch.setattr(
        painter, "find_masks", lambda p, w: [find(p, w[:1])[0], *([place] for _ in w[1:])]
    )
    steps = (
        Step("edit", f"the {first} square", "a red square"),
        Step("edit", "the red square", "a green square", count=None),
    )
    edits = run(painter, Plan("", steps), "red", "blue", "green")
    assert len(edits) == turns


def test_every_one_is_done_one_by_one(painter) -> None:
    edits = run(painter, "remove all the red squares", "red", "green", "red", "red")
    assert row(edits[-1].image) == ["black", "green", "black", "black"]
    assert len(edits) == 3
    edits = run(painter, "make the red squares green", "red", "green", "red")
    assert row(edits[-1].image) == ["green"] * 3
    assert len(edits) == 2


def test_one_of_several_is_told_unless_several_are_meant(painter) -> None:
    (edit,) = run(painter, "remove the red square", "red", "red")
    assert edit.grounding.status == "ambiguous"
    for sentence in ("remove all the red squares", "remove two red squares"):
        edits = run(painter, sentence, "red", "red")
        assert [edit.grounding.status for edit in edits] == ["found", "found"]
    edits = run(
        painter, "replace the red square with a green square and make it blue", "green", "red"
    )
    assert [edit.grounding.status for edit in edits] == ["found", "found"]


def test_so_many_are_done_as_the_words_say(painter) -> None:
    edits = run(painter, "remove two red squares", "red", "red", "red")
    assert sum(c == "red" for c in row(edits[-1].image)) == 1
    short = run(painter, "remove three red squares", "red", "red")
    assert row(short[-1].image) == ["black", "black"]
    assert short[-1].notes[-1] == "2 found where the words say 3"
    assert short[0].notes == ()


def test_what_is_not_there_is_told_and_the_rest_is_done(painter) -> None:
    first, second = run(painter, "remove the blue square, then remove the red square", "red")
    assert not first.done
    assert first.notes == ("no such square",)
    assert second.done
    assert row(second.image) == ["black"]


def test_a_thing_the_words_miss_after_other_steps_is_painted_where_it_was(
    painter, monkeypatch
) -> None:
    plan = read_plan("remove the red square and remove the green square")
    picture = open_picture(squares("red", "green", "blue"))
    elsewhere = np.zeros((10, 30), bool)
    elsewhere[2:8, 22:28] = True
    real = painter.ground

    def mistaken(picture, phrase):
        found = real(picture, phrase)
        if painter.painted and phrase == "the green square":
            found = Grounding(
                phrase,
                "found",
                "",
                tight_box(elsewhere),
                elsewhere,
                0.9,
                (),
                ((0, 0),),
                found.token_map,
                found.region,
            )
        return found

    monkeypatch.setattr(painter, "ground", mistaken)
    first, second = apply_plan(painter, picture, plan)
    assert row(first.image) == ["black", "green", "blue"]
    assert row(second.image) == ["black", "black", "blue"]
    assert second.notes == (module.AS_GIVEN,)
    # the mask grows like a found one: a sixth of the square's side
    assert second.request.settings == {"dilate": 1 / 6, "spare": True}
    painter.painted.clear()
    mine = apply_plan(painter, picture, plan, settings={"dilate": 3})
    assert mine[1].request.settings == {"dilate": 3, "spare": True}


def test_edits_are_told_as_they_are_done(painter) -> None:
    told = []
    plan = read_plan("remove all the red squares and remove the green square")
    apply_plan(
        painter,
        open_picture(squares("red", "green", "red")),
        plan,
        on_edit=lambda k, step, edit: told.append((k, step.find, edit.done)),
    )
    assert told == [
        (0, "the red square", True),
        (0, "the red square", True),
        (1, "the green square", True),
    ]


def test_files_hold_the_result_the_strip_and_the_plan(painter, tmp_path) -> None:
    plan = read_plan("replace the red square with a blue square and remove the green square")
    picture = open_picture(squares("red", "green"))
    edits = apply_plan(painter, picture, plan)
    files, notes = save_applied(picture, plan, edits, tmp_path, "squares")
    assert notes == []
    assert Plan.load(files["plan"]) == plan
    with Image.open(files["result"]) as result:
        assert row(np.asarray(result.convert("RGB"))) == ["blue", "black"]
    recipe = read_recipe(files["result"])
    assert [one["find"] for one in (*recipe["before"], recipe)] == [
        "the red square",
        "the green square",
    ]
    with Image.open(files["strip"]) as strip:
        assert strip.size == (3 * 20, 10)


def test_nothing_is_saved_when_a_pixel_outside_changed(painter, tmp_path) -> None:
    plan = read_plan("remove the red square")
    picture = open_picture(squares("red"))
    edits = apply_plan(painter, picture, plan)
    edits[0].image[0, 0] = 7
    with pytest.raises(GroundbrushError, match="1 pixels outside the edits' supports"):
        save_applied(picture, plan, edits, tmp_path, "squares")
    assert not (tmp_path / "squares.applied.png").exists()


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("remove the dog or the cat", "not all of the sentence was understood.*the dog or the cat"),
        ("remove the dog and sharpen the sky", "“sharpen the sky”: holds no command"),
        ("keep the dog", "the plan has no steps .“keep the dog”: nothing to do"),
    ],
)
def test_nothing_is_painted_when_not_all_is_understood(painter, sentence, words) -> None:
    with pytest.raises(GroundbrushError, match=words):
        run(painter, sentence, "red")
    assert painter.painted == []


def test_what_is_no_plan_is_refused(painter) -> None:
    with pytest.raises(GroundbrushError, match="a plan of type dict given"):
        apply_plan(painter, open_picture(squares("red")), {"steps": []})


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"seed": "7"}, "seed is '7'"), ({"seed": -1}, "seed is -1"), ({"settings": [3]}, "settings")],
)
def test_wrong_options_are_refused_before_anything_is_looked_for(painter, wrong, words) -> None:
    plan = read_plan("remove the red square")
    with pytest.raises(GroundbrushError, match=words):
        apply_plan(painter, open_picture(squares("red")), plan, **wrong)
    assert painter.painted == []


# --- the real models --------------------------------------------------------------------------

QUICK = {"steps": 2}


def test_two_edits_of_a_scene(miniature: Editor, monkeypatch, tmp_path) -> None:
    scene = compose("heldout", 6)
    looks, grounder = [], miniature.models.grounder()
    real = grounder.look
    monkeypatch.setattr(grounder, "look", lambda image: looks.append(1) or real(image))
    names = [o.noun for o in scene.objects]
    sentence = f"replace the {names[0]} with a book and the {names[2]} with a balloon"
    edits = miniature.apply(scene.image.copy(), sentence, seed=5, settings=QUICK)
    assert [e.done for e in edits] == [True, True]
    assert len(looks) <= 2  # the picture as given, and once more after it was changed
    support = np.any([e.support for e in edits], axis=0)
    assert (edits[-1].image == scene.image)[~support].all()
    assert (edits[1].picture.pixels == edits[0].image).all()
    again = miniature.run(edits[1].recipe(), edits[0].image)
    assert (again.image == edits[1].image).all()
    picture = open_picture(scene.image)
    files, _ = save_applied(picture, read_plan(sentence), edits, tmp_path, "scene")
    both = miniature.run(files["result"], picture)
    assert (both.image == edits[1].image).all()


def test_unknown_words_are_refused_before_anything_is_painted(miniature: Editor) -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(GroundbrushError, match="cannot paint 'zeppelin'"):
        miniature.apply(picture, "replace the dog with a book and the cat with a zeppelin")
    with pytest.raises(GroundbrushError, match="cannot find 'zeppelin'"):
        miniature.apply(picture, "replace the dog with a book and remove the zeppelin")


def test_everything_a_sentence_names(miniature: Editor, scene_file) -> None:
    path, scene, asked = scene_file
    found = miniature.ground_all(path, f"{asked.text} under the zepelin")
    assert [s.status == "unknown" for s in found.segments] == [False, True]
    assert "cannot find 'zepelin'" in found.segments[1].reason
    assert found.id_map.shape == scene.image.shape[:2]
    with pytest.raises(GroundbrushError, match="does not read as English"):
        miniature.ground_all(path, "ein Hund neben dem Sofa")
    with pytest.raises(GroundbrushError, match="expected mode 'phrases' or 'caption'"):
        miniature.ground_all(path, "a dog", mode="words")
