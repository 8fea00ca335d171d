"""The one exception of this package."""


class GroundingError(ValueError):
    """Bad input to grounding: the message says what was given, what was expected and the remedy.

    "Not found" is never this error; it is a status of a result.
    """
