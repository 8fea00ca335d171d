"""Original ``segment-anything`` checkpoints (``sam_vit_h_4b8939.pth``) as a ``SamModel``.

The original package needs torchvision; transformers' model does not. Where both are installed, a
file may also run in Meta's own predictor, behind the `Segmenter`'s interface. All sizes come from
the weights, so ViT-B, -L and -H and fine-tuned ones of other sizes load alike.

Source: https://github.com/facebookresearch/segment-anything (segment_anything/modeling).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..checkpoints.files import load_pickled
from ..checks import check_image
from ..errors import GroundingError
from .coordinates import Prompts, SquareFrame
from .segmenter import ImageEmbedding, Segmenter

_NUMBERED = {
    "image_encoder.neck": ("vision_encoder.neck", "conv1 layer_norm1 conv2 layer_norm2"),
    "prompt_encoder.mask_downscaling": (
        "prompt_encoder.mask_embed",
        "conv1 layer_norm1 - conv2 layer_norm2 - conv3",
    ),
    "mask_decoder.output_upscaling": (
        "mask_decoder",
        "upscale_conv1 upscale_layer_norm - upscale_conv2",
    ),
}
"""Sequential modules: their name in transformers and the names of their numbered parts."""
_RENAMES = (
    *(
        (rf"^{old.replace('.', '[.]')}[.]{number}[.]", f"{new}.{part}.")
        for old, (new, parts) in _NUMBERED.items()
        for number, part in enumerate(parts.split())
        if part != "-"
    ),
    (r"^image_encoder\.blocks\.", "vision_encoder.layers."),
    (r"^image_encoder\.patch_embed\.proj\.", "vision_encoder.patch_embed.projection."),
    (r"^image_encoder\.", "vision_encoder."),
    (r"\.norm([1-4])\.", r".layer_norm\1."),
    (r"\.norm_final_attn\.", ".layer_norm_final_attn."),
    (
        r"^prompt_encoder\.pe_layer\.positional_encoding_gaussian_matrix$",
        "prompt_encoder.shared_embedding.positional_embedding",
    ),
    (r"^prompt_encoder\.point_embeddings\.", "prompt_encoder.point_embed."),
)
_POSITIONS = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
_HEAD = re.compile(
    r"^(mask_decoder\.(?:iou_prediction_head|output_hypernetworks_mlps\.\d+))\.layers\.(\d+)\.(.+)$"
)


def convert_sam(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename an original checkpoint's weights to those of transformers' ``SamModel``.

    The random matrix of the position encoding appears under both of its names.
    """
    depth: dict[str, int] = {}
    for name in state:
        head = _HEAD.match(name)
        if head:
            depth[head[1]] = max(depth.get(head[1], 0), int(head[2]))
    out = {_renamed(name, depth): value for name, value in state.items()}
    shared = out.get("prompt_encoder.shared_embedding.positional_embedding")
    if shared is not None:
        out["shared_image_embedding.positional_embedding"] = shared
    return out


def sam_config(state: Mapping[str, Tensor]) -> Any:
    """A ``SamConfig`` from the sizes of an original checkpoint's weights.

    Raises GroundingError when they are not those of SAM.
    """
    from transformers import SamConfig, SamMaskDecoderConfig, SamPromptEncoderConfig

    try:
        patches = state["image_encoder.patch_embed.proj.weight"]
        side = state["image_encoder.pos_embed"].shape[1] * patches.shape[-1]
        tokens = state["mask_decoder.mask_tokens.weight"]
        inner = state["mask_decoder.transformer.final_attn_token_to_image.q_proj.weight"]
        mlp = state["mask_decoder.transformer.layers.0.mlp.lin1.weight"]
        head = state["mask_decoder.iou_prediction_head.layers.0.weight"]
        masks = state["prompt_encoder.mask_downscaling.3.weight"]
        vision = _vision_config(state, side)
    except KeyError as error:
        raise GroundingError(
            f"the checkpoint has no {error.args[0]!r}; expected an original segment-anything file "
            "such as sam_vit_h_4b8939.pth"
        ) from error
    width = tokens.shape[1]
    return SamConfig(
        vision_config=vision,
        prompt_encoder_config=SamPromptEncoderConfig(
            hidden_size=width,
            image_size=side,
            patch_size=patches.shape[-1],
            mask_input_channels=masks.shape[0],
        ),
        mask_decoder_config=SamMaskDecoderConfig(
            hidden_size=width,
            mlp_dim=mlp.shape[0],
            num_multimask_outputs=tokens.shape[0] - 1,
            attention_downsample_rate=width // inner.shape[0],
            iou_head_hidden_dim=head.shape[0],
            num_hidden_layers=_count(state, r"^mask_decoder\.transformer\.layers\.(\d+)\."),
            iou_head_depth=_count(state, r"^mask_decoder\.iou_prediction_head\.layers\.(\d+)\."),
        ),
    )


