"""Presets: which models to use and the settings that belong to them, one JSON each."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import GroundbrushError, one_line
from ..files import as_path, open_regular

FOLDER = Path(__file__).parent / "preset_files"
BUNDLED = "bundled:"
_LARGEST = 1_000_000  # bytes of a file
_PARTS = ("lvlm", "segmenter", "inpainter")


@dataclass(frozen=True)
class Preset:
    """A validated preset.

    Attributes
    ----------
    name, about, licence
        For people.
    lvlm, segmenter, inpainter
        Each a mapping with at least ``path`` (a folder, a hub repository, or ``bundled:`` and a
        folder of this installation), and the part's own options.
    find
        In place of an `lvlm`, which is then empty: a mapping with ``backend``, a name in
        ``grounding.BACKENDS``, and ``path``.
    grounding
        Fields of ``grounding.GroundingSettings``.
    vocabulary
        File of the words the models know, for models that know few; None = any words.
    size_gb
        About how much is downloaded.
    source
        The file it was read from.
    """

    name: str
    lvlm: Mapping[str, Any]
    segmenter: Mapping[str, Any]
    inpainter: Mapping[str, Any]
    grounding: Mapping[str, Any] = field(default_factory=dict)
    about: str = ""
    licence: str = ""
    vocabulary: str | None = None
    size_gb: float | None = None
    source: Path | None = None
    find: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._check_kinds()
        if self.find and self.lvlm:
            raise GroundbrushError(
                f"preset {self.name!r} holds both lvlm and find; expected one: heads of an lvlm, "
                "or another backend, find the phrase"
            )
        if self.find:
            self._check_find()
        for part in _PARTS:
            if part == "lvlm" and self.find:
                continue
            value = getattr(self, part)
            if not isinstance(value, Mapping) or not isinstance(value.get("path"), str):
                raise GroundbrushError(
                    f"preset {self.name!r}: {part} is {value!r}; expected an object with a "
                    f'"path", e.g. {{"path": "folder or repository"}}'
                )

    def _check_kinds(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise GroundbrushError(f"the preset's name is {self.name!r}; expected a short text")
        for name, kind, words in (
            ("about", str, "a text"),
            ("licence", str, "a text"),
            ("vocabulary", str | None, "a file's path, or null"),
            ("size_gb", int | float | None, "a number, or null"),
            ("grounding", Mapping, "an object of settings"),
            ("find", Mapping, "an object"),
        ):
            if not isinstance(getattr(self, name), kind):
                raise GroundbrushError(
                    f"preset {self.name!r}: {name} is {getattr(self, name)!r}; expected {words}"
                )

    def _check_find(self) -> None:
        known = ("backend", "path", "revision", "dtype", "provenance")
        given = self.find
        right = isinstance(given, Mapping) and all(
            isinstance(given.get(name), str) for name in ("backend", "path")
        )
        if not right or not set(given) <= set(known):
            raise GroundbrushError(
                f"preset {self.name!r}: find is {given!r}; expected an object with "
                f'"backend" and "path", and if need be {", ".join(known[2:])}'
            )

    @property
    def finder(self) -> str:
        """The part that finds phrases: ``lvlm``, or ``find`` where another backend does."""
        return "find" if self.find else "lvlm"

    def path(self, part: str) -> str:
        """Folder or repository of a part, ``bundled:`` resolved.

        Raises
        ------
        GroundbrushError
            When a bundled or clearly local folder is not there, or the preset has no such part.
        """
        if part == "lvlm" and self.find:
            raise GroundbrushError(
                f"preset {self.name!r} finds with {self.find['backend']!r} and has no lvlm, whose "
                "heads this needs; use a preset that has one"
            )
        return resolve(getattr(self, part)["path"], f"preset {self.name!r}, {part}")


def resolve(given: str, what: str) -> str:
    """A preset's path as a folder or repository name; local paths must exist."""
    if given.startswith(BUNDLED):
        full = Path(__file__).parents[2] / given.removeprefix(BUNDLED)
    elif given.startswith(("/", ".", "~")) or os.path.isabs(given):
        full = Path(given).expanduser()
    else:
        return given
    if not full.exists():
        raise GroundbrushError(
            f"{what}: {given!r} points to {full}, which is not there; expected a model folder: "
            "correct the path in the preset, or install the package again if it is a bundled one"
        )
    return str(full)


def preset_names() -> tuple[str, ...]:
    """Names of the shipped presets; the embedded one first."""
    names = sorted(path.stem for path in FOLDER.glob("*.json"))
    return tuple(sorted(names, key=lambda name: (name != "miniature", name)))


def load_preset(name_or_file: str | os.PathLike[str] | Preset) -> Preset:
    """Read a shipped preset by name, or one of yours by file.

    Raises
    ------
    GroundbrushError
        For an unknown name (close ones are suggested) or a file that is not a preset.

    Examples
    --------
    >>> load_preset("miniature").lvlm["family"]
    'llava'
    """
    if isinstance(name_or_file, Preset):
        return name_or_file
    if not isinstance(name_or_file, (str, os.PathLike)):
        raise GroundbrushError(
            f"a preset of type {type(name_or_file).__name__} given; expected a name, a .json file "
            "or a Preset"
        )
    given = str(os.fspath(name_or_file))
    path = FOLDER / f"{given}.json"
    if given.endswith(".json"):
        with contextlib.suppress(RuntimeError):  # of a user that is not there
            path = as_path(given).expanduser()
    if given.endswith(".json") or given in preset_names():
        return _read(path, given)
    near = difflib.get_close_matches(given, preset_names(), n=2, cutoff=0.4)
    hint = f" (did you mean {' or '.join(near)}?)" if near else ""
    raise GroundbrushError(
        f"unknown preset {given!r}{hint}; expected one of {', '.join(preset_names())}, or a .json "
        "file of your own"
    )


def _read(path: Path, given: str) -> Preset:
    if not os.path.exists(path):
        raise GroundbrushError(
            f"preset file {given} is not there; expected a JSON file or one of the names "
            f"{', '.join(preset_names())}"
        )
    with open_regular(path, "preset") as file:
        content = file.read(_LARGEST + 1)
    try:
        if len(content) > _LARGEST:
            raise ValueError(f"more than {_LARGEST:,} bytes")
        raw = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise GroundbrushError(
            f"preset file {given} cannot be read as JSON ({one_line(error)}); copy a shipped one "
            "and edit it"
        ) from error
    if not isinstance(raw, dict):
        raise GroundbrushError(
            f"preset file {given} holds a {type(raw).__name__}; expected {{...}}"
        )
    known = {f.name for f in dataclasses.fields(Preset)} - {"source"}
    for key in raw:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise GroundbrushError(
                f"preset file {given}: unknown name {key!r}{hint}; expected some of "
                f"{', '.join(sorted(known))}"
            )
    if "find" in raw:
        raw = {"lvlm": {}, **raw}
    missing = [part for part in ("name", *_PARTS) if part not in raw]
    if missing:
        raise GroundbrushError(f"preset file {given} lacks {', '.join(missing)}; see presets/")
    return Preset(**raw, source=path)
