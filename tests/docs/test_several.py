"""The page on several things says what runs."""

from __future__ import annotations

import re
from pathlib import Path

from groundbrush import read_plan

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "several.md").read_text(encoding="utf-8")


def test_the_python_of_the_page_runs(tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for code in re.findall(r"```python\n(.*?)```", PAGE, re.S):
        exec(code, names)
    assert (tmp_path / "out" / "plan.json").is_file()
    assert "the dog absent" in capsys.readouterr().out
    assert len(names["edits"]) >= 2


def test_the_plan_on_the_page_is_the_plan() -> None:
    sentence = re.search(r'apply \S+ "(.*?)" --plan-only', PAGE)[1]
    assert f"```\n{read_plan(sentence)}\n```" in PAGE
