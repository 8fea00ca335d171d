"""Sessions: marks, history, the file, and the edit said again. Only the end uses the models."""

from __future__ import annotations

import dataclasses
import io
import json
import shlex
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from groundbrush import GroundbrushError
from groundbrush.app.session.session import GREY, Change, Session
from groundbrush.app.session.session_file import picture_bytes, read_session, session_bytes
from groundbrush.app.uploads import read_upload
from groundbrush.editor.as_code import as_command, command_of, python_of, recipe_files, recipe_name
from groundbrush.editor.cli.edit import edit_options
from groundbrush.editor.cli.main import build_parser
from groundbrush.editor.editing.result import Edit, Variant
from groundbrush.editor.masks.operations import (
    Area,
    Boxes,
    Dilate,
    Erode,
    FillHoles,
    Invert,
    Points,
)
from groundbrush.editor.masks.source import decode_mask, encode_mask
from groundbrush.editor.pictures.picture import Picture, open_picture
from groundbrush.editor.request import make_request
from groundbrush.grounding.result import Candidate, Grounding
from hypothesis import given, settings
from hypothesis import strategies as st

EXAMPLES = Path(__file__).parents[3] / "examples"


def picture(width: int = 40, height: int = 30) -> Picture:
    values = np.random.default_rng(3).integers(0, 255, (height, width, 3), np.uint8)
    return Picture(values, source=Path("photo.png"))


def grounding(status: str = "found") -> Grounding:
    mask = np.zeros((30, 40), bool)
    other = np.zeros((30, 40), bool)
    other[20:25, 30:38] = True
    if status == "found":
        mask[5:15, 10:20] = True
    return Grounding(
        "the cup",
        status,
        "because",
        (10, 5, 20, 15) if mask.any() else None,
        mask,
        0.8,
        (Candidate((30, 20, 38, 25), 0.5, other),),
        ((1, 2),),
        np.ones((3, 4), np.float32),
        (0, 0, 40, 30),
    )


def painted(session: Session, value: int, paint: str | None = "a cat") -> Edit:
    """An edit as if the mask had been filled with one grey."""
    request = session.request(paint).model_copy(update={"preset": "miniature"})
    support = session.mask.mask
    variants = []
    for k in range(2):
        image = session.picture.pixels.copy()
        image[support] = value + k
        variants.append(Variant(image, k))
    return Edit(
        True,
        variants[0].image,
        session.picture,
        None,
        support,
        {},
        0,
        tuple(variants),
        {},
        (),
        {},
        request,
    )


# ---------------------------------------------------------------- the place and its request


def test_a_plain_place_has_a_plain_recipe():
    session = Session(picture()).looked(grounding())
    assert session.request("a cat", seed=3) == make_request(
        "edit", find="the cup", paint="a cat", seed=3
    )
    assert session.mask.mask.sum() == 100


def test_removing_is_checked_and_retried_as_the_api_does():
    request = Session(picture()).looked(grounding()).request("  ")
    assert (request.action, request.check, request.retries) == ("remove", True, 3)


def test_a_candidate_and_operations_travel_by_words():
    session = Session(picture()).looked(grounding(), candidate=0).mark(Dilate(1))
    request = session.request("a cat")
    assert (request.candidate, request.operations) == (0, (Dilate(1),))
    assert request.mask is None


def test_marks_where_nothing_was_found_are_painted_as_drawn():
    session = Session(picture()).looked(grounding("absent"))
    with pytest.raises(GroundbrushError, match="nothing is marked"):
        session.request("a cat")
    session = session.mark(Boxes(((1, 1, 4, 4),)))
    assert session.drawn
    assert session.request("a cat").mask is not None
    assert Session(picture()).mark(Boxes(((1, 1, 4, 4),))).mask.mask.sum() == 9


def test_undo_and_redo_of_the_mask():
    start = Session(picture()).looked(grounding())
    grown = start.mark(Dilate(2))
    assert (grown.undo().mask.mask == start.mask.mask).all()
    assert (grown.undo().redo().mask.mask == grown.mask.mask).all()
    assert Session(picture()).undo().redo().mask is None


