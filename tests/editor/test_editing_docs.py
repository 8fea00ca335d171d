"""The pages on editing name tests and settings that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_complaint_names_tests_that_exist():
    page = (ROOT / "docs" / "measured" / "editing.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if re.match(r"\| .*`tests/", line)]
    assert len(rows) == 15  # as many as were gathered
    for row in rows:
        file = ""
        for name, test in re.findall(r"`(tests/[\w/.]+)?(?:::(\w+))?`", row):
            file = name or file
            text = (ROOT / file).read_text(encoding="utf-8")
            assert not test or f"def {test}(" in text, f"{file}::{test}"


def test_every_setting_of_the_page_exists():
    import dataclasses

    from groundbrush.inpaint import InpaintSettings

    page = (ROOT / "docs" / "editing.md").read_text(encoding="utf-8")
    table = page[page.index("## Settings worth knowing") : page.index("## Same recipe")]
    named = {
        n
        for line in table.splitlines()
        if line.startswith("| `")
        for n in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    assert named <= {f.name for f in dataclasses.fields(InpaintSettings)}
    assert "differential" in named
