"""SAM 3's text prompt: every object that a short noun phrase names, with its mask (Meta, 2025).

transformers' processor for it needs torchvision, so the picture is prepared here: squashed into
the model's square, bilinear, then normalised. The model itself needs it for box prompts only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ..checkpoints.checkpoint import Checkpoint
from ..errors import GroundingError
from ..sam.segmenter import Segmenter
from ..settings import GroundingSettings
from .base import Backend, Detections, DetectorView, Draw


@dataclass(frozen=True)
class SquareInput:
    """How a picture becomes the model's input, as `Sam3ImageProcessor` does it.

    Parameters
    ----------
    side : Of the square that the picture is squashed into.
    mean, std : Of each channel, in [0, 1].
    """

    side: int = 1008
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SquareInput:
        """From a checkpoint's ``preprocessor_config.json``; what it does not name is SAM 3's own.

        Raises GroundingError when it does not squash into a square.
        """
        size = values.get("size") or {"height": cls.side, "width": cls.side}
        if size.get("height") is None or size.get("height") != size.get("width"):
            raise GroundingError(
                f"the image processor's size is {dict(size)}; expected a square, such as "
                f"{{'height': {cls.side}, 'width': {cls.side}}}"
            )
        mean, std = (
            tuple(values.get(name) or getattr(cls, field))
            for name, field in (("image_mean", "mean"), ("image_std", "std"))
        )
        return cls(int(size["height"]), mean, std)

    def prepare(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(H, W, 3) uint8 RGB -> (1, 3, side, side) float32."""
        square = Image.fromarray(image).resize((self.side, self.side), Image.Resampling.BILINEAR)
        values = np.asarray(square, np.float32) / 255
        values = (values - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)
        return np.ascontiguousarray(values.transpose(2, 0, 1)[None])


class Sam3(Backend):
    """A loaded `Sam3Model`; the segmenter beside it only answers the editor's clicks and boxes.

    Parameters
    ----------
    model, tokenizer : The detector and its text tokenizer.
    input : How pictures are prepared.
    segmenter, settings : As for :class:`Backend`. A score is the query's times that of the presence
        token; below 0.5 (`score_threshold_detection` of its configuration) a phrase counts as
        absent.

    Raises GroundingError when the input is of another size than the model takes.

    Examples
    --------
    >>> finder = Sam3.load("facebook/sam3", sam)  # doctest: +SKIP
    >>> finder.ground(finder.look(image), "red cup").status  # doctest: +SKIP
    'found'
    """

    name = "sam3"
    title = "SAM 3"
    model_types = ("sam3", "sam3_video")  # the published checkpoint holds the video model's config
    defaults: ClassVar = {"absent_below": 0.5, "uncertain_below": 0.6}

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        input: SquareInput,
        segmenter: Segmenter,
        settings: GroundingSettings | None = None,
    ) -> None:
        super().__init__(segmenter, settings)
        self._model = model.eval().requires_grad_(False)
        self._tokenizer, self._input = tokenizer, input
        side = int(model.config.vision_config.image_size)
        if input.side != side:
            raise GroundingError(
                f"the image processor squashes to {input.side}, but the model takes squares of "
                f"{side}: use the processor saved with the model"
            )

    @staticmethod
    def _load(source: Checkpoint, config: Any) -> tuple[Any, ...]:
        from transformers import AutoTokenizer, Sam3Model
        from transformers.image_processing_base import ImageProcessingMixin

        tokenizer = AutoTokenizer.from_pretrained(source.where, **source.options)
        read = ImageProcessingMixin.get_image_processor_dict
        prepared = SquareInput.from_dict(read(source.where, **source.options)[0])
        return source.weights(Sam3Model, config), tokenizer, prepared

    def _read(self, proxy: NDArray[np.uint8]) -> Any:
        weight = next(self._model.parameters())
        pixels = torch.from_numpy(self._input.prepare(proxy)).to(weight.device, weight.dtype)
        with torch.inference_mode():
            return self._model.get_vision_features(pixel_values=pixels)

    def _detect(self, view: DetectorView, phrase: str) -> Detections:
        most = int(self._model.config.text_config.max_position_embeddings)
        words = self._tokenizer(phrase, return_tensors="pt", padding="max_length", max_length=most)
        count = int(words["attention_mask"].sum())
        if count > most:
            raise GroundingError(
                f"the phrase is {count} tokens long; {self.title} takes {most}: shorten it to a "
                "noun phrase"
            )
        device = self._model.device
        with torch.inference_mode():
            output = self._model(
                vision_embeds=view.features,
                input_ids=words["input_ids"].to(device),
                attention_mask=words["attention_mask"].to(device),
            )
        scores = output.pred_logits[0].float().sigmoid()
        if output.presence_logits is not None:
            scores = scores * output.presence_logits[0].float().sigmoid()
        boxes = output.pred_boxes[0].double().cpu().numpy() * np.tile(view.size_wh, 2)
        return Detections(boxes, scores.double().cpu().numpy(), output.pred_masks[0])

    def _drawn(self, view: DetectorView, found: Detections) -> Draw:
        # probabilities are enlarged, not logits, as in transformers' post-processing
        shares = found.masks.float().sigmoid().cpu().numpy()
        return lambda k, size: cv2.resize(shares[k], size, interpolation=cv2.INTER_LINEAR) > 0.5
