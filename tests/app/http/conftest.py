"""The server's tests share an editor without models and a client."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2] / "editor" / "batch")]
