"""The example pictures are what the composer draws, and their phrases are true."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from groundbrush.miniature import examples
from groundbrush.miniature.examples import EXAMPLES, FOLDER, PAGE, Example, page, singled_out
from groundbrush.miniature.phrases import expressions
from groundbrush.miniature.vocabulary import load_vocabulary
from PIL import Image

ROWS = json.loads((FOLDER / PAGE).read_text(encoding="utf-8"))
WORDS = load_vocabulary()
by_name = pytest.mark.parametrize("row", ROWS, ids=[row["name"] for row in ROWS])


def chosen(row: dict) -> Example:
    return next(example for example in EXAMPLES if example.name == row["name"])


def test_the_page_is_what_the_program_writes() -> None:
    assert (FOLDER / PAGE).read_text(encoding="utf-8") == page()


def test_there_is_a_picture_for_every_example_and_no_other() -> None:
    assert {path.name for path in FOLDER.glob("*.png")} == {row["image"] for row in ROWS}
    assert len(ROWS) == len(EXAMPLES) == 6


@by_name
def test_pictures_equal_what_the_composer_draws(row: dict) -> None:
    picture = np.asarray(Image.open(FOLDER / row["image"]))
    assert (picture == chosen(row).scene().image).all()


@by_name
def test_phrases_are_true_of_exactly_one_object(row: dict) -> None:
    scene = chosen(row).scene()
    for found in (*row["find"], row["edit"]):
        fits = {
            i
            for i in range(len(scene.objects))
            for e in expressions(scene, i)
            if e.text == found["phrase"]
        }
        assert fits == {found["target"]}
        assert tuple(found["box"]) == scene.objects[found["target"]].box


@by_name
def test_absent_phrases_name_nothing_in_the_scene(row: dict) -> None:
    objects = chosen(row).scene().objects
    for phrase in row["absent"]:
        *colour, noun = phrase.removeprefix("the ").split()
        assert noun in WORDS.nouns
        assert not [o for o in objects if o.noun == noun and (not colour or o.colour == colour[0])]


@by_name
def test_what_is_painted_is_known(row: dict) -> None:
    for paint in [row["edit"]["paint"], *(step["paint"] for step in row["sentence"]["steps"])]:
        assert paint is None or set(paint.split()[1:]) <= {*WORDS.nouns, *WORDS.colours}


@by_name
def test_captions_and_sentences_hold_their_phrases(row: dict) -> None:
    for phrase in row["caption"]["phrases"]:
        start, stop = phrase["span"]
        assert row["caption"]["text"][start:stop] == phrase["text"]
    for step in row["sentence"]["steps"]:
        assert step["phrase"] in row["sentence"]["text"]


def test_together_they_show_every_kind_and_several_things() -> None:
    kinds = {found["kind"] for row in ROWS for found in row["find"]}
    assert {"name", "colour", "side", "size", "ordinal", "relation", "category"} <= kinds
    assert any(phrase["plural"] for row in ROWS for phrase in row["caption"]["phrases"])
    actions = {step["action"] for row in ROWS for step in row["sentence"]["steps"]}
    assert actions == {"replace", "recolour", "remove"}


def test_a_phrase_that_fits_several_or_none_is_refused() -> None:
    scene = EXAMPLES[0].scene()
    with pytest.raises(ValueError, match="'the apple' is true of 0 objects .* 'the red apple'"):
        singled_out(scene, "the apple")


def test_the_program_writes_pictures_and_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(examples, "FOLDER", tmp_path)
    examples.main()
    assert capsys.readouterr().out.split() == [
        *(str(tmp_path / f"{example.name}.png") for example in EXAMPLES),
        str(tmp_path / PAGE),
    ]
    for row in ROWS:
        drawn, kept = (np.asarray(Image.open(f / row["image"])) for f in (tmp_path, FOLDER))
        assert (drawn == kept).all()
    assert (tmp_path / PAGE).read_bytes() == (FOLDER / PAGE).read_bytes()
