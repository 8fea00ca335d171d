"""Many pictures: a manifest, a journal that survives everything, one folder of results.

Names load on first use, so that ``import editor.batch`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_EXPORTS = {
    "BatchReport": "editor.batch.run",
    "BatchStopped": "editor.batch.errors",
    "Job": "editor.batch.run",
    "Manifest": "editor.batch.manifest",
    "ManifestError": "editor.batch.errors",
    "Problem": "editor.batch.errors",
    "Row": "editor.batch.rows",
    "read_folder": "editor.batch.manifest",
    "read_manifest": "editor.batch.manifest",
    "run_batch": "editor.batch.run",
}
__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_EXPORTS[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
