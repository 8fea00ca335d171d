"""The page on the architecture names files and functions that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
STEPS = re.findall(r"^\| [^|]+ \| `([\w/]+\.py)` \| `(\w+)` \|$", PAGE, re.M)
ALSO = re.findall(r"`([\w/]+\.py)`,\s`(\w+)`", PAGE)


@pytest.mark.parametrize(("file", "name"), [*STEPS, *ALSO])
def test_a_step_is_where_the_page_says(file, name):
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    defined = {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    assert name in defined


def test_every_file_on_the_page_exists():
    named = set(re.findall(r"`([\w/]+/\w+\.(?:py|json))`", PAGE)) - {"grounding/families/NAME.py"}
    missing = {n for n in named if "NAME" not in n and not (ROOT / n).is_file()}
    assert len(STEPS) >= 18
    assert missing == set()
