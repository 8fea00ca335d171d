"""The sentence: image + mask + prompt -> repainted image. It loads nothing."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from inpaint.blend import laplacian, poisson
from inpaint.canvas import prefill, resize_image, resize_mask
from inpaint.checks import check_image, check_mask, check_pair, check_prompt, check_seed
from inpaint.colour import fit_colour
from inpaint.composite import assert_preserved, composite
from inpaint.errors import InpaintError, OutOfMemoryError
from inpaint.geometry import Box, Crop, mask_box, plan_crop
from inpaint.masks import dilate, dilation_radius, fill_holes, inward_feather
from inpaint.progress import CancelledBy, OnPreview, OnStep
from inpaint.settings import InpaintSettings

MOST_SHRINKS = 3
"""How often a canvas is made smaller when memory runs out: to about 0.4 of its side."""


class Painter(Protocol):
    """What `fill` needs of a model; `Inpainter` is one, a test's fake another.

    Where previews are asked for, `paint` also gets ``on_preview``.
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
        Seconds: "prepare", "paint", "finish".
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
    image, mask = check_pair(image, mask)
    prompt, seed = check_prompt(prompt), check_seed(seed)
    settings = InpaintSettings() if settings is None else settings
    start = time.perf_counter()

    core = fill_holes(mask, settings.fill_holes)
    support = dilate(core, dilation_radius(mask, settings.dilate))
    place = _Place(image, core, support)
    more: dict[str, Any] = {"on_step": on_step, "cancelled": cancelled}
    notes: list[str] = []
    while True:
        crop = plan_crop(mask_box(support), (image.shape[1], image.shape[0]), settings)
        hole = resize_mask(support[crop.slices], crop.canvas)
        canvas = prefill(resize_image(image[crop.slices], crop.canvas), hole, settings.prefill)
        if on_preview is not None:
            more["on_preview"] = _previewer(on_preview, place, crop, settings)
        prepared = time.perf_counter()
        try:
            painted = inpainter.paint(canvas, hole, prompt, seed=seed, settings=settings, **more)
            break
        except OutOfMemoryError:
            smaller = _smaller(settings)
            if len(notes) == MOST_SHRINKS or smaller is None:
                raise
            notes.append(f"Memory ran out at size {settings.size}: painted at {smaller.size}.")
            settings = smaller
    painted_at = time.perf_counter()

    result = place.put_back(painted, crop, settings)
    assert_preserved(image, result, support)
    timings = {
        "prepare": prepared - start,
        "paint": painted_at - prepared,
        "finish": time.perf_counter() - painted_at,
    }
    said = (*_notes(inpainter, prompt), *notes, *getattr(inpainter, "stepped_down", ()))
    return Fill(result, support, crop.window, crop.canvas, prompt, seed, settings, said, timings)


@dataclass(frozen=True, eq=False)
class _Place:
    """The picture, what must go, and what may change."""

    image: np.ndarray
    core: np.ndarray
    support: np.ndarray

    def put_back(self, painted: np.ndarray, crop: Crop, settings: InpaintSettings) -> np.ndarray:
        """Resize the canvas back, correct its colours and blend it in."""
        if check_image(painted).shape[1::-1] != crop.canvas:
            raise InpaintError(
                f"painted canvas: got {painted.shape[1::-1]} (width, height); expected "
                f"{crop.canvas}. A painter must return the size it was given."
            )
        window, support = self.image[crop.slices], self.support[crop.slices]
        painted = resize_image(painted, (window.shape[1], window.shape[0]))
        if settings.colour_match:
            painted = fit_colour(painted, window, ~support).apply(painted)
        # Undilated, the mask itself is the support: only then may the ramp lie on the old object.
        core = self.core if settings.dilate > 0 else None
        alpha = inward_feather(self.support, settings.feather, core)
        if settings.blend == "poisson":
            painted = poisson(painted, window, support)
        elif settings.blend == "laplacian":
            painted = laplacian(painted, window, alpha[crop.slices])
        return composite(self.image, painted, alpha, crop.window)


def _previewer(
    on_preview: OnPreview, place: _Place, crop: Crop, settings: InpaintSettings
) -> OnPreview:
    def show(step: int, total: int, canvas: np.ndarray) -> None:
        on_preview(step, total, place.put_back(canvas, crop, settings))

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
