"""Build the wheel, install it in an empty environment beside `inquirer`, and use it elsewhere.

    python tests/check_wheel.py       `make wheel-test` runs it; it uses PyPI

`inquirer` installs a package named `editor`, as ours was once: neither may harm the other.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = """
from pathlib import Path
import groundbrush
from streamlit.testing.v1 import AppTest
script = Path(groundbrush.__file__).parent / "app" / "page" / "script.py"
page = AppTest.from_file(str(script), default_timeout=120).run()
assert not page.exception, page.exception
examples = [button.label for button in page.button]
assert len(examples) >= 5, examples
print(len(examples), "buttons on the first screen")
"""
NEIGHBOURS = """
import editor, groundbrush, inquirer, pathlib
assert not hasattr(editor, "Editor") and groundbrush.Editor.__module__ == "groundbrush.editor.api"
site = pathlib.Path(groundbrush.__file__).parents[1]
for generic in ("app", "grounding", "inpaint", "miniature", "multiobject", "tests"):
    assert not (site / generic).exists(), generic
"""


def main() -> None:
    """Every step prints a line; the first that fails ends the run."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        wheel = _build(work)
        python = _install(wheel, work)
        _run([python, "-c", NEIGHBOURS], work)
        _edit(python, work)
        _run([python, "-c", PAGE], work)
        _serve(python, work)
    print("the wheel works outside the checkout")


def _build(work: Path) -> Path:
    source = work / "source"  # setuptools leaves a build folder, and would reuse an old one
    listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True).split("\0")
    for name in filter(None, listed):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    _run([*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", str(work), str(source)], work)
    (wheel,) = work.glob("groundbrush-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    strangers = {n for n in names if not n.startswith(("groundbrush/", "groundbrush-"))}
    assert not strangers, f"the wheel holds more than groundbrush/: {sorted(strangers)[:5]}"
    assert not any("weights/continue" in n for n in names), "the wheel holds unfinished weights"
    for wanted in ("py.typed", "examples/fruit.png", "app/page/page.css"):
        assert f"groundbrush/{wanted}" in names, f"the wheel lacks {wanted}"
    print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.0f} MB, {len(names)} files")
    return wheel


def _install(wheel: Path, work: Path) -> str:
    """An environment with the wheel, its server and `inquirer`, at the versions of `make`."""
    venv.create(work / "env", with_pip=True)
    python = str(work / "env" / "bin" / "python")
    pins = work / "pins.txt"  # a constraint may not name extras or other files
    lines = (ROOT / "requirements-dev.txt").read_text() + (ROOT / "requirements.txt").read_text()
    pins.write_text("\n".join(x for x in lines.splitlines() if "==" in x and "[" not in x))
    wanted = [f"{wheel}[serve]", "inquirer"]
    _run(
        [
            python,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-compile",
            "--constraint",
            str(pins),
            *wanted,
        ],
        work,
    )
    return python


def _edit(python: str, work: Path) -> None:
    example = subprocess.check_output(
        [python, "-c", "import groundbrush as g; print(g.__path__[0])"], cwd=work, text=True
    ).strip()
    words = ["--find", "the red apple", "--paint", "a frog", "--offline", "--json"]
    command = str(Path(python).with_name("groundbrush"))
    done = _run([command, "edit", f"{example}/examples/fruit.png", *words, "--out", "out"], work)
    facts = json.loads(done.splitlines()[-1])
    assert facts["done"] and (work / "out" / "fruit.edited.png").is_file(), facts
    print("edited a picture")


def _serve(python: str, work: Path) -> None:
    command = [python, "-m", "groundbrush", "serve", "--port", "8971", "--lazy"]
    with subprocess.Popen(command, cwd=work) as server:
        try:
            for _ in range(120):
                time.sleep(0.5)
                try:
                    with urllib.request.urlopen("http://127.0.0.1:8971/health", timeout=5) as got:
                        print("serve:", got.read(80).decode())
                        return
                except OSError:
                    assert server.poll() is None, "the server ended"
            raise AssertionError("no answer from /health within a minute")
        finally:
            server.terminate()


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"failed: {' '.join(command)[:200]}\n{done.stdout[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    main()
