"""The same edit from Python, command line, batch, page and HTTP: python examples/five_ways.py

Prints a digest of each result's pixels: they are equal. HTTP needs groundbrush[serve].
"""

import hashlib
import json
import runpy
import socket
import sys
import threading
from pathlib import Path

import uvicorn
from groundbrush import Editor
from groundbrush.__main__ import main as groundbrush
from groundbrush.app.http import ServeSettings, create_app
from groundbrush.app.session.session import Session
from groundbrush.editor.batch import BatchJob, read_manifest, run_batch
from groundbrush.editor.pictures.picture import open_picture
from PIL import Image

PICTURE, OUT = Path(__file__).parent / "fruit.png", Path("out/five")
FIND, PAINT, SEED = "the red apple", "a green pear", 7
OUT.mkdir(parents=True, exist_ok=True)
editor = Editor.load("miniature")


def python(file: Path) -> None:
    """Call `Editor.edit`."""
    editor.edit(PICTURE, FIND, PAINT, seed=SEED).save(file)


def command_line(file: Path) -> None:
    """Run `groundbrush edit`."""
    words = ["--find", FIND, "--paint", PAINT, "--seed", str(SEED)]
    groundbrush(["edit", str(PICTURE), *words, "--out", str(OUT / "command"), "--quiet"])
    next((OUT / "command").glob("*.edited.png")).replace(file)


def batch(file: Path) -> None:
    """Run a manifest of one row."""
    row = {"id": file.stem, "image": PICTURE.name, "find": FIND, "paint": PAINT, "seed": SEED}
    manifest = OUT / "manifest.jsonl"
    manifest.write_text(json.dumps(row), encoding="utf-8")
    job = BatchJob(read_manifest(manifest, root=PICTURE.parent), OUT / "rows")
    run_batch(job, lambda: editor)
    (OUT / "rows" / f"{file.stem}.edited.png").replace(file)


def page(file: Path) -> None:
    """What the page does on Enter after each field: a session holds the words and the mask."""
    picture = open_picture(PICTURE)
    session = Session(picture).looked(editor.ground(picture, FIND))
    editor.run(session.request(PAINT, seed=SEED), picture).save(file)


def http(file: Path) -> None:
    """Run http_client.py against a server such as `groundbrush serve` starts."""
    app = create_app(editor, ServeSettings())
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        sys.argv = ["http_client.py", f"http://127.0.0.1:{listening.getsockname()[1]}"]
        runpy.run_path(str(PICTURE.parent / sys.argv[0]), run_name="__main__")
        server.should_exit = True
        thread.join(30)
    app.state.store.close()
    Path("out/http/result.png").replace(file)


for way in (python, command_line, batch, page, http):
    file = OUT / f"{way.__name__}.png"
    way(file)
    pixels = Image.open(file).tobytes()
    print(f"{way.__name__:13} {hashlib.sha256(pixels).hexdigest()[:16]}  {file}")
