"""Stable Diffusion and SDXL inpainting: a UNet of 9 or 4 channels, perhaps a ControlNet."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InpaintError
from ..support import change_map, free_cells
from .control import control_image
from .inpainter import CanvasBatch, Inpainter, mask_image


@dataclass(frozen=True, eq=False)
class UNetInpainter(Inpainter):
    """A loaded pipeline of Stable Diffusion 1.5 or 2, or of SDXL.

    Parameters
    ----------
    pipe : Or `StableDiffusionInpaintPipeline`, or either with a ControlNet. Its UNet has 9 channels
        (latents, mask, masked image) or 4 (the surroundings are put back into the latents after
        each step).
    conditioner : How the input of its ControlNet is made; one of
        `inpaint.painter.control.CONDITIONERS`.
    preview : Decodes previews instead of the pipeline's autoencoder.

    Raises InpaintError for a pipeline without a UNet of 4 or 9 input channels.
    """

    conditioner: str = "canny"
    preview: Any = None

    @property
    def channels(self) -> int:
        """Input channels of the UNet: 4 or 9."""
        return int(self.pipe.unet.config.in_channels)

    @property
    def control_conditioner(self) -> str | None:
        """The conditioner of its ControlNet; None without one."""
        return self.conditioner if getattr(self.pipe, "controlnet", None) is not None else None

    def _check_pipe(self) -> None:
        unet = getattr(self.pipe, "unet", None)
        channels = getattr(getattr(unet, "config", None), "in_channels", None)
        if channels not in (4, 9) or not hasattr(self.pipe, "mask_processor"):
            raise InpaintError(
                f"inpainter: got {type(self.pipe).__name__} with a UNet of {channels} input "
                "channels; expected an inpainting pipeline of 4 or 9, such as "
                "diffusers/stable-diffusion-xl-1.0-inpainting-0.1."
            )

    @property
    def opens(self) -> bool:
        """Whether a callback can change its mask."""
        return self.channels == 4 and not self.control_conditioner

    def _multiple(self) -> int:
        return max(8, self.pipe.vae_scale_factor)

    def _reader(self) -> tuple[Any, int]:
        """Return CLIP's tokenizer and its 75 tokens; two more are marks."""
        tokenizer = getattr(self.pipe, "tokenizer", None) or self.pipe.tokenizer_2
        return tokenizer, tokenizer.model_max_length - 2

    def _paint(self, batch: CanvasBatch) -> list[np.ndarray]:
        """Denoise and decode; once more in float32 if a half-precision VAE overflowed."""
        import torch

        batch.progress.check_cancelled()
        batch.progress.decode = lambda latents: _pixels(
            self._decode(latents[:1], full=False, vae=self.preview)
        )
        half = self.pipe.vae.dtype != torch.float32
        latents = self._denoise(batch)
        if half and not torch.isfinite(latents).all():
            with self._float32_vae():
                latents = self._denoise(batch)
        # Decoding takes the most memory, and is no faster for several at once.
        return [self._finite(latents[i : i + 1], half) for i in range(len(latents))]

    def _finite(self, latents: Any, half: bool) -> np.ndarray:
        """Decode one canvas, in float32 where half precision overflows."""
        import torch

        picture = self._decode(latents, full=half and self.pipe.vae.config.force_upcast)
        if half and not torch.isfinite(picture).all():
            picture = self._decode(latents, full=True)
        if not torch.isfinite(picture).all():
            raise InpaintError(
                "the model painted values that are not numbers (a black picture), also in float32; "
                "expected finite ones. Load it with dtype='float32', or with "
                "vae='madebyollin/sdxl-vae-fp16-fix'."
            )
        return _pixels(picture)

    def _denoise(self, batch: CanvasBatch) -> Any:
        inputs, settings, mask = batch.inputs(), batch.settings, batch.mask
        if self.channels == 4:
            mask = _snap(mask, self.pipe.vae_scale_factor)
            if settings.differential:
                change = change_map(mask, settings.differential, self.pipe.vae_scale_factor)
                inputs |= _opening(batch, change)
                total = max(1, int(settings.steps * settings.strength))
                first = free_cells(change, 0, total)
                mask = first.repeat(len(mask) // len(first), 0).repeat(len(mask) // len(first), 1)
            inputs["mask_image"] = batch.each(mask_image(mask))
        if self.control_conditioner:
            from PIL import Image

            shown = control_image(self.conditioner, batch.original, batch.mask, settings)
            inputs["control_image"] = Image.fromarray(shown)
            inputs["controlnet_conditioning_scale"] = float(settings.control_scale)
        return self.pipe(**self._guidance(batch), **inputs, output_type="latent").images

    def _guidance(self, batch: CanvasBatch) -> dict[str, Any]:
        """Return prompt, negative prompt and guidance as the pipeline's arguments."""
        import torch

        settings = batch.settings
        # An empty negative prompt must be None: "" is encoded, None is zeros where trained so.
        negative = settings.negative_prompt if settings.negative_prompt.strip() else None
        options: dict[str, Any] = {"guidance_scale": settings.guidance}
        options["negative_prompt"] = negative and batch.each(negative)
        if batch.prompt:
            return {**options, "prompt": batch.each(batch.prompt)}
        if negative is None and self.pipe.unet.config.time_cond_proj_dim is None:
            # Both halves of the guidance would be equal: compute one.
            options["guidance_scale"] = 1.0
        if not getattr(self.pipe.config, "force_zeros_for_empty_prompt", False):
            return {**options, "prompt": batch.each("")}
        with torch.no_grad():
            embeds, _, pooled, _ = self.pipe.encode_prompt("", do_classifier_free_guidance=False)
        count = len(batch.seeds)
        return {
            **options,
            "prompt_embeds": torch.zeros_like(embeds).repeat(count, 1, 1),
            "pooled_prompt_embeds": torch.zeros_like(pooled).repeat(count, 1),
        }

    def _decode(self, latents: Any, full: bool, vae: Any = None) -> Any:
        """Decode to a ``(1, 3, h, w)`` picture in about [-1, 1]; `full` means in float32."""
        import torch

        vae = vae or self.pipe.vae
        mean, std = vae.config.get("latents_mean"), vae.config.get("latents_std")
        latents = latents.float() / vae.config.scaling_factor
        if mean is not None and std is not None:
            shape = (1, -1, 1, 1)
            latents = latents * latents.new_tensor(std).view(shape)
            latents = latents + latents.new_tensor(mean).view(shape)
        before = vae.dtype
        try:
            if full:
                vae.to(dtype=torch.float32)
            with torch.no_grad():
                return vae.decode(latents.to(vae.dtype), return_dict=False)[0]
        finally:
            if full:
                vae.to(dtype=before)

    @contextlib.contextmanager
    def _float32_vae(self) -> Iterator[None]:
        """Make diffusers encode in float32."""
        vae = self.pipe.vae
        before = vae.config.force_upcast
        vae.register_to_config(force_upcast=True)
        try:
            yield
        finally:
            vae.register_to_config(force_upcast=before)


def _opening(batch: CanvasBatch, change: np.ndarray) -> dict[str, Any]:
    """Return a callback that enlarges the hole after each step (differential diffusion)."""

    def on_step_end(pipe: Any, index: int, time: Any, tensors: Any) -> dict[str, Any]:
        result = batch.progress.on_step_end(pipe, index, time, tensors)
        mask = tensors["mask"]
        cells = free_cells(change, index + 1, pipe.num_timesteps).astype(np.float32)
        return {**result, "mask": mask.new_tensor(cells).expand_as(mask)}

    return {
        "callback_on_step_end": on_step_end,
        "callback_on_step_end_tensor_inputs": ["latents", "mask"],
    }


def _pixels(picture: Any) -> np.ndarray:
    """Convert a ``(1, 3, h, w)`` picture in about [-1, 1] to ``(h, w, 3)`` uint8."""
    import torch

    known = torch.nan_to_num(picture[0].float(), 0.0)  # only previews may hold NaN
    values = (known / 2 + 0.5).clamp(0, 1).permute(1, 2, 0).cpu().numpy()
    return np.rint(values * 255).astype(np.uint8)


def _snap(mask: np.ndarray, step: int) -> np.ndarray:
    """Grow a mask to whole latent cells.

    diffusers samples one pixel per cell. A 4-channel UNet gets the encoded prefill pasted into
    each cell outside the mask, so a cell that is partly hole would show it.
    """
    height, width = mask.shape
    cells = mask.reshape(height // step, step, width // step, step).any((1, 3))
    return cells.repeat(step, 0).repeat(step, 1)
