"""The drawing surface: the copy of the picture that it shows, and what its marks mean."""

from __future__ import annotations
