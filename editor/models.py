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
    from grounding.lvlm import LVLM
    from inpaint import Inpainter, InpaintSettings

DEVICES = ("auto", "cpu", "cuda", "mps")
OnLoad = Callable[[str], None]
_LOAD_NAMES = ("revision", "variant", "scheduler", "vae", "vae_revision", "offload", "tiling",
               "loras")  # fmt: skip


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
        from grounding import GroundingSettings, load_segmenter
        from grounding.ground import Grounder

        preset, device = self.preset, self.device
        settings = GroundingSettings.from_dict(preset.grounding)
        lvlm = self._load_lvlm(self._heads())
        self._tell(f"loading the segmenter ({preset.path('segmenter')})")
        segmenter = load_segmenter(
            preset.path("segmenter"),
            revision=preset.segmenter.get("revision"),
            device=device,
            dtype=self._dtype(preset.segmenter),
            offline=self.offline,
        )
        return Grounder(lvlm, segmenter, settings)

    def lvlm(self) -> LVLM:
        """The LVLM alone with every layer and no heads chosen, as calibration reads it."""
        with self._lock, translate(GroundingError):
            return self._load_lvlm(None)

    def _heads(self) -> list[tuple[int, int]]:
        """The preset's heads; where it names none, those found on first use and kept."""
        given = self.preset.lvlm.get("heads")
        if given:
            return [tuple(pair) for pair in given]
        from editor.calibration.cache import first_use_heads

        return list(first_use_heads(self.preset, self.lvlm, self._tell).heads)

    def _load_lvlm(self, heads: list[tuple[int, int]] | None) -> LVLM:
        """The LVLM as the preset describes it; without heads nothing but rows is asked of it."""
        from grounding import Presence, load_lvlm

        spec, path = self.preset.lvlm, self.preset.path("lvlm")
        self._tell(f"loading the vision-language model ({path})")
        presence = spec.get("presence") if heads else None
        return load_lvlm(
            path,
            family=spec.get("family", "llava"),
            revision=spec.get("revision"),
            device=self.device,
            dtype=self._dtype(spec),
            heads=heads,
            offline=self.offline,
            full=not heads or presence is not None or bool(spec.get("full")),
            prompt=spec.get("prompt"),
            padding=spec.get("padding"),
            query=spec.get("query", "expression"),
            presence=Presence(**_tuples(presence)) if presence else None,
            vision=spec.get("vision"),
            tokenizer=spec.get("tokenizer"),
        )

    @cached_property
    def _inpainter(self) -> Inpainter:
        from inpaint import load_inpainter

        spec, path = self.preset.inpainter, self.preset.path("inpainter")
        self._tell(f"loading the inpainter ({path})")
        _check_inpainter(self.preset)
        options: dict[str, Any] = {name: spec[name] for name in _LOAD_NAMES if name in spec}
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


def _check_inpainter(preset: Preset) -> None:
    """Refuse what would silently do nothing."""
    known = (*_LOAD_NAMES, "path", "dtype", "settings", "removal", "draft")
    for name in preset.inpainter:
        if name == "controlnet":
            raise GroundbrushError(
                f"preset {preset.name!r}: inpainter names a controlnet, which is not supported; "
                "expected none: leave it out"
            )
        if name not in known:
            raise GroundbrushError(
                f"preset {preset.name!r}: inpainter holds the unknown name {name!r}; expected "
                f"some of {', '.join(sorted(known))}"
            )


def _tuples(presence: Any) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in presence.items()}
