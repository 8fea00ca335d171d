"""Every command on a page parses; the README's examples run, on the miniature, word for word."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from groundbrush.__main__ import main
from groundbrush.app.commands import add_commands
from groundbrush.editor.cli.main import build_parser

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
# a server that does not end; a checkpoint that is not here; test_blocks.py runs the same manifest
LEFT_OUT = ("app", "fetch", "edit photo.jpg", "batch")


def commands(text: str) -> list[str]:
    """Every line of a code block that begins with `groundbrush`, continued lines joined."""
    blocks = re.findall(r"```\w*\n(.*?)```", text, re.S)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.removeprefix("groundbrush ") for line in lines if line.startswith("groundbrush ")]


@pytest.mark.parametrize(
    ("page", "command"),
    [(page.name, command) for page in PAGES for command in commands(page.read_text("utf-8"))],
)
def test_a_command_on_a_page_parses(page, command):
    if page == "cli.md" or "…" in command:
        pytest.skip("written by the parser itself, or shortened")
    build_parser([add_commands]).parse_args(shlex.split(command.split(" | ")[0], comments=True))


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Path:
    """A directory to write in, with the examples beside it."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [c for c in commands(README) if not c.startswith(LEFT_OUT)], ids=lambda c: c[:40]
)
def test_a_command_of_the_readme_runs(command, checkout, capsys):
    assert main(shlex.split(command, comments=True)) == 0, capsys.readouterr().err


@pytest.mark.slow
def test_the_python_of_the_readme_runs(checkout):
    (block,) = re.findall(r"```python\n(.*?)```", README, re.S)
    names: dict = {}
    exec(block, names)
    assert (checkout / "out" / "pear.png").is_file()
    assert names["spot"].status == "found"
    assert names["wide"].image.shape[1] == names["edit"].image.shape[1] + 64
