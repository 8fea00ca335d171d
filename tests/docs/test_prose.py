"""Pages, docstrings, comments and messages keep to plain technical English; no raw Sphinx roles."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pages in ("*.md", "docs/**/*.md", "miniature/**/*.md", ".github/**/*.md")
    for path in ROOT.glob(pages)
)
PRIVATE = re.compile(
    r"\b(?:told|tells?|ask(?:s|ed|ing)?|whose|whom|nobody|somebody|whoever|goes on|go on|going on|"
    r"mend(?:s|ed|ing)?|befell|what one would|the ways|one would|looks? again|looks? around)\b",
    re.IGNORECASE,
)
ROOMS = ("app", "benchmarks", "docs", "editor", "grounding", "inpaint", "miniature", "multiobject")
# Lists of English words that phrases and sentences are read with
WORD_LISTS = ("multiobject/phrases/lexicon.py", "multiobject/phrases/spacy_model.py")
# The modules that docs/reference.md renders
DOCUMENTED = (
    "editor/api.py",
    "editor/editing/result.py",
    "editor/errors.py",
    "editor/models/presets.py",
    "editor/pictures/picture.py",
    "grounding/result.py",
    "multiobject/panoptic.py",
    *sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "editor" / "plan").glob("*.py")),
)


def prose(page: str) -> str:
    """The page without code, which has the program's words, and without addresses of links."""
    text = (ROOT / page).read_text("utf-8")
    text = re.sub(r"```.*?```", lambda code: "\n" * code[0].count("\n"), text, flags=re.S)
    return re.sub(r"`[^`\n]*`|\]\([^)]*\)", "", text)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_no_private_words(page):
    found = [
        f"{page}:{number}: {match[0]!r}"
        for number, line in enumerate(prose(page).splitlines(), 1)
        for match in PRIVATE.finditer(line)
    ]
    assert found == []


@pytest.mark.parametrize("module", DOCUMENTED)
def test_a_documented_module_has_no_sphinx_roles(module):
    text = (ROOT / module).read_text("utf-8")
    assert re.findall(r":[a-z]+:`[^`]*`", text) == []


def texts(source: str) -> Iterator[tuple[int, str]]:
    """The comments and the texts of four words or more of a module, docstrings included."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    constants = (n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Constant))
    for text in (n for n in constants if isinstance(n.value, str) and len(n.value.split()) > 3):
        if "\\b" not in text.value:  # a pattern
            yield text.lineno, text.value


@pytest.mark.parametrize("room", ROOMS)
def test_the_code_has_no_private_words(room):
    found = []
    for path in sorted((ROOT / room).rglob("*.py")):
        name, source = path.relative_to(ROOT).as_posix(), path.read_text("utf-8")
        if name in WORD_LISTS or not PRIVATE.search(source):
            continue
        for line, text in texts(source):
            words = re.sub(
                r"`[^`]*`|\"[^\"\n]*\"", "", text
            )  # names of the code, and quoted examples
            found += [f"{name}:{line}: {match[0]!r}" for match in PRIVATE.finditer(words)]
    assert found == []
