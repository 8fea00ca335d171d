"""Parse a command line, run one command and return its exit status."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from .. import __version__
from ..errors import GroundbrushError
from . import batch, calibrate, edit, evaluate, ground, installation
from .options import STOPPED, UNMET, Parser

AddCommands = Callable[[Any], None]
"""Adds commands to what `argparse.ArgumentParser.add_subparsers` returns."""

COMMANDS: tuple[AddCommands, ...] = tuple(
    module.add_commands for module in (ground, edit, batch, installation, calibrate, evaluate)
)


def build_parser(extra_commands: Sequence[AddCommands] = ()) -> argparse.ArgumentParser:
    """The parser with a subcommand for each job; other packages may add theirs."""
    parser = Parser(
        prog="groundbrush",
        description="Find it in words, paint something else, touch nothing more.",
        epilog="Exit status: 0 done, 1 the request could not be met, 2 wrong usage.",
    )
    parser.add_argument("--version", action="version", version=f"groundbrush {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for add_commands in (*COMMANDS, *extra_commands):
        add_commands(commands)
    return parser


def main(argv: Sequence[str] | None = None, extra_commands: Sequence[AddCommands] = ()) -> int:
    """Run one command and return its exit status."""
    args = build_parser(extra_commands).parse_args(argv)
    try:
        status = int(args.run(args))
        sys.stdout.flush()
    except GroundbrushError as error:
        print(f"groundbrush: {error}", file=sys.stderr)
        return UNMET
    except KeyboardInterrupt:
        print("groundbrush: stopped; nothing half-written was left", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:  # `groundbrush presets | head -1`
        # Python flushes stdout once more at exit, which would print a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNMET
    return status
