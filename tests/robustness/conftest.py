"""Tests of bad inputs share the corpus and the editor without models."""

from __future__ import annotations

import sys
from pathlib import Path

for folder in (Path(__file__).parent, Path(__file__).parents[1] / "editor" / "batch"):
    sys.path.insert(0, str(folder))  # corpus_pictures, corpus_texts, fake_editor
