"""A loaded diffusers pipeline: canvas, mask and prompt -> painted canvases. torch stops here."""

from __future__ import annotations

import contextlib
import copy
import functools
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..callbacks import CancelledBy, OnPreview, OnStep, Progress
from ..device.memory import GROUP, Placement, is_out_of_memory
from ..errors import Cancelled, InpaintError, OutOfMemoryError
from ..settings import SCHEDULERS, InpaintSettings, check_choice, check_input, describe

_PROMPTS_KEPT = 8
_QUIET_LOCK = threading.Lock()
_quiet = SimpleNamespace(scopes=0, restore=contextlib.ExitStack())


@dataclass(frozen=True, eq=False)
class CanvasBatch:
    """One canvas to paint once for each seed; `original` is the canvas without prefill."""

    image: np.ndarray
    mask: np.ndarray
    prompt: str
    seeds: tuple[int, ...]
    settings: InpaintSettings
    progress: Progress
    original: np.ndarray

    def each(self, value: Any) -> Any:
        """Return `value`, or for several seeds a list of it.

        A batch needs a list of everything, with a generator each. Encoding draws from them too, so
        one picture for all would leave the first generator ahead of the others.
        """
        return value if len(self.seeds) == 1 else [value] * len(self.seeds)

    def inputs(self) -> dict[str, Any]:
        """Return the arguments that all of diffusers' inpainting calls share."""
        import torch
        from PIL import Image

        height, width = self.mask.shape
        # On the CPU whatever the device: one seed, one noise.
        generators = [torch.Generator("cpu").manual_seed(seed) for seed in self.seeds]
        return {
            "image": self.each(Image.fromarray(self.image)),
            "mask_image": self.each(mask_image(self.mask)),
            "height": height,
            "width": width,
            "strength": float(self.settings.strength),
            "num_inference_steps": self.settings.steps,
            "generator": generators[0] if len(self.seeds) == 1 else generators,
            "callback_on_step_end": self.progress.on_step_end,
        }


