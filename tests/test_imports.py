"""The import laws: which room may import which, no circles, and what importing must not load."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# room -> the rooms of ours it may import besides itself
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
# inside editor: each layer may import those before it, and itself
LAYERS = [
    {"errors", "files", "journal", "values", "machine", "version"},
    {"pictures"},
    {"models", "masks", "workers"},
    {"request", "finder", "grounding_json"},
    {"editing"},
    {"plan"},
    {"api", "explain", "facts", "outputs", "doctor"},
    {"batch", "evaluation", "as_code"},
    {"cli"},
]
LIGHT = ["", ".editor", ".grounding", ".inpaint", ".multiobject", ".app"]
HEAVY = set("torch torchvision transformers diffusers spacy ray matplotlib streamlit".split())
# the one file that may try torchvision: it reports whether an installed one is broken
DIAGNOSIS = ROOT / "editor" / "doctor.py"


def imports(source: str, package: str) -> Iterator[tuple[int, str]]:
    """(line, absolute name without `groundbrush.`) of every import in a module of `package`.

    Imports inside functions and under TYPE_CHECKING count. A generic absolute name, such as
    `editor`, is given as `!editor`: it would be another project's package.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, _known(alias.name)) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(node.module or "", node.level, package)
            for alias in node.names:
                yield node.lineno, ".".join(filter(None, [module, alias.name]))
        elif isinstance(node, ast.Call) and _is_import_function(node.func) and node.args:
            name = node.args[0]
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                yield node.lineno, _known(name.value) if name.value[0] != "." else package


def _known(name: str) -> str:
    if name.split(".")[0] in OURS:
        return f"!{name}"
    return name.removeprefix("groundbrush.")


def _absolute(module: str, level: int, package: str) -> str:
    """The name that `from <level dots><module> import …` means inside a package."""
    if level == 0:
        return _known(module) if module != "groundbrush" else ""
    parts = package.split(".") if package else []
    return ".".join([*parts[: len(parts) - level + 1], *filter(None, [module])])


def _is_import_function(function: ast.expr) -> bool:
    name = getattr(function, "attr", None) or getattr(function, "id", None)
    return name in ("import_module", "__import__")


def breaches(source: str, package: str) -> list[str]:
    """What a module of a room imports of ours against the law, as `line: name`."""
    top = package.split(".")[0]
    found = []
    for line, name in imports(source, package):
        used = name.split(".")[0]
        if name.startswith("!benchmarks") and top == "benchmarks":
            continue  # not installed: its folder is found from the checkout
        if used.startswith("!") or (used in OURS and used != top and used not in LAW[top]):
            found.append(f"{line}: {name}")
    return found


def loads_torchvision(source: str) -> bool:
    return any(name.split(".")[0] == "torchvision" for _, name in imports(source, "any"))


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def package_of(path: Path) -> str:
    return ".".join(path.parent.relative_to(ROOT).parts)


@cache
def graph() -> dict[str, set[str]]:
    """Module -> the modules of ours that it imports anywhere; packages' `__init__`s left out."""
    paths = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for room in LAW
        for path in modules(room)
        if path.name != "__init__.py"
    }
    edges: dict[str, set[str]] = {}
    for name, path in paths.items():
        used = set()
        for _, target in imports(path.read_text(encoding="utf-8"), package_of(path)):
            used |= {target, target.rpartition(".")[0]} & paths.keys()
        edges[name] = used - {name}
    return edges


@pytest.mark.parametrize("package", LAW)
def test_a_room_imports_only_what_the_law_allows(package):
    found = {
        str(path.relative_to(ROOT)): broken
        for path in modules(package)
        if (broken := breaches(path.read_text(encoding="utf-8"), package_of(path)))
    }
    assert found == {}


def test_every_room_is_under_the_law():
    rooms = {init.parent.name for init in ROOT.glob("*/__init__.py")}
    assert {"editor", "grounding", "inpaint", "miniature"} <= rooms <= set(LAW)


def test_no_file_reaches_itself_through_its_imports():
    try:
        TopologicalSorter(graph()).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of files: {' -> '.join(error.args[1])}")


def layer_of(module: str) -> int:
    part = module.split(".")[1]
    (layer,) = (k for k, names in enumerate(LAYERS) if part in names)
    return layer


def test_the_layers_of_the_editor_import_downwards_only():
    upwards = [
        f"{name} -> {used}"
        for name, targets in graph().items()
        if name.startswith("editor.")
        for used in targets
        if used.startswith("editor.") and layer_of(used) > layer_of(name)
    ]
    assert upwards == []


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
        ("inpaint", "from .. import grounding"),
        ("inpaint", "import numpy, groundbrush.grounding.localize.maps as maps"),
        ("grounding", "def f():\n    from ..inpaint.fill import fill"),
        ("grounding", "if TYPE_CHECKING:\n    from ..editor.editing.result import Edit"),
        ("grounding.families", "from ...editor import __version__"),
        ("multiobject", "from ..inpaint import fill"),
        ("editor", "from ..app.page import main"),
        ("editor", "from ..miniature.scenes import compose"),
        ("editor", "import_module('groundbrush.miniature.train.lvlm')"),
        ("editor", "from editor import Editor"),
        ("app.page", "from ...grounding.result import Grounding"),
        ("miniature.train", "import tests.grounding"),
        ("benchmarks", "importlib.import_module('groundbrush.app')"),
    ],
)
def test_a_breach_is_seen(package, source):
    assert len(breaches(source, package)) == 1


@pytest.mark.parametrize(
    ("package", "source"),
    [
        (
            "grounding.families",
            "from . import base\nfrom .base import Family\nfrom ..localize.maps import x",
        ),
        ("grounding", "import_module(f'.{name}', __name__)\nimport_module('.maps', __name__)"),
        ("multiobject", "from ..grounding.attention.model import load_lvlm"),
        ("editor", "from .. import inpaint, multiobject\nfrom ..grounding import Grounder"),
        ("app", "from ..editor.api import Editor\nimport application"),
        ("miniature.train", "from ...grounding.attention import capture\nfrom .. import scenes"),
    ],
)
def test_what_the_law_allows_is_no_breach(package, source):
    assert breaches(source, package) == []


def run_fresh(script: str, folder: Path) -> list:
    """What a new interpreter prints as JSON; a warning or another print fails."""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return json.loads(done.stdout)


@pytest.mark.parametrize("package", LIGHT)
def test_importing_a_room_loads_and_prints_nothing(package, tmp_path):
    script = f"""
import json, logging, sys
before = logging.root.level, len(logging.root.handlers), set(sys.modules)
import groundbrush{package} as package
dir(package)
quiet = (logging.root.level, len(logging.root.handlers)) == before[:2]
tops = sorted({{name.split(".")[0] for name in set(sys.modules) - before[2]}})
print(json.dumps([quiet, tops, package.__file__]))
"""
    quiet, loaded, file = run_fresh(script, tmp_path)
    assert Path(file).is_relative_to(ROOT)
    assert HEAVY.isdisjoint(loaded)
    assert quiet
    assert list(tmp_path.iterdir()) == []


def test_help_loads_no_library_of_models(tmp_path):
    script = """
import contextlib, io, json, sys
from groundbrush.__main__ import main
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    main(["--help"])
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""
    assert HEAVY.isdisjoint(run_fresh(script, tmp_path))
