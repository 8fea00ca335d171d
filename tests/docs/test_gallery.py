"""The gallery shows what its script runs: one command, and an answer, for each of its sections."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "gallery.md").read_text("utf-8")


def test_the_page_has_the_commands_of_the_script_with_pictures_that_exist():
    script = runpy.run_path(str(DOCS / "gallery.py"))
    shown = re.findall(r"^## (.+)\n\n```\ngroundbrush (.+)\n```", PAGE, re.M)
    assert shown == list(script["COMMANDS"])
    pictures = re.findall(r"\]\((gallery/[\w-]+\.webp)\)", PAGE)
    assert all((DOCS / name).is_file() for name in pictures)
    assert {f"gallery/{p.name}" for p in (DOCS / "gallery").iterdir()} == set(pictures)
    assert "```text\nabsent: " in PAGE