@dataclass(frozen=True, eq=False)
class Inpainter:
    """A loaded inpainting pipeline, used by one thread at a time; a second caller waits.

    Made by `load_inpainter` as a `UNetInpainter` or a `FlowInpainter`.
    """

    pipe: Any
    placement: Placement = None  # type: ignore[assignment]
    _lock: Any = field(default_factory=threading.Lock, init=False, repr=False)
    _reader_lock: Any = field(default_factory=threading.Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        self._check_pipe()
        if self.placement is None:
            object.__setattr__(self, "placement", Placement(self.pipe, self.pipe.device))
        _remember_prompts(self.pipe)

    @property
    def channels(self) -> int:
        """Input channels of the denoising network."""
        raise NotImplementedError

    @property
    def opens(self) -> bool:
        """Whether the hole can open step by step, for `InpaintSettings.differential`."""
        return False

    @property
    def memory_notes(self) -> tuple[str, ...]:
        """Memory savings made since loading, as sentences."""
        return self.placement.notes

    @property
    def control_conditioner(self) -> str | None:
        """The conditioner of its ControlNet; None without one."""
        return None

    def at_once(self, canvas: tuple[int, int], wanted: int) -> int:
        """Return how many variants of a canvas (width, height) fit one batch, 1 to `wanted`.

        It depends on the free memory, and a batch of another size gives other last bits: to
        reproduce a picture, keep the answer.
        """
        return self.placement.at_once(canvas[0] * canvas[1], wanted)

    def fits(self, canvas: tuple[int, int]) -> bool:
        """Estimate whether the free memory holds a canvas (width, height)."""
        return self.placement.fits(canvas[0] * canvas[1])

    def paint(
        self, image: np.ndarray, mask: np.ndarray, prompt: str, *, seed: int = 0, **options: Any
    ) -> np.ndarray:
        """Paint one canvas; options as for `paint_many`."""
        return self.paint_many(image, mask, prompt, seeds=(seed,), **options)[0]

    def paint_many(
        self,
        image: np.ndarray,
        mask: np.ndarray,
        prompt: str,
        *,
        seeds: Sequence[int],
        settings: InpaintSettings | None = None,
        on_step: OnStep | None = None,
        cancelled: CancelledBy | None = None,
        on_preview: OnPreview | None = None,
        original: np.ndarray | None = None,
    ) -> list[np.ndarray]:
        """Paint one canvas once for each seed, as one batch. See `inpaint.fill` for whole images.

        The same seeds in the same order give the same bytes; a batch's sums run in another order
        than a single picture's, so their last bits differ. A batch that runs out of memory raises
        OutOfMemoryError at once; a single picture steps down first.

        Parameters
        ----------
        image : (h, w, 3) uint8 RGB. h and w multiples of 8, of about the model's own size.
        mask : (h, w) bool. The hole. diffusers blanks it in the masked image of a 9-channel UNet
            itself.
        prompt : Exactly "" is unconditional: zero embeddings where the pipeline was trained so
            (`force_zeros_for_empty_prompt`), and no guidance unless there is a negative prompt.
        on_preview : Gets the first seed's canvas.
        original : (h, w, 3) uint8, optional. The canvas before its hole was prefilled, for a
            ControlNet; `image` by default.

        Returns whole canvases as decoded, (h, w, 3) uint8. They drift outside the hole: composite
        them.
        """
        seeds = check_input(image, mask, prompt, seeds)
        settings = settings or InpaintSettings()
        size, step = f"{image.shape[1]}x{image.shape[0]}", self._multiple()
        if image.shape[0] % step or image.shape[1] % step:
            raise InpaintError(
                f"canvas: got {size} pixels; expected sides that are multiples of {step}. Use "
                "inpaint.fill, which chooses the size."
            )
        if settings.differential and not self.opens:
            raise InpaintError(
                f"differential: got {settings.differential} for {type(self.pipe).__name__}; "
                "expected 0: it needs a 4-channel UNet without a ControlNet, with the surroundings "
                "put back at every step. Leave it out."
            )
        progress = Progress(on_step, cancelled, on_preview)
        original = image if original is None else original
        batch = CanvasBatch(image, mask, prompt, seeds, settings, progress, original)
        several = len(seeds) > 1
        times = f"{len(seeds)} times " if several else ""
        what = f"painting {times}{size} pixels"
        with self._exclusive(batch):
            return self.placement.retry(lambda: self._paint(batch), what, step_down=not several)

    def cut_off(self, prompt: str) -> str:
        """Return the end of `prompt` that the text encoder will not read, or ""."""
        tokenizer, kept = self._reader()
        with self._reader_lock, quiet_libraries():
            whole = self._own_tokenizer(prompt, add_special_tokens=False).input_ids
        # a copy loses the decoder; decoding changes no state
        return tokenizer.decode(whole[kept:]).strip() if len(whole) > kept else ""

    @cached_property
    def _own_tokenizer(self) -> Any:
        """A copy of the tokenizer: a call without padding takes that of a running painting away.

        A fast tokenizer keeps padding and truncation between calls, so that the prompts of a
        painting in another thread would have different lengths.
        """
        return copy.deepcopy(self._reader()[0])

    def _check_pipe(self) -> None:
        """Refuse a pipeline of another kind."""
        raise NotImplementedError

    def _multiple(self) -> int:
        """Return what the canvas's sides must be multiples of."""
        raise NotImplementedError

    def _reader(self) -> tuple[Any, int]:
        """Return the tokenizer that truncates first, and how many tokens it reads."""
        raise NotImplementedError

    def _paint(self, batch: CanvasBatch) -> list[np.ndarray]:
        """Paint, with the pipeline held."""
        raise NotImplementedError

    @contextlib.contextmanager
    def _exclusive(self, batch: CanvasBatch) -> Iterator[None]:
        """Hold the pipeline, on its device and set up; explain its failures."""
        import torch

        sharing, scheduler = self.placement.sharing, batch.settings.scheduler
        # The pipeline keeps state between steps, so that callers wait; a waiting one may cancel.
        while not self._lock.acquire(timeout=0.1):
            batch.progress.check_cancelled()
        with contextlib.ExitStack() as scope:
            scope.callback(self._lock.release)
            if sharing is not None:
                scope.enter_context(sharing.use(GROUP))
            scope.enter_context(quiet_libraries())
            if scheduler is not None:
                scope.callback(setattr, self.pipe, "scheduler", self.pipe.scheduler)
                self.pipe.scheduler = scheduler_from(self.pipe.scheduler, scheduler)
            # Same recipe, same machine, same picture: also with cuDNN.
            flags = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)
            scope.enter_context(flags)
            # An exception out of the callback skips diffusers' own release of offloaded parts.
            scope.callback(self.pipe.maybe_free_model_hooks)
            try:
                yield
            except (Cancelled, InpaintError):
                raise
            except Exception as error:
                if error is batch.progress.error:
                    raise
                height, width = batch.mask.shape
                raise InpaintError(
                    f"the model failed on a canvas of {width}x{height} pixels: "
                    f"{type(error).__name__}: {error}. Expected it to paint; check that the model "
                    "is complete and the settings suit it."
                ) from error


