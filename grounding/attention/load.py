"""Load a vision-language model as an LVLM."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from ..checkpoints.checkpoint import Checkpoint
from ..checkpoints.loading import load_parts
from ..errors import GroundingError
from .model import LVLM
from .reading import Presence


def load_lvlm(
    path: str | Path,
    *,
    family: str = "llava",
    revision: str | None = None,
    device: str | torch.device = "cpu",
    device_map: str | None = None,
    dtype: str | torch.dtype = "float32",
    heads: Iterable[tuple[int, int]] | None = None,
    offline: bool = False,
    full: bool = True,
    prompt: str | None = None,
    padding: str | None = None,
    query: str = "stop",
    presence: Presence | None = None,
    tiles: str | None = None,
    vision: str | Sequence[str] | None = None,
    tokenizer: str | None = None,
    quantization: str | None = None,
) -> LVLM:
    """Load a vision-language model from a folder or a hub repository.

    No code of the checkpoint is run, and weights are read from safetensors; only checkpoints in
    the original LLaVA layout, which are renamed on load, may also hold PyTorch files, read as
    plain data.

    Parameters
    ----------
    path : A folder written by `save_pretrained` (with tokenizer and image processor), or a
        repository name such as ``"llava-hf/llava-1.5-7b-hf"``.
    family : A name in :data:`grounding.families.FAMILIES`.
    revision : Branch, tag or commit of a repository.
    device, dtype : Where and in which floating type to hold the weights, e.g. ``"cuda"``,
        ``"float16"``.
    device_map : Spread the layers over all accelerators, by one of
        :data:`grounding.checkpoints.checkpoint.SPREADS`; None = all on `device`. No effect on a
        CPU, and not for original layouts.
    heads : The (layer, head) pairs that will be read, 0-based.
    offline : Never use the network; a repository must then be in the local cache.
    full : False: load only the layers up to the deepest of `heads`, without the language head. The
        rows are the same; for LLaVA-1.5-7B up to layer 14 it halves the memory.
    prompt, padding, query : Prompt template, treatment of the picture's shape and choice of the
        query token; None = the family's default.
    presence : The question whether a phrase is in the picture.
    tiles : Whether the picture is also cut into tiles, and whether these are read (``"fine"``) or
        the overview; see :data:`grounding.families.geometry.TILES` and the family.
    vision : Folder or repository of the vision tower (of both, for Mini-Gemini), for original
        checkpoints that lack it and name none that can be reached.
    tokenizer : Folder or repository of a fast tokenizer, for checkpoints without a
        ``tokenizer.json``.
    quantization : "4bit" keeps the language model's weights in 4 bits; needs bitsandbytes.

    Raises GroundingError when nothing loadable is there, weights are missing, or the settings do
    not fit.

    Examples
    --------
    >>> lvlm = load_lvlm("llava-hf/llava-1.5-7b-hf", heads=[(14, 24), (14, 13)])  # doctest: +SKIP
    >>> lvlm.head_rows(lvlm.encode(image), ["the red mug"], lvlm.heads)[0].shape  # doctest: +SKIP
    (2, 24, 24)
    """
    pairs = None if heads is None else tuple(heads)
    if not full and (not pairs or presence is not None):
        raise GroundingError(
            "full=False loads only the layers that heads need: give heads=[(layer, head), ...] and "
            "no presence, or load with full=True"
        )
    deepest = None if full or not pairs else max(int(layer) for layer, _ in pairs)
    model, words, processor, kind = load_parts(
        Checkpoint.of(
            path, revision=revision, device=device, dtype=dtype, offline=offline, spread=device_map
        ),
        family,
        deepest_layer=deepest,
        vision=vision,
        tokenizer=tokenizer,
        quantization=quantization,
    )
    adapter = kind(
        model.config, words, processor, prompt=prompt, padding=padding, query=query, tiles=tiles
    )
    return LVLM(model, adapter, heads=pairs, presence=presence)
