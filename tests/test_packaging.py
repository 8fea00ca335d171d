"""The declared ranges resolve, lowest and newest, and agree with the pins that `make` installs."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]


def pins() -> dict[str, str]:
    """Name -> version of every `==` in requirements.txt and requirements-dev.txt."""
    found = {}
    for name in ("requirements.txt", "requirements-dev.txt"):
        for line in (ROOT / name).read_text("utf-8").splitlines():
            if "==" in (text := line.partition("#")[0].strip()):
                wanted = Requirement(text)
                (version,) = (s.version for s in wanted.specifier)
                found[wanted.name.lower()] = version
    return found


@pytest.mark.parametrize("line", PROJECT["dependencies"])
def test_every_dependency_is_a_range_that_holds_the_pin(line):
    wanted = Requirement(line)
    assert all(s.operator not in ("==", "===") for s in wanted.specifier)
    assert wanted.specifier.contains(pins()[wanted.name.lower()])


def test_nothing_is_pinned_that_is_not_declared():
    declared = {Requirement(line).name.lower() for line in PROJECT["dependencies"]}
    runtime = {
        Requirement(line.partition("#")[0]).name.lower()
        for line in (ROOT / "requirements.txt").read_text("utf-8").splitlines()
        if "==" in line.partition("#")[0]
    }
    assert runtime == declared


def test_every_extra_that_a_text_names_exists():
    texts = [p for s in ("*.md", "docs/*.md") for p in ROOT.glob(s)]
    texts += [
        p
        for room in ("app", "editor", "grounding", "inpaint", "multiobject")
        for p in (ROOT / room).rglob("*.py")
    ]
    named = {
        extra
        for path in texts
        for extra in re.findall(r"(?:groundbrush|\.)\[([a-z-]+)\]", path.read_text("utf-8"))
    }
    assert {"quantized", "ray", "serve", "lora"} <= named <= set(EXTRAS)


def test_every_folder_of_code_is_packaged():
    rooms = ("app", "editor", "grounding", "inpaint", "miniature", "multiobject")
    folders = {
        ".".join(["groundbrush", *path.parent.relative_to(ROOT).parts])
        for room in rooms
        for path in (ROOT / room).rglob("*.py")
    }
    assert set(SETUPTOOLS["packages"]) == folders | {"groundbrush"}


# Beside these, sixteen exact pins could not be installed.
OLDER = ["numpy<2.4", "pillow<13", "streamlit<1.66"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("resolution", "beside"), [("lowest-direct", []), ("highest", []), ("highest", OLDER)]
)
def test_the_ranges_resolve(resolution, beside, tmp_path):
    if find_spec("uv") is None:
        pytest.skip("needs uv, of requirements-dev.txt")
    lines = [*PROJECT["dependencies"], *EXTRAS["serve"], *EXTRAS["lora"], *beside]
    (tmp_path / "wanted.in").write_text("\n".join(lines))
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--python-version", "3.11"]
    done = subprocess.run(
        [*command, "--resolution", resolution, str(tmp_path / "wanted.in")],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode and re.search(r"(?i)failed to fetch|connect|dns", done.stderr):
        pytest.skip("PyPI cannot be reached")
    assert done.returncode == 0, done.stderr
    assert "torch==" in done.stdout
