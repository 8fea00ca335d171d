"""Grounding DINO: a detector that reads a phrase (Liu et al., ECCV 2024); SAM makes the mask.

The phrase is its caption as a whole, and a box's score is the largest over the caption's tokens,
as in the authors' demo and in transformers' post-processing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from ..checkpoints.checkpoint import Checkpoint
from ..errors import GroundingError
from ..sam.segmenter import Segmenter
from ..settings import GroundingSettings
from .base import Backend, Detections, DetectorView, Draw

_LEAST = 32  # the backbone's coarsest cell


class GroundingDino(Backend):
    """A loaded `GroundingDinoForObjectDetection` (or MM Grounding DINO) with SAM behind it.

    Parameters
    ----------
    model, tokenizer, processor : The detector, its tokenizer and its PIL image processor.
    segmenter, settings : As for :class:`Backend`. Below 0.35, the box threshold of the authors'
        demo, a phrase counts as absent.

    Examples
    --------
    >>> dino = GroundingDino.load("IDEA-Research/grounding-dino-base", sam)  # doctest: +SKIP
    >>> dino.ground(dino.look(image), "the red cup").box  # doctest: +SKIP
    """

    name = "grounding-dino"
    title = "Grounding DINO"
    model_types = ("grounding-dino", "mm-grounding-dino")
    defaults: ClassVar = {"absent_below": 0.35, "uncertain_below": 0.45}

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        processor: Any,
        segmenter: Segmenter,
        settings: GroundingSettings | None = None,
    ) -> None:
        super().__init__(segmenter, settings)
        self._model = model.eval().requires_grad_(False)
        self._tokenizer, self._processor = tokenizer, processor
        self._lock = threading.Lock()
        self._backbone = model.model.backbone  # `_detect` replaces the model's own for a while

    @staticmethod
    def _load(source: Checkpoint, config: Any) -> tuple[Any, ...]:
        from transformers import AutoModelForZeroShotObjectDetection, AutoTokenizer
        from transformers.models.grounding_dino import image_processing_pil_grounding_dino as pil

        tokenizer = AutoTokenizer.from_pretrained(source.where, **source.options)
        kind = pil.GroundingDinoImageProcessorPil
        processor = kind.from_pretrained(source.where, **source.options)
        return source.weights(AutoModelForZeroShotObjectDetection, config), tokenizer, processor

    def _read(self, proxy: NDArray[np.uint8]) -> dict[str, Any]:
        weight = next(self._model.parameters())
        size = self._processor.size
        wanted = input_size(proxy.shape[1::-1], size["shortest_edge"], size["longest_edge"])
        resized = Image.fromarray(proxy).resize(wanted, self._processor.resample)
        inputs = self._processor(
            np.asarray(resized),
            do_resize=False,
            input_data_format="channels_last",
            return_tensors="pt",
        )
        pixels = inputs["pixel_values"].to(weight.device, weight.dtype)
        valid = inputs["pixel_mask"].to(weight.device)
        with torch.inference_mode():
            levels = self._backbone(pixels, valid)
        return {"pixel_values": pixels, "pixel_mask": valid, "levels": levels}

    def _detect(self, view: DetectorView, phrase: str) -> Detections:
        words = self._tokenizer(caption(phrase), return_tensors="pt", return_token_type_ids=True)
        count, most = words["input_ids"].shape[1], int(self._model.config.max_text_len)
        if count > most:
            raise GroundingError(
                f"the phrase is {count} tokens long; {self.title} takes {most}: shorten it"
            )
        inputs = {k: v for k, v in view.features.items() if k != "levels"}
        words = {k: v.to(self._model.device) for k, v in words.items()}
        with (
            self._lock,
            torch.inference_mode(),
            _cached_backbone(self._model, view.features["levels"]),
        ):
            output = self._model(**inputs, **words)
        scores = output.logits[0].float().sigmoid().amax(-1).cpu().numpy().astype(np.float64)
        boxes = output.pred_boxes[0].float().cpu().numpy().astype(np.float64)
        return Detections(corners(boxes) * np.tile(view.size_wh, 2), scores)

    def _drawn(self, view: DetectorView, found: Detections) -> Draw:
        # one mask a box: the three of an unclear prompt are for points
        logits, _ = self.segmenter.prompt_logits(view.embedding, boxes=found.boxes, multimask=False)
        return lambda k, size: self.segmenter.full_masks(view.embedding, logits[k], size)[0]


def caption(phrase: str) -> str:
    """A phrase as the model was trained on captions: lower case, one full stop at its end.

    Full stops and question marks inside would split it into phrases that do not see each other.

    Examples
    --------
    >>> caption("A cat")
    'a cat.'
    >>> caption("the St. Bernard on the left?")
    'the st bernard on the left.'
    """
    plain = phrase.lower().replace(".", " ").replace("?", " ")
    return " ".join(plain.split()) + "."


def input_size(size_wh: tuple[int, int], shortest: int, longest: int) -> tuple[int, int]:
    """A picture's input size: its shorter side is `shortest`, its longer one at most `longest`.

    As transformers' processor computes it, but no side is below 32 pixels: there, a picture of
    two thousand pixels by one comes out empty.

    Examples
    --------
    >>> input_size((640, 480), 800, 1333)
    (1066, 800)
    >>> input_size((480, 1920), 800, 1333)
    (333, 1333)
    """
    low, high = sorted(size_wh)
    short = float(shortest)
    if high / low * shortest > longest:
        short = longest * low / high
    long = high if low == round(short) else int(short * high / low)  # it keeps what fits
    sides = {low: round(short), high: long}
    width, height = (max(_LEAST, sides[side]) for side in size_wh)
    return width, height


def corners(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 4) centre x, centre y, width, height -> xyxy."""
    half = boxes[:, 2:] / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)


class _CachedBackbone(nn.Module):
    """Replaces the backbone for a picture that it has read already."""

    def __init__(self, backbone: nn.Module, levels: Any) -> None:
        super().__init__()
        self.backbone = backbone  # a model that is moved meanwhile must take it along
        self.position_embedding, self.levels = backbone.position_embedding, levels

    def forward(self, *_: Any, **__: Any) -> Any:
        return self.levels


@contextmanager
def _cached_backbone(model: Any, levels: Any) -> Iterator[None]:
    """Inside the block, the model uses these features instead of reading the picture again.

    transformers has no argument for them; for several phrases the backbone is most of the work.
    """
    backbone = model.model.backbone
    model.model.backbone = _CachedBackbone(backbone, levels)
    try:
        yield
    finally:
        model.model.backbone = backbone