def _remember_prompts(pipe: Any) -> None:
    """Keep the last encoded prompts: rows, retries and windows repeat them.

    Offloaded text encoders then stay where they are.
    """
    import torch

    encode, kept = pipe.encode_prompt, dict[str, Any]()

    def plain(value: Any) -> bool:
        if isinstance(value, list | tuple):
            return all(map(plain, value))
        return value is None or isinstance(value, str | int | float | torch.device)

    @functools.wraps(encode)
    def encode_prompt(*args: Any, **options: Any) -> Any:
        if not plain([*args, *options.values()]):  # embeddings, or a picture that is read with it
            return encode(*args, **options)
        key = repr((args, sorted(options.items())))
        if key not in kept:
            kept[key] = encode(*args, **options)
            if len(kept) > _PROMPTS_KEPT:
                del kept[next(iter(kept))]
        return kept[key]

    pipe.encode_prompt = encode_prompt


def mask_image(mask: np.ndarray) -> Any:
    """Return an ``(h, w)`` bool mask as a grey PIL image."""
    from PIL import Image

    return Image.fromarray(mask.astype(np.uint8) * 255)


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence diffusers and transformers, and restore their settings afterwards.

    The settings belong to the process, so scopes are counted: the first one saves them and the
    last one restores them, in whichever thread.
    """
    import diffusers.utils.logging
    import transformers.utils.logging

    with _QUIET_LOCK:
        if not _quiet.scopes:
            for library in (diffusers.utils.logging, transformers.utils.logging):
                _quiet.restore.callback(library.set_verbosity, library.get_verbosity())
                if library.is_progress_bar_enabled():
                    _quiet.restore.callback(library.enable_progress_bar)
                library.set_verbosity_error()
                library.disable_progress_bar()
        _quiet.scopes += 1
    try:
        yield
    finally:
        with _QUIET_LOCK:
            _quiet.scopes -= 1
            if not _quiet.scopes:
                _quiet.restore.close()


def scheduler_from(current: Any, name: str) -> Any:
    """Return the scheduler called `name` with the noise schedule of `current`."""
    import diffusers

    check_choice("scheduler", name, tuple(SCHEDULERS))
    if type(current).__name__.startswith("FlowMatch"):
        raise InpaintError(
            f"scheduler: got {name!r} for a flow-matching model; expected its own. Leave the "
            "scheduler out of the settings and the preset."
        )
    with quiet_libraries():
        return getattr(diffusers, SCHEDULERS[name]).from_config(current.config)


@contextlib.contextmanager
def explain_loading(what: str, remedy: str) -> Iterator[None]:
    """Turn a library's failure to load `what` into an InpaintError with a remedy."""
    try:
        yield
    except InpaintError:
        raise
    except Exception as error:
        if isinstance(error, MemoryError) or is_out_of_memory(error):
            raise OutOfMemoryError(
                f"out of memory while {what} was loaded; expected its weights to fit. Close other "
                "programs, or use a smaller model."
            ) from error
        first = [type(error).__name__, *str(error).strip().splitlines()[:1]]
        reason = ": ".join(part[:200] for part in first)
        raise InpaintError(f"{what} could not be loaded ({reason}){remedy}") from error


def check_entry(name: str, entry: Any, optional: tuple[str, ...]) -> None:
    """Raise unless a preset's entry is a mapping with a path, and perhaps optional names."""
    good = isinstance(entry, Mapping) and isinstance(entry.get("path"), str) and entry["path"]
    if not good or set(entry) - {"path", *optional}:
        raise InpaintError(
            f"{name}: got {describe(entry)}; expected a mapping with path, and optionally "
            f"{', '.join(optional)}."
        )
