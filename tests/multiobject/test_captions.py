"""Hand-written answers: every field of every phrase has to agree."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from multiobject import noun_phrases

CASES = json.loads((Path(__file__).parent / "captions.json").read_text(encoding="utf-8"))[
    "captions"
]


def wanted(case):
    return [
        {
            "text": p["text"],
            "covers": p.get("covers", p["text"]),
            "head": p["head"],
            "lemma": p.get("lemma", p["head"]),
            "plural": p.get("plural", False),
            "modifiers": tuple(p.get("modifiers", ())),
            "refer": p.get("refer", p["text"]),
        }
        for p in case["phrases"]
    ]


def given(caption):
    return [
        {
            "text": p.text,
            "covers": caption[slice(*p.span)],
            "head": p.head,
            "lemma": p.lemma,
            "plural": p.plural,
            "modifiers": p.modifiers,
            "refer": p.refer,
        }
        for p in noun_phrases(caption)
    ]


@pytest.fixture(scope="module")
def misses():
    return [c["caption"] for c in CASES if given(c["caption"]) != wanted(c)]


def test_at_least_95_percent_of_the_captions_match_exactly(misses):
    assert len(CASES) >= 60
    assert 1 - len(misses) / len(CASES) >= 0.95, misses
