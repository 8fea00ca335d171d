"""SAM as this project needs it: embed a picture once, then decode boxes, points and masks.

The picture goes through SAM's image encoder once (:meth:`Segmenter.embed`); each prompt then
costs a pass of the light mask decoder. Prompts and results are in the picture's own pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor

from ..checks import check_image
from ..errors import GroundingError
from ..localize.maps import whole_size
from .coordinates import Prompts, SquareFrame

_PROMPTS_AT_ONCE = 32
"""Most prompts in one decoder pass: a prompt costs SAM's decoder some 20 MB of activations."""
_OFFSET = 1.0  # of the logits' threshold, for stability; SAM's own automatic masks use the same


@dataclass(frozen=True, eq=False)
class ImageEmbedding:
    """A picture that the segmenter has encoded.

    `features` is the image encoder's output, (1, C, h, w).
    """

    frame: SquareFrame
    features: Tensor

    @property
    def size_wh(self) -> tuple[int, int]:
        """The picture's own width and height in pixels."""
        return self.frame.size_wh


@dataclass(frozen=True, eq=False)
class Masks:
    """Masks with the model's own scores.

    Parameters
    ----------
    masks : (n, H, W) bool.
    scores : (n,) float32, the predicted IoU of each mask in [0, 1].
    logits : (n, m, m) float32 on the decoder's grid, which covers the padded square; one of them
        may be the `mask` prompt of a further round.
    """

    masks: NDArray[np.bool_]
    scores: NDArray[np.float32]
    logits: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def best(self) -> int:
        """Which mask the model scores highest."""
        return int(np.argmax(self.scores))


@dataclass(frozen=True, eq=False)
class GridMask:
    """One of SAM's answers on the decoder's grid, cut to the picture.

    Parameters
    ----------
    grid : (rows, columns) bool.
    logits : (m, m) float32 over the whole square; :meth:`Segmenter.full_masks` enlarges them.
    score : SAM's predicted IoU, in [0, 1].
    stability : Share of the mask that is left when the logits' threshold rises by two.
    surety : Their product.
    """

    grid: NDArray[np.bool_]
    logits: NDArray[np.float32]
    score: float
    stability: float
    surety: float


