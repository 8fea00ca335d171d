"""One edit goes through few files, and seldom back to one it has left."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import common, trace


def test_files_functions_and_returns_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(common, "ROOT", tmp_path)
    (tmp_path / "editor").mkdir()
    names: dict = {}
    for file, code in {
        "editor/b.py": "def deep(): pass\ndef leaf(): deep()\n",
        "editor/a.py": "def top():\n    leaf()\n    leaf()\n",
    }.items():
        exec(compile(code, str(tmp_path / file), "exec"), names)
    found = trace.trace(names["top"])
    # a, b, a, b, a: three times back to a file that was left
    assert found == ({"editor/a.py": {"top"}, "editor/b.py": {"leaf", "deep"}}, 3)
    assert str(found) == "2 files, 3 functions, 3 returns"


@pytest.mark.slow
def test_an_edit_passes_few_files() -> None:
    found = trace.trace_edit()
    # 49 and 350 were reached; a helper called in a loop of another file soon costs a hundred
    assert len(found.functions) <= 49
    assert found.returns <= 355
