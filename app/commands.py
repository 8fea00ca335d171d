"""``groundbrush app`` and ``serve``: the commands that the app adds to the editor's."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..editor.cli.options import add_command
from ..editor.errors import GroundbrushError
from .http.command import add_parsers as add_serve

SCRIPT = Path(__file__).parent / "page" / "application.py"


def add_commands(commands: Any) -> None:
    """Add ``app`` and ``serve``."""
    app = add_command(commands, "app", _app, "open the editor in a browser")
    app.add_argument("--port", type=int, default=8501)
    app.add_argument(
        "--host",
        default="localhost",
        metavar="ADDRESS",
        help="address to listen on (default: this machine only; 0.0.0.0: every machine that "
        "reaches it, without a password)",
    )
    app.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name that the page may be opened under, beside localhost and addresses; may be "
        "repeated",
    )
    app.add_argument(
        "--folder", metavar="DIR", help="offer its pictures one after the other, by name"
    )
    add_serve(commands)


def _app(args: argparse.Namespace) -> int:
    if find_spec("streamlit") is None or not SCRIPT.is_file():
        raise GroundbrushError("the editor needs streamlit: pip install streamlit")
    from .uploads import MAX_UPLOAD_BYTES

    flags = {
        "server.address": args.host,
        "server.port": args.port,
        "server.fileWatcherType": "none",
        "server.showEmailPrompt": "false",
        "server.maxUploadSize": MAX_UPLOAD_BYTES // 1_000_000,
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",  # a traceback shows paths of the server
        "browser.gatherUsageStats": "false",
        "theme.light.primaryColor": "#b83242",  # 5:1 on its own tint; Streamlit's has 4.47:1
        # A garbage collection after every run takes half a second with the models in memory.
        "runner.postScriptGC": "false",
    }
    options = [part for name, value in flags.items() for part in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "streamlit", "run", str(SCRIPT), *options]
    # an option of Streamlit would reach its script only, which is not loaded yet
    os.environ["GROUNDBRUSH_PAGE_HOSTS"] = " ".join([args.host, *args.allow_host])
    if args.folder is not None:
        if not Path(args.folder).is_dir():
            raise GroundbrushError(
                f"--folder {args.folder} given; expected a directory with pictures"
            )
        os.environ["GROUNDBRUSH_PAGE_FOLDER"] = os.path.abspath(args.folder)
    if os.name == "posix":  # replace this process, so that signals reach the server
        os.execv(sys.executable, command)
    return subprocess.call(command)
