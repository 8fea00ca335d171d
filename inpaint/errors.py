"""Exceptions of repainting."""

from __future__ import annotations


class InpaintError(ValueError):
    """Bad input, a model that cannot be loaded, or a picture that cannot be painted.

    The message says what was given, what was expected and the remedy.
    """


class OutOfMemoryError(InpaintError):
    """The canvas does not fit the memory after every saving."""


class Cancelled(Exception):  # noqa: N818 - a request that was met, not an error
    """The caller stopped the painting; the model is ready for the next one."""
