"""The review sheet and the progress line."""

from __future__ import annotations

import argparse
import io
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fake_editor import FakeEditor, mixed_manifest, results
from groundbrush.editor.batch import BatchJob, BatchRow, read_manifest, run_batch
from groundbrush.editor.batch.results import STATUSES, BatchProgress, RowResult
from groundbrush.editor.batch.review import article
from groundbrush.editor.cli.options import ProgressBar
from hypothesis import given, settings
from hypothesis import strategies as st


class Tags(HTMLParser):
    """Collects tags with their attributes, and the words between them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data


def parsed(html: str) -> Tags:
    tags = Tags()
    tags.feed(html)
    tags.close()
    return tags


@pytest.fixture
def sheet(memory: Path) -> tuple[Path, Tags]:
    out = memory / "out"
    run_batch(BatchJob(read_manifest(mixed_manifest(memory, 10)), out), FakeEditor)
    return out, parsed((out / "review.html").read_text())


def test_every_row_is_there_with_its_status_and_its_pictures(sheet: tuple[Path, Tags]) -> None:
    out, tags = sheet
    shown = [attrs["data-status"] for tag, attrs in tags.tags if tag == "article"]
    assert shown == [row["status"] for row in results(out)]
    images = [attrs["src"] for tag, attrs in tags.tags if tag == "img"]
    kept = {
        name
        for row in results(out)
        for kind, name in row["files"].items()
        if kind.startswith("review_")
    }
    assert set(images) == kept
    assert all((out / name).is_file() for name in images)
    filters = [attrs["data-filter"] for tag, attrs in tags.tags if "data-filter" in attrs]
    assert filters == ["all", "done", "held", "failed", "doubt"]
    assert "a model broke" in tags.words


def test_nothing_on_the_sheet_asks_the_network(sheet: tuple[Path, Tags]) -> None:
    out, tags = sheet
    links = [v for _, attrs in tags.tags for k, v in attrs.items() if k in ("src", "href")]
    assert links
    assert not any(re.match(r"(?i)\s*(\w+:|//)", link) for link in links)
    (policy,) = [
        attrs["content"]
        for tag, attrs in tags.tags
        if attrs.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.startswith("default-src 'none'")
    assert "http" not in (out / "review.html").read_text().replace("http-equiv", "")


ODD = st.text() | st.sampled_from(
    ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "'--><b>", "&lt;", "</article>"]
)


@settings(deadline=None)
@given(ODD, ODD, ODD, ODD)
def test_no_word_of_a_manifest_becomes_a_tag(image: str, words: str, paint: str, note: str) -> None:
    row = BatchRow(1, "name", image, "edit", words, paint)
    files = {"review_before": f"review/{image}.jpg", "result": "name.edited.png"}
    result = RowResult.of(
        row,
        "done",
        reason=note,
        notes=[words],
        files=files,
        score=0.5,
        found=note,
        checks={words: note},
    )
    tags = parsed(article(result))
    assert [tag for tag, _ in tags.tags] == [
        "article",
        "h2",
        "span",
        "div",
        "figure",
        "a",
        "img",
        "figcaption",
        "ul",
        "li",
        "li",
        "li",
        "p",
        "a",
    ]
    allowed = {"data-status", "data-doubt", "class", "href", "src", "alt", "loading"}
    assert {name for _, attrs in tags.tags for name in attrs} <= allowed
    broken = parsed(article(RowResult.failure(row, "find", RuntimeError(note))))
    assert {tag for tag, _ in broken.tags} <= {"article", "h2", "span", "div", "ul", "li", "p"}


def test_a_check_that_did_not_pass_is_marked() -> None:
    row = BatchRow(1, "a", "a.png", "remove", "the cup")
    for gone, mark in ((True, "0"), (False, "1")):
        html = article(RowResult.of(row, "done", checks={"gone": gone}))
        assert f'data-doubt="{mark}"' in html


def test_results_know_only_their_own_names() -> None:
    row = BatchRow(1, "a", "a.png", "remove", "the cup")
    with pytest.raises(ValueError, match="colour"):
        RowResult.of(row, "done", colour=1)
    with pytest.raises(ValueError, match="finished"):
        RowResult.of(row, "finished")
    assert {RowResult.of(row, status).status for status in STATUSES} == set(STATUSES)


def test_progress_in_words() -> None:
    counts = {"done": 11, "failed": 1, "absent": 2}
    assert str(BatchProgress("painting", 14, 40, counts)) == "painting 14 of 40; 2 absent, 1 failed"
    assert str(BatchProgress("finding", 300, 400)) == "finding 300 of 400"


class Terminal(io.StringIO):
    """A stream that says that people look at it."""

    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines of a stage of ten rows with a failure at its end, and one of two."""
    monkeypatch.setattr(sys, "stderr", stream)
    with ProgressBar(argparse.Namespace(quiet=False, json=False), "", "row") as bar:
        for stage, total in (("finding", 10), ("painting", 2)):
            for done in range(1, total + 1):
                bar(done, total, stage, f"{done // 10} failed")
    return [line.strip() for line in re.split(r"[\r\n]+", stream.getvalue()) if line.strip()]


def test_a_log_is_told_at_each_end_and_seldom_between(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(io.StringIO(), monkeypatch)
    assert len(lines) <= 6
    assert re.match(
        r"finding: +10%.* 1/10 .*[?]row/s", lines[0]
    )  # what was done before has no speed
    assert any(re.match(r"finding: 100%.* 10/10 .*1 failed", line) for line in lines)
    assert re.match(r"painting: 100%.* 2/2 .*0 failed", lines[-1])


def test_a_terminal_has_one_line_that_is_written_over(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    shown(stream, monkeypatch)
    assert [line.count("\r") > 0 for line in stream.getvalue().split("\n")] == [True, True, False]
