"""Errors of a download in one line with the remedy."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import GroundbrushError, one_line
from .presets import Repository


@contextmanager
def explained(repository: Repository, preset: str) -> Iterator[None]:
    """Turn what the hub's library raises into a `GroundbrushError` with the remedy."""
    try:
        yield
    except GroundbrushError:
        raise
    except Exception as error:  # the hub, its HTTP library and the disk share no base
        raise GroundbrushError(_reason(error, repository, preset)) from error


def disk_full(preset: str, needed: int, folder: Path) -> GroundbrushError:
    """The error for a disk with less than `needed` bytes."""
    return GroundbrushError(
        f"preset {preset!r} needs {needed / 1e9:.2f} GB more in {folder}, and the disk has less; "
        "free some space, or name a folder on another disk in HF_HOME"
    )


def _reason(error: Exception, repository: Repository, preset: str) -> str:
    from huggingface_hub import errors, get_token

    name, part = repository.name, f"the {repository.part} of preset {preset!r}"
    page = f"https://huggingface.co/{name}"
    chain = list(_chain(error))
    if any(isinstance(e, OSError) and e.errno == errno.ENOSPC for e in chain):
        return (
            f"the disk is full: {name}, {part}, could not be written; free some space, or name a "
            "folder on another disk in HF_HOME, and run the same again: it resumes where it stopped"
        )
    for one in chain:
        if isinstance(one, errors.GatedRepoError):
            login = (
                "your token is not let in yet: with its account, accept the licence at"
                if get_token()
                else "accept its licence at"
            )
            return (
                f"{name}, {part}, is gated: {login} {page}, then run `hf auth login` and the same "
                "command again"
            )
        if isinstance(one, errors.RevisionNotFoundError):
            return (
                f"{name}, {part}, has no revision {repository.revision!r}; expected a branch, tag "
                f"or commit of {page}: correct it in the preset, or leave it out"
            )
        if isinstance(one, errors.RepositoryNotFoundError):
            return (
                f"{name}, {part}, is not on the hub, or is private; check its spelling in the "
                "preset, or run `hf auth login` with an account that may read it"
            )
        if isinstance(one, errors.OfflineModeIsEnabled):
            return _offline(name, part, preset, "HF_HUB_OFFLINE is set")
    status = next((e for e in chain if isinstance(e, errors.HfHubHTTPError)), None)
    if status is not None:
        return (
            f"the hub refuses {name}, {part} ({one_line(status)[:160]}); try again later, or run "
            "`hf auth login`"
        )
    first = one_line(chain[-1])[:160]
    return (
        f"the hub cannot be reached for {name}, {part} ({first}); check the network or proxy and "
        "run the same command again: it resumes where it stopped"
    )


def offline_error(repository: Repository, preset: str) -> GroundbrushError:
    """The error for a model that is not on this machine while offline is set."""
    part = f"the {repository.part} of preset {preset!r}"
    return GroundbrushError(_offline(repository.name, part, preset, "offline is set"))


def _offline(name: str, part: str, preset: str, why: str) -> str:
    return (
        f"{name}, {part}, is not complete on this machine, and {why}; download it once with "
        f"`groundbrush fetch {preset}` where there is a network"
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and its causes."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
