"""The scripts in examples/ run, each as it stands, on the miniature."""

from __future__ import annotations

import json
import runpy
import socket
import threading
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
    monkeypatch.setattr(Editor, "load", lambda *_: miniature)

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


def test_http_client(run, miniature):
    uvicorn = pytest.importorskip("uvicorn")
    from groundbrush.app.http import ServeSettings, create_app

    app = create_app(miniature, ServeSettings(root=EXAMPLES))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            job = json.loads(run("http_client.py", f"http://127.0.0.1:{port}"))
        finally:
            server.should_exit = True
            thread.join(30)
            app.state.store.close()
    assert job["state"] == "done"
    (edit,) = job["result"]["edits"]
    assert edit["found"]["status"] == "found"
    assert Image.open("out/http/result.png").size == Image.open(EXAMPLES / "fruit.png").size
