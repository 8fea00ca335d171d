"""Why rows failed, grouped by what their messages have in common."""

from __future__ import annotations

import pytest
from groundbrush.editor.batch.results import failure_reasons, message_kind


def reasons_of(*messages: str | None) -> list[str]:
    """What is reported of rows that failed so; None is a row that did not."""
    failed = [(number, words) for number, words in enumerate(messages, 1) if words is not None]
    return [str(reason) for reason in failure_reasons(failed)]


def test_messages_of_one_kind_are_one_reason_and_the_most_frequent_comes_first() -> None:
    damaged = "{!r} is damaged or not fully copied ({}); expected a whole picture"
    told = reasons_of(
        None,
        "out of memory",
        damaged.format("a", "broken data stream"),
        None,
        damaged.format("b c", "image file is truncated (5 bytes (of 9) not processed)"),
        damaged.format("it's", "x"),
        "out of memory",
        damaged.format("d", "y"),
    )
    assert told == [
        "4 x ... is damaged or not fully copied; expected a whole picture (rows 3, 5, 6, ...)",
        "2 x out of memory (rows 2, 7)",
    ]


def test_a_reason_of_one_row_and_of_rows_that_say_the_same_is_told_in_full() -> None:
    words = "this preset's models cannot find 'zorb' (yet); they know 28 things"
    assert reasons_of(words) == [f"1 x {words} (row 1)"]
    assert reasons_of(words, words) == [f"2 x {words} (rows 1, 2)"]
    assert reasons_of(words, words.replace("zorb", "blorp"))[0].startswith(
        "2 x this preset's models cannot find ...; they know ... things"
    )


def test_nothing_failed_and_there_is_no_reason() -> None:
    assert reasons_of(None, None) == []


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (
            "the mask is 4x4 pixels and the picture 256x256",
            "the mask is ... pixels and the picture ...",
        ),
        ("box [1.5, 2.0] lies outside", "box [..., ...] lies outside"),
        (r"'it\'s' or \"a\" is 'x'", r"... or \"a\" is ..."),
        ("an unbalanced ( or ' stays", "an unbalanced ( or ' stays"),
        ("RuntimeError: a model broke", "RuntimeError: a model broke"),
    ],
)
def test_names_numbers_and_brackets_do_not_part_messages(words: str, kind: str) -> None:
    assert message_kind(words) == kind
