"""diffusers' inpainting pipelines behind one call: a canvas in, a canvas out. torch stops here."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from inpaint.checks import check_pair, check_prompt, check_seed
from inpaint.errors import Cancelled, InpaintError
from inpaint.loading import load_pipeline, quiet_libraries, scheduler_from
from inpaint.memory import Savings
from inpaint.progress import CancelledBy, OnPreview, OnStep, Watch
from inpaint.settings import InpaintSettings


@dataclass(frozen=True, eq=False)
class Inpainter:
    """A loaded inpainting pipeline. One picture at a time; a second caller waits its turn.

    Parameters
    ----------
    pipe : StableDiffusionXLInpaintPipeline
        Or `StableDiffusionInpaintPipeline`. Its UNet has 9 channels (latents, mask, masked
        image) or 4 (the surroundings are put back into the latents after each step).

    Raises
    ------
    InpaintError
        For a pipeline without a UNet of 4 or 9 input channels.
    """

    pipe: Any
    _lock: Any = field(default_factory=threading.Lock, init=False, repr=False)
    _savings: Savings = field(default_factory=Savings, init=False, repr=False)

    def __post_init__(self) -> None:
        unet = getattr(self.pipe, "unet", None)
        channels = getattr(getattr(unet, "config", None), "in_channels", None)
        if channels not in (4, 9) or not hasattr(self.pipe, "mask_processor"):
            raise InpaintError(
                f"inpainter: got {type(self.pipe).__name__} with a UNet of {channels} input "
                "channels; expected an inpainting pipeline of 4 or 9, such as "
                "diffusers/stable-diffusion-xl-1.0-inpainting-0.1."
            )

    @property
    def channels(self) -> int:
        """Input channels of the UNet: 4 or 9."""
        return int(self.pipe.unet.config.in_channels)

    @property
    def stepped_down(self) -> tuple[str, ...]:
        """What was given up since memory ran out, in words; it stays so until loaded again."""
        return self._savings.words

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

        Returns
        -------
        (h, w, 3) uint8
            The whole canvas as decoded. It drifts outside the hole: composite it.

        Raises
        ------
        InpaintError, Cancelled
        """
        image, mask = check_pair(image, mask)
        prompt, seed = check_prompt(prompt), check_seed(seed)
        settings = InpaintSettings() if settings is None else settings
        self._check_size(image)
        watch = Watch(on_step, cancelled, on_preview)
        with contextlib.ExitStack() as scope:
            scope.enter_context(self._turn(watch))
            scope.enter_context(quiet_libraries())
            scope.enter_context(self._scheduler(settings.scheduler))
            scope.enter_context(_deterministic())
            try:
                return self._savings.retry(
                    self.pipe,
                    lambda: self._paint(image, mask, prompt, seed, settings, watch),
                    f"painting {image.shape[1]}x{image.shape[0]} pixels",
                )
            except (Cancelled, InpaintError):
                raise
            except Exception as error:
                if error is watch.error:
                    raise
                raise _explain(error, image.shape) from error
            finally:
                # A raise out of the callback skips diffusers' own release of offloaded parts.
                self.pipe.maybe_free_model_hooks()

    def cut_off(self, prompt: str) -> str:
        """Return the end of `prompt` that the text encoder will not read, or "".

        CLIP reads 75 tokens and its two marks; diffusers drops the rest.
        """
        tokenizer = self.pipe.tokenizer or self.pipe.tokenizer_2
        with quiet_libraries():
            whole = tokenizer(prompt, add_special_tokens=False).input_ids
        kept = tokenizer.model_max_length - 2
        return tokenizer.decode(whole[kept:]).strip() if len(whole) > kept else ""

    def _check_size(self, image: np.ndarray) -> None:
        step = max(8, self.pipe.vae_scale_factor)
        if image.shape[0] % step or image.shape[1] % step:
            raise InpaintError(
                f"canvas: got {image.shape[1]}x{image.shape[0]} pixels; expected sides that are "
                f"multiples of {step}. Use inpaint.fill, which chooses the size."
            )

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

    def _paint(
        self,
        image: np.ndarray,
        mask: np.ndarray,
        prompt: str,
        seed: int,
        settings: InpaintSettings,
        watch: Watch,
    ) -> np.ndarray:
        """Denoise and decode; once more in float32 if a half-precision VAE overflowed."""
        import torch

        watch.check()
        watch.look = lambda latents: _pixels(self._decode(latents, full=False))
        half = self.pipe.vae.dtype != torch.float32
        latents = self._denoise(image, mask, prompt, seed, settings, watch)
        if half and not torch.isfinite(latents).all():
            with self._float32_vae():
                latents = self._denoise(image, mask, prompt, seed, settings, watch)
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

    def _denoise(
        self,
        image: np.ndarray,
        mask: np.ndarray,
        prompt: str,
        seed: int,
        settings: InpaintSettings,
        watch: Watch,
    ) -> Any:
        import torch
        from PIL import Image

        if self.channels == 4:
            mask = _snap(mask, self.pipe.vae_scale_factor)
        height, width = mask.shape
        return self.pipe(
            **self._words(prompt, settings),
            image=Image.fromarray(image),
            mask_image=Image.fromarray(mask.astype(np.uint8) * 255),
            height=height,
            width=width,
            strength=float(settings.strength),
            num_inference_steps=settings.steps,
            # On the CPU whatever the device: one seed, one noise.
            generator=torch.Generator("cpu").manual_seed(seed),
            output_type="latent",
            callback_on_step_end=watch.on_step_end,
        ).images

    def _words(self, prompt: str, settings: InpaintSettings) -> dict[str, Any]:
        """Turn prompt, negative prompt and guidance into the pipeline's arguments."""
        import torch

        # An empty negative prompt must be None: "" is encoded, None is zeros where trained so.
        negative = settings.negative_prompt if settings.negative_prompt.strip() else None
        words: dict[str, Any] = {"negative_prompt": negative, "guidance_scale": settings.guidance}
        if prompt:
            return {**words, "prompt": prompt}
        if negative is None and self.pipe.unet.config.time_cond_proj_dim is None:
            # Both halves of the guidance would be equal: compute one.
            words["guidance_scale"] = 1.0
        if not getattr(self.pipe.config, "force_zeros_for_empty_prompt", False):
            return {**words, "prompt": ""}
        with torch.no_grad():
            embeds, _, pooled, _ = self.pipe.encode_prompt("", do_classifier_free_guidance=False)
        return {
            **words,
            "prompt_embeds": torch.zeros_like(embeds),
            "pooled_prompt_embeds": torch.zeros_like(pooled),
        }

    def _decode(self, latents: Any, full: bool) -> Any:
        """Latents to a ``(1, 3, h, w)`` picture in about [-1, 1]; `full` decodes in float32."""
        import torch

        vae = self.pipe.vae
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
        """Make diffusers encode in float32 for a while."""
        vae = self.pipe.vae
        before = vae.config.force_upcast
        vae.register_to_config(force_upcast=True)
        try:
            yield
        finally:
            vae.register_to_config(force_upcast=before)


