"""Presets: which models to use and the settings that belong to them, one JSON each."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, TypeAdapter
from pydantic_core import core_schema

from ..errors import GroundbrushError, one_line, translate_validation
from ..files import as_path, open_regular
from ..values import expects, schema

FOLDER = Path(__file__).parent / "preset_files"
BUNDLED = "bundled:"
INPAINTER_OPTIONS = (
    "revision",
    "variant",
    "scheduler",
    "vae",
    "vae_revision",
    "preview_vae",
    "memory",
    "tiling",
    "loras",
    "controlnet",
    "speed",
)
"""Names in a preset's ``inpainter`` that are options of `inpaint.load_inpainter`."""
_LARGEST = 1_000_000  # bytes of a file
# Bytes of an accelerator from which a preset suits it; cards sold with 24 and 16 GB hold less.
_BY_MEMORY = ((22e9, "llava-1.5-7b"), (14e9, "photo"), (0.0, "photo-light"))
PHOTO_PRESETS = tuple(name for _, name in reversed(_BY_MEMORY))
"""Those that `auto_name` chooses from, the smallest first."""


class _ModelPart(BaseModel):
    """What every model of a preset has; its other options are those of its loader."""

    model_config = ConfigDict(extra="allow")
    path: Annotated[str, expects("a folder or repository")]


class _FindPart(BaseModel):
    """Another backend than the heads of an LVLM."""

    model_config = ConfigDict(extra="forbid")
    backend: str
    path: Annotated[str, expects("a folder or repository")]
    revision: Any = None
    dtype: Any = None
    provenance: Any = None


@dataclass(frozen=True)
class _Checked:
    """Validates a mapping by a model and keeps it as given; an empty one stands for no part."""

    model: type[BaseModel]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        def validate(given: Any, check: Callable[[Any], Any]) -> Any:
            if given != {}:
                check(given)
            return given

        return core_schema.no_info_wrap_validator_function(
            validate, handler.generate_schema(self.model)
        )


ModelPart = Annotated[
    Mapping[str, Any],
    _Checked(_ModelPart),
    expects('an object with a "path", e.g. {"path": "folder or repository"}'),
]


@schema("the preset")
class Preset:
    """A validated preset.

    Attributes
    ----------
    name, about, licence : For people.
    lvlm, segmenter, inpainter : Each a mapping with at least ``path`` (a folder, a hub repository,
        or ``bundled:`` and a folder of this installation), and the part's own options.
    find : In place of an `lvlm`, which is then empty: a mapping with ``backend``, a name in
        ``grounding.BACKENDS``, and ``path``.
    grounding : Fields of ``grounding.GroundingSettings``.
    vocabulary : File of the words the models know, for models that know few; None = any words.
    size_gb : About how much is downloaded.
    source : The file it was read from.
    """

    name: Annotated[str, Field(pattern=r"\S"), expects("a short text")]
    lvlm: ModelPart
    segmenter: ModelPart
    inpainter: ModelPart
    grounding: Annotated[dict[str, Any], expects("an object of settings")] = field(
        default_factory=dict
    )
    about: str = ""
    licence: str = ""
    vocabulary: Annotated[str, expects("a file's path")] | None = None
    size_gb: Annotated[float, Field(strict=True)] | None = None
    source: Annotated[Path | None, Field(strict=True), expects("none in the file")] = None
    find: Annotated[
        Mapping[str, Any],
        _Checked(_FindPart),
        expects('an object with "backend" and "path", and if need be revision, dtype, provenance'),
    ] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.find and self.lvlm:
            raise ValueError(
                f"preset {self.name!r} holds both lvlm and find; expected one: heads of an lvlm, "
                "or another backend, find the phrase"
            )
        needed = ("segmenter", "inpainter") if self.find else ("lvlm", "segmenter", "inpainter")
        for part in needed:
            if not getattr(self, part):
                raise ValueError(
                    f'preset {self.name!r}: {part} is empty; expected an object with a "path"'
                )

    @property
    def finder(self) -> str:
        """The part that finds phrases: ``lvlm``, or ``find`` where another backend does."""
        return "find" if self.find else "lvlm"

    @property
    def wordless(self) -> bool:
        """Whether it reads no words, neither to find nor to paint: places are marked and filled."""
        return self.find.get("backend") == "marks"

    def check_words(self, name: str, given: str | None) -> None:
        """Raise GroundbrushError for words given to a preset that reads none."""
        if self.wordless and given:
            raise GroundbrushError(
                f"{name} {given!r} given; preset {self.name!r} understands no words: it removes "
                "what a box, a mask or a click marks. Mark the thing, or use a preset that "
                "understands words: photo-light (4.4 GB to download), photo, or auto for the "
                "largest that fits this machine"
            )

    def path(self, part: str) -> str:
        """Folder or repository of a part, ``bundled:`` resolved.

        Raises GroundbrushError when a bundled or clearly local folder is not there, or the preset
        has no such part.
        """
        if part == "lvlm" and self.find:
            raise GroundbrushError(
                f"preset {self.name!r} finds with {self.find['backend']!r} and has no lvlm, but "
                "this needs heads; use a preset that has one"
            )
        return resolve(getattr(self, part)["path"], f"preset {self.name!r}, {part}")


