"""Rewritten pages keep to plain technical English; the site's Python reference has no raw roles."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Pages in plain English; the list grows with each page that is rewritten.
PAGES = (
    "CONTRIBUTING.md",
    "README.md",
    "SECURITY.md",
    "docs/app.md",
    "docs/architecture.md",
    "docs/batch.md",
    "docs/calibrate.md",
    "docs/cluster.md",
    "docs/composer.md",
    "docs/editing.md",
    "docs/evaluate.md",
    "docs/gallery.md",
    "docs/install.md",
    "docs/licences.md",
    "docs/measured/editing.md",
    "docs/measured/presets.md",
    "docs/measured/several.md",
    "docs/models.md",
    "docs/serve.md",
    "docs/several.md",
    "docs/tutorial.md",
)
PRIVATE = re.compile(
    r"\b(?:told|tells?|ask(?:s|ed|ing)?|whose|whom|nobody|somebody|whoever|goes on|go on|going on|"
    r"mend(?:s|ed|ing)?|befell|what one would|the ways|one would|looks? again|looks? around)\b",
    re.IGNORECASE,
)
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
def test_a_rewritten_page_has_no_private_words(page):
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
