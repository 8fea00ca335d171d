"""Load a segmenter: a `SamModel`, an original ``.pth`` file, or GrabCut."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch

from ..checkpoints.checkpoint import Checkpoint, checked_device, checked_dtype, loading
from ..errors import GroundingError
from .grabcut import GrabCut
from .original import BACKEND, is_available, load_meta, load_sam_checkpoint
from .segmenter import Segmenter

GRABCUT = "builtin:grabcut"
"""In place of a folder or repository: the segmenter without a model."""


def load_segmenter(
    path_or_repo: str | Path,
    *,
    revision: str | None = None,
    device: str | torch.device = "cpu",
    dtype: str | torch.dtype = "float32",
    offline: bool = False,
    backend: str | None = None,
) -> Segmenter:
    """Load a SAM checkpoint from a folder or a hub repository.

    Only safetensors weights are read, but for original files.

    Parameters
    ----------
    path_or_repo : A folder written by `save_pretrained` (model and processor), a repository name
        such as ``"facebook/sam-vit-huge"``, or an original ``.pth`` file such as
        ``sam_vit_h_4b8939.pth``, read as plain data; or `GRABCUT`, which loads nothing.
    revision : Branch, tag or commit of a repository.
    device, dtype : Where and in which floating type to hold the weights, e.g. ``"cuda"``,
        ``"float16"``.
    offline : Never use the network; a repository must then be in the local cache.
    backend : ``"segment-anything"``: a ``.pth`` file runs in Meta's own predictor where that
        package and torchvision are installed, otherwise as without it.

    Raises GroundingError when nothing loadable is there, it is no SAM model, or weights are
    missing.

    Examples
    --------
    >>> segmenter = load_segmenter("facebook/sam-vit-huge", dtype="float16")  # doctest: +SKIP
    """
    if path_or_repo == GRABCUT:
        return cast(Segmenter, GrabCut())
    if backend not in (None, BACKEND):
        raise GroundingError(
            f"segmenter backend {backend!r} given; expected {BACKEND!r}, or leave it out"
        )
    torch_dtype, target = checked_dtype(dtype), checked_device(device)
    if str(path_or_repo).endswith((".pth", ".pt")):
        with loading(path_or_repo):
            if backend and is_available():
                return load_meta(path_or_repo, torch_dtype, target)
            model, processor = load_sam_checkpoint(path_or_repo, torch_dtype)
        return Segmenter(model.to(target), processor)
    source = Checkpoint.of(
        path_or_repo, revision=revision, device=device, dtype=dtype, offline=offline
    )
    with loading(path_or_repo):
        from transformers import SamModel
        from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

        config = source.config(("sam",), "the segmenter (SAM ViT-B, -L, -H)")
        # PIL even where torchvision is installed: the two resize differently.
        processor = SamImageProcessorPil.from_pretrained(source.where, **source.options)
        return Segmenter(source.weights(SamModel, config), processor)
