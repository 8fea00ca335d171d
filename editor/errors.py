"""The one error a user of the editor meets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_LONGEST = 2_000  # characters of a message; what was given may be a book


class GroundbrushError(Exception):
    """A request that cannot be met, said in one line.

    The message names what was given, what was expected and the mend, so that it can be shown to
    a user as it stands; the error of the layer below, where there was one, is ``__cause__``.

    Examples
    --------
    >>> raise GroundbrushError("seed -1 given; expected a whole number from 0; try seed=0")
    Traceback (most recent call last):
    ...
    editor.errors.GroundbrushError: seed -1 given; expected a whole number from 0; try seed=0
    """

    def __str__(self) -> str:
        """The message; a very long one without its middle, for its end has the mend."""
        words = super().__str__()
        if len(words) <= _LONGEST:
            return words
        half = _LONGEST // 2
        return f"{words[:half]} ... {words[-half:]}"


@contextmanager
def translate(*lower_error_types: type[BaseException]) -> Iterator[None]:
    """Re-raise errors of the packages below as `GroundbrushError`.

    Parameters
    ----------
    *lower_error_types : type
        The exception classes to translate, such as ``GroundingError`` and ``InpaintError``. Every
        other exception passes through unchanged: a bug must keep its traceback.

    Raises
    ------
    GroundbrushError
        With the lower error's message on one line and the lower error as ``__cause__``.

    Examples
    --------
    >>> with translate(ValueError):
    ...     raise ValueError("box is empty; draw a larger one")
    Traceback (most recent call last):
    ...
    editor.errors.GroundbrushError: box is empty; draw a larger one
    """
    try:
        yield
    except GroundbrushError:
        raise
    except lower_error_types as error:
        raise GroundbrushError(one_line(error)) from error


def one_line(error: BaseException) -> str:
    """Return an exception's message on one line, or its class name where it has none."""
    return " ".join(str(error).split()) or type(error).__name__
