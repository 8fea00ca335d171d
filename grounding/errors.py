"""The one exception of this package."""

from __future__ import annotations


class GroundingError(ValueError):
    """Bad input to grounding: the message says what was given, what was expected and the mend.

    "Not found" is never this error; it is a status of a result.
    """
