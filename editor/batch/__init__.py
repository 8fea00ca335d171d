"""Edits of many pictures: a manifest, a journal, one folder of results.

It knows no command line; models are used through `editor.api.Editor` alone.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "errors": ["BatchStopped", "ManifestError", "Problem"],
        "manifest": ["Manifest", "read_folder", "read_manifest"],
        "rows": ["BatchRow"],
        "run": ["BatchJob", "BatchReport", "run_batch"],
    },
)
