"""Helpers for diffusers and transformers: silence, schedulers by name, errors of loading."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

from ..device.memory import is_out_of_memory
from ..errors import InpaintError, OutOfMemoryError
from ..settings import SCHEDULERS
from ..validation import check_choice, describe

_LOCK = threading.Lock()
_quiet = SimpleNamespace(scopes=0, restore=contextlib.ExitStack())


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence diffusers and transformers, and restore their settings afterwards.

    The settings belong to the process, so scopes are counted: the first one saves them and the
    last one restores them, in whichever thread.
    """
    import diffusers.utils.logging
    import transformers.utils.logging

    with _LOCK:
        if not _quiet.scopes:
            for library in (diffusers.utils.logging, transformers.utils.logging):
                _quiet.restore.callback(library.set_verbosity, library.get_verbosity())
                if library.is_progress_bar_enabled():
                    _quiet.restore.callback(library.enable_progress_bar)
                library.set_verbosity_error()
                library.disable_progress_bar()
        _quiet.scopes += 1
    try:
        yield
    finally:
        with _LOCK:
            _quiet.scopes -= 1
            if not _quiet.scopes:
                _quiet.restore.close()


def scheduler_from(current: Any, name: str) -> Any:
    """Return the scheduler called `name` with the noise schedule of `current`."""
    import diffusers

    check_choice("scheduler", name, tuple(SCHEDULERS))
    if type(current).__name__.startswith("FlowMatch"):
        raise InpaintError(
            f"scheduler: got {name!r} for a flow-matching model; expected its own. Leave the "
            "scheduler out of the settings and the preset."
        )
    with quiet_libraries():
        return getattr(diffusers, SCHEDULERS[name]).from_config(current.config)


@contextlib.contextmanager
def explain_loading(what: str, remedy: str) -> Iterator[None]:
    """Turn a library's failure to load `what` into an InpaintError with a remedy."""
    try:
        yield
    except InpaintError:
        raise
    except Exception as error:
        if isinstance(error, MemoryError) or is_out_of_memory(error):
            raise OutOfMemoryError(
                f"out of memory while {what} was loaded; expected its weights to fit. Close other "
                "programs, or use a smaller model."
            ) from error
        first = [type(error).__name__, *str(error).strip().splitlines()[:1]]
        reason = ": ".join(part[:200] for part in first)
        raise InpaintError(f"{what} could not be loaded ({reason}){remedy}") from error


def check_entry(name: str, entry: Any, optional: tuple[str, ...]) -> None:
    """Raise unless a preset's entry is a mapping with a path, and perhaps optional names."""
    good = isinstance(entry, Mapping) and isinstance(entry.get("path"), str) and entry["path"]
    if not good or set(entry) - {"path", *optional}:
        raise InpaintError(
            f"{name}: got {describe(entry)}; expected a mapping with path, and optionally "
            f"{', '.join(optional)}."
        )
