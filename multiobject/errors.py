"""The one exception of this package."""

from __future__ import annotations


class MultiObjectError(ValueError):
    """Bad input to multiobject: the message says what was given, what was expected and the mend.

    A sentence that names nothing is never this error; its answer is an empty tuple.
    """