THERE = Boxes(((12, 7, 16, 12),))
ELSEWHERE = Boxes(((30, 1, 34, 4),))
ALL = Boxes(((0, 0, 40, 30),), how="subtract")


@pytest.mark.parametrize(
    "marks",
    [
        [ALL, ELSEWHERE],
        [ALL, THERE],
        [Area(encode_mask(np.eye(30, 40, 20, bool)), how="replace")],
        [ELSEWHERE, Boxes(((10, 5, 20, 15),), how="subtract")],
        [Invert()],
        [Erode(1), Invert()],
    ],
    ids=["elsewhere", "there", "replaced", "moved", "inverted", "shrunk and inverted"],
)
def test_words_name_what_is_painted_and_come_back_with_it(marks):
    start = Session(picture()).looked(grounding())
    session = start
    for mark in marks:
        session = session.mark(mark)
    request = session.request(None)
    assert (session.find, session.found, request.find, request.check) == ("", None, None, False)
    assert (decode_mask(request.mask) == session.mask.mask).all()
    last = session
    for _ in marks:
        session = session.undo()
    assert session.request(None) == start.request(None)
    assert session.found is start.found
    for _ in marks:
        session = session.redo()
    assert session.request(None) == request
    assert (session.mask.mask == last.mask.mask).all()


def test_words_of_another_place_do_not_come_back():
    session = Session(picture()).looked(grounding()).mark(ALL).mark(ELSEWHERE)
    session = session.looked(grounding(), candidate=0).mark(Dilate(1)).undo().undo()
    assert (session.find, session.candidate) == ("the cup", 0)
    assert session.cleared().mark(THERE).undo().find == ""


def test_words_for_what_was_not_found_stay_with_its_marks():
    session = Session(picture()).looked(grounding("absent")).mark(THERE).mark(ELSEWHERE)
    assert session.find == "the cup"
    assert session.mark(ALL).mark(THERE).find == ""


def test_mask_states_are_bounded(monkeypatch):
    monkeypatch.setattr("groundbrush.app.session.session.MAX_MASK_BYTES", 4 * 30 * 40)
    session = Session(picture()).looked(grounding())
    for _ in range(6):
        session = session.mark(Dilate(1))
    assert len(session.mask.states) == 4
    assert session.drawn  # how it came about is no longer known, so the recipe carries the mask
    assert session.request("a cat").mask is not None


# ---------------------------------------------------------------- the history


def test_keeping_continues_from_the_result_and_goes_back():
    start = Session(picture()).looked(grounding())
    first = start.keep([painted(start, 10)], variant=1)
    assert (first.picture.pixels[5:15, 10:20] == 11).all()
    assert (first.mask, first.find) == (None, "")
    assert first.changes[0].request.seed == 1
    second = first.looked(grounding(), candidate=0)
    assert second.picture is first.picture  # marking applies no edit again
    second = second.keep([painted(second, 20, None)])
    assert [c.words for c in second.changes] == ["the cup: a cat", "the cup: removed"]
    assert (second.at(1).picture.pixels == first.picture.pixels).all()
    assert (second.at(0).picture.pixels == start.original.pixels).all()
    assert (second.at(0).at(2).picture.pixels == second.picture.pixels).all()
    again = second.at(1).looked(grounding())
    assert again.keep([painted(again, 30)]).undone == ()
    assert [t.shape for t in second.thumbnails(20)] == [(15, 20, 3)] * 3


def test_what_is_left_for_another_edit_stays_as_a_branch():
    start = Session(picture()).looked(grounding())
    first = start.keep([painted(start, 10)])
    second = first.looked(grounding(), candidate=0)
    second = second.keep([painted(second, 20)])
    again = second.at(1).looked(grounding(), candidate=0)
    other = again.keep([painted(again, 30)])
    assert other.branches == (second.changes,)
    assert len(other.every_change) == 3  # the first is on both
    crossed = other.branch(0, 2)
    assert (crossed.picture.pixels == second.picture.pixels).all()
    assert crossed.branches == (other.changes,)
    assert (other.branch(0, 1).at(2).picture.pixels == second.picture.pixels).all()
    assert len(other.thumbnails(20, second.changes)) == 3
    read = read_session(session_bytes(other))
    assert (read.branch(0, 2).picture.pixels == second.picture.pixels).all()
    assert (read.picture.pixels == other.picture.pixels).all()


