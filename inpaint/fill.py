"""The sentence: image + mask + prompt -> repainted image. It loads nothing."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from .callbacks import CancelledBy, OnPreview, OnStep
from .crop import Box, Crop, mask_box, plan_crop
from .errors import InpaintError, OutOfMemoryError
from .paste.composite import assert_preserved
from .paste.finish import Target
from .prefill import prefill, resize_image, resize_mask
from .protect import check_spare, spared_support
from .settings import InpaintSettings
from .validation import check_image, check_mask, check_pair, check_prompt, check_seed

MOST_SHRINKS = 3
"""How often a canvas is made smaller when memory runs out: to about 0.4 of its side."""


class Painter(Protocol):
    """What `fill` needs of a model; `Inpainter` is one, a test's fake another.

    Where previews are asked for, `paint` also gets ``on_preview``; where the model has a `follows`
    (a ControlNet), ``original``. `fill_many` needs a `paint_many` as well.
    """

    def paint(
        self,
        image: np.ndarray,
        mask: np.ndarray,
        prompt: str,
        *,
        seed: int,
        settings: InpaintSettings,
        on_step: OnStep | None,
        cancelled: CancelledBy | None,
    ) -> np.ndarray:
        """Return the ``(h, w, 3)`` uint8 canvas repainted where `mask` is True."""
        ...

    def cut_off(self, prompt: str) -> str:
        """Return the end of `prompt` that the text encoder will not read, or ""."""
        ...


@dataclass(frozen=True, eq=False)
class Fill:
    """A repainted picture and what was done.

    Parameters
    ----------
    image : (H, W, 3) uint8
    support : (H, W) bool
        Outside it every pixel equals the input's.
    window : tuple of int
        The crop the model saw, xyxy in pixels of the image.
    canvas : tuple of int
        (width, height) at which the model painted it.
    prompt, seed, settings
        Those of the call (a smaller `size` where memory ran out: the notes say so); with the same
        input and model they give the same bytes.
    notes : tuple of str
        What the user should know, such as words that the model did not read.
    timings : mapping of str to float
        Seconds: "prepare", "paint", "finish"; of a batch, this picture's share.
    together : tuple of int
        The seeds that were painted in one batch, this one's included.
    """

    image: np.ndarray
    support: np.ndarray
    window: Box
    canvas: tuple[int, int]
    prompt: str
    seed: int
    settings: InpaintSettings
    notes: tuple[str, ...]
    timings: Mapping[str, float]
    together: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_image(self.image)
        if check_mask(self.support).shape != self.image.shape[:2]:
            raise InpaintError(
                f"Fill: got a support of shape {self.support.shape} for an image of shape "
                f"{self.image.shape}; expected the same height and width."
            )


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
    on_step: OnStep | None = None,
    cancelled: CancelledBy | None = None,
    on_preview: OnPreview | None = None,
) -> Fill:
    """Repaint the masked part of `image` as `prompt` says, leaving every other pixel as it was.

    Parameters
    ----------
    inpainter : Inpainter
        From `load_inpainter`, or anything with its `paint` and `cut_off`.
    image : (H, W, 3) uint8 RGB
    mask : (H, W) bool
        What to replace. It grows by `settings.dilate` into the support.
    prompt : str
        What to paint; exactly "" paints without words (removal).
    seed : int
        0 to 2**63 - 1.
    settings : InpaintSettings, optional
        SDXL's by default.
    spare : (H, W) bool, optional
        What the growing mask must not grow over, such as things beside it; see
        `inpaint.protect`. What of it lies in the mask itself is painted all the same.
    keep : (H, W) bool, optional
        As `spare`, but to the last pixel: neither a rim nor a closed hole goes into it.
    on_step : callable, optional
        Called as ``on_step(step, total)`` after each denoising step, 1-based.
    cancelled : callable or threading.Event, optional
        Asked before, between and after the steps.
    on_preview : callable, optional
        Called as ``on_preview(step, total, image)`` a few times on the way, with the whole picture
        as it would be now (noisy at first).

    Returns
    -------
    Fill

    Raises
    ------
    InpaintError
        For an empty mask, shapes that differ, a wrong dtype, a prompt of blanks, a bad seed, and
        for a model that failed.
    Cancelled
        As soon as `cancelled` says so.

    Examples
    --------
    >>> result = fill(inpainter, image, mask, "a green pear", seed=7)    # doctest: +SKIP
    >>> bool((result.image == image)[~result.support].all())             # doctest: +SKIP
    True
    """
    (result,) = fill_many(
        inpainter,
        image,
        mask,
        prompt,
        seeds=(seed,),
        settings=settings,
        spare=spare,
        keep=keep,
        on_step=on_step,
        cancelled=cancelled,
        on_preview=on_preview,
    )
    return result


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
    on_step: OnStep | None = None,
    cancelled: CancelledBy | None = None,
    on_preview: OnPreview | None = None,
) -> list[Fill]:
    """Paint several variants of one place as one batch, each with the noise of its own seed.

    Where memory does not hold the batch they are painted one by one, and the notes say so.
    `Fill.together` tells which seeds a picture was painted with: the same ones give the same bytes
    again. Steps count the whole batch's; previews show the first variant. Other arguments, and
    errors, as for `fill`.

    Returns
    -------
    list of Fill
        In the order of the seeds.
    """
    image, mask = check_pair(image, mask)
    prompt, seeds = check_prompt(prompt), tuple(check_seed(seed) for seed in seeds)
    settings = InpaintSettings() if settings is None else settings
    work = _Work(
        inpainter,
        image,
        mask,
        prompt,
        settings,
        check_spare(spare, image),
        check_spare(keep, image, "keep"),
        on_step,
        cancelled,
        on_preview,
    )
    if len(seeds) > 1:
        try:
            return work.paint(seeds)
        except OutOfMemoryError:
            note = f"Memory ran out painting {len(seeds)} variants at once: painted one by one."
            work.notes.append(note)
    return [work.paint((seed,))[0] for seed in seeds]


@dataclass(eq=False)
class _Work:
    """One place to paint, with whatever was given up so far."""

    inpainter: Any
    image: np.ndarray
    mask: np.ndarray
    prompt: str
    settings: InpaintSettings
    spare: np.ndarray | None
    keep: np.ndarray | None
    on_step: OnStep | None
    cancelled: CancelledBy | None
    on_preview: OnPreview | None
    notes: list[str] = field(default_factory=list)
    shrinks: int = 0

    def paint(self, seeds: tuple[int, ...]) -> list[Fill]:
        """One batch; a single picture steps down until it fits."""
        start = time.perf_counter()
        support = spared_support(self.mask, self.settings, self.spare, self.keep)
        target = Target(self.image, self.mask, support)
        while True:
            crop = plan_crop(mask_box(support), self.image.shape[1::-1], self.settings)
            fits = getattr(self.inpainter, "fits", None)
            if fits is not None and not fits(crop.canvas) and self._shrink("would run out"):
                continue
            canvas, hole, more = self._prepared(target, crop)
            prepared = time.perf_counter()
            try:
                painted = self._paint(canvas, hole, seeds, more)
                break
            except OutOfMemoryError:
                if len(seeds) > 1 or not self._shrink("ran out"):
                    raise
        painted_at = time.perf_counter()
        images = [target.put_back(one, crop, self.settings) for one in painted]
        for result in images:
            assert_preserved(self.image, result, support)
        share = 1 / len(seeds)
        timings = {
            "prepare": (prepared - start) * share,
            "paint": (painted_at - prepared) * share,
            "finish": (time.perf_counter() - painted_at) * share,
        }
        notes = (
            *_notes(self.inpainter, self.prompt),
            *self.notes,
            *getattr(self.inpainter, "stepped_down", ()),
        )
        return [
            Fill(
                one,
                support,
                crop.window,
                crop.canvas,
                self.prompt,
                seed,
                self.settings,
                notes,
                timings,
                seeds,
            )
            for one, seed in zip(images, seeds, strict=True)
        ]

    def _prepared(
        self, target: Target, crop: Crop
    ) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        """The canvas with its hole prefilled, the hole, and what else the painter wants."""
        more: dict[str, Any] = {"on_step": self.on_step, "cancelled": self.cancelled}
        hole = resize_mask(target.support[crop.slices], crop.canvas)
        original = resize_image(self.image[crop.slices], crop.canvas)
        if self.on_preview is not None:
            more["on_preview"] = _previewer(self.on_preview, target, crop, self.settings)
        if getattr(self.inpainter, "follows", None):
            more["original"] = original
        return prefill(original, hole, self.settings.prefill), hole, more

    def _paint(
        self, canvas: np.ndarray, hole: np.ndarray, seeds: tuple[int, ...], more: dict[str, Any]
    ) -> list[np.ndarray]:
        common = {"settings": self.settings, **more}
        if len(seeds) == 1:
            return [self.inpainter.paint(canvas, hole, self.prompt, seed=seeds[0], **common)]
        many: list[np.ndarray] = self.inpainter.paint_many(
            canvas, hole, self.prompt, seeds=seeds, **common
        )
        return many

    def _shrink(self, why: str) -> bool:
        """Go on with a smaller canvas; False where it has been made smaller often enough."""
        smaller = _smaller(self.settings)
        if self.shrinks == MOST_SHRINKS or smaller is None:
            return False
        self.shrinks += 1
        self.notes.append(f"Memory {why} at size {self.settings.size}: painted at {smaller.size}.")
        self.settings = smaller
        return True


def _previewer(
    on_preview: OnPreview, target: Target, crop: Crop, settings: InpaintSettings
) -> OnPreview:
    def show(step: int, total: int, canvas: np.ndarray) -> None:
        on_preview(step, total, target.put_back(canvas, crop, settings))

    return show


def _smaller(settings: InpaintSettings) -> InpaintSettings | None:
    """The same at three quarters of the size, or None where that is too small."""
    step = 64 if settings.buckets == "sdxl" else 8
    size = settings.size * 3 // 4 // step * step
    return dataclasses.replace(settings, size=size) if size >= 64 else None


def _notes(inpainter: Painter, prompt: str) -> tuple[str, ...]:
    unread = inpainter.cut_off(prompt)
    if not unread:
        return ()
    return (f"The prompt is longer than the model reads; it did not see: {unread!r}.",)
