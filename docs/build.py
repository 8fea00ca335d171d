"""Write docs/cli.md from the commands' own help, so that the page cannot disagree with them."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "cli.md"
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


def main() -> None:
    """Write the page and say where."""
    os.environ["COLUMNS"] = "96"  # argparse wraps to the terminal: here to the page
    sys.path.insert(0, str(ROOT))
    from groundbrush.app.commands import add_commands
    from groundbrush.editor.cli.main import build_parser

    PAGE.write_text(page(build_parser([add_commands])), encoding="utf-8")
    print(PAGE.relative_to(ROOT))


if __name__ == "__main__":
    main()