def test_an_edit_that_found_nothing_is_not_kept():
    start = Session(picture()).looked(grounding())
    edit = dataclasses.replace(painted(start, 10), done=False, variants=())
    assert start.keep([edit]) is start
    with pytest.raises(GroundbrushError, match="expected one that was painted"):
        Change.of(edit)


def test_a_change_must_fit():
    with pytest.raises(GroundbrushError, match="expected \\(y1 - y0, x1 - x0, 3\\)"):
        Change((0, 0, 2, 2), np.zeros((1, 2, 3), np.uint8), {})
    request = make_request("edit", find="the cup", paint="a cat")
    change = Change((0, 0, 2, 2), np.zeros((2, 2, 3), np.uint8), request)
    with pytest.raises(GroundbrushError, match="lies outside the picture of 1x1"):
        change.apply(np.zeros((1, 1, 3), np.uint8))


def test_new_sides_enlarge_the_picture_its_alpha_and_the_next_mask():
    small = dataclasses.replace(picture(), alpha=np.full((30, 40), 9, np.uint8))
    request = make_request("extend", paint=None, extend={"right": 8, "top": 2})
    change = Change((36, 0, 48, 32), np.full((32, 12, 3), 7, np.uint8), request)
    session = Session(small, (change,))
    assert (session.size, change.words) == ((48, 32), "new sides: background")
    assert (session.picture.pixels[2:, :36] == small.pixels[:, :36]).all()
    assert (session.picture.pixels[:, 36:] == 7).all()
    assert (session.picture.alpha[2:, :40] == 9).all()
    assert (session.picture.alpha[:, 40:] == 255).all()
    assert (session.opened[2:, :40] == small.pixels).all()
    assert (session.opened[:, 40:] == GREY).all()
    marked = session.mark(Boxes(((40, 0, 48, 32),)))
    assert marked.mask.mask[:, 40:].all()
    read = read_session(session_bytes(marked))
    assert (read.picture.pixels == session.picture.pixels).all()
    assert (read.mask.mask == marked.mask.mask).all()
    assert (marked.at(0).size, marked.at(0).at(1).size) == ((40, 30), (48, 32))
    wide = dataclasses.replace(change, window=(0, 0, 60, 32), patch=np.zeros((32, 60, 3), np.uint8))
    with pytest.raises(GroundbrushError, match="outside the picture of 48x32"):
        read_session(session_bytes(dataclasses.replace(Session(small), undone=(wide,))))


def test_new_sides_are_said_as_python_and_as_a_command():
    request = make_request("extend", paint="a lawn", extend={"right": 8, "top": 2}, seed=3)
    command = as_command(request, "my photo.png", "miniature")
    args = build_parser().parse_args(shlex.split(command)[1:])
    assert (args.command, args.right, args.top, args.left) == ("extend", "8", "2", "0")
    assert (args.paint, args.seed) == ("a lawn", 3)
    assert run_python(python_of([request], "my photo.png", "miniature")) == request


# ---------------------------------------------------------------- the file


def full_session() -> Session:
    session = Session(picture()).looked(grounding())
    session = session.keep([painted(session, 10)]).looked(grounding(), candidate=0)
    session = session.keep([painted(session, 20)]).at(1).looked(grounding())
    session = session.mark(Dilate(2)).mark(FillHoles()).undo()
    return dataclasses.replace(session, paint="a dog")


def test_a_session_comes_back_whole():
    session = full_session()
    again = read_session(session_bytes(session))
    assert (again.picture.pixels == session.picture.pixels).all()
    assert (again.at(2).picture.pixels == session.at(2).picture.pixels).all()
    assert (again.mask.mask == session.mask.mask).all()
    assert again.mask.undone == session.mask.undone
    assert again.request("a dog") == session.request("a dog")
    assert again.original.source == Path("photo.png")
    assert (again.find, again.candidate, again.drawn) == ("the cup", None, False)
    assert again.paint == "a dog"


