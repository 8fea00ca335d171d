"""The pictures of a folder by their names, what its other files are, and what rows are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..pictures.picture import READABLE_KINDS
from .rows import digest, row_name

PICTURES = {
    ".png",
    ".jpg",
    ".jpeg",
    ".webp",
    ".tif",
    ".tiff",
    ".bmp",
    ".gif",
    ".avif",
    ".jp2",
    ".ppm",
}
"""How the names of pictures end, in small letters."""
_HEIC = (".heic", ".heif")
_SHOWN = 5  # kinds of files that were passed over


def list_pictures(
    folder: Path, *, recursive: bool = False, without: Path | None = None
) -> tuple[list[Path], Counter[str]]:
    """The pictures of a folder, told by their names alone, and how many other files it has.

    Parameters
    ----------
    folder
        To look in; hidden files and folders are left out and not counted.
    recursive
        Look into folders in it as well.
    without
        A folder in it that is left out and not counted either.

    Returns
    -------
    pictures : list of pathlib.Path
        In order, relative to `folder`.
    others : collections.Counter
        Files of other kinds by how their names end, in small letters; "" for those without.
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
    """One line about files that are no pictures by their names; None where there are none.

    Examples
    --------
    >>> print(passed_over({".txt": 2, "": 1}))
    3 files passed over, no pictures by their names: 2 .txt, 1 without a suffix
    """
    if not others:
        return None
    count = sum(others.values())
    kinds = sorted(others.items(), key=lambda kind: (-kind[1], kind[0]))
    told = [f"{n} {suffix or 'without a suffix'}" for suffix, n in kinds[:_SHOWN]]
    if len(kinds) > _SHOWN:
        told.append(f"{sum(n for _, n in kinds[_SHOWN:])} of other kinds")
    heic = [suffix for suffix in _HEIC if others.get(suffix)]
    mend = f"; {' and '.join(heic)}: {READABLE_KINDS}" if heic else ""
    return (
        f"{count:,} file{'s' * (count != 1)} passed over, no picture{'s' * (count != 1)} by "
        f"{'their names' if count != 1 else 'its name'}: {', '.join(told)}{mend}"
    )


def folder_names(files: Sequence[Path]) -> Iterator[str]:
    """A name for each file of a folder, the same when others come and go beside it."""
    plain = [row_name(file.with_suffix("").as_posix()) for file in files]
    folded = [name.casefold() for name in plain]
    times = Counter(folded)
    for file, name, fold in zip(files, plain, folded, strict=True):
        yield name if times[fold] == 1 else f"{name}-{digest(file.as_posix())[:8]}"
