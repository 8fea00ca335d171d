"""What can go wrong while repainting."""

from __future__ import annotations


class InpaintError(ValueError):
    """Bad input, a model that cannot be loaded, or a picture that cannot be painted.

    The message says what was given, what was expected and how to mend it.
    """


class OutOfMemoryError(InpaintError):
    """The canvas does not fit the memory, whatever the model itself could save; try a smaller."""


class Cancelled(Exception):  # noqa: N818 - it reports a wish that was met, not an error
    """The caller asked to stop; no picture was made and the model is ready for the next one."""