def test_what_was_found_comes_back():
    session = Session(picture()).looked(grounding(), candidate=0)
    found = read_session(session_bytes(session)).found
    for name, value in vars(grounding()).items():
        if name not in ("mask", "token_map", "candidates", "timings"):
            assert getattr(found, name) == value, name
    assert (found.mask == session.found.mask).all()
    assert (found.token_map == session.found.token_map).all()
    ((one, other),) = zip(found.candidates, session.found.candidates, strict=True)
    assert (one.box, one.score) == (other.box, other.score)
    assert (one.mask == other.mask).all()


def test_a_session_of_the_first_version_is_read():
    def older(parts):
        entry = json.loads(parts["session.json"])
        entry.pop("paint"), entry.pop("found")
        parts["session.json"] = json.dumps({**entry, "groundbrush_session": 1}).encode()

    again = read_session(tampered(older))
    assert (again.find, again.found, again.paint) == ("the cup", None, "")
    assert (again.mask.mask == full_session().mask.mask).all()


def test_an_absent_thing_leaves_a_drawn_mask():
    session = Session(picture()).mark(Boxes(((1, 1, 4, 4),))).looked(grounding("absent"))
    assert session.mask.mask.sum() == 9
    assert session.found.status == "absent"


def tampered(change) -> bytes:
    """A session file after `change(parts)` of its parts by name."""
    with zipfile.ZipFile(io.BytesIO(session_bytes(full_session()))) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    change(parts)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file.getvalue()


def told(**changes):
    def change(parts):
        values = json.loads(parts["session.json"])
        parts["session.json"] = json.dumps({**values, **changes}).encode()

    return change


def found(**changes):
    def change(parts):
        entry = json.loads(parts["session.json"])
        entry["found"].update(changes)
        parts["session.json"] = json.dumps(entry).encode()

    return change


BASE = encode_mask(np.ones((30, 40), bool))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p.pop("session.json"), "no session.json"),
        (lambda p: p.pop("original.png"), "no original.png"),
        (lambda p: p.pop("change-1.png"), "'change-1.png' is missing"),
        (lambda p: p.update({"../../evil": b"x"}), "'../../evil' is missing or does not belong"),
        (lambda p: p.update({"session.json": b"[" * 99_999}), "no JSON"),
        (lambda p: p.update({"original.png": b"GIF89a nothing"}), "original.png"),
        (told(groundbrush_session=3), "version 3 given"),
        (told(extra=1), "'extra'"),
        (told(kept=9), "9 edits kept of 2"),
        (told(branches=[[0, 1], [0, 2]]), "not one of its 2"),
        (told(candidate=True), "candidate is True"),
        (told(find=["the cup"]), "find is ['the cup']"),
        (found(mask={"size": [9, 9], "bits": ""}), "the recipe's mask cannot be read"),
        (found(mask=encode_mask(np.ones((9, 9), bool))), "not of the picture's size"),
        (found(token_map=[[1.0], [1.0, 2.0]]), "not of one length"),
        (found(score=2), "score is 2"),
        (
            told(mask={"base": encode_mask(np.eye(9) > 0), "operations": [], "undone": []}),
            "not of the picture's size",
        ),
        (told(mask={"base": {}, "operations": [], "undone": []}), "mask cannot be read"),
        (
            told(mask={"base": BASE, "operations": [{"op": "invert"}] * 201, "undone": []}),
            "expected a list of at most 200",
        ),
        (told(changes=[{"window": [0, 0, 9, 5], "request": {"find": "the cup"}}] * 2), "action"),
        (told(changes=[{"window": "all", "request": {}}] * 2), "window is 'all'"),
    ],
)
def test_a_changed_file_is_refused_in_words(change, words):
    with pytest.raises(GroundbrushError) as error:
        read_session(tampered(change))
    assert words in str(error.value)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 torn", b"GIF89a", b"{}"])
