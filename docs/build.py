"""Write docs/cli.md from the commands' own help, and the table of presets in docs/models.md."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "cli.md"
MODELS = ROOT / "docs" / "models.md"
REPOSITORIES = ROOT / "editor" / "models" / "repositories.json"
_TABLE = re.compile(
    r"(<!-- sizes: written by `make docs` -->\n).*?(<!-- end of sizes -->)", re.DOTALL
)
BUILTIN = ("miniature", "classic")
HEAD = """# The command line

Written by `make docs` from the commands' own help; edit the help instead.
"""


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parsers of a parser's subcommands, by name, in their order."""
    return {
        name: command
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for name, command in action.choices.items()
    }


def page(parser: argparse.ArgumentParser) -> str:
    """The page: one section for the program and one for each subcommand."""
    commands = {"": parser, **subcommands(parser)}
    sections = (
        f"\n## groundbrush {name}".rstrip() + f"\n\n```\n{command.format_help().rstrip()}\n```\n"
        for name, command in commands.items()
    )
    return HEAD + "".join(sections)


def models_page(page: str) -> str:
    """docs/models.md with its table of sizes, memory and licences written anew."""
    from groundbrush.editor.models.presets import load_preset, preset_names

    rows = [
        "| preset | download | memory to find | memory to paint | licences | gated |",
        "|---|---|---|---|---|---|",
        *(_size_row(load_preset(name)) for name in preset_names() if name not in BUILTIN),
    ]
    return _TABLE.sub(lambda m: m[1] + "\n" + "\n".join(rows) + "\n\n" + m[2], page)


def _size_row(preset: Any) -> str:
    """A preset's row: GB to download, and GB that its weights take in half precision."""
    facts = json.loads(REPOSITORIES.read_text(encoding="utf-8"))
    spec, painter = preset.find or preset.lvlm, preset.inpainter
    finding = [spec["path"], preset.segmenter["path"]]
    painting = [painter["path"], *filter(None, [painter.get("vae")])]
    cells = [_memory(facts, finding, spec), _memory(facts, painting, {})]
    if spec.get("vision"):
        cells[0] = "–"
    gated = ", ".join(path for path in finding + painting if facts.get(path, {}).get("gated"))
    licences = preset.licence.replace("|", "/")
    return (
        f"| `{preset.name}` | {preset.size_gb:g} | {cells[0]} | {cells[1]} | {licences} | {gated} |"
    )


def _memory(facts: dict[str, Any], paths: list[str], spec: Any) -> str:
    """GB of repositories' weights on an accelerator, cut to the layers that the heads need."""
    from groundbrush.editor.models.memory import deepest_of

    if not all(path in facts for path in paths):
        return "–"
    each = 4 if spec.get("dtype") == "float32" else 2
    total = sum(
        facts[path]["gb"] * (each if i == 0 else 2) / facts[path]["bytes_each"]
        for i, path in enumerate(paths)
    )
    known, deepest = facts[paths[0]], deepest_of(spec)
    if deepest is not None and "layers" in known:
        total -= (known["layers"] - 1 - deepest) * known["layer_gb"] + known["head_gb"]
    return f"{total:.1f}"


def main() -> None:
    """Write the pages and say where."""
    os.environ["COLUMNS"] = "96"  # argparse wraps to the terminal: here to the page
    sys.path.insert(0, str(ROOT))
    from groundbrush.app.commands import add_commands
    from groundbrush.editor.cli.main import build_parser

    PAGE.write_text(page(build_parser([add_commands])), encoding="utf-8")
    MODELS.write_text(models_page(MODELS.read_text(encoding="utf-8")), encoding="utf-8")
    print(PAGE.relative_to(ROOT), MODELS.relative_to(ROOT))


if __name__ == "__main__":
    main()
