"""A loaded diffusers pipeline behind one call: a canvas in, canvases out. torch stops here."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..callbacks import CancelledBy, OnPreview, OnStep, Watch
from ..device.memory import GROUP, Placement
from ..errors import Cancelled, InpaintError
from ..settings import InpaintSettings
from ..validation import check_pair, check_prompt, check_seed
from .loading import quiet_libraries, scheduler_from


@dataclass(frozen=True, eq=False)
class Job:
    """What one call paints; `original` is the canvas before its hole was prefilled."""

    image: np.ndarray
    mask: np.ndarray
    prompt: str
    seeds: tuple[int, ...]
    settings: InpaintSettings
    watch: Watch
    original: np.ndarray

    def inputs(self) -> dict[str, Any]:
        """The arguments that all of diffusers' inpainting calls share.

        A batch is a list of everything, with a generator each: one seed, one noise, whatever else
        is painted beside it. Encoding takes from them as well, so one picture for all would leave
        the first one's generator ahead of the others.
        """
        import torch
        from PIL import Image

        height, width = self.mask.shape
        image = Image.fromarray(self.image)
        mask = Image.fromarray(self.mask.astype(np.uint8) * 255)
        # On the CPU whatever the device: one seed, one noise.
        noises = [torch.Generator("cpu").manual_seed(seed) for seed in self.seeds]
        count = len(self.seeds)
        return {
            "image": image if count == 1 else [image] * count,
            "mask_image": mask if count == 1 else [mask] * count,
            "height": height,
            "width": width,
            "strength": float(self.settings.strength),
            "num_inference_steps": self.settings.steps,
            "generator": noises[0] if count == 1 else noises,
            "callback_on_step_end": self.watch.on_step_end,
        }


@dataclass(frozen=True, eq=False)
class Inpainter:
    """A loaded inpainting pipeline. One call at a time; a second caller waits its turn.

    Made by `load_inpainter`, as one of its kinds: `inpaint.painter.unet.UNetInpainter` or
    `inpaint.painter.flow.FlowInpainter`.

    Parameters
    ----------
    pipe : DiffusionPipeline
    placement : inpaint.memory.Placement, optional
        Where its parts are; as they lie, where it is left out.
    """

    pipe: Any
    placement: Placement = None  # type: ignore[assignment]
    _lock: Any = field(default_factory=threading.Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        self._check()
        if self.placement is None:
            object.__setattr__(self, "placement", Placement(self.pipe, self.pipe.device))

    @property
    def channels(self) -> int:
        """Input channels of the network that denoises."""
        raise NotImplementedError

    @property
    def stepped_down(self) -> tuple[str, ...]:
        """What was given up since memory ran out, in words; it stays so until loaded again."""
        return self.placement.words

    @property
    def follows(self) -> str | None:
        """Name of what a ControlNet follows; None where the model has none."""
        return None

    def at_once(self, canvas: tuple[int, int], wanted: int) -> int:
        """How many variants of a canvas (width, height) to paint as one batch, 1 to `wanted`.

        As many as the free memory holds, so ask once and keep the answer: a batch of another size
        gives other last bits.
        """
        return self.placement.at_once(canvas[0] * canvas[1], wanted)

    def fits(self, canvas: tuple[int, int]) -> bool:
        """Whether the free memory holds a canvas (width, height), as far as one can tell before."""
        return self.placement.fits(canvas[0] * canvas[1])

    def paint(
        self,
        image: np.ndarray,
        mask: np.ndarray,
        prompt: str,
        *,
        seed: int = 0,
        settings: InpaintSettings | None = None,
        on_step: OnStep | None = None,
        cancelled: CancelledBy | None = None,
        on_preview: OnPreview | None = None,
        original: np.ndarray | None = None,
    ) -> np.ndarray:
        """Repaint one canvas. Most callers want `inpaint.fill`, which crops and composites.

        Parameters
        ----------
        image : (h, w, 3) uint8 RGB
            h and w multiples of 8, of about the model's own size.
        mask : (h, w) bool
            The hole. diffusers blanks it in the masked image of a 9-channel UNet itself.
        prompt : str
            Exactly "" is unconditional: zero embeddings where the pipeline was trained so
            (`force_zeros_for_empty_prompt`), and no guidance unless there is a negative prompt.
        seed, settings, on_step, cancelled
            As in `inpaint.fill`.
        on_preview : callable, optional
            ``on_preview(step, total, canvas)`` a few times on the way.
        original : (h, w, 3) uint8, optional
            The canvas before its hole was prefilled, for a ControlNet; `image` by default.

        Returns
        -------
        (h, w, 3) uint8
            The whole canvas as decoded. It drifts outside the hole: composite it.

        Raises
        ------
        InpaintError, Cancelled
        """
        (painted,) = self.paint_many(
            image,
            mask,
            prompt,
            seeds=(seed,),
            settings=settings,
            on_step=on_step,
            cancelled=cancelled,
            on_preview=on_preview,
            original=original,
        )
        return painted

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
        """Repaint one canvas once for each seed, as one batch; else as `paint`.

        Each has the noise of its own seed. A batch's sums run in another order than a single
        picture's, so their last bits differ; the same seeds in the same order give the same bytes.
        Previews show the first. When memory runs out for several, nothing is given up for it:
        OutOfMemoryError asks the caller to paint them one by one.
        """
        image, mask = check_pair(image, mask)
        seeds = tuple(check_seed(seed) for seed in seeds)
        settings = InpaintSettings() if settings is None else settings
        self._check_size(image)
        self._check_settings(settings)
        watch = Watch(on_step, cancelled, on_preview)
        original = image if original is None else check_pair(original, mask)[0]
        job = Job(image, mask, check_prompt(prompt), seeds, settings, watch, original)
        size = f"{image.shape[1]}x{image.shape[0]}"
        several = len(seeds) > 1
        what = f"painting {f'{len(seeds)} times ' if several else ''}{size} pixels"
        with self._ready(job):
            return self.placement.retry(lambda: self._paint(job), what, step_down=not several)

    def cut_off(self, prompt: str) -> str:
        """Return the end of `prompt` that the text encoder will not read, or ""."""
        tokenizer, kept = self._reader()
        with quiet_libraries():
            whole = tokenizer(prompt, add_special_tokens=False).input_ids
        return tokenizer.decode(whole[kept:]).strip() if len(whole) > kept else ""

    def _check(self) -> None:
        """Refuse a pipeline of another kind."""
        raise NotImplementedError

    def _check_settings(self, settings: InpaintSettings) -> None:
        """Refuse settings that this kind would ignore."""
        if settings.differential:
            raise InpaintError(
                f"differential: got {settings.differential} for {type(self.pipe).__name__}; "
                "expected 0: it needs a 4-channel UNet without a ControlNet, whose surroundings "
                "are put back at every step. Leave it out."
            )

    def _multiple(self) -> int:
        """What the canvas's sides must be multiples of."""
        raise NotImplementedError

    def _reader(self) -> tuple[Any, int]:
        """The tokenizer that cuts first, and how many tokens it reads."""
        raise NotImplementedError

    def _paint(self, job: Job) -> list[np.ndarray]:
        """Do it, with the pipeline in hand."""
        raise NotImplementedError

    def _check_size(self, image: np.ndarray) -> None:
        step = self._multiple()
        if image.shape[0] % step or image.shape[1] % step:
            raise InpaintError(
                f"canvas: got {image.shape[1]}x{image.shape[0]} pixels; expected sides that are "
                f"multiples of {step}. Use inpaint.fill, which chooses the size."
            )

    @contextlib.contextmanager
    def _ready(self, job: Job) -> Iterator[None]:
        """Have the pipeline to oneself, on its device and set up; explain its failures."""
        turns = self.placement.turns
        with contextlib.ExitStack() as scope:
            scope.enter_context(self._turn(job.watch))
            if turns is not None:
                scope.enter_context(turns.use(GROUP))
            scope.enter_context(quiet_libraries())
            scope.enter_context(self._scheduler(job.settings.scheduler))
            scope.enter_context(_deterministic())
            try:
                yield
            except (Cancelled, InpaintError):
                raise
            except Exception as error:
                if error is job.watch.error:
                    raise
                raise _explain(error, job.image.shape) from error
            finally:
                # A raise out of the callback skips diffusers' own release of offloaded parts.
                self.pipe.maybe_free_model_hooks()

    @contextlib.contextmanager
    def _turn(self, watch: Watch) -> Iterator[None]:
        """Wait for the pipeline, which keeps state between steps; a waiting caller may cancel."""
        while not self._lock.acquire(timeout=0.1):
            watch.check()
        try:
            yield
        finally:
            self._lock.release()

    @contextlib.contextmanager
    def _scheduler(self, name: str | None) -> Iterator[None]:
        before = self.pipe.scheduler
        try:
            if name is not None:
                self.pipe.scheduler = scheduler_from(before, name)
            yield
        finally:
            self.pipe.scheduler = before


@contextlib.contextmanager
def _deterministic() -> Iterator[None]:
    """The same recipe on the same machine gives the same picture, also with cuDNN."""
    import torch

    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
        yield


def _explain(error: Exception, shape: tuple[int, ...]) -> InpaintError:
    """Say what a library's failure during painting means."""
    size = f"{shape[1]}x{shape[0]}"
    return InpaintError(
        f"the model failed on a canvas of {size} pixels: {type(error).__name__}: {error}. "
        "Expected it to paint; check that the model is complete and the settings suit it."
    )
