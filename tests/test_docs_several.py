"""The page on several things says what runs."""

from __future__ import annotations

import json
import re
from pathlib import Path

from groundbrush import read_plan
from groundbrush.editor.cli.main import build_parser

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "several.md").read_text(encoding="utf-8")


def test_the_python_of_the_page_runs(tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for code in re.findall(r"```python\n(.*?)```", PAGE, re.S):
        exec(code, names)
    assert (tmp_path / "out" / "plan.json").is_file()
    assert "'all': 0.75" in capsys.readouterr().out
    assert len(names["edits"]) >= 2


def test_the_plan_on_the_page_is_the_plan() -> None:
    sentence = re.search(r'apply \S+ "(.*?)" --plan-only', PAGE)[1]
    assert f"```\n{read_plan(sentence)}\n```" in PAGE


def test_the_commands_of_the_page_parse() -> None:
    import shlex

    commands = re.findall(r"^groundbrush (.*)$", PAGE, re.M)
    assert len(commands) >= 3
    for command in commands:
        build_parser().parse_args(shlex.split(command, comments=True))


def test_the_table_is_true() -> None:
    table = PAGE[PAGE.index("| words | step |") :].split("\n\n")[0]
    rows = re.findall(r"^\| (?!words|---)(.*?) \|", table, re.M)
    assert len(rows) == 8
    fill = {" X's": " the dog's", " X": " the dog", " Y": " a cat", "a a": "a"}
    for row in rows:
        for form in row.replace(" / transform", "").replace("turn / change", "turn").split("; "):
            said = form.replace("remove / erase / delete", "erase")
            for short, long in fill.items():
                said = said.replace(short, long)
            plan = read_plan(said)
            assert (plan.steps or plan.notes) and not plan.unread, said


def test_the_pictures_and_the_headings_that_the_page_points_to_are_there() -> None:
    for picture in re.findall(r"!\[[^]]*\]\((\S+)\)", PAGE):
        assert (ROOT / "docs" / picture).is_file(), picture
    headings = {
        re.sub(r"[^\w -]", "", h).lower().replace(" ", "-")
        for h in re.findall(r"^#+ (.*)$", PAGE, re.M)
    }
    links = re.findall(r"\(#([^)]+)\)", PAGE)
    assert len(links) >= 3
    assert set(links) <= headings


def test_the_first_figures_of_unseen_sentences_are_those_of_the_data() -> None:
    data = ROOT / "tests" / "multiobject" / "data"
    captions = json.loads((data / "captions_unseen.json").read_text("utf-8"))["captions"]
    edits = json.loads((data / "edit_sentences_unseen.json").read_text("utf-8"))["sentences"]
    told = " ".join(PAGE.split())
    right = sum(one.get("first", True) for one in captions)
    assert f"On {len(captions)} captions written" in told
    assert f"{right} came out exactly" in told
    right = sum(one.get("first", True) for one in edits)
    assert f"Of {len(edits)} sentences written" in told
    assert f"{right} became exactly these steps" in told
