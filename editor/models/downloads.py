"""What a preset still needs from the hub: which files, how large, where to; and their download.

The hub's own library lists and downloads: it resumes what was interrupted and draws the bars.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from ...grounding.checkpoints.files import checkpoint_files
from ..errors import GroundbrushError
from .hub_errors import disk_full, explained, offline_error
from .presets import Preset, Repository

GB = 1e9
ASK_ABOVE = 2 * GB
"""Bytes from which a download is confirmed on a terminal."""

OnDownload = Callable[["Download"], bool]
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Listing:
    """The files of a repository that are read: bytes of each, and those not on this machine."""

    repository: Repository
    files: Mapping[str, int]
    missing: tuple[str, ...]

    @property
    def bytes_left(self) -> int:
        """Bytes that are not on this machine."""
        return sum(self.files[name] for name in self.missing)


@dataclass(frozen=True)
class Download:
    """What is to be downloaded for a preset, before anything is.

    Attributes
    ----------
    preset : Its name.
    listings : One for each repository that the preset names.
    folder : The hub's cache, where the files go.
    free : Free bytes of that disk.
    machine : A line about this machine's memory and what fits; see `editor.models.memory`.
    """

    preset: str
    listings: tuple[Listing, ...]
    folder: Path
    free: int
    machine: str = ""

    @property
    def bytes_left(self) -> int:
        """Bytes that are not on this machine."""
        return sum(listing.bytes_left for listing in self.listings)

    @property
    def incomplete(self) -> bool:
        """Whether anything is not on this machine."""
        return any(listing.missing for listing in self.listings)

    def lines(self) -> list[str]:
        """Describe it: each repository, where it goes, what is free, what the machine can do."""
        if not self.incomplete:
            return [f"preset {self.preset!r}: everything is on this machine"]
        rows = [
            f"  {one.repository.part:22} {one.repository.name}  {one.bytes_left / GB:.2f} GB"
            for one in self.listings
            if one.missing
        ]
        return [
            f"preset {self.preset!r}: to download {self.bytes_left / GB:.2f} GB to {self.folder} "
            f"({self.free / GB:.1f} GB free)",
            *rows,
            *filter(None, [self.machine]),
        ]


def repositories(preset: Preset, lvlm_only: bool = False) -> list[Repository]:
    """The repositories that a preset names; folders and files of this machine are left out."""
    found = [*_finder_repositories(preset)]
    if lvlm_only:
        found = [one for one in found if one.part != "segmenter"]
    else:
        found += _painter_repositories(preset)
    return [one for one in found if is_repository(one.name)]


def is_repository(name: str) -> bool:
    """Whether a preset's path is ``owner/name`` of the hub, not a folder of this machine."""
    return bool(_REPOSITORY.fullmatch(name)) and not Path(name).exists()


def _finder_repositories(preset: Preset) -> Iterator[Repository]:
    spec = preset.find or preset.lvlm
    title = "detector" if preset.find else "vision-language model"
    vision = spec.get("vision") or ()
    towers = (vision,) if isinstance(vision, str) else vision
    yield Repository(title, preset.path(preset.finder), spec.get("revision"))
    for tower in towers:
        yield Repository("vision tower", tower, kind="original")
    if spec.get("tokenizer"):
        yield Repository("tokenizer", spec["tokenizer"], kind="settings")
    spec = preset.segmenter
    yield Repository("segmenter", preset.path("segmenter"), spec.get("revision"))


def _painter_repositories(preset: Preset) -> Iterator[Repository]:
    spec = preset.inpainter
    without = ("safety_checker", *(["vae"] if spec.get("vae") else []))
    yield Repository(
        "inpainter",
        preset.path("inpainter"),
        spec.get("revision"),
        "pipeline",
        spec.get("variant"),
        without=without,
    )
    if spec.get("vae"):
        yield Repository("inpainter's decoder", spec["vae"], spec.get("vae_revision"))
    if spec.get("preview_vae"):
        yield Repository("inpainter's decoder of previews", spec["preview_vae"])
    # An entry without a path is refused, with its reason, where it is loaded.
    control = spec.get("controlnet")
    if isinstance(control, Mapping) and "path" in control:
        yield Repository(
            "inpainter's control",
            control["path"],
            control.get("revision"),
            variant=control.get("variant"),
        )
    for lora in spec.get("loras", ()):
        if not isinstance(lora, Mapping) or "path" not in lora:
            continue
        kind = "file" if lora.get("weight") else "model"
        yield Repository(
            "inpainter's adapter", lora["path"], lora.get("revision"), kind, only=lora.get("weight")
        )


