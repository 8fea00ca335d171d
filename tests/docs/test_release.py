"""The release script notices what does not agree, and makes the README's links absolute."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RELEASE = runpy.run_path(str(ROOT / "docs" / "release.py"))
CHANGES = """# Changelog

## Unreleased

## 1.2.0 – 2026-12-01

- A change.

## 1.1.0 – 2026-11-01

- B.
"""
CITATION = "title: Groundbrush\nversion: 1.2.0\ntype: software\n"


def test_a_version_that_agrees_everywhere_can_be_released():
    assert RELEASE["problems"]("1.2.0", CHANGES, CITATION) == []


@pytest.mark.parametrize(
    ("version", "changes", "citation", "words"),
    [
        ("1.2", CHANGES, CITATION, "expected three numbers"),
        (
            "1.2.0",
            CHANGES.replace("Unreleased\n", "Unreleased\n\n- C.\n"),
            CITATION,
            "'Unreleased'",
        ),
        ("1.3.0", CHANGES, CITATION.replace("1.2.0", "1.3.0"), "no section '## 1.3.0"),
        ("1.2.0", CHANGES.replace("- A change.", ""), CITATION, "is empty"),
        ("1.2.0", CHANGES, "", "expected a line 'version: 1.2.0'"),
    ],
)
def test_what_does_not_agree_is_named(version, changes, citation, words):
    (found,) = [p for p in RELEASE["problems"](version, changes, citation) if words in p]
    assert found


def test_links_of_the_readme_become_absolute():
    text = RELEASE["absolute_links"](
        (ROOT / "README.md").read_text("utf-8"), "https://host/o/groundbrush/", "v1.2.0"
    )
    assert "](https://host/o/groundbrush/raw/v1.2.0/docs/demo.webp)" in text
    assert "](https://host/o/groundbrush/blob/v1.2.0/docs/models.md#the-miniature)" in text
    assert "](https://arxiv.org/abs/2503.06287)" in text
    assert "](docs/" not in text
