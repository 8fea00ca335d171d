"""Check an installation: versions, a broken torchvision, a preset's models."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec

from .errors import GroundbrushError
from .models.models import Models
from .models.presets import Preset, load_preset

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
    preset: str = "miniature", *, device: str = "auto", offline: bool = False
) -> list[Finding]:
    """Check Python, the packages, torchvision, the preset and its loaded models."""
    found = [Finding("python", sys.version_info >= (3, 11), sys.version.split()[0])]
    found += [_package(name) for name in PACKAGES]
    found.append(_torchvision())
    try:
        chosen = load_preset(preset)
        found.append(Finding("preset", True, f"{chosen.name}: {chosen.about}"))
        found += _models(chosen, device, offline)
    except GroundbrushError as error:
        found.append(Finding("preset", False, str(error)))
    return found


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


def _models(preset: Preset, device: str, offline: bool) -> list[Finding]:
    found = []
    try:
        models = Models(preset, device=device, offline=offline)
        found.append(Finding("device", True, models.device))
        lvlm = models.grounder().lvlm
        heads = ", ".join(f"L{layer}H{head}" for layer, head in lvlm.heads or ())
        found.append(Finding("lvlm and segmenter", True, f"loaded; heads {heads}"))
        channels = models.inpainter().channels
        found.append(Finding("inpainter", True, f"loaded; a UNet of {channels} channels"))
    except GroundbrushError as error:
        found.append(Finding("models", False, str(error)))
    return found
