"""Loads a preset's models, each when first needed. The only place that names torch's devices."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from editor.errors import GroundbrushError, translate
from editor.presets import Preset, resolve
from editor.words import WordList, load_words
from grounding.errors import GroundingError
from inpaint.errors import InpaintError

if TYPE_CHECKING:
    from grounding.ground import Grounder
    from inpaint import Inpainter, InpaintSettings

DEVICES = ("auto", "cpu", "cuda", "mps")
OnLoad = Callable[[str], None]


class Models:
    """A preset's grounder and inpainter, loaded on first use and kept.

    Parameters
    ----------
    preset
        What to load.
    device
        One of ``auto``, ``cpu``, ``cuda``, ``mps``.
    offline
        Never ask the network.
    on_load
        Called with one line of words before each part is loaded.
    """

    def __init__(
        self, preset: Preset, *, device: str = "auto", offline: bool = False,
        on_load: OnLoad | None = None,
    ) -> None:  # fmt: skip
        if device not in DEVICES:
            raise GroundbrushError(f"device {device!r} given; expected one of {', '.join(DEVICES)}")
        self.preset, self.offline, self._wanted = preset, offline, device
        self._tell = on_load or (lambda _: None)
        self._lock = threading.RLock()

    @cached_property
    def device(self) -> str:
        """The device in use: as asked, or the best there is."""
        import torch

        has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        if self._wanted == "auto":
            return next((name for name, there in has.items() if there), "cpu")
        if not has.get(self._wanted, True):
            raise GroundbrushError(
                f"device {self._wanted!r} given, but torch {torch.__version__} finds none here; "
                "use device='auto' or 'cpu'"
            )
        return self._wanted

    @cached_property
    def words(self) -> WordList | None:
        """The few words the models know, or None where they know many."""
        given = self.preset.vocabulary
        return load_words(resolve(given, f"preset {self.preset.name!r}")) if given else None

    def grounder(self) -> Grounder:
        """The LVLM and the segmenter, joined."""
        with self._lock, translate(GroundingError):
            return self._grounder

    def inpainter(self) -> Inpainter:
        """The inpainting pipeline."""
        with self._lock, translate(InpaintError):
            return self._inpainter

    @cached_property
    def _grounder(self) -> Grounder:
        from grounding import GroundingSettings, Presence, load_lvlm, load_segmenter
        from grounding.ground import Grounder

        spec, preset = self.preset.lvlm, self.preset
        settings = GroundingSettings.from_dict(preset.grounding)
        path, device = preset.path("lvlm"), self.device
        self._tell(f"loading the vision-language model ({path})")
        presence = spec.get("presence")
        lvlm = load_lvlm(
            path,
            family=spec.get("family", "llava"),
            revision=spec.get("revision"),
            device=device,
            dtype=self._dtype(spec),
            heads=[tuple(pair) for pair in spec.get("heads", [])] or None,
            offline=self.offline,
            full=presence is not None,
            prompt=spec.get("prompt"),
            padding=spec.get("padding", "pad"),
            query=spec.get("query", "expression"),
            presence=Presence(**_tuples(presence)) if presence else None,
        )
        self._tell(f"loading the segmenter ({preset.path('segmenter')})")
        segmenter = load_segmenter(
            preset.path("segmenter"),
            revision=preset.segmenter.get("revision"),
            device=device,
            dtype=self._dtype(preset.segmenter),
            offline=self.offline,
        )
        return Grounder(lvlm, segmenter, settings)

    @cached_property
    def _inpainter(self) -> Inpainter:
        from inpaint import load_inpainter

        spec, path = self.preset.inpainter, self.preset.path("inpainter")
        self._tell(f"loading the inpainter ({path})")
        names = ("revision", "variant", "scheduler", "vae", "vae_revision", "offload", "tiling")
        options: dict[str, Any] = {name: spec[name] for name in names if name in spec}
        dtype = self._dtype(spec)
        return load_inpainter(
            path, device=self.device, dtype=dtype, offline=self.offline, **options
        )

    def inpaint_settings(self, *, removing: bool, changes: dict[str, Any]) -> InpaintSettings:
        """The preset's settings, those of removal on top, the caller's last."""
        from inpaint import InpaintSettings

        spec = self.preset.inpainter
        extra = spec.get("removal", {}).get("settings", {}) if removing else {}
        with translate(InpaintError):
            return InpaintSettings.from_dict({**spec.get("settings", {}), **extra, **changes})

    @property
    def removal_prompt(self) -> str:
        """What is painted where something is removed."""
        return str(self.preset.inpainter.get("removal", {}).get("prompt", ""))

    def _dtype(self, spec: Any) -> str:
        """The preset's precision; half precision is for accelerators only."""
        wanted = str(spec.get("dtype", "float32"))
        return wanted if self.device != "cpu" else "float32"


def _tuples(presence: Any) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in presence.items()}
