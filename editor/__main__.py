"""``python -m editor`` is ``groundbrush``."""

from editor.cli import main

raise SystemExit(main())