def test_other_files_are_no_sessions(data):
    with pytest.raises(GroundbrushError, match="this is no session file"):
        read_session(data)


def test_a_bomb_is_not_unpacked():
    bomb = tampered(lambda p: p.update({"original.png": b"\0" * 3_000_000}))
    assert len(bomb) < 100_000
    with pytest.raises(GroundbrushError, match="too large"):
        read_session(bomb, max_bytes=1_000_000)


# ---------------------------------------------------------------- uploads


def test_uploads_are_bounded_and_named():
    data, notes = picture_bytes(picture().pixels, "png", None, None)
    assert notes == ()
    assert read_upload(data, "../../etc/holiday.png").source == Path("holiday.png")
    with pytest.raises(GroundbrushError, match="expected at most 10;"):
        read_upload(data, "holiday.png", max_bytes=10)
    with pytest.raises(GroundbrushError, match="at most 100"):
        read_upload(data, "holiday.png", max_pixels=100)


def test_text_named_jpg_is_told_by_its_own_name():
    with pytest.raises(GroundbrushError) as error:
        read_upload(b"dear diary, " * 20, "diary.jpg")
    assert "'diary.jpg'" in str(error.value)
    assert "/tmp" not in str(error.value)


# ---------------------------------------------------------------- the edit said again


def requests(draw) -> dict:
    operations = [
        o
        for o in (
            {"op": "level", "level": "part"},
            {"op": "shadow"},
            {"op": "dilate", "pixels": draw(st.integers(1, 9))},
            {"op": "invert"},
        )
        if draw(st.booleans())
    ]
    removing = draw(st.booleans())
    options = {
        "seed": draw(st.integers(0, 99)),
        "variants": draw(st.integers(1, 4)),
        "candidate": draw(st.none() | st.integers(0, 3)),
        "operations": operations,
        "draft": draw(st.booleans()),
        "settings": draw(
            st.sampled_from(
                [
                    {},
                    {"steps": 9},
                    {"blend": "poisson", "feather": 3},
                    {"negative_prompt": "a b", "colour_match": False},
                ]
            )
        ),
    }
    check = draw(st.booleans() if removing else st.sampled_from([False, True, "a dog's bowl"]))
    retries = draw(st.integers(0, 4)) if check else 0
    words = draw(st.sampled_from(["the cup", "the dog's bowl", 'a "big" one; rm -rf', "-x"]))
    if words == "-x":  # argparse reads it as an option: not what a page would send
        words = "the x"
    return make_request(
        "remove" if removing else "edit",
        find=words,
        paint=None if removing else "a cat",
        check=check,
        retries=retries,
        **options,
    )


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_command_means_the_same_edit(data):
    request = requests(data.draw)
    words = shlex.split(as_command(request, "my photo.png", "miniature"))
    args = build_parser().parse_args(words[1:])
    assert args.image == "my photo.png"
    options = edit_options(args)
    options.pop("mask")
    retries = options.pop("retries")
    assert request == make_request(
        args.command,
        find=args.find,
        paint=args.paint,
        boxes=options.pop("box"),
        retries=retries if args.check else 0,
        **options,
    )


class Recorder:
    """Stands in for the Editor and makes the requests that its arguments mean."""

    def __init__(self) -> None:
        self.request: Any = None

    def load(self, preset):
        assert preset == "miniature"
        return self

    def edit(self, image, find, paint, **options):
        self.request = make_request("edit", find=find, paint=paint, **options)
        return self

    def remove(self, image, find, check=True, retries=3, **options):
        self.request = make_request(
            "remove", find=find, paint=None, check=check, retries=retries if check else 0, **options
        )
        return self

    def extend(self, image, paint, left=0, top=0, right=0, bottom=0, **options):
        sides = {"left": left, "top": top, "right": right, "bottom": bottom}
        self.request = make_request("extend", paint=paint, extend=sides, **options)
        return self

    def run(self, recipe, image):
        self.request = {"file": recipe}
        return self

    def save(self, path):
        assert path == "my photo.edited.png"


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_python_means_the_same_edit(data):
    request = requests(data.draw)
    assert run_python(python_of([request], "my photo.png", "miniature")) == request


