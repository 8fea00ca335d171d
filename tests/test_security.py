"""What SECURITY.md promises, as far as one can look at the code or try it; elsewhere:

pickles ``editor/evaluation/test_plain_pickle.py``; headers and metadata ``editor/test_images.py``;
sessions ``app/session/test_session.py``; manifests ``editor/batch/test_manifest.py`` and
``test_places.py``; the review sheet ``editor/batch/test_review*.py``; the server
``app/http/``.
"""

from __future__ import annotations

import ast
import importlib.util
import io
import json
import shutil
import socket
import struct
import subprocess
import sys
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from groundbrush import Editor
from groundbrush.__main__ import main
from groundbrush.app.session.session_file import read_session
from groundbrush.editor.batch import BatchJob, read_manifest, run_batch
from groundbrush.editor.errors import GroundbrushError
from groundbrush.editor.masks.source import decode_mask
from groundbrush.editor.pictures.picture import open_picture
from PIL import Image

ROOT = Path(__file__).parents[1]
PACKAGES = ("app", "editor", "grounding", "inpaint", "miniature", "multiobject")
ALLOWED = {
    # it knows no class: tests/editor/evaluation/test_plain_pickle.py
    "editor/evaluation/plain_pickle.py": {"import pickle"}
}
BANNED_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
BANNED_CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
    "subprocess.getoutput",
    "pickle.load",
    "pickle.loads",
    "torch.hub.load",
    "yaml.load",
    "yaml.unsafe_load",
    "numpy.fromstring",
    "tempfile.mktemp",
    "hub.load",
}
MUST = {"torch.load": ("weights_only", True)}
MUST_NOT = {
    "trust_remote_code": True,
    "shell": True,
    "allow_pickle": True,
    "unsafe_allow_html": True,
    "weights_only": False,
}


# What the code may not say


def called(node: ast.expr) -> str:
    """A call's dotted name, as far as it has one."""
    if isinstance(node, ast.Attribute):
        return f"{called(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def dangers(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, what) of everything that could run what was only to be read."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            yield from (
                (node.lineno, f"import {n}") for n in names if n.split(".")[0] in BANNED_MODULES
            )
        if not isinstance(node, ast.Call):
            continue
        name = called(node.func)
        given = {k.arg: getattr(k.value, "value", None) for k in node.keywords}
        if name in BANNED_CALLS:
            yield node.lineno, name
        if name in MUST and given.get(MUST[name][0]) is not MUST[name][1]:
            yield node.lineno, f"{name} without {MUST[name][0]}={MUST[name][1]}"
        for option, value in MUST_NOT.items():
            if option in given and given[option] is value:
                yield node.lineno, f"{option}={value}"
            # a value that is only known when it runs could be the bad one
            if option in given and given[option] is None and option != "shell":
                yield node.lineno, f"{option} is not written out"


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_given_is_run(package: str) -> None:
    found = []
    for path in sorted((ROOT / package).rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        for line, what in dangers(ast.parse(path.read_text("utf-8"))):
            if what not in ALLOWED.get(name, ()):
                found.append(f"{name}:{line}: {what}")
    assert found == []


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("import pickle", "import pickle"),
        ("from joblib import load", "import joblib"),
        ("torch.load(path)", "torch.load without weights_only=True"),
        ("torch.load(path, weights_only=False)", "weights_only=False"),
        ("AutoModel.from_pretrained(name, trust_remote_code=True)", "trust_remote_code=True"),
        ("load(name, trust_remote_code=trusted)", "trust_remote_code is not written out"),
        ("subprocess.run(words, shell=True)", "shell=True"),
        ("np.load(path, allow_pickle=True)", "allow_pickle=True"),
        ("eval(text)", "eval"),
        ("os.system(words)", "os.system"),
        ("st.markdown(words, unsafe_allow_html=True)", "unsafe_allow_html=True"),
    ],
)
def test_the_look_at_the_code_sees_it(code: str, what: str) -> None:
    assert what in [words for _, words in dangers(ast.parse(code))]


def test_a_models_eval_is_none() -> None:
    safe = [
        "model.eval()",
        "Model(x).eval()",
        "re.compile(x)",
        "np.load(path)",
        "f(shell=False)",
        "torch.load(p, weights_only=True)",
    ]
    assert list(dangers(ast.parse("\n".join(safe)))) == []


