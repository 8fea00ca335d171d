"""``python -m groundbrush`` is ``groundbrush``: the commands of the editor and of the app."""

import sys

from .editor.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
