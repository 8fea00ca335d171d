"""The pictures of a folder, a note about its other files, and names for the rows."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..pictures.picture import READABLE_KINDS
from .rows import digest, row_name

PICTURES = frozenset(
    ".png .apng .jpg .jpeg .jpe .jfif .webp .tif .tiff .bmp .dib .gif .avif .jp2 .j2k .ppm .pgm "
    ".pbm .pnm".split()
)
"""Suffixes of pictures, in lower case."""
_HEIC = (".heic", ".heif")
_SHOWN = 5  # kinds of other files


def list_pictures(
    folder: Path, *, recursive: bool = False, without: Path | None = None
) -> tuple[list[Path], Counter[str]]:
    """The pictures of a folder, by their suffixes alone, and how many other files it has.

    Hidden files and folders, and the folder `without`, are left out and not counted.
    Pictures are in order, relative to `folder`; other files are counted by suffix, in lower case.
    """
    pictures: list[Path] = []
    others: Counter[str] = Counter()
    for file in folder.rglob("*") if recursive else folder.iterdir():
        inner = file.relative_to(folder)
        hidden = any(part.startswith(".") for part in inner.parts)
        if hidden or (without and file.is_relative_to(without)):
            continue
        # A link to nothing (a share that is not mounted) fails its row; it is not passed over.
        if not file.is_file() and (file.exists() or not file.is_symlink()):
            continue
        if file.suffix.lower() in PICTURES:
            pictures.append(inner)
        else:
            others[file.suffix.lower()] += 1
    return sorted(pictures), others


def passed_over(others: Mapping[str, int]) -> str | None:
    """One line about files that are no pictures by their names; None if there are none.

    >>> print(passed_over({".txt": 2, "": 1}))
    3 files passed over, no pictures by their names: 2 .txt, 1 without a suffix
    """
    if not others:
        return None
    count = sum(others.values())
    kinds = sorted(others.items(), key=lambda kind: (-kind[1], kind[0]))
    shown = [f"{n} {suffix or 'without a suffix'}" for suffix, n in kinds[:_SHOWN]]
    if len(kinds) > _SHOWN:
        shown.append(f"{sum(n for _, n in kinds[_SHOWN:])} of other kinds")
    heic = [suffix for suffix in _HEIC if others.get(suffix)]
    hint = f"; {' and '.join(heic)}: {READABLE_KINDS}" if heic else ""
    one = count == 1
    return (
        f"{count:,} file{'' if one else 's'} passed over, no picture{'' if one else 's'} by "
        f"{'its name' if one else 'their names'}: {', '.join(shown)}{hint}"
    )


def folder_names(files: Sequence[str], known: Mapping[str, str]) -> Iterator[str]:
    """A name for each picture of a folder, in the order of `files`.

    `known` are the names of an earlier run, by picture: they stay, whatever was added or removed
    beside it. Of new pictures those that would share a name have a digest behind it.

    >>> list(folder_names(["a.png", "b.png"], {}))
    ['a', 'b']
    >>> list(folder_names(["a.jpg", "a.png"], {"a.png": "a"}))
    ['a-32078fb8', 'a']
    """
    plain = [row_name(file.rsplit(".", 1)[0]) for file in files]
    times = Counter(name.casefold() for name in plain)
    here = set(files)
    times.update(name.casefold() for file, name in known.items() if file not in here)
    for file, name in zip(files, plain, strict=True):
        alone = times[name.casefold()] == 1
        yield known.get(file) or (name if alone else f"{name}-{digest(file)[:8]}")


def readable_name(file: Path) -> tuple[str, str]:
    """A picture's path as text that can be printed and saved, and why it cannot be used, or "".

    >>> readable_name(Path("a/b.png"))
    ('a/b.png', '')
    """
    given = file.as_posix()
    text = os.fsencode(given).decode("utf-8", "backslashreplace")
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    if shown == given:
        return given, ""
    what = "not UTF-8 text" if text != given else "with characters that cannot be printed"
    return shown, f"the name {shown!r} is {what}; expected a plain one: rename the file"
