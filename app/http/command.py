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
_LIMITS: tuple[tuple[str, type, float, str, str], ...] = (
    ("--max-upload", float, 50, "MB", "largest request"),
    ("--max-pixels", float, 40, "MP", "largest picture, in millions of pixels"),
    ("--queue", int, 32, "N", "most jobs that wait; further ones get 429"),
    ("--queue-each", int, 8, "N", "the same for one address"),
    ("--job-minutes", float, 60, "N", "longest that a job may run"),
    ("--keep", int, 200, "N", "most results kept"),
    ("--keep-minutes", float, 60, "N", "for how long"),
    ("--grace", float, 30, "SECONDS", "time for running jobs after a signal to stop"),
)
_REPEATED = (
    ("--allow-host", "NAME", "a name that requests may use for this server"),
    ("--proxy", "ADDRESS", "a reverse proxy with a trusted X-Forwarded-For"),
    (
        "--allow-webhook",
        "ORIGIN",
        "where a job's end may be posted to, such as https://hooks.example",
    ),
)
_NEEDED = ("fastapi", "prometheus_client", "python_multipart", "uvicorn")


def add_parsers(commands: Any) -> None:
    """Add the command to the program's subcommands."""
    parser = add_command(
        commands,
        "serve",
        run_command,
        "answer programs over HTTP: jobs, results, metrics",
        epilog="See docs/serve.md. The token is read from --token-file or GROUNDBRUSH_TOKEN.",
    )
    _add_access(parser.add_argument_group("access"))
    limits = parser.add_argument_group("how much")
    for option, kind, usual, metavar, words in _LIMITS:
        words = f"{words} (default: %(default)s)"
        limits.add_argument(option, type=kind, default=usual, metavar=metavar, help=words)
    add_options(parser, "preset device offline memory")
    parser.add_argument(
        "--lazy", action="store_true", help="load models when first needed, not before listening"
    )
    parser.add_argument("--quiet", action="store_true", help="say nothing but errors")
    parser.set_defaults(json=False)


def _add_access(group: Any) -> None:
    """Who reaches the server, and what the server reaches."""
    group.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="listen there; beyond this machine a token is needed (default: %(default)s)",
    )
    group.add_argument("--port", type=int, default=8600, help="default: %(default)s")
    group.add_argument(
        "--token-file", type=Path, metavar="FILE", help="holds the token that requests must bring"
    )
    group.add_argument(
        "--root",
        type=Path,
        metavar="DIR",
        help="pictures may be named by paths in this folder (default: only uploads)",
    )
    for option, metavar, words in _REPEATED:
        words = f"{words}; may be repeated"
        group.add_argument(option, action="append", default=[], metavar=metavar, help=words)


def run_command(args: argparse.Namespace) -> int:
    """Serve until a signal to stop."""
    if missing := [n.replace("_", "-") for n in _NEEDED if find_spec(n) is None]:
        from . import INSTALL

        raise GroundbrushError(f"serve needs {', '.join(missing)}: {INSTALL}")
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
        webhooks=tuple(origin.lower() for origin in args.allow_webhook),
        job_seconds=args.job_minutes * 60,
        keep=args.keep,
        keep_seconds=args.keep_minutes * 60,
        grace=args.grace,
    )
    check_exposure(args.host, settings)
    editor = load_editor(args)
    if not args.lazy:
        editor.models.grounder()
        editor.models.inpainter()
    report = None if args.quiet else lambda words: print(words, file=sys.stderr, flush=True)
    serve(editor, settings, host=args.host, port=args.port, proxies=args.proxy, report=report)
    return DONE