def plan_download(
    preset: Preset, *, offline: bool = False, refresh: bool = False, lvlm_only: bool = False
) -> Download:
    """What is to be downloaded for a preset; queries the hub only about what is incomplete here.

    With `offline` no request is sent; with `refresh` the hub is queried about all repositories,
    since a branch may have moved; `lvlm_only` leaves out what calibration does not need.

    Raises GroundbrushError for an unknown or gated repository, a hub out of reach, or a model that
    is incomplete here and `offline`.
    """
    from huggingface_hub import constants

    listings: list[Listing] = []
    todo = repositories(preset, lvlm_only)
    while todo:
        one = todo.pop(0)
        with explained(one, preset.name):
            listing = _list(one, preset.name, offline, refresh)
            towers = _original(listing)
            if towers:
                listing = _list(replace(one, kind="original"), preset.name, offline, refresh)
                todo = [*_towers(listing, todo, towers), *todo]
        listings.append(listing)
    folder = Path(constants.HF_HUB_CACHE)
    return Download(preset.name, tuple(listings), folder, free_disk(folder))


def is_installed(preset: Preset) -> bool:
    """Whether all that a preset needs is on this machine; uses no network."""
    try:
        return not plan_download(preset, offline=True).incomplete
    except GroundbrushError:
        return False


def _list(one: Repository, preset: str, offline: bool, refresh: bool) -> Listing:
    """The files here where they are complete, else those of the hub."""
    kept = None if refresh and not offline else _listed_here(one)
    if kept:
        return kept
    try:
        if not offline:
            return _ask_hub(one)
    except Exception:
        if not _begun(one):
            raise
    if not _begun(one):
        raise offline_error(one, preset)
    return Listing(one, {}, ())  # downloaded by another program: its loader knows what it lacks


def _begun(one: Repository) -> bool:
    """Whether some program has downloaded the repository, perhaps not all of it."""
    from huggingface_hub import try_to_load_from_cache

    names = (one.only or "", "config.json", "model_index.json", "tokenizer.json")
    found = (try_to_load_from_cache(filename=name, **one.at) for name in names if name)
    return any(isinstance(path, str) for path in found)


def download(plan: Download) -> None:
    """Download what is missing, all before any model is loaded; resumes what was interrupted.

    Raises GroundbrushError when the disk is too small, the hub refuses, or the connection breaks
    off for good.
    """
    from huggingface_hub import snapshot_download

    if plan.bytes_left > plan.free:
        raise disk_full(plan.preset, plan.bytes_left, plan.folder)
    for listing in plan.listings:
        if listing.missing:
            with explained(listing.repository, plan.preset):
                snapshot_download(**listing.repository.at, allow_patterns=list(listing.files))


def free_disk(folder: Path) -> int:
    """Free bytes of the disk that a folder is or will be on."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(there).free


def _listed_here(one: Repository) -> Listing | None:
    """The listing from an earlier download, if all its files are here; needs no network."""
    from huggingface_hub import get_cached_repo_tree, try_to_load_from_cache
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    try:
        tree = get_cached_repo_tree(one.name, revision=one.revision)
    except (CachedRepoTreeNotFoundError, FileNotFoundError):
        return None
    files = {f.path: f.lfs.size if f.lfs else f.size for f in tree}
    wanted = _chosen(one, files)
    here = (try_to_load_from_cache(filename=name, **one.at) for name in wanted)
    complete = all(isinstance(path, str) for path in here)
    return Listing(one, {name: files[name] for name in wanted}, ()) if complete else None


def _ask_hub(one: Repository) -> Listing:
    """The repository's listing from the hub; a gated one must let this user in."""
    from huggingface_hub import HfApi, try_to_load_from_cache

    api = HfApi()
    info = api.model_info(**one.at, files_metadata=True)
    if info.gated:
        api.auth_check(one.name)
    files = {f.rfilename: int(f.size or 0) for f in info.siblings or ()}
    wanted = _chosen(one, files)
    missing = tuple(
        name
        for name in wanted
        if not isinstance(try_to_load_from_cache(one.name, name, revision=info.sha), str)
    )
    return Listing(one, {name: files[name] for name in wanted}, missing)