def run_python(text: str, recorder: Recorder | None = None) -> Any:
    recorder, real = recorder or Recorder(), sys.modules["groundbrush"]
    sys.modules["groundbrush"] = types.SimpleNamespace(Editor=recorder)
    try:
        exec(text, {})
    finally:
        sys.modules["groundbrush"] = real
    return recorder.request


def test_edits_that_follow_one_another_start_from_the_last_ones_file(tmp_path):
    first = make_request("edit", find="the cup", paint="a cat", seed=3)
    mask = Session(picture()).mark(Boxes(((1, 1, 4, 4),)))
    requests = [first, mask.request("a dog"), make_request("remove", find="the cat", paint=None)]
    seen = []

    class Follows(Recorder):
        def edit(self, image, find, paint, **options):
            seen.append(("edit", image, find))
            return self

        def run(self, recipe, image):
            seen.append(("run", image, recipe))
            return self

        def remove(self, image, find, **options):
            seen.append(("remove", image, find))
            return self

        def save(self, path):
            seen.append(("save", path))

    run_python(python_of(requests, "a b.png", "miniature"), Follows())
    assert seen == [
        ("edit", "a b.png", "the cup"),
        ("save", "a b.edited.png"),
        ("run", "a b.edited.png", "a b.edited.recipe.json"),
        ("save", "a b.edited.edited.png"),
        ("remove", "a b.edited.edited.png", "the cat"),
        ("save", "a b.edited.edited.edited.png"),
    ]
    lines = command_of(requests, "a b.png", "miniature").split(" &&\n")
    images = [build_parser().parse_args(shlex.split(line)[1:]).image for line in lines]
    assert images == ["a b.png", "out/a b.edited.png", "out/a b.edited.edited.png"]
    files = recipe_files(requests, "a b.png")
    assert list(files) == [recipe_name(name) for name in ("a b.png", *images[1:])]
    assert [json.loads(text) for text in files.values()] == [r.as_dict() for r in requests]


def test_a_variant_has_a_recipe_of_its_own():
    session = Session(picture()).looked(grounding())
    edit = painted(session, 10)
    assert edit.request_for(1).seed == 1
    assert Change.of(edit, 1).request == edit.request_for(1)


def test_a_drawn_mask_is_said_by_its_recipe_file():
    session = Session(picture()).mark(Boxes(((1, 1, 4, 4),)))
    request = session.request("a cat")
    told = run_python(python_of([request], "my photo.png", "miniature"))
    assert told == {"file": recipe_name("my photo.png")}
    words = shlex.split(as_command(request, "my photo.png", "miniature"))
    assert words[words.index("--recipe") + 1] == "my photo.recipe.json"


def test_operations_in_an_order_that_options_lack_go_by_the_recipe_file():
    session = Session(picture()).looked(grounding()).mark(Dilate(1)).mark(Dilate(2))
    assert "--recipe" in as_command(session.request("a cat"), "p.png", "miniature")


# ---------------------------------------------------------------- with the models


def test_the_session_paints_what_the_api_paints(miniature):
    source = open_picture(EXAMPLES / "fruit.png")
    session = Session(source)
    found = miniature.ground(source, "the red apple")
    session = session.looked(found, miniature.finder.scene(source)).mark(Dilate(2))
    fast = {"settings": {"steps": 3}}
    edit = miniature.paint(source, session.request("a frog", **fast), None, found)
    again = miniature.run(edit.recipe(), source)
    assert (edit.image == again.image).all()
    by_words = miniature.edit(source, "the red apple", "a frog", operations=[Dilate(2)], **fast)
    assert (edit.image == by_words.image).all()
    kept = session.keep([edit])
    assert (kept.picture.pixels == edit.image).all()
    corrected = Session(source).looked(found, miniature.finder.scene(source))
    corrected = corrected.mark(Points(((90.0, 200.0),)))
    reopened = read_session(session_bytes(corrected), miniature.finder.scene)
    assert (reopened.mask.mask == corrected.mask.mask).all()
    assert corrected.mask.mask.sum() > found.mask.sum()