def load_sam_checkpoint(path: str | Path, dtype: torch.dtype) -> tuple[Any, Any]:
    """A ``SamModel`` and its image processor from an original ``.pth`` file.

    Raises GroundingError when the file is missing, holds anything but tensors, or lacks or adds
    weights.
    """
    from transformers import SamModel
    from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

    state = _read(path)
    config = sam_config(state)
    loader: Any = SamModel
    model, info = loader.from_pretrained(
        None, config=config, state_dict=convert_sam(state), dtype=dtype, output_loading_info=True
    )
    odd = sorted(info["missing_keys"]) + sorted(info["unexpected_keys"])
    odd += sorted(str(key) for key in info["mismatched_keys"])
    if odd:
        raise GroundingError(
            f"{path} does not fit: {len(odd)} weights are missing, extra or of another size, first "
            f"{odd[0]!r}; expected an original segment-anything checkpoint"
        )
    side = config.vision_config.image_size
    processor = SamImageProcessorPil(
        size={"longest_edge": side}, pad_size={"height": side, "width": side}
    )
    return model, processor


def _read(path: str | Path) -> Mapping[str, Tensor]:
    file = Path(path).expanduser()
    if not file.is_file():
        raise GroundingError(
            f"{path} is not there; expected a segment-anything file such as sam_vit_h_4b8939.pth"
        )
    return load_pickled(file)


def _renamed(name: str, depth: Mapping[str, int]) -> str:
    """One weight's new name."""
    head = _HEAD.match(name)
    if head:
        index, last = int(head[2]), depth[head[1]]
        place = {0: "proj_in", last: "proj_out"}.get(index, f"layers.{index - 1}")
        return f"{head[1]}.{place}.{head[3]}"
    for pattern, replacement in _RENAMES:
        name = re.sub(pattern, replacement, name)
    return name


def _vision_config(state: Mapping[str, Tensor], side: int) -> Any:
    """The image encoder's config; its global layers are those with long relative positions."""
    from transformers import SamVisionConfig

    patches = state["image_encoder.patch_embed.proj.weight"]
    grid = side // patches.shape[-1]
    layers = _count(state, r"^image_encoder\.blocks\.(\d+)\.")
    reach = [
        (state[f"image_encoder.blocks.{i}.attn.rel_pos_h"].shape[0] + 1) // 2 for i in range(layers)
    ]
    windows = [r for r in reach if r != grid]
    head = state["image_encoder.blocks.0.attn.rel_pos_h"].shape[1]
    return SamVisionConfig(
        hidden_size=patches.shape[0],
        output_channels=state["image_encoder.neck.0.weight"].shape[0],
        num_hidden_layers=layers,
        num_attention_heads=patches.shape[0] // head,
        image_size=side,
        patch_size=patches.shape[-1],
        mlp_dim=state["image_encoder.blocks.0.mlp.lin1.weight"].shape[0],
        window_size=windows[0] if windows else 0,
        num_pos_feats=state[_POSITIONS].shape[1],
        global_attn_indexes=[i for i, r in enumerate(reach) if r == grid],
    )


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    """How many numbered parts a pattern's group counts."""
    found = (re.match(pattern, name) for name in state)
    return 1 + max((int(m[1]) for m in found if m), default=-1)


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
    ) -> tuple[Tensor, Tensor]:
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
    state = _read(path)
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