@dataclass(frozen=True)
class Repository:
    """A repository that a preset names.

    `kind` says which of its files are read: ``model``, ``original`` (an original LLaVA layout),
    ``settings`` (no weights), ``pipeline`` (of diffusers) or ``file`` (`only`).
    """

    part: str
    name: str
    revision: str | None = None
    kind: str = "model"
    variant: str | None = None
    only: str | None = None
    without: tuple[str, ...] = ()

    @property
    def at(self) -> dict[str, Any]:
        """Repository and revision, as the hub's functions take them."""
        return {"repo_id": self.name, "revision": self.revision}


def precision(spec: Mapping[str, Any], device: str) -> str:
    """The precision that a part of a preset is loaded in on a device.

    ``auto`` is half precision, in the type that suits the device. Half precision on a CPU is
    bfloat16 where the processor computes in it, else float32.
    """
    wanted = str(spec.get("dtype", "float32"))
    if device == "cpu" and wanted != "float32":
        return "bfloat16" if cpu_has_bfloat16() else "float32"
    if wanted != "auto":
        return wanted
    import torch

    newer = device.startswith("cuda") and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bfloat16" if newer else "float16"


def half_precisions(preset: Preset, device: str) -> dict[str, str]:
    """The precision of each of a preset's models that does not compute in float32."""
    finder = {"find": preset.find} if preset.find else {"lvlm": preset.lvlm}
    parts = {**finder, "segmenter": preset.segmenter, "inpainter": preset.inpainter}
    known = {name: precision(spec, device) for name, spec in parts.items() if spec}
    return {name: dtype for name, dtype in known.items() if dtype != "float32"}


def cpu_has_bfloat16() -> bool:
    """Whether this processor multiplies in bfloat16 (AVX512-BF16, AMX); Linux says so.

    oneDNN also calls it supported where it is emulated, which takes longer than float32.
    """
    try:
        flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        return False
    return bool(flags & {"avx512_bf16", "amx_bf16"})


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


def weights_stamp(path: str) -> list[Any]:
    """Name, size and time of each of a checkpoint's files; the name alone of a repository."""
    folder = Path(path)
    if not folder.is_dir():
        return [path]
    return [
        [file.name, file.stat().st_size, file.stat().st_mtime_ns]
        for file in sorted(folder.iterdir())
        if file.suffix in (".safetensors", ".json")
    ]


def check_inpainter(preset: Preset) -> None:
    """Refuse a name in ``inpainter`` that would do nothing."""
    known = (*INPAINTER_OPTIONS, "path", "dtype", "settings", "removal", "draft")
    for name in preset.inpainter:
        if name not in known:
            raise GroundbrushError(
                f"preset {preset.name!r}: inpainter holds the unknown name {name!r}; expected "
                f"some of {', '.join(sorted(known))}"
            )


def preset_names() -> tuple[str, ...]:
    """Names of the shipped presets; the embedded one first."""
    names = sorted(path.stem for path in FOLDER.glob("*.json"))
    return tuple(sorted(names, key=lambda name: (name != "miniature", name)))


def auto_name(device: str = "auto") -> str:
    """The largest of the presets for photographs that suits this machine.

    On a CPU the small models: the others fit many, and take minutes an edit. On a card what fits
    it with finder and inpainter alternating; see docs/models.md for what each needs.
    """
    import torch

    if device.startswith("cuda") or (device == "auto" and torch.cuda.is_available()):
        card = torch.cuda.get_device_properties("cuda" if device == "auto" else device)
        return next(name for least, name in _BY_MEMORY if card.total_memory >= least)
    return _BY_MEMORY[-1][1]


def load_preset(name_or_file: str | os.PathLike[str] | Preset, *, device: str = "auto") -> Preset:
    """Read a shipped preset by name, or one of yours by file.

    The name ``auto`` stands for the one that `auto_name` chooses for a device.

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
    if given == "auto":
        given = auto_name(device)
    path = FOLDER / f"{given}.json"
    if given.endswith(".json"):
        with contextlib.suppress(RuntimeError):  # of a user that is not there
            path = as_path(given).expanduser()
    if given.endswith(".json") or given in preset_names():
        return _read(path, given)
    if Path(given).is_dir():
        raise GroundbrushError(
            f"preset {given!r} is a directory; expected a preset's .json file, in which a model's "
            '"path" may name a directory'
        )
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
    if "find" in raw:
        raw = {"lvlm": {}, **raw}
    with translate_validation(_PRESET, f"preset file {given}"):
        return dataclasses.replace(_PRESET.validate_python(raw), source=path)


_PRESET: TypeAdapter[Preset] = TypeAdapter(Preset)