def load_inpainter(
    path_or_repo: str,
    *,
    revision: str | None = None,
    device: str = "cpu",
    dtype: Any = None,
    offline: bool = False,
    variant: str | None = None,
    scheduler: str | None = None,
    vae: str | None = None,
    vae_revision: str | None = None,
    offload: bool = False,
    tiling: bool = False,
    loras: Sequence[Mapping[str, Any]] = (),
) -> Inpainter:
    """Load an inpainting model from a folder or a repository, safetensors only.

    Parameters
    ----------
    path_or_repo : str or path
        A folder written by `save_pretrained`, or ``owner/name``.
    revision : str, optional
        Commit, tag or branch of the repository.
    device : str
        "cpu", "cuda", "cuda:1", "mps" or "auto".
    dtype : torch.dtype or str, optional
        float32 on the CPU and float16 elsewhere by default.
    offline : bool
        Read only what is on disk.
    variant : str, optional
        Such as "fp16", for files named ``*.fp16.safetensors``.
    scheduler : str, optional
        One of `inpaint.settings.SCHEDULERS` instead of the model's own.
    vae, vae_revision : str, optional
        Another autoencoder, such as "madebyollin/sdxl-vae-fp16-fix".
    offload : bool
        Keep on the accelerator only the part in use (slower; SDXL in about 8 GB).
    tiling : bool
        Encode and decode in slices and tiles: less memory, faint seams possible.
    loras : sequence of mappings
        Low-rank adapters to add, each with "path" (a folder or repository), and optionally
        "weight" (the file's name), "revision" and "scale"; needs `peft`.

    Returns
    -------
    Inpainter
        A `inpaint.flow.FlowInpainter` where the model is a FLUX or Qwen-Image one.

    Raises
    ------
    InpaintError
        Saying what was given, what was expected and the mend.

    Examples
    --------
    >>> inpainter = load_inpainter("models/sdxl-inpainting", offline=True)   # doctest: +SKIP
    """
    with quiet_libraries():
        pipe = load_pipeline(
            path_or_repo,
            revision=revision,
            device=device,
            dtype=dtype,
            offline=offline,
            variant=variant,
            scheduler=scheduler,
            vae=vae,
            vae_revision=vae_revision,
            offload=offload,
            tiling=tiling,
            loras=loras,
        )
    if hasattr(pipe, "transformer"):
        from inpaint.flow import FlowInpainter

        return FlowInpainter(pipe)
    return Inpainter(pipe)


def _pixels(picture: Any) -> np.ndarray:
    """A decoded ``(1, 3, h, w)`` picture in about [-1, 1] as ``(h, w, 3)`` uint8."""
    import torch

    known = torch.nan_to_num(picture[0].float(), 0.0)  # only previews hold others
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