def test_what_the_app_puts_into_html_is_its_own() -> None:
    """Of `html` calls in the app only numbers and colours vary."""
    varying = []
    for path in (ROOT / "app").rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        calls = [
            n
            for n in ast.walk(tree)
            if isinstance(n, ast.Call) and called(n.func).split(".")[-1] == "html"
        ]
        names = {n.id for call in calls for n in ast.walk(call) if isinstance(n, ast.Name)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in names:
                varying += [
                    ast.unparse(n.value)
                    for n in ast.walk(node.value)
                    if isinstance(n, ast.FormattedValue)
                ]
    assert set(varying) <= {"colour_of(i)"}


def test_an_uploads_name_is_no_html_in_the_app() -> None:
    testing = pytest.importorskip("streamlit.testing.v1")
    page = testing.AppTest.from_file(
        str(ROOT / "app" / "page" / "script.py"), default_timeout=120
    ).run()
    if not hasattr(page, "file_uploader"):
        pytest.skip("this Streamlit cannot upload")
    page.file_uploader(key="upload").upload("a<script>alert(1)</script>.jpg", b"text").run()
    assert not page.exception
    assert "script" in page.error[0].value
    assert "<script>" not in page.error[0].value
    assert not any(element.allow_html for element in page.markdown)


# What is too large


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, *chunks: bytes, data: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = b"".join(chunks) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body


def peak(path: Path, words: str) -> float:
    """Megabytes that refusing a file takes at most."""
    tracemalloc.start()
    try:
        with pytest.raises(GroundbrushError, match=words):
            open_picture(path)
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def test_a_picture_that_says_it_is_huge_takes_no_memory(tmp_path: Path) -> None:
    for name, data in {
        "a.png": png(60_000, 60_000, data=zlib.compress(bytes(10_000_000))),
        "b.bmp": b"BM"
        + struct.pack(
            "<IHHIIiiHHIIiiII", 1 << 30, 0, 0, 54, 40, 60_000, 60_000, 1, 24, 0, 0, 0, 0, 0, 0
        ),
        "c.ppm": b"P6 100000 100000 255\n" + bytes(100),
        "d.gif": b"GIF89a"
        + struct.pack("<HHBBB", 65_535, 65_535, 0, 0, 0)
        + b","
        + struct.pack("<HHHHB", 0, 0, 65_535, 65_535, 0)
        + b"\x02\x01\x00\x00;",
    }.items():
        (tmp_path / name).write_bytes(data)
        assert peak(tmp_path / name, "expected at most 200,000,000") < 2


def test_metadata_that_unpacks_to_much_takes_little_memory(tmp_path: Path) -> None:
    bomb = zlib.compress(bytes(64_000_000), 9)
    for name, data in [
        (b"iCCP", b"icc\x00\x00" + bomb),
        (b"zTXt", b"text\x00\x00" + bomb),
        (b"iTXt", b"groundbrush\x00\x01\x00\x00\x00" + bomb),
    ]:
        path = tmp_path / f"{name.decode()}.png"
        path.write_bytes(png(1, 1, chunk(name, data), data=zlib.compress(bytes(4))))
        tracemalloc.start()
        try:
            open_picture(path)
        except GroundbrushError:
            pass
        finally:
            taken = tracemalloc.get_traced_memory()[1] / 1e6
            tracemalloc.stop()
        assert taken < 8, name


def test_of_many_frames_only_the_first_is_decoded(tmp_path: Path) -> None:
    for kind in ("gif", "tiff", "webp"):
        frames = [Image.new("RGB", (300, 200), (6 * n, 255 - 6 * n, 90)) for n in range(40)]
        path = tmp_path / f"many.{kind}"
        frames[0].save(path, save_all=True, append_images=frames[1:])
        tracemalloc.start()
        picture = open_picture(path)
        taken = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert picture.size == (300, 200)
        assert "first frame of 40 used" in picture.notes
        assert taken < 10 * picture.pixels.nbytes, kind


def test_a_tiff_whose_directories_go_in_circles_ends(tmp_path: Path) -> None:
    path = tmp_path / "circle.tiff"
    Image.new("RGB", (8, 8)).save(path)
    raw = bytearray(path.read_bytes())
    (first,) = struct.unpack_from("<I", raw, 4)
    (count,) = struct.unpack_from("<H", raw, first)
    struct.pack_into("<I", raw, first + 2 + 12 * count, first)  # the next one is this one
    path.write_bytes(raw)
    try:
        assert open_picture(path).size == (8, 8)
    except GroundbrushError as error:
        assert "circle.tiff" in str(error)


def test_a_masks_few_bytes_do_not_become_many() -> None:
    import base64

    bits = base64.b64encode(zlib.compress(bytes(50_000_000), 9)).decode()
    for size in ([10, 10], [10**6, 10**6], [-5, 4]):
        tracemalloc.start()
        with pytest.raises(GroundbrushError):
            decode_mask({"size": size, "bits": bits})
        taken = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert taken < 2_000_000


# What leads elsewhere


@pytest.mark.parametrize(
    "name", ["../../evil.png", "/tmp/evil.png", "a/../../evil.png", "C:\\x.png"]
)
def test_a_sessions_names_are_never_paths(name: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.parent.rglob("*"))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("session.json", "{}")
        archive.writestr(name, b"x")
    with pytest.raises(GroundbrushError):
        read_session(file.getvalue())
    assert set(tmp_path.parent.rglob("*")) == before


# What uses the network


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("the network was asked")


def test_finding_everything_and_a_batch_ask_no_network(
    miniature: Editor, scene_file, tmp_path: Path, monkeypatch
) -> None:
    """Loading and editing are tried in tests/miniature/test_weights.py."""
    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    for name in ("create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    path, _, asked = scene_file
    assert len(miniature.ground_all(path, "the apple and the dog").segments) == 2
    (tmp_path / "scene.png").write_bytes(path.read_bytes())
    row = {"image": "scene.png", "find": asked.text}
    (tmp_path / "m.jsonl").write_text(json.dumps(row))
    job = BatchJob(read_manifest(tmp_path / "m.jsonl"), tmp_path / "out")
    assert run_batch(job, lambda: miniature).counts == {"done": 1}


IMPORTS = """
import socket, sys
def refuse(*_, **__):
    raise AssertionError("the network was asked")
socket.socket.connect = socket.socket.connect_ex = refuse
socket.create_connection = socket.getaddrinfo = refuse
from groundbrush.app.page import components, more, state
from groundbrush.app.http import ServeSettings, create_app, serve
print("imported")
"""


def test_the_app_and_the_server_import_without_the_network() -> None:
    pytest.importorskip("fastapi")
    code = [sys.executable, "-c", IMPORTS]
    done = subprocess.run(code, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "imported"), done.stderr[-2000:]


# What the dependencies require


def licences():
    spec = importlib.util.spec_from_file_location("licences", ROOT / "docs" / "licences.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["licences"] = module
    spec.loader.exec_module(module)
    return module


def test_every_licence_is_one_that_is_allowed(capsys) -> None:
    module = licences()
    assert module.main(["--check"]) == 0, capsys.readouterr().err
    packages, _ = module.installed()
    listed = module.PACKAGES.read_text("utf-8").splitlines()
    assert module.page() == module.PAGE.read_text("utf-8"), "run `make audit`"
    for package in packages:
        if package.direct:
            (line,) = [n for n in listed if f"**{package.name}** {package.version}" in n]
            assert line.startswith(f"- *{package.licence}*: ")


@pytest.mark.parametrize(
    ("fields", "classifiers", "licence", "well"),
    [
        ({"License-Expression": "MIT OR GPL-3.0-only"}, [], "MIT OR GPL-3.0-only", True),
        ({"License-Expression": "MIT AND GPL-3.0-only"}, [], "MIT AND GPL-3.0-only", False),
        ({"License": "GPLv3"}, [], "GPLv3", False),
        ({}, ["License :: OSI Approved :: MIT License"], "MIT", True),
        (
            {},
            ["License :: OSI Approved :: GNU Affero General Public License v3"],
            "GNU Affero General Public License v3",
            False,
        ),
        ({}, ["License :: OSI Approved"], "unknown", False),
        ({"License": "x" * 100}, [], "unknown", False),
        (
            {"License": "MPL-2.0"},
            ["License :: Mozilla Public License 2.0 (MPL 2.0)"],
            "MPL-2.0",
            True,
        ),
    ],
)
def test_a_licence_is_told_and_judged(
    fields: dict, classifiers: list[str], licence: str, well: bool
) -> None:
    module = licences()
    assert module.licence_of(fields, classifiers) == licence
    assert (module.verdict("package", licence) is None) == well


EVIL = "a\x1b]0;mine\x07\x1b[2J\u202egnp"


def test_a_name_controls_no_terminal(
    miniature: Editor, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Neither the terminal that shows a result's name nor one that lists the folder."""
    given = tmp_path / f"{EVIL}.png"
    shutil.copy(ROOT / "examples" / "fruit.png", given)
    status = main(["ground", str(given), "the red apple", "--out", str(tmp_path / "out")])
    assert status == 0
    assert main(["ground", str(tmp_path / f"{EVIL}2.png"), "the red apple"]) == 1
    shown = "".join(capsys.readouterr())
    (written,) = (tmp_path / "out").iterdir()
    for text in (shown, written.name):
        assert "mine" in text
        assert not set(text) & set("\x1b\x07\u202e")


def test_names_in_a_folder_control_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """A batch says what it passes over, and what is wrong with which picture."""
    folder = tmp_path / "given"
    folder.mkdir()
    shutil.copy(ROOT / "examples" / "fruit.png", folder / f"{EVIL}.png")
    (folder / f"broken{EVIL}.png").write_bytes(b"no picture")
    (folder / f"notes.{EVIL}").write_text("x")
    command = ["batch", str(folder), "--find", "the red apple", "--out", str(tmp_path / "out")]
    main([*command, "--dry-run"])
    main([*command, "--dry-run", "--json"])
    shown = "".join(capsys.readouterr())
    assert shown.count("mine") >= 2
    assert not set(shown) & set("\x1b\x07\u202e")
