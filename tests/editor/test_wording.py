"""Words on a page: what a stranger wrote is shown, not followed."""

from __future__ import annotations

import re

import pytest
from groundbrush.editor.as_code import literal


@pytest.mark.parametrize(
    "words",
    [
        "![seen](https://example.org/a.png)",
        "[a](b)",
        "<img src=x>",
        "**bold** _low_",
        "`code`",
        "$x$",
        ":red[words]",
        "a\\b",
    ],
)
def test_words_of_others_are_shown_as_they_are(words):
    shown = literal(words)
    unescaped = re.sub(r"\\(.)", "", shown)
    assert not re.search(r"[\[\]<`*_$\\]", unescaped), "no markup is left"
    assert re.sub(r"\\(.)", r"\1", shown) == words
