"""FLUX and Qwen-Image inpainting: transformers on packed latents, behind the same call."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np

from inpaint.canvas import resize_image
from inpaint.errors import InpaintError
from inpaint.loading import quiet_libraries
from inpaint.pipeline import Inpainter
from inpaint.progress import Watch
from inpaint.settings import InpaintSettings


@dataclass(frozen=True, eq=False)
class FlowInpainter(Inpainter):
    """A loaded flow-matching pipeline: FLUX Fill, FLUX, Kontext or Qwen-Image (Edit) inpainting.

    Its settings differ from SDXL's: guidance about 30 for FLUX Fill, 3.5 for the other FLUX, 4 for
    Qwen-Image; strength 1.0 for FLUX Fill; no scheduler by name; the negative prompt only counts
    for Qwen-Image.

    Raises
    ------
    InpaintError
        For a pipeline without a transformer or a mask.
    """

    def __post_init__(self) -> None:
        call = inspect.signature(type(self.pipe).__call__).parameters
        if not hasattr(self.pipe, "transformer") or "mask_image" not in call:
            raise InpaintError(
                f"inpainter: got {type(self.pipe).__name__}; expected an inpainting pipeline with "
                "a transformer, such as FluxFillPipeline."
            )

    @property
    def channels(self) -> int:
        """Input channels of the transformer."""
        return int(self.pipe.transformer.config.in_channels)

    def cut_off(self, prompt: str) -> str:
        """Return the end of `prompt` that the text encoder will not read, or ""."""
        tokenizer = getattr(self.pipe, "tokenizer_2", None) or self.pipe.tokenizer
        call = inspect.signature(type(self.pipe).__call__).parameters
        limit = int(call["max_sequence_length"].default) - 1  # the end mark
        with quiet_libraries():
            whole = tokenizer(prompt, add_special_tokens=False).input_ids
        return tokenizer.decode(whole[limit:]).strip() if len(whole) > limit else ""

    def _check_size(self, image: np.ndarray) -> None:
        step = 2 * self.pipe.vae_scale_factor  # latents are packed two by two
        if image.shape[0] % step or image.shape[1] % step:
            raise InpaintError(
                f"canvas: got {image.shape[1]}x{image.shape[0]} pixels; expected sides that are "
                f"multiples of {step}. Use inpaint.fill, which chooses the size."
            )

    def _paint(
        self,
        image: np.ndarray,
        mask: np.ndarray,
        prompt: str,
        seed: int,
        settings: InpaintSettings,
        watch: Watch,
    ) -> np.ndarray:
        import torch
        from PIL import Image

        watch.check()
        height, width = mask.shape
        wanted = {
            **self._guided(settings),
            "prompt": prompt,
            "image": Image.fromarray(image),
            "mask_image": Image.fromarray(mask.astype(np.uint8) * 255),
            "height": height,
            "width": width,
            "strength": float(settings.strength),
            "num_inference_steps": settings.steps,
            "generator": torch.Generator("cpu").manual_seed(seed),
            "output_type": "np",
            "callback_on_step_end": watch.on_step_end,
            "_auto_resize": False,
        }
        known = inspect.signature(type(self.pipe).__call__).parameters
        arguments = {name: value for name, value in wanted.items() if name in known}
        painted = self.pipe(**arguments).images[0]
        if not np.isfinite(painted).all():
            raise InpaintError(
                "the model painted values that are not numbers (a black picture); expected finite "
                "ones. Load it with dtype='bfloat16' or 'float32'."
            )
        pixels = np.rint(np.clip(painted, 0, 1) * 255).astype(np.uint8)
        # Editing pipelines paint at a size of their own.
        return resize_image(pixels, (width, height))

    def _guided(self, settings: InpaintSettings) -> dict[str, Any]:
        """Guidance as this family means it."""
        if type(self.pipe).__name__.startswith("QwenImage"):
            # Classifier-free guidance only happens beside a negative prompt; a blank is usual.
            negative = settings.negative_prompt or " "
            return {"true_cfg_scale": settings.guidance, "negative_prompt": negative}
        return {"guidance_scale": settings.guidance}
