"""Meta's own predictor (the package ``segment-anything``) behind the `Segmenter`'s interface.

The package imports torchvision. Where either is missing, the same file runs as a `SamModel`.
"""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..checkpoints.files import load_pickled
from ..checks import check_image
from ..errors import GroundingError
from .coordinates import Prompts, SquareFrame
from .original import sam_config
from .segmenter import ImageEmbedding, Segmenter

BACKEND = "segment-anything"
"""Its name in a preset's ``segmenter``."""


def is_available() -> bool:
    """Whether the package and the torchvision that it imports are installed and load."""
    if find_spec("segment_anything") is None or find_spec("torchvision") is None:
        return False
    try:
        import segment_anything  # noqa: F401
    except Exception:  # noqa: BLE001 - a broken binary raises anything at all
        return False
    return True


class MetaSegmenter(Segmenter):
    """A `Segmenter` that runs ``segment_anything.SamPredictor``; keeps no state between calls."""

    title = "Meta's predictor"

    def __init__(self, model: Any) -> None:
        self._model = model.eval().requires_grad_(False)
        self.input_side: int = int(model.image_encoder.img_size)
        rows, _ = model.prompt_encoder.mask_input_size
        self.mask_side: int = int(rows)

    def embed(self, image: NDArray[np.uint8]) -> ImageEmbedding:
        """Encode a picture, (H, W, 3) uint8 RGB of any size, once for any number of prompts."""
        check_image(image)
        predictor = self._predictor()
        with torch.inference_mode():
            predictor.set_image(image)
        frame = SquareFrame(image.shape[1::-1], self.input_side, self.mask_side)
        return ImageEmbedding(frame, predictor.features)

    def _predictor(self) -> Any:
        from segment_anything import SamPredictor

        return SamPredictor(self._model)

    def _pass(
        self, embedding: ImageEmbedding, prompt: Prompts, cut: slice, multimask: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (n, c, m, m) and scores (n, c) of a slice of the prompts."""
        predictor = self._predictor()
        predictor.features, predictor.is_image_set = embedding.features, True
        predictor.original_size = embedding.size_wh[::-1]
        predictor.input_size = embedding.frame.input_wh[::-1]
        given = (self._tensor(p, cut) for p in (prompt.points, prompt.labels, prompt.boxes))
        points, labels, boxes = (None if one is None else one[0] for one in given)
        mask = None if prompt.mask is None else self._tensor(prompt.mask[None])
        with torch.inference_mode():
            _, scores, logits = predictor.predict_torch(
                points, labels, boxes, mask, multimask, return_logits=True
            )
        return logits, scores


def load_meta(path: str | Path, dtype: torch.dtype, device: torch.device) -> MetaSegmenter:
    """Meta's model from its ``.pth`` file, read as plain data.

    Raises GroundingError when the file is missing, holds anything but tensors, or lacks or adds
    weights.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise GroundingError(f"{path} is not there; expected a file such as sam_vit_h_4b8939.pth")
    state = load_pickled(file)
    model = _build(sam_config(state))
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise GroundingError(
            f"{path} does not fit ({error}); expected an original segment-anything checkpoint"
        ) from error
    return MetaSegmenter(model.to(device, dtype))


def _build(config: Any) -> Any:
    """Meta's model of these sizes, as its ``build_sam`` makes ViT-B, -L and -H."""
    from segment_anything import modeling

    vision, prompt, decoder = (
        config.vision_config,
        config.prompt_encoder_config,
        config.mask_decoder_config,
    )
    width, side = prompt.hidden_size, vision.image_size
    grid = (side // vision.patch_size,) * 2
    encoder = modeling.ImageEncoderViT(
        depth=vision.num_hidden_layers,
        embed_dim=vision.hidden_size,
        img_size=side,
        mlp_ratio=vision.mlp_dim / vision.hidden_size,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        num_heads=vision.num_attention_heads,
        patch_size=vision.patch_size,
        qkv_bias=True,
        use_rel_pos=True,
        global_attn_indexes=vision.global_attn_indexes,
        window_size=vision.window_size,
        out_chans=width,
    )
    transformer = modeling.TwoWayTransformer(
        depth=decoder.num_hidden_layers, embedding_dim=width, mlp_dim=decoder.mlp_dim, num_heads=8
    )
    return modeling.Sam(
        encoder,
        modeling.PromptEncoder(width, grid, (side, side), prompt.mask_input_channels),
        modeling.MaskDecoder(
            transformer_dim=width,
            transformer=transformer,
            num_multimask_outputs=decoder.num_multimask_outputs,
            iou_head_depth=decoder.iou_head_depth,
            iou_head_hidden_dim=decoder.iou_head_hidden_dim,
        ),
    )
