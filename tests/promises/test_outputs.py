"""Where results go is checked before models load; a closed pipe is no traceback."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import groundbrush
import pytest

pytestmark = pytest.mark.slow
READ_ONLY = Path("/proc/self")
"""A folder in which not even the superuser can make a file."""


@pytest.mark.parametrize("action", ["remove", "ground"])
def test_a_file_name_makes_no_folder(command, example, tmp_path, action):
    words = ["--find", "the car", "--steps", 2] if action == "remove" else ["the car"]
    ran = command(action, example("fruit").path, *words, out=tmp_path / "result.png")
    assert not (tmp_path / "result.png").is_dir()
    if ran.status == 0:
        assert (tmp_path / "result.png").is_file()
    else:
        assert "result.png" in ran.err


def test_a_file_in_the_way_is_refused_at_once(command, example, tmp_path):
    (tmp_path / "taken").touch()
    ran = command("remove", example("fruit").path, "--find", "the car", out=tmp_path / "taken")
    assert ran.status == 1
    assert "loading" not in ran.err


@pytest.mark.parametrize(
    "what", ["under a file", "read only", "name too long", "long name in a new folder"]
)
@pytest.mark.parametrize("action", ["remove", "ground"])
def test_an_unwritable_folder_is_refused_before_models_load(
    command, example, tmp_path, what, action
):
    if what == "read only" and not READ_ONLY.is_dir():
        pytest.skip("no folder here that is read only for everybody")
    (tmp_path / "file").touch()
    out = {
        "under a file": tmp_path / "file" / "results",
        "read only": READ_ONLY,
        "name too long": tmp_path / ("n" * 300),
        "long name in a new folder": tmp_path / "new" / ("n" * 300) / "results",
    }[what]
    words = ["--find", "the car", "--steps", 2] if action == "remove" else ["the car"]
    ran = command(action, example("fruit").path, *words, out=out)
    assert ran.status in (1, 2)
    assert "loading" not in ran.err
    assert ran.err.strip()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


@pytest.mark.parametrize("name", ["n" * 250, "\N{RED APPLE}" * 62, "a.b.c"])
def test_a_picture_with_a_long_name_is_saved(command, example, tmp_path, name):
    picture = Path(shutil.copy(example("fruit").path, tmp_path / f"{name}.png"))
    ran = command("remove", picture, "--box", "20,20,90,90", "--steps", 2, "--variants", 2)
    assert ran.status == 0, ran.err
    saved = [path.name for path in ran.folder.iterdir()]
    assert len(saved) == 4
    assert all(name[:40] in one for one in saved)


@pytest.mark.parametrize("action", ["ground", "remove"])
def test_a_picture_whose_name_is_not_utf8(command, example, tmp_path, action):
    picture = os.fsdecode(os.fsencode(tmp_path / "b") + b"\xff.png")
    try:
        shutil.copy(example("fruit").path, picture)
    except OSError:
        pytest.skip("this file system takes no such name")
    words = ["--box", "20,20,90,90", "--steps", 2] if action == "remove" else ["the car"]
    ran = command(action, picture, *words)
    assert ran.status == 0 or "UTF-8" in ran.err


@pytest.mark.parametrize(
    "words",
    [
        ["presets"],
        ["presets", "llava-1.5-7b"],
        ["--help"],
        ["batch", "--help"],
        ["doctor", "--json"],
        ["apply", "examples/fruit.png", "remove the car", "--plan-only"],
    ],
    ids=" ".join,
)
def test_a_closed_pipe_is_no_traceback(words):
    root = Path(groundbrush.__file__).parent
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "groundbrush", *words],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root.parent)},
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
    finally:
        os.close(writing)
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
