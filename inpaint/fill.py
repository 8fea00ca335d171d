"""Fill a mask by a prompt: crop -> paint -> paste back. Loads nothing."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from .callbacks import CancelledBy, OnPreview, OnStep
from .crop import Crop, Parts, plan_crop, split_support
from .errors import OutOfMemoryError
from .paste import Target, assert_preserved, halved_window
from .prefill import prefill, resize_image, resize_mask
from .settings import InpaintSettings, check_input
from .support import mask_box, support_without

MOST_SHRINKS = 3
"""How often a canvas is made smaller when memory runs out: to about 0.4 of its side."""


class Painter(Protocol):
    """What `fill` needs of a model; `Inpainter` is one, a test's fake another.

    Options of `paint` are ``settings``, ``on_step`` and ``cancelled``; also ``on_preview`` if the
    caller wants previews, and ``original`` if the model has a `control_conditioner`. `fill_many`
    needs `paint_many`, too.
    """

    def paint(
        self, image: np.ndarray, mask: np.ndarray, prompt: str, *, seed: int, **options: Any
    ) -> np.ndarray:
        """Return the ``(h, w, 3)`` uint8 canvas repainted where `mask` is True."""
        ...

    def cut_off(self, prompt: str) -> str:
        """Return the end of `prompt` that the text encoder will not read, or ""."""
        ...


@dataclass(frozen=True, eq=False)
class Fill:
    """A repainted picture and how it was made.

    Attributes
    ----------
    support : (H, W) bool. Outside it every pixel of the image equals the input's.
    crops : What the model saw: each window, xyxy in pixels of the image, and the canvas on which it
        was painted. Parts of the support that lie far apart have one each.
    settings : Those of the call, with a smaller `size` if memory ran out; with the same input,
        prompt, seed and model they give the same bytes.
    notes : What the user should know, such as words that the model did not read.
    timings : Seconds: "prepare", "paint", "finish"; of a batch, this picture's share.
    together : The seeds that were painted in one batch, this one's included.
    """

    image: np.ndarray
    support: np.ndarray
    crops: tuple[Crop, ...]
    prompt: str
    seed: int
    settings: InpaintSettings
    notes: tuple[str, ...]
    timings: Mapping[str, float]
    together: tuple[int, ...] = ()


def fill(
    inpainter: Painter,
    image: np.ndarray,
    mask: np.ndarray,
    prompt: str,
    *,
    seed: int = 0,
    settings: InpaintSettings | None = None,
    spare: np.ndarray | None = None,
    keep: np.ndarray | None = None,
    one_thing: bool = False,
    on_step: OnStep | None = None,
    cancelled: CancelledBy | None = None,
    on_preview: OnPreview | None = None,
) -> Fill:
    """Repaint the masked part of `image` as `prompt` says, leaving every other pixel as it was.

    Parameters
    ----------
    inpainter : From `load_inpainter`, or anything with its `paint` and `cut_off`.
    image : (H, W, 3) uint8 RGB
    mask : (H, W) bool. What to replace. It grows by `settings.dilate` into the support.
    prompt : What to paint; exactly "" paints without words (removal).
    seed : 0 to 2**63 - 1.
    settings : SDXL's by default.
    spare : (H, W) bool, optional. Pixels that the growing mask avoids, such as things beside it; a
        thin rim around the mask is painted all the same. See `inpaint.support`.
    keep : (H, W) bool, optional. Pixels outside the mask that are never painted.
    one_thing : Paint all parts of the mask in one window. By default parts that lie far apart are
        painted one after the other, each in a window of its own (`split_support`).
    on_step : Called as ``on_step(step, total)`` after each denoising step of all windows, 1-based.
    cancelled : Checked before, between and after the steps.
    on_preview : Called as ``on_preview(step, total, image)`` a few times, with the whole picture as
        it is at that step (noisy at first).

    Raises InpaintError for an empty mask, shapes that differ, a wrong dtype, a prompt of blanks, a
    bad seed, and for a model that failed. Raises Cancelled as soon as `cancelled` says so.

    Examples
    --------
    >>> result = fill(inpainter, image, mask, "a green pear", seed=7)    # doctest: +SKIP
    >>> bool((result.image == image)[~result.support].all())             # doctest: +SKIP
    True
    """
    return fill_many(
        inpainter,
        image,
        mask,
        prompt,
        seeds=(seed,),
        settings=settings,
        spare=spare,
        keep=keep,
        one_thing=one_thing,
        on_step=on_step,
        cancelled=cancelled,
        on_preview=on_preview,
    )[0]


def fill_many(
    inpainter: Painter,
    image: np.ndarray,
    mask: np.ndarray,
    prompt: str,
    *,
    seeds: Sequence[int],
    settings: InpaintSettings | None = None,
    spare: np.ndarray | None = None,
    keep: np.ndarray | None = None,
    one_thing: bool = False,
    on_step: OnStep | None = None,
    cancelled: CancelledBy | None = None,
    on_preview: OnPreview | None = None,
) -> list[Fill]:
    """Paint several variants of one mask as one batch, each with the noise of its own seed.

    If memory does not hold the batch, they are painted one by one, and the notes say so.
    `Fill.together` lists the seeds of the batch: the same ones give the same bytes again. Steps are
    the whole batch's; previews show the first variant. Other arguments, and errors, as for `fill`.
    """
    seeds = check_input(image, mask, prompt, seeds)
    settings = InpaintSettings() if settings is None else settings
    support = support_without(mask, settings, spare, keep)
    task = _FillTask(
        inpainter,
        Target(image, mask, support),
        prompt,
        settings,
        one_thing,
        (on_step, cancelled, on_preview),
    )
    if len(seeds) > 1:
        try:
            return task.run(seeds)
        except OutOfMemoryError:
            note = f"Memory ran out painting {len(seeds)} variants at once: painted one by one."
            task.notes.append(note)
    return [task.run((seed,))[0] for seed in seeds]


@dataclass(eq=False)
class _FillTask:
    """One mask to fill; `settings` and `notes` change when memory runs out."""

    inpainter: Any
    target: Target
    prompt: str
    settings: InpaintSettings
    one_thing: bool
    callbacks: tuple[OnStep | None, CancelledBy | None, OnPreview | None]
    notes: list[str] = field(default_factory=list)
    shrinks: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    def run(self, seeds: tuple[int, ...]) -> list[Fill]:
        """Crop, paint and paste back one batch; a single picture shrinks until it fits."""
        started = time.perf_counter()
        self.seconds = {"prepare": 0.0, "paint": 0.0, "finish": 0.0}
        while True:
            parts, crops, note = self._windows()
            images = [self.target.image] * len(seeds)
            try:
                for number, (part, crop) in enumerate(zip(parts, crops, strict=True)):
                    images = self._fill_window(part, crop, images, seeds, (number, len(crops)))
                break
            except OutOfMemoryError:
                if len(seeds) > 1 or not self._shrink("ran out"):
                    raise
        for image in images:
            assert_preserved(self.target.image, image, self.target.support)
        spent = time.perf_counter() - started
        self.seconds["prepare"] = spent - self.seconds["paint"] - self.seconds["finish"]
        window_notes = (note,) if note else ()
        memory_notes = getattr(self.inpainter, "memory_notes", ())
        return [
            Fill(
                image=image,
                support=self.target.support,
                crops=crops,
                prompt=self.prompt,
                seed=seed,
                settings=self.settings,
                notes=(*self._unread(), *window_notes, *self.notes, *memory_notes),
                timings={name: seconds / len(seeds) for name, seconds in self.seconds.items()},
                together=seeds,
            )
            for image, seed in zip(images, seeds, strict=True)
        ]

    def _windows(self) -> tuple[Parts, tuple[Crop, ...], str]:
        """Choose windows and canvases, with a note; what exceeds the memory is shrunk first."""
        fits = getattr(self.inpainter, "fits", lambda canvas: True)
        support, image_wh = self.target.support, self.target.image.shape[1::-1]
        while True:
            # By the size at last: the same settings must give the same windows again.
            parts: Parts = (support,)
            note = ""
            if not self.one_thing:
                parts, note = split_support(support, self.settings)
            crops = tuple(plan_crop(mask_box(part), image_wh, self.settings) for part in parts)
            if all(fits(crop.canvas) for crop in crops) or not self._shrink("would run out"):
                return parts, crops, note

    def _fill_window(
        self,
        part: np.ndarray,
        crop: Crop,
        images: list[np.ndarray],
        seeds: tuple[int, ...],
        turn: tuple[int, int],
    ) -> list[np.ndarray]:
        """Paint one window of the original picture; return `images` with its `part` pasted in."""
        target = self.target
        # What other windows replace is a hole here too: the old things must not be painted again.
        hole = resize_mask(target.support[crop.slices], crop.canvas)
        near = halved_window(target.image, crop)
        original = resize_image(near, crop.canvas)
        mask = target.mask if part is target.support else target.mask & part

        def paste(canvas: np.ndarray, image: np.ndarray) -> np.ndarray:
            halved = near if image is target.image else None  # else other windows are in it
            return Target(image, mask, part).paste(canvas, crop, self.settings, halved)

        options = self._options(turn, lambda canvas: paste(canvas, images[0]))
        if getattr(self.inpainter, "control_conditioner", None):
            options["original"] = original
        canvas = prefill(original, hole, self.settings.prefill)
        prepared = time.perf_counter()
        painted = self._paint(canvas, hole, seeds, options)
        painted_at = time.perf_counter()
        pasted = [paste(one, image) for one, image in zip(painted, images, strict=True)]
        self.seconds["paint"] += painted_at - prepared
        self.seconds["finish"] += time.perf_counter() - painted_at
        return pasted

    def _options(
        self, turn: tuple[int, int], paste: Callable[[np.ndarray], np.ndarray]
    ) -> dict[str, Any]:
        """Return the painter's options; progress counts the steps of all windows."""
        (number, count), (on_step, cancelled, on_preview) = turn, self.callbacks
        options: dict[str, Any] = {"settings": self.settings, "cancelled": cancelled}
        options["on_step"] = on_step and (
            lambda step, total: on_step(number * total + step, count * total)
        )
        if on_preview is not None:
            options["on_preview"] = lambda step, total, canvas: on_preview(
                number * total + step, count * total, paste(canvas)
            )
        return options

    def _paint(
        self, canvas: np.ndarray, hole: np.ndarray, seeds: tuple[int, ...], options: dict[str, Any]
    ) -> list[np.ndarray]:
        if len(seeds) == 1:
            return [self.inpainter.paint(canvas, hole, self.prompt, seed=seeds[0], **options)]
        return list(self.inpainter.paint_many(canvas, hole, self.prompt, seeds=seeds, **options))

    def _shrink(self, why: str) -> bool:
        """Continue at three quarters of the size; False if it is small enough already."""
        step = 64 if self.settings.buckets == "sdxl" else 8
        size = self.settings.size * 3 // 4 // step * step
        if self.shrinks == MOST_SHRINKS or size < 64:
            return False
        self.shrinks += 1
        self.notes.append(f"Memory {why} at size {self.settings.size}: painted at {size}.")
        self.settings = dataclasses.replace(self.settings, size=size)
        return True

    def _unread(self) -> tuple[str, ...]:
        unread = self.inpainter.cut_off(self.prompt)
        if not unread:
            return ()
        return (f"The prompt is longer than the model reads; it did not see: {unread!r}.",)