def _small_file(one: Repository, name: str) -> str:
    """The text of a file that says what else is needed; from the hub if it is not here."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    here = try_to_load_from_cache(filename=name, **one.at)
    path = here if isinstance(here, str) else hf_hub_download(filename=name, **one.at)
    return Path(path).read_text(encoding="utf-8")


def _chosen(one: Repository, names: Mapping[str, int]) -> list[str]:
    """Those of a repository's files that loading it reads."""
    if one.kind == "file":
        return [name for name in names if name == one.only]
    if one.kind == "pipeline":
        return _pipeline_files(one, names)
    chosen = checkpoint_files(
        names, original=one.kind == "original", weights=one.kind != "settings"
    )
    return _of_variant(chosen, one.variant)


def _pipeline_files(one: Repository, names: Mapping[str, int]) -> list[str]:
    """The files of a diffusers pipeline's components, as its `from_pretrained` chooses them."""
    index = json.loads(_small_file(one, "model_index.json"))
    folders = {name for name, value in index.items() if isinstance(value, list) and value[0]}
    chosen = ["model_index.json"]
    for folder in sorted(folders - set(one.without)):
        inside = {
            PurePosixPath(name).name: name
            for name in names
            if str(PurePosixPath(name).parent) == folder
        }
        files = [inside[name] for name in checkpoint_files(inside)]
        chosen += _of_variant(files, one.variant)
    return chosen


def _of_variant(files: list[str], variant: str | None) -> list[str]:
    """Without weights of other variants, such as fp16; all where the wanted one has no files."""
    weights = [name for name in files if name.endswith(".safetensors")]
    of = {name: _variant(name) for name in weights}
    wanted = variant if variant in of.values() else None
    return [name for name in files if name not in of or of[name] == wanted]


def _variant(name: str) -> str | None:
    """The variant in the name of a file of weights: "fp16" of ``model.fp16.safetensors``."""
    parts = re.sub(r"-\d{5}-of-\d{5}", "", PurePosixPath(name).name).split(".")
    return parts[1] if len(parts) > 2 else None


def _original(listing: Listing) -> dict[str, Any] | None:
    """The vision towers that an original LLaVA layout's config names; None for other layouts."""
    if listing.repository.part != "vision-language model" or not listing.files:
        return None
    if "config.json" not in listing.files:
        raise GroundbrushError(
            f"{listing.repository.name} has no config.json, so it is no model that transformers "
            "reads; expected one. Correct lvlm.path in the preset"
        )
    config = json.loads(_small_file(listing.repository, "config.json"))
    names = ("mm_vision_tower", "mm_vision_tower_aux")
    return {n: config[n] for n in names if n in config} or None


def _towers(listing: Listing, todo: list[Repository], named: Mapping[str, Any]) -> list[Repository]:
    """Towers that the config names and neither the preset nor the checkpoint has.

    Where the checkpoint holds the tower's weights, the tower's settings suffice; those in `todo`
    are changed in place.
    """
    index = next((n for n in listing.files if n.endswith(".index.json")), None)
    held = False
    if index:
        held = "vision_tower." in _small_file(listing.repository, index)
    kind = "settings" if held else "original"
    given = [i for i, one in enumerate(todo) if one.part == "vision tower"]
    for i in given:
        todo[i] = replace(todo[i], kind=kind)
    if given:
        return []
    beside = {str(PurePosixPath(name).parent) for name in listing.files}
    found = [Repository("vision tower", str(name), kind=kind) for name in named.values()]
    return [one for one in found if one.name not in beside and is_repository(one.name)]
