"""The editor over HTTP: one set of models, a line of work, results for a while.

Needs the extra ``serve``; importing this package loads neither it nor a model.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_EXPORTS = {"ServeSettings": "settings", "create_app": "app", "serve": "server"}
__all__ = sorted(_EXPORTS)
INSTALL = "pip install 'groundbrush[serve]' (in a clone: pip install -e '.[serve]')"


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
