"""Edit many pictures: a manifest, a journal that survives a kill, one directory of results."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "errors": ["BatchStopped", "ManifestError", "Problem"],
        "manifest": ["Manifest", "read_folder", "read_manifest"],
        "rows": ["Row"],
        "run": ["BatchReport", "Job", "run_batch"],
    },
)
