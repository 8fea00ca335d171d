"""LLaVA-1.5 and other checkpoints of transformers' ``LlavaForConditionalGeneration``.

The picture is prepared here rather than by the checkpoint's own settings, because the choice
matters for grounding: llava-hf checkpoints crop the centre (a 16:9 picture loses 44% of its
width), the original LLaVA pads to a square with the mean colour.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from grounding.errors import GroundingError
from grounding.families.base import ImageTokens, PreparedImage, Prompt
from grounding.families.geometry import (
    PADDINGS,
    Region,
    crop_region,
    pad_region,
    pad_to_square,
    squash_region,
)
from grounding.families.prompts import PromptBuilder

__all__ = ["LlavaFamily"]

_MAX_CROP_ASPECT = 50


class LlavaFamily:
    """The LLaVA adapter; see :class:`grounding.families.base.Family`.

    Parameters
    ----------
    config
        The model's ``LlavaConfig``.
    tokenizer, image_processor
        Its fast tokenizer and its (PIL) image processor; of the latter only the resampling, the
        mean and the deviation are used.
    prompt
        Grounding prompt template; None = LLaVA-1.5's.
    padding
        ``"pad"`` | ``"crop"`` | ``"squash"``.
    query
        ``"expression"`` | ``"prompt"``.

    Raises
    ------
    GroundingError
        For a config or settings it cannot work with.
    """

    name = "llava"
    model_types: tuple[str, ...] = ("llava",)
    packs_phrases = True
    default_prompt = "USER: <image>\n{phrase} ASSISTANT:"

    def __init__(
        self,
        config: Any,
        tokenizer: Any,
        image_processor: Any,
        *,
        prompt: str | None = None,
        padding: str = "pad",
        query: str = "expression",
    ) -> None:
        if padding not in PADDINGS:
            raise GroundingError(f"padding={padding!r}; expected one of {', '.join(PADDINGS)}")
        self.padding = padding
        self.image_processor = image_processor
        self.image_size, self.grid_hw = _square_grid(config.vision_config)
        extra = _leading_tokens(config)
        self._prompts = PromptBuilder(
            tokenizer,
            template=self.default_prompt if prompt is None else prompt,
            image_token_id=config.image_token_index,
            image_length=self.grid_hw[0] * self.grid_hw[1] + extra,
            query=query,
        )
        self.prefix_ids = self._prompts.prefix_ids
        self._first_patch = self._prompts.image_start + extra

    def prompt(self, phrase: str, template: str | None = None) -> Prompt:
        """Tokenise the prompt (or another template with the same opening) for a phrase."""
        return self._prompts.build(phrase, template)

    def answer_id(self, word: str, template: str) -> int:
        """First token of an answer that follows the template."""
        return self._prompts.answer_id(word, template)

    def unknown_words(self, phrase: str) -> tuple[str, ...]:
        """Words of the phrase that the tokenizer has no token for."""
        return self._prompts.unknown_words(phrase)

    def prepare(self, image: np.ndarray) -> PreparedImage:
        """Prepare an (H, W, 3) uint8 RGB image.

        Returns
        -------
        PreparedImage
            ``pixel_values`` (1, 3, S, S) float32, S the vision tower's side.

        Raises
        ------
        GroundingError
            When the image has another shape or dtype, or is a strip too thin to crop.
        """
        from PIL import Image

        _check_image(image)
        height, width = image.shape[:2]
        size = self.image_size
        squared = {"size": {"height": size, "width": size}, "do_center_crop": False}
        region: Region
        if self.padding == "pad":
            image = pad_to_square(image, self._mean_colour())
            region, how = pad_region(width, height), squared
        elif self.padding == "squash":
            region, how = squash_region(width, height), squared
        else:
            _check_aspect(width, height)
            region = crop_region(width, height, size)
            how = {
                "size": {"shortest_edge": size},
                "do_center_crop": True,
                "crop_size": {"height": size, "width": size},
            }
        if hasattr(self.image_processor, "do_pad"):
            how = {**how, "do_pad": False}
        out = self.image_processor(
            # A PIL image, because a 3-pixel-high array could be read as channels first.
            images=Image.fromarray(np.ascontiguousarray(image)),
            return_tensors="np",
            do_resize=True,
            **how,
        )
        pixels = np.asarray(out["pixel_values"], dtype=np.float32).reshape(1, 3, size, size)
        tokens = ImageTokens(self._first_patch, self.grid_hw, region)
        return PreparedImage({"pixel_values": pixels}, tokens)

    def _mean_colour(self) -> tuple[int, int, int]:
        """The processor's mean as 8-bit RGB, rounded down as the original LLaVA does."""
        r, g, b = (int(255 * m) for m in self.image_processor.image_mean)
        return (r, g, b)


def _check_image(image: np.ndarray) -> None:
    """Refuse anything but a non-empty (H, W, 3) uint8 array."""
    given = f"{getattr(image, 'shape', type(image).__name__)} {getattr(image, 'dtype', '')}"
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        raise GroundingError(f"image is {given.strip()}; expected an (H, W, 3) uint8 RGB array")
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise GroundingError(
            f"image is {given.strip()}; expected (H, W, 3) with at least one pixel: convert grey "
            "or transparent pictures to RGB first"
        )


def _check_aspect(width: int, height: int) -> None:
    """Refuse strips whose shorter side cannot be enlarged within reason."""
    if max(width, height) > _MAX_CROP_ASPECT * min(width, height):
        raise GroundingError(
            f"image of {width} x {height} is too thin to crop (longest over shortest side above "
            f"{_MAX_CROP_ASPECT}); use padding='pad' or cut the picture"
        )


def _square_grid(vision: Any) -> tuple[int, tuple[int, int]]:
    """The tower's input side in pixels and its patch grid."""
    size, patch = vision.image_size, vision.patch_size
    if not isinstance(size, int) or not isinstance(patch, int) or size % patch:
        raise GroundingError(
            f"vision tower with image_size={size!r}, patch_size={patch!r}; the llava family "
            "expects a square input that is a whole number of patches"
        )
    return size, (size // patch, size // patch)


def _leading_tokens(config: Any) -> int:
    """How many image tokens precede the first patch (CLIP's class token, if it is kept)."""
    kept = config.vision_feature_select_strategy == "full"
    has_class_token = config.vision_config.model_type == "clip_vision_model"
    if not kept and not has_class_token:
        raise GroundingError(
            f"vision tower {config.vision_config.model_type!r} has no class token, but the config "
            "drops the first token; set vision_feature_select_strategy='full'"
        )
    return int(kept and has_class_token)
