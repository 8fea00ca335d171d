"""``groundbrush serve``: parses, makes the settings, serves."""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ...editor.cli.options import add_command, add_options, load_editor
from ...editor.errors import GroundbrushError

DONE = 0
_NEEDED = ("fastapi", "uvicorn", "python_multipart")


def add_parsers(commands: Any) -> None:
    """Add the command to the program's subcommands."""
    parser = add_command(
        commands,
        "serve",
        run_command,
        "answer programs over HTTP: jobs, results, metrics",
        epilog="See docs/serve.md. The token is read from --token-file or GROUNDBRUSH_TOKEN.",
    )
    where = parser.add_argument_group("who may ask")
    where.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="listen there; beyond this machine a token is needed (default: %(default)s)",
    )
    where.add_argument("--port", type=int, default=8600, help="default: %(default)s")
    where.add_argument(
        "--token-file", type=Path, metavar="FILE", help="holds the token that requests must bring"
    )
    where.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name that requests may use for this server; may be repeated",
    )
    where.add_argument(
        "--proxy",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="a reverse proxy whose X-Forwarded-For is believed; may be repeated",
    )
    where.add_argument(
        "--root",
        type=Path,
        metavar="DIR",
        help="pictures may be named by paths in this folder (default: only uploads)",
    )
    _limits(parser)
    add_options(parser, "preset device offline memory")
    parser.add_argument(
        "--lazy", action="store_true", help="load models when first needed, not before listening"
    )
    parser.add_argument("--quiet", action="store_true", help="say nothing but errors")
    parser.set_defaults(json=False)


def _limits(parser: argparse.ArgumentParser) -> None:
    limits = parser.add_argument_group("how much")
    limits.add_argument(
        "--max-upload",
        type=float,
        default=50,
        metavar="MB",
        help="largest request (default: %(default)s)",
    )
    limits.add_argument(
        "--max-pixels",
        type=float,
        default=40,
        metavar="MP",
        help="largest picture, in millions of pixels (default: %(default)s)",
    )
    limits.add_argument(
        "--queue",
        type=int,
        default=32,
        metavar="N",
        help="most jobs that wait; further ones get 429 (default: %(default)s)",
    )
    limits.add_argument(
        "--queue-each",
        type=int,
        default=8,
        metavar="N",
        help="the same for one address (default: %(default)s)",
    )
    limits.add_argument(
        "--keep",
        type=int,
        default=200,
        metavar="N",
        help="most results kept (default: %(default)s)",
    )
    limits.add_argument(
        "--keep-minutes",
        type=float,
        default=60,
        metavar="N",
        help="for how long (default: %(default)s)",
    )
    limits.add_argument(
        "--grace",
        type=float,
        default=30,
        metavar="SECONDS",
        help="given to jobs when asked to stop (default: %(default)s)",
    )


def run_command(args: argparse.Namespace) -> int:
    """Serve until told to stop."""
    check_installed()
    from .server import serve
    from .settings import LOCAL, ServeSettings, check_exposure, read_token

    settings = ServeSettings(
        root=args.root,
        token=read_token(args.token_file),
        hosts=tuple(dict.fromkeys(n.lower() for n in (*LOCAL, args.host, *args.allow_host))),
        max_bytes=round(args.max_upload * 1e6),
        max_pixels=round(args.max_pixels * 1e6),
        queue=args.queue,
        queue_each=args.queue_each,
        keep=args.keep,
        keep_seconds=args.keep_minutes * 60,
        grace=args.grace,
    )
    check_exposure(args.host, settings)
    editor = load_editor(args)
    if not args.lazy:
        editor.models.grounder()
        editor.models.inpainter()
    tell = None if args.quiet else lambda words: print(words, file=sys.stderr, flush=True)
    serve(editor, settings, host=args.host, port=args.port, proxies=args.proxy, tell=tell)
    return DONE


def check_installed() -> None:
    """Refuse where the extra is not installed.

    Raises
    ------
    GroundbrushError
        With the command that installs it.
    """
    missing = [name.replace("_", "-") for name in _NEEDED if find_spec(name) is None]
    if missing:
        from . import INSTALL

        raise GroundbrushError(f"serve needs {', '.join(missing)}: {INSTALL}")
