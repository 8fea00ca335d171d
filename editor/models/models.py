"""Loads a preset's models, each when first needed. The only place that names torch's devices."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ...grounding.errors import GroundingError
from ...inpaint.callbacks import check_cancelled
from ...inpaint.device.memory import MODES, is_out_of_memory
from ...inpaint.errors import InpaintError
from ..errors import GroundbrushError, one_line, translate
from .downloads import Download, OnDownload, download, plan_download
from .memory import check_room, describe, weight_needs
from .presets import INPAINTER_OPTIONS, Preset, check_inpainter, precision, resolve
from .vocabulary import WordList, load_words

if TYPE_CHECKING:
    from ...grounding import Presence
    from ...grounding.attention.model import LVLM
    from ...grounding.detectors.base import NoLVLM
    from ...grounding.families.prompts import PromptBuilder
    from ...grounding.pipeline import Grounder
    from ...grounding.sam.segmenter import Segmenter
    from ...inpaint import Inpainter, InpaintSettings
    from ...inpaint.device.sharing import DeviceSharing

DEVICES = ("auto", "cpu", "cuda", "cuda:1", "mps")
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
OnLoad = Callable[[str], None]
T = TypeVar("T")
_FINDING = "finding"  # the finding models' name in `DeviceSharing`


class Models:
    """A preset's grounder and inpainter, loaded on first use and kept.

    Arguments as for `Editor.load`; without `memory` the preset's, ``auto`` where it does not say.
    """

    def __init__(
        self,
        preset: Preset,
        *,
        device: str = "auto",
        offline: bool = False,
        on_load: OnLoad | None = None,
        memory: str | None = None,
        on_download: OnDownload | None = None,
    ) -> None:
        if not _DEVICE.fullmatch(device):
            raise GroundbrushError(f"device {device!r} given; expected one of {', '.join(DEVICES)}")
        self.memory = str(memory or preset.inpainter.get("memory", MODES[0]))
        if self.memory not in MODES:
            raise GroundbrushError(
                f"memory {self.memory!r} given; expected one of {', '.join(MODES)}"
            )
        self.preset, self.offline, self._wanted = preset, offline, device
        self._tell = on_load or (lambda _: None)
        self._describe = on_load or logging.getLogger("groundbrush").warning
        self._on_download = on_download
        self._plan: Download | None = None
        self._lock = threading.RLock()

    @cached_property
    def device(self) -> str:
        """The device in use: as given, or the best there is."""
        from ...inpaint.painter.loading import resolve_device

        with translate(InpaintError):
            return str(resolve_device(self._wanted))

    def fetch(self, *, refresh: bool = False, lvlm_only: bool = False) -> Download:
        """Download what the preset lacks, once, before any of its models is loaded.

        With `refresh` complete models are compared with the hub too: a branch may have moved. With
        `lvlm_only` segmenter and inpainter are left out, which calibration does not need.
        Returns what was found and was missing; raises GroundbrushError, with the remedy, where
        something cannot be had or was refused.
        """
        with self._lock:
            if self._plan is None and lvlm_only:
                return self._get(plan_download(self.preset, offline=self.offline, lvlm_only=True))
            if self._plan is None or refresh:
                self._plan = self._get(self.plan(refresh=refresh))
            return self._plan

    def _get(self, plan: Download) -> Download:
        """Download what a plan lacks, where that is allowed."""
        if plan.incomplete:
            self._allow(plan)
            download(plan)
        return plan

    @property
    def ready(self) -> bool:
        """Whether `fetch` has found or downloaded everything."""
        return self._plan is not None

    def plan(self, *, refresh: bool = False) -> Download:
        """Return what `fetch` would download; nothing is downloaded. Errors are those of it."""
        if self._plan is not None and not refresh:
            return replace(self._plan, listings=())
        plan = plan_download(self.preset, offline=self.offline, refresh=refresh)
        if plan.incomplete:
            plan = replace(plan, machine=describe(self.preset, plan, self.device))
        return plan

    def _allow(self, plan: Download) -> None:
        """Describe a download before it starts, and let the caller refuse it."""
        if self._on_download is None:
            for line in plan.lines():
                self._describe(line)
        elif not self._on_download(plan):
            raise GroundbrushError(
                f"preset {self.preset.name!r} needs {plan.bytes_left / 1e9:.2f} GB that were not "
                f"downloaded; `groundbrush fetch {self.preset.name} --yes` downloads them"
            )

    def _check_room(self, what: str) -> None:
        """Refuse, before anything is placed, what the free memory cannot hold."""
        needs = weight_needs(self.preset, self.fetch(), self.device)
        if what == _FINDING:
            spare = self._sharing.other_bytes(_FINDING) if self._sharing else 0
            check_room(self.preset, "what finds", needs.finder, self.device, spare)
        else:  # read into the host's memory first; on an accelerator its modes step down
            check_room(self.preset, "the inpainter", sum(needs.painter.values()), "cpu")

    @cached_property
    def _sharing(self) -> DeviceSharing | None:
        """How the models share the accelerator; None on the CPU, where all have one memory."""
        import torch

        from ...inpaint.device.sharing import DeviceSharing

        if self.device == "cpu":
            if self.memory not in MODES[:2]:
                self._tell(
                    f"memory {self.memory!r} is for accelerators; on the CPU all stay loaded"
                )
            return None
        sharing = DeviceSharing(torch.device(self.device))
        if self.memory not in MODES[:2]:
            sharing.share()
        return sharing

    @cached_property
    def words(self) -> WordList | None:
        """The few words the models know, or None where they know many."""
        given = self.preset.vocabulary
        return load_words(resolve(given, f"preset {self.preset.name!r}")) if given else None

    def grounder(self) -> Grounder:
        """The LVLM and the segmenter, joined; or the preset's find backend, used the same way."""
        if "_grounder" in self.__dict__:
            return self._grounder
        with self._lock, translate(GroundingError):
            self.fetch()
            return self._grounder

    def inpainter(self) -> Inpainter:
        """The inpainting pipeline."""
        if "_inpainter" in self.__dict__:
            return self._inpainter
        with self._lock, translate(InpaintError):
            self.fetch()
            return self._inpainter

    def with_room(self, work: Callable[[], T]) -> T:
        """Run work of the finding models; if memory runs out, move the inpainter away and retry.

        Raises GroundbrushError where that does not suffice, and for what the models refuse.
        """
        for room in (self._make_room, lambda: False):
            try:
                return work()
            except GroundingError as error:
                raise GroundbrushError(one_line(error)) from error
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                error.__traceback__ = None  # it holds what the failed try had made
            if not room():
                break
        raise GroundbrushError(
            "out of memory looking at the picture; expected it to fit. Close other programs, or "
            "take a preset with a smaller model, e.g. photo-light"
        )

    def _make_room(self) -> bool:
        """Let the painter leave the accelerator, from now on whenever others look."""
        if self._sharing is None or not self._sharing.make_room(_FINDING):
            return False
        self._tell("memory ran out: finder and inpainter now alternate on the accelerator")
        return True

    @cached_property
    def _grounder(self) -> Grounder:
        sharing = self._sharing
        if sharing is None:
            return self._load_grounder()
        from ...inpaint.device.sharing import entries, networks_in

        with sharing.use(_FINDING):  # where they take turns, the painter leaves before
            try:
                found = self._load_grounder()
            except GroundingError as error:
                if not is_out_of_memory(error) or not self._make_room():
                    raise
                found = self._load_grounder()
        # A spread LVLM stays where it is.
        networks = networks_in(found.segmenter if self.preset.lvlm.get("device_map") else found)
        sharing.add(_FINDING, networks)
        sharing.watch(_FINDING, entries(networks))
        return found

    def _load_grounder(self) -> Grounder:
        from ...grounding import GroundingSettings
        from ...grounding.pipeline import Grounder

        self._check_room(_FINDING)
        if self.preset.find:
            return self._load_backend()
        settings = GroundingSettings.from_dict(self.preset.grounding)
        return Grounder(self._lvlm_with_heads(), self._load_segmenter(), settings)

    def _load_backend(self) -> Grounder:
        """The preset's find backend, which offers what a Grounder does."""
        from ...grounding import backend_class

        spec, path = self.preset.find, self.preset.path("find")
        kind = backend_class(spec["backend"])
        parts = self._load_segmenter(), kind.settings_from(self.preset.grounding)
        self._tell(f"loading {kind.title} ({path})")
        return cast("Grounder", kind.load(path, *parts, **self._loading(spec)))

    def _load_segmenter(self) -> Segmenter:
        from ...grounding import load_segmenter

        spec, path = self.preset.segmenter, self.preset.path("segmenter")
        self._tell(f"loading the segmenter ({path})")
        segmenter = load_segmenter(path, backend=spec.get("backend"), **self._loading(spec))
        segmenter.before_batch = check_cancelled
        return segmenter

    def _loading(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """How a part is loaded: `fetch` has downloaded what is needed."""
        return {
            "revision": spec.get("revision"),
            "device": self.device,
            "dtype": precision(spec, self.device),
            "offline": True,
        }

    def lvlm(self) -> LVLM:
        """The LVLM alone with every layer and no heads chosen, as calibration reads it."""
        with self._lock, translate(GroundingError):
            self.fetch(lvlm_only=True)
            return self._load_lvlm(None)

    def reader(self) -> PromptBuilder | LVLM | NoLVLM:
        """What knows which words the LVLM knows: itself where it is loaded, else without weights.

        Raises GroundbrushError when its tokenizer is not on this machine: the network is never
        used.
        """
        with self._lock, translate(GroundingError):
            return self._grounder.lvlm if "_grounder" in self.__dict__ else self._reader

    @cached_property
    def _reader(self) -> PromptBuilder | NoLVLM:
        from ...grounding.checkpoints.loading import load_family
        from ...grounding.detectors.base import NoLVLM

        if self.preset.find:
            return NoLVLM(self.preset.name)
        return load_family(self.preset.path("lvlm"), **_reading(self.preset.lvlm)).prompts

    def _lvlm_with_heads(self) -> LVLM:
        """The LVLM; where its preset names no heads, with those found on first use and kept."""
        if given := self.preset.lvlm.get("heads"):
            return self._load_lvlm([tuple(pair) for pair in given])
        from .first_use import first_use_heads

        loaded: list[LVLM] = []

        def load() -> LVLM:
            loaded.append(self._load_lvlm(None))
            return loaded[0]

        heads = first_use_heads(self.preset, load, self._tell).heads
        if loaded:  # it has all layers and the language head, so it need not be loaded again
            return loaded[0].with_heads(heads, self._presence())
        return self._load_lvlm(list(heads))

    def _presence(self) -> Presence | None:
        """The preset's question whether a phrase is in the picture."""
        from ...grounding import Presence

        spec = self.preset.lvlm.get("presence") or {}
        plain: Any = {k: tuple(v) if isinstance(v, list) else v for k, v in spec.items()}
        return Presence(**plain) if plain else None

    def _load_lvlm(self, heads: list[tuple[int, int]] | None) -> LVLM:
        """The LVLM as the preset describes it; without heads it only gives attention rows."""
        from ...grounding import load_lvlm

        spec, path = self.preset.lvlm, self.preset.path("lvlm")
        self._tell(f"loading the vision-language model ({path})")
        presence = self._presence() if heads else None
        return load_lvlm(
            path,
            device_map=spec.get("device_map"),
            heads=heads,
            full=not heads or presence is not None or bool(spec.get("full")),
            presence=presence,
            vision=spec.get("vision"),
            quantization=spec.get("quantization"),
            **{**self._loading(spec), **_reading(spec)},
        )

    @cached_property
    def _inpainter(self) -> Inpainter:
        from ...inpaint import load_inpainter

        spec, path = self.preset.inpainter, self.preset.path("inpainter")
        self._tell(f"loading the inpainter ({path})")
        check_inpainter(self.preset)
        self._check_room("painting")
        options: dict[str, Any] = {name: spec[name] for name in INPAINTER_OPTIONS if name in spec}
        options["memory"] = self.memory if self._sharing else MODES[0]
        return load_inpainter(
            path,
            device=self.device,
            dtype=precision(spec, self.device),
            offline=True,
            sharing=self._sharing,
            **options,
        )

    def inpaint_settings(self, *, removing: bool, changes: dict[str, Any]) -> InpaintSettings:
        """The preset's settings, those of removal on top, the caller's last."""
        from ...inpaint import InpaintSettings

        spec = self.preset.inpainter
        extra = spec.get("removal", {}).get("settings", {}) if removing else {}
        with translate(InpaintError):
            return InpaintSettings.from_dict({**spec.get("settings", {}), **extra, **changes})

    @property
    def removal_prompt(self) -> str:
        """What is painted where something is removed."""
        return str(self.preset.inpainter.get("removal", {}).get("prompt", ""))


def _reading(spec: Mapping[str, Any]) -> dict[str, Any]:
    """How a preset's LVLM reads a prompt."""
    return {
        "family": spec.get("family", "llava"),
        "revision": spec.get("revision"),
        "tokenizer": spec.get("tokenizer"),
        "prompt": spec.get("prompt"),
        "padding": spec.get("padding"),
        "query": spec.get("query", "stop"),
        "tiles": spec.get("tiles"),
    }
