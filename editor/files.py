"""Files: written whole or not at all, safely named; and recipes as JSON.

Knows bytes and names; what a picture is lives in `editor.pictures.picture`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import stat
import tempfile
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from glob import escape
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

from .errors import GroundbrushError, one_line

RECIPE_LIMIT = 1_000_000
"""Largest recipe in bytes of JSON, read or written: far above any honest one."""

_RESERVED = {"CON", "PRN", "AUX", "NUL"} | {f"{d}{n}" for d in ("COM", "LPT") for n in range(10)}


class OutputError(GroundbrushError):
    """A place for results that cannot be used; its cause is the system's error."""


def atomic_write(
    path: str | os.PathLike[str],
    content: bytes | Callable[[BinaryIO], object],
    *,
    durable: bool = True,
) -> Path:
    """Write a file so that it appears whole or not at all, creating its folder.

    The content goes to a hidden temporary name in the same folder and takes the final name in one
    step. A file already there is replaced and lends its permissions; a symbolic link is replaced,
    not followed, so nothing outside the folder is ever written.

    Parameters
    ----------
    path : str or os.PathLike
        The final name.
    content : bytes or callable
        The bytes, or a function that writes them to the open binary file it is given.
    durable : bool
        Wait until the disk has it. False: a power cut may damage it, a kill cannot.

    Returns
    -------
    pathlib.Path
        `path`.

    Raises
    ------
    OutputError
        If the folder or the file cannot be written. An exception of the callable's own (other
        than `OSError`) passes through; in every case no partial file is left and an earlier file
        under that name is untouched.

    Examples
    --------
    >>> atomic_write("out/notes.txt", b"done").read_bytes()  # doctest: +SKIP
    b'done'
    """
    path = as_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError("a folder has that name")
        partial = path.parent / f".{path.name[:32]}.{secrets.token_hex(8)}.part"
        try:
            _write_new(partial, path, content, durable)
            os.replace(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        if durable:
            _sync_folder(path.parent)
    except OSError as error:
        raise OutputError(
            f"cannot write {str(path)!r} ({_reason(error)}); expected a writable folder and a "
            "free name; choose another output path"
        ) from error
    return path


def check_writable(folder: str | os.PathLike[str]) -> None:
    """Refuse a folder for results that cannot be made or written, before there are any.

    A file without a name is opened in it, or in the nearest folder there is: permissions alone say
    little of what a superuser, a read-only or a full file system allow.

    Raises
    ------
    GroundbrushError
    """
    path = as_path(folder)
    nearest, missing = path.absolute(), list[str]()
    while not os.path.lexists(nearest) and nearest != nearest.parent:
        missing.append(nearest.name)
        nearest = nearest.parent
    why = None
    try:
        if not nearest.is_dir():
            why = f"{str(nearest)!r} is no folder"
        else:
            for name in missing:  # of which the longest may be too long
                with contextlib.suppress(FileNotFoundError):
                    (nearest / name).lstat()
            tempfile.TemporaryFile(dir=nearest).close()
    except OSError as error:
        why = f"{str(nearest)!r}: {_reason(error)}"
    if why is not None:
        raise GroundbrushError(
            f"cannot write to {str(path)!r} ({why}); expected a writable folder, which "
            "may be new; choose another --out"
        )


def free_stem(
    folder: Path, stem: str, endings: Sequence[str], is_same: Callable[[str], bool]
) -> str:
    """How a result's files may begin without writing over another result.

    Parameters
    ----------
    folder : Path
        Where they go; it need not be there.
    stem : str
        How they would begin: what is given back, or with "-2", "-3" ... where that is taken.
    endings : sequence of str
        How they end, as globs: ".recipe.json", ".edited*".
    is_same : callable
        Whether files that begin so are of this very result: they may be written again.
    """
    for number in count(1):
        name = stem if number == 1 else f"{stem}-{number}"
        taken = any(True for end in endings for _ in folder.glob(f"{escape(name)}{end}"))
        if not taken or is_same(name):
            return name
    raise AssertionError("numbers do not end")


def holds(path: Path, content: bytes) -> bool:
    """Whether a file is there, can be read and holds these bytes."""
    try:
        return path.is_file() and path.read_bytes() == content
    except OSError:
        return False


def safe_name(text: str, max_bytes: int = 80) -> str:
    """Turn any text into a file name that is legal everywhere and stays in its folder.

    Letters, marks and digits of every script are kept, as are ``-``, ``_`` and ``.``; any run of
    other characters becomes one ``-``. Different texts can give the same name.

    Parameters
    ----------
    text : str
        Any text, such as a phrase.
    max_bytes : int
        Longest name in UTF-8 bytes, at least 8.

    Returns
    -------
    str
        Never empty, never hidden, never a Windows device name, without a separator;
        ``safe_name(safe_name(t)) == safe_name(t)``.

    Examples
    --------
    >>> safe_name("the red apple, left/../of it")
    'the-red-apple-left-..-of-it'
    >>> safe_name("../..")
    'unnamed'
    """
    if max_bytes < 8:
        raise GroundbrushError(f"max_bytes={max_bytes} given; expected at least 8; leave it at 80")
    kept = "".join(
        c if c in "-_." or unicodedata.category(c)[0] in "LMN" else " "
        for c in unicodedata.normalize("NFKC", text)
    )
    name = re.sub(r"[\s-]+", "-", kept).strip("-.") or "unnamed"
    if name.split(".")[0].upper() in _RESERVED:
        name = f"_{name}"
    return name.encode()[:max_bytes].decode(errors="ignore").rstrip("-.")


def relative_path(path: Path, folder: Path) -> str:
    """Return how a file is named from a folder, with ``/`` on every system; links are resolved."""
    real = os.path.realpath(path)
    try:
        return Path(os.path.relpath(real, os.path.realpath(folder))).as_posix()
    except ValueError:  # another drive of Windows
        return path.name


def as_path(path: str | os.PathLike[str]) -> Path:
    """Return a `Path`, or raise `GroundbrushError` for anything that is not one."""
    if not isinstance(path, (str, os.PathLike)) or not isinstance(os.fspath(path), str):
        raise GroundbrushError(
            f"a path of type {type(path).__name__} given; expected str or pathlib.Path"
        )
    try:
        if b"\x00" in os.fsencode(path):
            raise ValueError("it holds a null character")
    except ValueError as error:  # UnicodeEncodeError is one
        raise GroundbrushError(
            f"{os.fspath(path)!a} cannot be a file name ({one_line(error)}); expected plain text; "
            "use letters and digits"
        ) from error
    return Path(path)


def open_regular(path: Path, what: str = "picture") -> BinaryIO:
    """Open an ordinary, non-empty file for reading; links are followed.

    Raises
    ------
    GroundbrushError
        If it is missing, a folder, a device or pipe (which could block for ever), empty, or may
        not be read.
    """
    name = repr(str(path))
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise GroundbrushError(f"{name} is a folder; expected a {what} file; name one in it")
        if not stat.S_ISREG(status.st_mode):
            raise GroundbrushError(
                f"{name} is a device or a pipe; expected an ordinary {what} file"
            )
        if status.st_size == 0:
            raise GroundbrushError(
                f"{name} is empty (0 bytes); expected a {what}; copy or download it again"
            )
        return path.open("rb")
    except FileNotFoundError as error:
        raise GroundbrushError(
            f"{name} does not exist; expected a {what} file; check the spelling and the folder"
        ) from error
    except PermissionError as error:
        raise GroundbrushError(
            f"{name} may not be read (permission denied); change its permissions"
        ) from error
    except (OSError, ValueError) as error:
        raise GroundbrushError(
            f"{name} cannot be opened ({_reason(error)}); expected a {what} file"
        ) from error


def recipe_text(recipe: Mapping[str, Any]) -> str:
    """Return a recipe as ASCII JSON, refusing what JSON cannot hold or what is too large."""
    if not isinstance(recipe, Mapping):
        raise GroundbrushError(
            f"a recipe of type {type(recipe).__name__} given; expected a mapping such as a dict"
        )
    try:
        text = json.dumps(dict(recipe), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise GroundbrushError(
            f"the recipe cannot be written as JSON ({one_line(error)}); expected only text, "
            "finite numbers, true, false, null, lists and mappings"
        ) from error
    _check_recipe_size(len(text), "the recipe")
    return text


def parse_recipe(text: str | bytes, name: str) -> dict[str, Any]:
    """Read recipe JSON that may be hostile; `name` is the file, for the message."""
    _check_recipe_size(len(text), f"the recipe in {name!r}")
    try:
        recipe = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise GroundbrushError(
            f"the recipe in {name!r} is not JSON ({one_line(error)}); use the file as it was saved"
        ) from error
    if not isinstance(recipe, dict):
        raise GroundbrushError(
            f"the recipe in {name!r} is a JSON {type(recipe).__name__}; expected an object "
            '{"...": ...}; use the file as it was saved'
        )
    return recipe


def _write_new(
    partial: Path, final: Path, content: bytes | Callable[[BinaryIO], object], durable: bool
) -> None:
    """Write `partial`, with the permissions `final` has or would get."""
    # Not tempfile.mkstemp: it makes private (0600) files, and the umask cannot be read safely.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(partial, flags, 0o666), "wb") as file:
        if final.is_file() and not final.is_symlink():
            os.chmod(partial, stat.S_IMODE(final.stat().st_mode))
        if callable(content):
            content(file)
        else:
            file.write(content)
        file.flush()
        if durable:
            os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make a rename durable where the system can; the file itself is already whole."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows cannot open folders
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)


def _reason(error: BaseException) -> str:
    """Return why the system refused, without the path (the message has it already)."""
    text = getattr(error, "strerror", None)
    return text.lower() if isinstance(text, str) else one_line(error)


def _check_recipe_size(size: int, what: str) -> None:
    if size > RECIPE_LIMIT:
        raise GroundbrushError(
            f"{what} is {size:,} bytes of JSON; expected at most {RECIPE_LIMIT:,}; "
            "keep masks and pictures out of it"
        )


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")
