"""FLUX and Qwen-Image inpainting: transformers on packed latents."""

from __future__ import annotations

import dataclasses
import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InpaintError
from ..prefill import resize_image
from ..settings import InpaintSettings
from .inpainter import CanvasBatch, Inpainter


@dataclass(frozen=True, eq=False)
class FlowInpainter(Inpainter):
    """A loaded flow-matching pipeline: FLUX Fill, FLUX, Kontext or Qwen-Image (Edit) inpainting.

    Its settings differ from SDXL's: guidance about 30 for FLUX Fill, 3.5 for the other FLUX, 4 for
    Qwen-Image; strength 1.0 for FLUX Fill; no scheduler by name; only Qwen-Image reads the negative
    prompt. Variants are painted one by one: the editing pipelines return one picture for several.

    Raises InpaintError for a pipeline without a transformer or a mask.
    """

    @property
    def channels(self) -> int:
        """Input channels of the transformer."""
        return int(self.pipe.transformer.config.in_channels)

    def at_once(self, canvas: tuple[int, int], wanted: int) -> int:
        """Return 1: variants are painted one by one."""
        return 1

    def _check_pipe(self) -> None:
        if not hasattr(self.pipe, "transformer") or "mask_image" not in self._call:
            raise InpaintError(
                f"inpainter: got {type(self.pipe).__name__}; expected an inpainting pipeline with "
                "a transformer, such as FluxFillPipeline."
            )

    @property
    def _call(self) -> Any:
        """Parameters of the pipeline's call."""
        return inspect.signature(type(self.pipe).__call__).parameters

    def _multiple(self) -> int:
        return 2 * int(self.pipe.vae_scale_factor)  # latents are packed two by two

    def _reader(self) -> tuple[Any, int]:
        tokenizer = getattr(self.pipe, "tokenizer_2", None) or self.pipe.tokenizer
        return tokenizer, int(self._call["max_sequence_length"].default) - 1  # the end mark

    def _paint(self, batch: CanvasBatch) -> list[np.ndarray]:
        return [self._paint_one(dataclasses.replace(batch, seeds=(s,))) for s in batch.seeds]

    def _paint_one(self, batch: CanvasBatch) -> np.ndarray:
        batch.progress.check_cancelled()
        wanted = {
            **batch.inputs(),
            **self._guided(batch.settings),
            "prompt": batch.prompt,
            "output_type": "np",
            "_auto_resize": False,
        }
        arguments = {name: value for name, value in wanted.items() if name in self._call}
        painted = self.pipe(**arguments).images[0]
        if not np.isfinite(painted).all():
            raise InpaintError(
                "the model painted values that are not numbers (a black picture); expected finite "
                "ones. Load it with dtype='bfloat16' or 'float32'."
            )
        pixels = np.rint(np.clip(painted, 0, 1) * 255).astype(np.uint8)
        # Editing pipelines paint at a size of their own.
        return resize_image(pixels, (batch.mask.shape[1], batch.mask.shape[0]))

    def _guided(self, settings: InpaintSettings) -> dict[str, Any]:
        """Return this family's guidance arguments."""
        if type(self.pipe).__name__.startswith("QwenImage"):
            # Classifier-free guidance only happens beside a negative prompt; a blank is usual.
            negative = settings.negative_prompt or " "
            return {"true_cfg_scale": settings.guidance, "negative_prompt": negative}
        return {"guidance_scale": settings.guidance}
