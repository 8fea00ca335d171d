"""The import law: which package may import which, and what importing must not load."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# package -> the packages of ours it may import besides itself
LAW: dict[str, set[str]] = {
    "inpaint": set(),
    "grounding": set(),
    "multiobject": {"grounding"},
    "editor": {"grounding", "multiobject", "inpaint"},
    "app": {"editor"},
    "miniature": {"grounding", "multiobject", "inpaint", "editor"},
    "benchmarks": {"grounding", "multiobject", "inpaint", "editor", "miniature"},
}
OURS = {*LAW, "tests"}
LIGHT = [p for p in ("editor", "grounding", "inpaint", "multiobject") if (ROOT / p).is_dir()]
HEAVY = set("torch torchvision transformers diffusers spacy ray matplotlib streamlit".split())
# the one file that may try torchvision: it tells whether an installed one is broken
DIAGNOSIS = ROOT / "editor" / "doctor.py"


def imports(source: str, package: str) -> Iterator[tuple[int, str]]:
    """(line, absolute module name) of every import in a module that lies in `package`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, _absolute(node.module or "", node.level, package)
        elif isinstance(node, ast.Call) and _is_import_function(node.func) and node.args:
            name = node.args[0]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                yield node.lineno, name.value if name.value[0] != "." else package


def _absolute(module: str, level: int, package: str) -> str:
    """The name that `from <level dots><module> import …` means inside a package."""
    if level == 0:
        return module
    parts = package.split(".")
    return ".".join([*parts[: len(parts) - level + 1], *filter(None, [module])])


def _is_import_function(function: ast.expr) -> bool:
    name = getattr(function, "attr", None) or getattr(function, "id", None)
    return name in ("import_module", "__import__")


def breaches(source: str, package: str) -> list[str]:
    """What a module of a package imports of ours against the law, as `line: name`."""
    top = package.split(".")[0]
    return [
        f"{line}: {name}"
        for line, name in imports(source, package)
        if (used := name.split(".")[0]) in OURS and used != top and used not in LAW[top]
    ]


def loads_torchvision(source: str) -> bool:
    return any(name.split(".")[0] == "torchvision" for _, name in imports(source, "any"))


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def package_of(path: Path) -> str:
    return ".".join(path.parent.relative_to(ROOT).parts)


@pytest.mark.parametrize("package", LAW)
def test_a_package_imports_only_what_the_law_allows(package):
    found = {
        str(path.relative_to(ROOT)): broken
        for path in modules(package)
        if (broken := breaches(path.read_text(encoding="utf-8"), package_of(path)))
    }
    assert found == {}


def test_every_package_is_under_the_law():
    packages = {init.parent.name for init in ROOT.glob("*/__init__.py")}
    assert {"editor", "grounding", "inpaint", "miniature"} <= packages <= set(LAW)


def test_torchvision_is_imported_nowhere():
    paths = {path for folder in (*LAW, "tests", "docs", "examples") for path in modules(folder)}
    found = [path for path in paths - {DIAGNOSIS} if loads_torchvision(path.read_text("utf-8"))]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "import torchvision",
        "import numpy, torchvision.ops as ops",
        "def f():\n    from torchvision.transforms import Resize",
        "__import__('torchvision.ops')",
        "importlib.import_module('torchvision')",
    ],
)
def test_an_import_of_torchvision_is_seen(source):
    assert loads_torchvision(source)
    assert not loads_torchvision(source.replace("torchvision", "torch"))


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("inpaint", "import grounding"),
        ("inpaint", "import numpy, grounding.maps as maps"),
        ("grounding", "def f():\n    from inpaint.fill import fill"),
        ("grounding", "if TYPE_CHECKING:\n    from editor import Edit"),
        ("groundbrush.grounding.families", "from ...editor import Edit"),
        ("multiobject", "from inpaint import fill"),
        ("editor", "from app import main"),
        ("editor", "from miniature.scenes import compose"),
        ("editor", "import_module('groundbrush.miniature.train.lvlm')"),
        ("app", "from grounding import Grounding"),
        ("groundbrush.miniature.train", "import tests.grounding"),
        ("benchmarks", "importlib.import_module('app')"),
    ],
)
def test_a_breach_is_seen(package, source):
    assert len(breaches(source, package)) == 1


@pytest.mark.parametrize(
    ("package", "source"),
    [
        (
            "groundbrush.grounding.families",
            "from . import base\nfrom .base import Family\nfrom ..maps import x",
        ),
        ("grounding", "import_module(f'.{name}', __name__)\nimport_module('.maps', __name__)"),
        ("multiobject", "from grounding.lvlm import load_lvlm"),
        ("editor", "import inpaint, grounding.ground, multiobject"),
        ("app", "from editor import Editor\nimport application"),
        (
            "groundbrush.miniature.train",
            "from grounding.capture import capture\nfrom miniature import scenes",
        ),
    ],
)
def test_what_the_law_allows_is_no_breach(package, source):
    assert breaches(source, package) == []


@pytest.mark.parametrize("package", LIGHT)
def test_importing_a_package_loads_and_prints_nothing(package, tmp_path):
    script = f"""
import json, logging, sys
before = logging.root.level, len(logging.root.handlers), set(sys.modules)
import {package}
dir({package})
quiet = (logging.root.level, len(logging.root.handlers)) == before[:2]
tops = sorted({{name.split(".")[0] for name in set(sys.modules) - before[2]}})
print(json.dumps([quiet, tops, {package}.__file__]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    quiet, loaded, file = json.loads(done.stdout)  # fails too where the import printed
    assert Path(file).is_relative_to(ROOT)
    assert HEAVY.isdisjoint(loaded)
    assert quiet
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []
