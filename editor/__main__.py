"""``python -m editor`` is ``groundbrush``."""

from .cli.main import main

raise SystemExit(main())
