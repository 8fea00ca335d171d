"""The scripts in examples/ run, each as it stands, on the miniature."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from groundbrush import Editor
from PIL import Image

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
pytestmark = pytest.mark.slow


@pytest.fixture
def run(miniature, tmp_path, monkeypatch, capsys):
    """Run a script in an empty directory with the session's editor; give what it prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Editor, "load", lambda *_, **__: miniature)

    def script(name: str, *arguments: str) -> str:
        monkeypatch.setattr("sys.argv", [name, *arguments])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return script


def test_find(run):
    said = run("find.py")
    assert "the red apple: found" in said
    assert "the dog: absent" in said


def test_edit_with_mask(run):
    assert ", 0 outside the support" in run("edit_with_mask.py")
    before, after = (
        Image.open(p).convert("RGB") for p in (EXAMPLES / "fruit.png", "out/masked.png")
    )
    assert (np.asarray(before) != np.asarray(after)).any()


def test_several_things(run):
    assert "the car: found" in run("several_things.py")
    document = json.loads(Path("out/fruit.panoptic.json").read_text("utf-8"))
    (annotation,) = document["annotations"]
    coded = np.asarray(Image.open("out/fruit.panoptic.png").convert("RGB")).astype(int)
    ids = set(np.unique(coded @ (1, 256, 256**2))) - {0}
    assert ids == {s["id"] for s in annotation["segments_info"]}
    assert len(ids) == 3


def test_folder(run):
    pictures = len(list(EXAMPLES.glob("*.png")))
    run("folder.py")
    lines = Path("out/folder/results.jsonl").read_text("utf-8").splitlines()
    assert len(lines) == pictures
    assert Path("out/folder/review.html").is_file()
    assert run("folder.py")  # again: it resumes, with nothing left to do


def test_five_ways_and_the_client_over_http(run):
    pytest.importorskip("uvicorn")
    printed = run("five_ways.py")
    digests = re.findall(r"^(\w+) +([0-9a-f]{16})  out/five/\1\.png$", printed, re.M)
    assert [way for way, _ in digests] == ["python", "command_line", "batch", "page", "http"]
    assert len({digest for _, digest in digests}) == 1
    job, _ = json.JSONDecoder().raw_decode(printed[printed.index("{\n") :])
    assert job["state"] == "done"
    (edit,) = job["result"]["edits"]
    assert edit["found"]["status"] == "found"
