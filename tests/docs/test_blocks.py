"""Code blocks of the pages: Python runs, commands on the examples run, the rest is marked why not.

A block that cannot run follows a line ``<!-- not run: why -->``; one that another test compares
follows ``<!-- checked by FILE -->``.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest
from groundbrush import Editor
from groundbrush.__main__ import main

ROOT = Path(__file__).resolve().parents[2]
GENERATED = ("cli.md", "gallery.md", "licences.md", "performance.md")
PAGES = [
    ROOT / "CONTRIBUTING.md",
    ROOT / "README.md",
    ROOT / "SECURITY.md",
    *(p for p in sorted((ROOT / "docs").glob("*.md")) if p.name not in GENERATED),
]
BLOCK = re.compile(r"(?:<!-- (not run|checked by)[: ](.*?) -->\n)?```(\w*)\n(.*?)```", re.S)
PROGRAMS = ("groundbrush", "make", "pip", "python", "source", "curl", "openssl", "RAY_ADDRESS=")


class Block(NamedTuple):
    """One fenced block, and the mark above it."""

    mark: str
    why: str
    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    return [Block(*found) for found in BLOCK.findall(page.read_text("utf-8"))]


def lines(text: str) -> list[str]:
    return [n for n in text.replace("\\\n", " ").splitlines() if n.strip()]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_a_block_is_commands_json_or_python_or_marked(page):
    for block in blocks(page):
        if block.mark:
            assert len(block.why.split()) >= (3 if block.mark == "not run" else 1), block
            if block.mark == "checked by":
                assert (ROOT / block.why.strip()).is_file(), block
        elif block.language == "json":
            text = block.text if block.text.startswith("{") else f"{{{block.text}}}"
            assert json.loads(text), block
        elif block.language != "python":
            assert all(line.startswith(PROGRAMS) for line in lines(block.text)), block


@pytest.fixture
def checkout(tmp_path, monkeypatch, miniature) -> Path:
    """A directory with the examples, and the session's editor in place of a loaded one."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Editor, "load", lambda *_, **__: miniature)
    return tmp_path


def python_of(page: Path) -> list[str]:
    found = [b.text for b in blocks(page) if b.language == "python" and not b.mark]
    return [text for text in found if ">>>" not in text]  # those are doctests of their own


TO_RUN = [p for p in PAGES if python_of(p) and p.name not in ("README.md", "several.md")]


@pytest.mark.slow
@pytest.mark.parametrize("page", TO_RUN, ids=lambda p: p.name)
def test_the_python_of_a_page_runs(page, checkout):
    names: dict = {}
    for text in python_of(page):
        exec(text, names)
    if page.name == "batch.md":
        (tree,) = [b.text for b in blocks(page) if b.text.startswith("out/batch/\n")]
        named = [line.split()[0] for line in tree.splitlines()[1:]]
        assert [n for n in named if not list(Path("out/batch").glob(n.rstrip("/")))] == []


EXAMPLES = sorted(
    {
        re.sub(r"\s+#.*", "", line)
        for page in PAGES
        if page.name != "README.md"
        for block in blocks(page)
        if not block.language and not block.mark
        for line in lines(block.text)
        if line.startswith("groundbrush ") and " examples/" in line
    }
    - set(lines((ROOT / "README.md").read_text("utf-8")))
)


@pytest.mark.slow
@pytest.mark.parametrize("line", EXAMPLES, ids=lambda line: line[12:50])
def test_a_command_on_the_examples_runs(line, checkout, capsys):
    absent = line.endswith('fruit.png "the penguin"')  # "absent" is an answer with status 1
    assert main(shlex.split(line)[1:]) == int(absent), capsys.readouterr().err


def test_the_problems_of_a_manifest_are_printed_as_the_page_shows(tmp_path, capsys):
    page = ROOT / "docs" / "batch.md"
    (shown,) = [b.text for b in blocks(page) if b.text.startswith("groundbrush: m.jsonl")]
    (tmp_path / "a.png").write_bytes((ROOT / "examples" / "fruit.png").read_bytes())
    rows = [
        {"image": "a.png", "find": "the car"},
        {"image": "a.png", "find": "the car", "fnd": "the car"},
        {"image": "a.png", "find": "the car"},
        {"image": "a.png", "find": "the car", "paint": "a frog", "settings": {"steps": 0}},
    ]
    manifest = tmp_path / "m.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    assert main(["batch", str(manifest), "--out", str(tmp_path / "out")]) != 0
    printed = capsys.readouterr().err.replace(f"{tmp_path}/", "")
    for line in shown.splitlines():
        assert line.removesuffix("...").strip() in printed