class Segmenter:
    """A loaded ``SamModel`` with its image processor; keeps no state between calls.

    Parameters
    ----------
    model : A ``transformers.SamModel``; put in eval mode and frozen.
    processor : Its PIL image processor: resizing, normalisation and padding are taken from it.

    Raises GroundingError when the processor prepares pictures of another size than the model takes.

    Examples
    --------
    >>> segmenter = load_segmenter("facebook/sam-vit-huge")  # doctest: +SKIP
    >>> embedding = segmenter.embed(image)  # doctest: +SKIP
    >>> segmenter.predict(embedding, box=(40, 60, 200, 220)).masks.shape  # doctest: +SKIP
    (3, 480, 640)
    """

    title = "SamModel"
    """What runs it, for people."""
    before_batch: Callable[[], object] = staticmethod(lambda: None)
    """Called before each batch of prompts; it may raise to stop."""

    def __init__(self, model: Any, processor: Any) -> None:
        self._model = model.eval().requires_grad_(False)
        self._processor = processor
        self.input_side: int = int(model.config.vision_config.image_size)
        patch = int(model.config.vision_config.patch_size)
        self.mask_side: int = 4 * (self.input_side // patch)
        padded = processor.pad_size
        prepared = processor.size["longest_edge"], padded["height"], padded["width"]
        if prepared != (self.input_side,) * 3:
            raise GroundingError(
                f"the image processor resizes to {prepared[0]} and pads to {prepared[1:]}, but the "
                f"model takes squares of {self.input_side}: use the processor saved with the model"
            )

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self._model.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The weights' floating type."""
        return next(self._model.parameters()).dtype

    def embed(self, image: NDArray[np.uint8]) -> ImageEmbedding:
        """Encode a picture, (H, W, 3) uint8 RGB of any size, once for any number of prompts."""
        check_image(image)
        frame = SquareFrame(image.shape[1::-1], self.input_side, self.mask_side)
        small = Image.fromarray(image).resize(frame.input_wh, self._processor.resample)
        # On a strip three pixels high the processor would guess the wrong colour axis.
        inputs = self._processor(
            np.asarray(small),
            do_resize=False,
            return_tensors="pt",
            input_data_format="channels_last",
        )
        pixels = inputs["pixel_values"]
        with torch.inference_mode():
            features = self._model.get_image_embeddings(pixels.to(self.device, self.dtype))
        return ImageEmbedding(frame, features)

    def predict(
        self,
        embedding: ImageEmbedding,
        *,
        box: ArrayLike | None = None,
        points: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        mask: NDArray | None = None,
        multimask: bool = True,
        size_wh: tuple[int, int] | None = None,
    ) -> Masks:
        """Masks for one prompt: a box, points, a mask, or several of these together.

        Parameters
        ----------
        embedding : A picture from :meth:`embed`.
        box : (4,) xyxy half-open; clipped to the picture.
        points : (k, 2) xy.
        labels : (k,) 1 = belongs to the object, 0 = does not; None = all 1.
        mask : A rough mask: bool (H, W) of the picture, or float logits (m, m) from
            :attr:`Masks.logits`.
        multimask : True: three masks, for prompts that leave open how much is meant; False: one.
        size_wh : Give masks at this width and height rather than the picture's own.

        Raises GroundingError for no prompt, or one that does not fit the picture.
        """
        if box is None and points is None and mask is None:
            raise GroundingError("no prompt was given; expected a box, points or a mask")
        if labels is not None and points is None:
            raise GroundingError("labels were given without points; give points=[(x, y), ...] too")
        size_wh = None if size_wh is None else whole_size(size_wh)
        boxes: Any = None if box is None else [box]
        prompt = embedding.frame.prompts(boxes, points, labels, mask, together=True)
        logits, scores = self._decode(embedding, prompt, multimask)
        return Masks(self.full_masks(embedding, logits[0], size_wh), scores[0], logits[0])

    def prompt_logits(
        self,
        embedding: ImageEmbedding,
        *,
        boxes: ArrayLike | None = None,
        points: ArrayLike | None = None,
        mask: NDArray | None = None,
        multimask: bool = True,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Logits and scores of n prompts at once, without making masks of them.

        Parameters
        ----------
        boxes : (n, 4) xyxy in the picture's own pixels, one per prompt, or None.
        points : (n, 2) xy, one point per prompt, or None; with boxes, as many as boxes.
        mask : One rough mask for every prompt, as for :meth:`predict`.

        Returns
        -------
        logits : (n, c, m, m) float32 on the decoder's grid; c = 3, or 1 without `multimask`.
        scores : (n, c) float32.
        """
        if boxes is None and points is None:
            raise GroundingError("no prompt was given; expected boxes or points")
        prompt = embedding.frame.prompts(boxes, points, mask=mask)
        return self._decode(embedding, prompt, multimask)

    def full_masks(
        self,
        embedding: ImageEmbedding,
        logits: Sequence[NDArray[np.float32]],
        size_wh: tuple[int, int] | None = None,
    ) -> NDArray[np.bool_]:
        """Masks (n, H, W) from their logits (m, m), at the picture's own size or `size_wh`."""
        return embedding.frame.masks(logits, size_wh)

    def _decode(
        self, embedding: ImageEmbedding, prompt: Prompts, multimask: bool
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Logits (n, c, m, m) and scores (n, c) of n prompts."""
        pieces = []
        for start in range(0, prompt.count, _PROMPTS_AT_ONCE):
            self.before_batch()
            cut = slice(start, start + _PROMPTS_AT_ONCE)
            pieces.append(self._pass(embedding, prompt, cut, multimask))
        logits = torch.cat([piece[0] for piece in pieces]).float().cpu().numpy()
        scores = torch.cat([piece[1] for piece in pieces]).float().clamp(0, 1).cpu().numpy()
        return logits, scores

    def _pass(
        self, embedding: ImageEmbedding, prompt: Prompts, cut: slice, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        """Logits (n, c, m, m) and scores (n, c) of a slice of the prompts."""
        with torch.inference_mode():
            output = self._model(
                image_embeddings=embedding.features,
                input_boxes=self._tensor(prompt.boxes, cut),
                input_points=self._tensor(prompt.points, cut),
                input_labels=self._tensor(prompt.labels, cut),
                input_masks=None if prompt.mask is None else self._tensor(prompt.mask[None]),
                multimask_output=multimask,
            )
        return output.pred_masks[0], output.iou_scores[0]

    def _tensor(self, array: NDArray | None, cut: slice = slice(None)) -> Tensor | None:
        """(n, ...) array -> (1, n, ...) on the model's device, in its dtype."""
        if array is None:
            return None
        tensor = torch.from_numpy(np.ascontiguousarray(array[cut], dtype=np.float32))
        return tensor[None].to(self.device, self.dtype)


def read_answers(
    segmenter: Segmenter, embedding: ImageEmbedding, **prompt: Any
) -> list[list[GridMask]]:
    """The answers to each of n prompts, which are those of :meth:`Segmenter.prompt_logits`."""
    logits, scores = segmenter.prompt_logits(embedding, **prompt)
    columns, rows = embedding.frame.grid_wh
    cut = logits[..., :rows, :columns]
    high, low = ((cut > limit).sum((-2, -1)) for limit in (_OFFSET, -_OFFSET))
    steady = high / np.maximum(1, low)
    each = zip(cut > 0, logits, scores.tolist(), steady.tolist(), strict=True)
    return [
        [GridMask(grid, one, score, share, score * share) for grid, one, score, share in answers]
        for answers in (zip(*own, strict=True) for own in each)
    ]
