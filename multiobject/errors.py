"""The one exception of this package."""

from __future__ import annotations


class MultiObjectError(ValueError):
    """Bad input: the message says what was given, what was expected and the remedy.

    A caption that names nothing is no error: it gives an empty result.
    """
