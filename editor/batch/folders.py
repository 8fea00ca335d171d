"""The pictures of a folder, a note about its other files, and names for the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..pictures.picture import READABLE_KINDS
from .rows import digest, row_name

PICTURES = frozenset(".png .jpg .jpeg .webp .tif .tiff .bmp .gif .avif .jp2 .ppm".split())
"""Suffixes of pictures, in lower case."""
_HEIC = (".heic", ".heif")
_SHOWN = 5  # kinds of other files


def list_pictures(
    folder: Path, *, recursive: bool = False, without: Path | None = None
) -> tuple[list[Path], Counter[str]]:
    """The pictures of a folder, by their suffixes alone, and how many other files it has.

    Hidden files and folders, and the folder `without`, are left out and not counted.

    Returns
    -------
    pictures : list of pathlib.Path
        In order, relative to `folder`.
    others : collections.Counter
        Other files by suffix, in lower case.
    """
    pictures: list[Path] = []
    others: Counter[str] = Counter()
    for file in folder.rglob("*") if recursive else folder.iterdir():
        inner = file.relative_to(folder)
        hidden = any(part.startswith(".") for part in inner.parts)
        if hidden or (without and file.is_relative_to(without)) or not file.is_file():
            continue
        if file.suffix.lower() in PICTURES:
            pictures.append(inner)
        else:
            others[file.suffix.lower()] += 1
    return sorted(pictures), others


def passed_over(others: Mapping[str, int]) -> str | None:
    """One line about files that are no pictures by their names; None if there are none.

    Examples
    --------
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


def folder_names(files: Sequence[Path]) -> Iterator[str]:
    """A name for each file of a folder, the same when others are added or removed beside it."""
    plain = [row_name(file.with_suffix("").as_posix()) for file in files]
    times = Counter(name.casefold() for name in plain)
    for file, name in zip(files, plain, strict=True):
        alone = times[name.casefold()] == 1
        yield name if alone else f"{name}-{digest(file.as_posix())[:8]}"
