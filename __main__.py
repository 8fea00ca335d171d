"""``python -m groundbrush`` is ``groundbrush``: the commands of the editor and of the app."""

import atexit
import gc
import sys
from collections.abc import Sequence

from .app.commands import add_commands
from .editor.cli import main as editor_cli

_LONG = ("app", "batch", "calibrate", "evaluate", "serve")
"""Commands that run for long and need the collector; the others end before it frees anything."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    if not {*_LONG}.intersection((sys.argv[1:] if argv is None else argv)[:1]):
        # Importing the libraries makes half a million objects that live until the exit. The
        # collector's passes over them are a quarter of a cold edit's time.
        gc.set_threshold(1_000_000)
        atexit.register(gc.freeze)
    return editor_cli.main(argv, [add_commands])


if __name__ == "__main__":
    sys.exit(main())
