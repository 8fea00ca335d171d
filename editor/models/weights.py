"""Distinguish checkpoints without reading them."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def weights_stamp(path: str) -> list[Any]:
    """Name, size and time of each of a checkpoint's files; the path itself for a repository."""
    folder = Path(path)
    if not folder.is_dir():
        return [path]
    return [
        [file.name, file.stat().st_size, file.stat().st_mtime_ns]
        for file in sorted(folder.iterdir())
        if file.suffix in (".safetensors", ".json")
    ]
