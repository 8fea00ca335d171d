"""How much memory a preset's weights take, what this machine has, and which mode fits.

Sizes are read from the headers of safetensors files: of those on this machine, or a few kilobytes
of those on the hub.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...inpaint.device.memory import choose_mode, decode_bytes, denoise_bytes, free_bytes
from ..errors import GroundbrushError
from .downloads import GB, Download, Listing
from .presets import Preset, precision

_LAYER = re.compile(r"(?<![a-z_])(?:language_model|text_model|model)\.(?:model\.)?layers\.(\d+)\.")
_HEAD = re.compile(r"(?:^|\.)lm_head\.")
_BITS = {"F64": 64, "F32": 32, "I32": 32, "BF16": 16, "F16": 16, "F8_E4M3": 8, "I8": 8, "U8": 8}
_FOUR_BITS = 0.4  # of half precision: the tower and the embeddings keep theirs
_SLACK = 1.05
"""Weights take a little more than their bytes: buffers, and what loading holds for a moment."""


@dataclass(frozen=True)
class Machine:
    """The memory of this machine, in bytes; the accelerator's where `device` is one."""

    device: str
    name: str
    total: int
    free: int
    host_total: int
    host_free: int

    def line(self) -> str:
        """One line for people."""
        host = f"memory {self.host_free / GB:.1f} of {self.host_total / GB:.1f} GB free"
        if self.device == "cpu":
            return host
        card = f"{self.name} with {self.free / GB:.1f} of {self.total / GB:.1f} GB free"
        return f"{card}; {host}"


@dataclass(frozen=True)
class WeightBytes:
    """Bytes of a preset's weights on the device: what finds, and each part of what paints."""

    finder: int
    painter: Mapping[str, int]

    @property
    def together(self) -> int:
        """All weights at once."""
        return self.finder + sum(self.painter.values())


def this_machine(device: str) -> Machine:
    """The memory of this machine and of a device."""
    import psutil
    import torch

    host = psutil.virtual_memory()
    at = torch.device(device)
    name, total = "", host.total
    if at.type == "cuda":
        card = torch.cuda.get_device_properties(at)
        name, total = card.name, card.total_memory
    elif at.type == "mps":
        name, total = "Apple GPU", torch.mps.recommended_max_memory()
    return Machine(device, name, total, free_bytes(at), host.total, host.available)


def weight_needs(preset: Preset, plan: Download, device: str) -> WeightBytes:
    """Bytes that a preset's weights take on a device, at the precision they are loaded in.

    Of an LVLM that is spread over several, an equal share.
    """
    import torch

    listings = {one.repository.name: one for one in plan.listings}

    def numbers(path: str) -> dict[str, int]:
        return _numbers(path, listings.get(path))

    def itemsize(spec: Mapping[str, Any]) -> int:
        return 4 if precision(spec, device) == "float32" else 2

    spec = preset.find or preset.lvlm
    vision = spec.get("vision") or ()
    finder = numbers(preset.path(preset.finder))
    for tower in (vision,) if isinstance(vision, str) else vision:
        finder |= {f"{tower}/{name}": size for name, size in numbers(tower).items()}
    total = sum(without_deeper_layers(finder, deepest_of(preset.lvlm)).values()) * itemsize(spec)
    if spec.get("quantization"):
        total = int(total * _FOUR_BITS)
    if spec.get("device_map") and device.startswith("cuda"):
        total //= max(1, torch.cuda.device_count())
    total += sum(numbers(preset.path("segmenter")).values()) * itemsize(preset.segmenter)
    spec, painter = preset.inpainter, dict[str, int]()
    for name, size in numbers(preset.path("inpainter")).items():
        part = name.partition("/")[0]
        painter[part] = painter.get(part, 0) + size * itemsize(spec)
    for extra, part in ((spec.get("vae"), "vae"), (spec.get("controlnet"), "controlnet")):
        if extra:
            path = extra if isinstance(extra, str) else extra.get("path", "")
            painter[part] = sum(numbers(path).values()) * itemsize(spec)
    return WeightBytes(total, painter)


def deepest_of(spec: Mapping[str, Any]) -> int | None:
    """The deepest text layer that a preset's LVLM is loaded with (0-based); None: all of them."""
    if not spec.get("heads") or spec.get("presence") or spec.get("full"):
        return None
    return max(layer for layer, _ in spec["heads"])


