"""Check an installation: versions, a broken torchvision, a preset's models."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from . import __version__
from .errors import GroundbrushError
from .models.downloads import OnDownload, free_disk
from .models.memory import this_machine
from .models.models import Models
from .models.presets import auto_name, cpu_has_bfloat16, load_preset

PACKAGES = (
    "torch",
    "transformers",
    "diffusers",
    "numpy",
    "scipy",
    "opencv-python",
    "pillow",
    "spacy",
    "streamlit",
)


@dataclass(frozen=True)
class Finding:
    """One thing that was checked, and in words what is there."""

    what: str
    ok: bool
    words: str


def examine(
    preset: str = "miniature",
    *,
    device: str = "auto",
    offline: bool = False,
    on_download: OnDownload | None = None,
) -> list[Finding]:
    """Check Python, the packages, torchvision, the machine, the preset and its loaded models."""
    found = [Finding("python", sys.version_info >= (3, 11), sys.version.split()[0])]
    found += [_package(name) for name in PACKAGES]
    found.append(_torchvision())
    try:
        chosen = load_preset(preset, device=device)
        found.append(Finding("preset", True, f"{chosen.name}: {chosen.about}"))
        models = Models(chosen, device=device, offline=offline, on_download=on_download)
        found += [Finding("device", True, models.device), *_machine(models.device)]
        found += _models(models)
    except GroundbrushError as error:
        found.append(Finding("preset", False, str(error)))
    return found


def issue_text(found: Sequence[Finding]) -> str:
    """The text of an issue: what the user fills in, and what was found as a table.

    Home directories are left out, since issues are public.
    """
    rows = "\n".join(
        f"| {one.what} | {'ok' if one.ok else '**no**'} | {_public(one.words)} |" for one in found
    )
    return (
        "**What I typed** (the whole command, or the Python lines)\n\n\n"
        "**The whole output**\n\n\n"
        f"**`groundbrush doctor`** ({__version__}, {platform.platform()})\n\n"
        f"| checked | | found |\n|---|---|---|\n{rows}"
    )


def _public(words: str) -> str:
    """Words for a cell of a public table."""
    return words.replace(str(Path.home()), "~").replace("|", "\\|").replace("\n", " ")


def _package(name: str) -> Finding:
    try:
        return Finding(name, True, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(name, False, f"not installed; run: pip install {name}")


def _torchvision() -> Finding:
    if find_spec("torchvision") is None:
        return Finding("torchvision", True, "not installed, as it should be")
    try:
        import torchvision
    except Exception as error:  # noqa: BLE001 - a broken binary raises anything at all
        return Finding(
            "torchvision",
            False,
            f"installed but broken ({error}); transformers fails with it: "
            "pip uninstall torchvision",
        )
    return Finding("torchvision", True, f"{torchvision.__version__}; not needed")


def _machine(device: str) -> list[Finding]:
    """The device's memory, the host's, and the disk that downloads go to."""
    import torch
    from huggingface_hub import constants

    cards = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    gpus = ", ".join(cards) or ("Apple GPU" if torch.backends.mps.is_available() else "none")
    folder, free = Path(constants.HF_HUB_CACHE), free_disk(Path(constants.HF_HUB_CACHE))
    return [
        Finding("gpu", True, gpus),
        Finding("memory", True, this_machine(device).line()),
        Finding("cpu", True, f"bfloat16: {'native' if cpu_has_bfloat16() else 'no'}"),
        Finding("disk", True, f"{free / 1e9:.1f} GB free for models in {folder}"),
        Finding("suits", True, f"preset {auto_name(device)!r} for photographs, see docs/models.md"),
    ]


def _models(models: Models) -> list[Finding]:
    found = []
    try:
        plan = models.fetch()
        found.append(Finding("downloads", True, "complete" if plan.listings else "none needed"))
        grounder = models.grounder()
        lvlm = grounder.lvlm
        heads = ", ".join(f"L{layer}H{head}" for layer, head in lvlm.heads or ())
        words = f"loaded; heads {heads or '-'}; segmenter: {grounder.segmenter.title}"
        found.append(Finding("lvlm and segmenter", True, words))
        channels = models.inpainter().channels
        network = f"a UNet of {channels} channels" if channels else "no network"
        found.append(Finding("inpainter", True, f"loaded; {network}"))
    except GroundbrushError as error:
        found.append(Finding("models", False, str(error)))
    return found
