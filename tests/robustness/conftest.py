"""Tests of bad inputs share the corpus and the editor without models."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

for folder in (Path(__file__).parent, Path(__file__).parents[1] / "editor" / "batch"):
    sys.path.insert(0, str(folder))  # corpus_pictures, corpus_texts, fake_editor


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: flushing to a busy disk takes seconds."""
    disk = Path("/dev/shm")
    if not disk.is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=disk) as folder:
        yield Path(folder)
