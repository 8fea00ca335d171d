"""``python -m groundbrush`` is ``groundbrush``: the commands of the editor and of the app."""

import sys
from collections.abc import Sequence

from .app.commands import add_commands
from .editor.cli import main as editor_cli


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    return editor_cli.main(argv, [add_commands])


if __name__ == "__main__":
    sys.exit(main())