def memory_mode(preset: Preset, needs: WeightBytes, machine: Machine) -> str | None:
    """The fastest memory mode that a preset fits with on an empty device; None where none does."""
    if machine.device == "cpu":
        return "resident" if needs.together * _SLACK <= machine.host_free else None
    if needs.finder * _SLACK > machine.free:
        return None
    pixels = int(preset.inpainter.get("settings", {}).get("size", 1024)) ** 2
    work = denoise_bytes(pixels, 2), decode_bytes(pixels, 2)
    return choose_mode(machine.free - needs.finder, needs.painter, needs.finder, *work)


def describe(preset: Preset, plan: Download, device: str) -> str:
    """One line: what the weights take, what this machine has, and the mode that follows."""
    needs, machine = weight_needs(preset, plan, device), this_machine(device)
    mode = memory_mode(preset, needs, machine)
    takes = (
        f"weights take {needs.finder / GB:.1f} GB to find and "
        f"{sum(needs.painter.values()) / GB:.1f} GB to paint on {device}"
    )
    fits = f"memory mode {mode!r}" if mode else "too little memory: take a smaller preset"
    return f"{machine.line()}; {takes}: {fits}"


def check_room(preset: Preset, what: str, needed: int, device: str, spare: int = 0) -> None:
    """Refuse before anything is placed where the free memory does not hold the weights.

    `what` names the models in the message; `spare` bytes are what other models on the device can
    give up.

    Raises GroundbrushError, saying what is needed, what is free and what helps.
    """
    import torch

    free = free_bytes(torch.device(device)) + spare
    if needed * _SLACK <= free:
        return
    raise GroundbrushError(
        f"preset {preset.name!r}: {what} takes {needed / GB:.1f} GB on {device}, and "
        f"{free / GB:.1f} GB are free; close other programs, or take a smaller preset "
        "(--preset photo-light, or auto for what fits this machine)"
    )


def _numbers(path: str, listing: Listing | None) -> dict[str, int]:
    """Numbers in each tensor of a folder or repository, by "folder/name" in a pipeline."""
    found: dict[str, int] = {}
    files = _files(path, listing)
    for name, file in files.items():
        if name.endswith(".safetensors"):
            prefix = f"{Path(name).parent}/" if "/" in name else ""
            sizes = _hub_header(file, name) if isinstance(file, Listing) else _header(file)
            found |= {prefix + key: size for key, size in sizes.items()}
    if found:  # the same weights may lie there again, pickled
        return found
    pickled = {name: file for name, file in files.items() if name.endswith(".bin")}
    return {
        name: (file.files[name] if isinstance(file, Listing) else file.stat().st_size) // 2
        for name, file in pickled.items()
    }


def _files(path: str, listing: Listing | None) -> dict[str, Path | Listing]:
    """Files of a folder or repository by name; the listing stands for one only on the hub."""
    from huggingface_hub import try_to_load_from_cache

    folder = Path(path).expanduser()
    if listing is None or not listing.files:
        # no deeper: a preset may name the root of a disk
        found = sorted([*folder.glob("*.*"), *folder.glob("*/*.*")]) if folder.is_dir() else []
        return {f.relative_to(folder).as_posix(): f for f in found if f.is_file()}
    at = listing.repository.at
    here = {name: try_to_load_from_cache(filename=name, **at) for name in listing.files}
    return {name: Path(file) if isinstance(file, str) else listing for name, file in here.items()}


def _hub_header(listing: Listing, name: str) -> dict[str, int]:
    """Numbers in each tensor of a file on the hub, by its header; by its size if that fails."""
    from huggingface_hub import HfApi

    at = listing.repository
    try:
        meta = HfApi().parse_safetensors_file_metadata(at.name, name, revision=at.revision)
    except Exception:  # the estimate is not worth an error
        return {name: listing.files[name] // 2}
    return {key: info.parameter_count for key, info in meta.tensors.items()}


def _header(path: Path) -> dict[str, int]:
    """Numbers in each tensor of a safetensors file, by its header."""
    try:
        with path.open("rb") as file:
            raw = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        raw.pop("__metadata__", None)
        ends = {name: (*info["data_offsets"], info["dtype"]) for name, info in raw.items()}
    except (OSError, ValueError, KeyError, OverflowError, MemoryError):
        return {}  # damaged: its loader says so
    return {name: (end - at) * 8 // _BITS.get(kind, 16) for name, (at, end, kind) in ends.items()}


def without_deeper_layers(sizes: Mapping[str, int], deepest: int | None) -> dict[str, int]:
    """The tensors that are loaded when layers after `deepest` and the language head are not."""
    if deepest is None:
        return dict(sizes)
    layers = {name: _LAYER.search(name) for name in sizes}
    return {
        name: size
        for name, size in sizes.items()
        if not _HEAD.search(name) and not ((at := layers[name]) and int(at[1]) > deepest)
    }
