"""What a model does without its heads: write a box in words, and attention rollout.

The first is the baseline of Kang et al. (CVPR 2025), Tab. 6. The second is Abnar and Zuidema,
"Quantifying Attention Flow in Transformers" (ACL 2020), from the query token to the picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache

from ..errors import GroundingError
from ..families.dialects import box_dialect
from .capture import RowRequest, capture
from .reading import Suffix, fork, packed_inputs, suffix_inputs

if TYPE_CHECKING:
    from .model import LVLM
    from .reading import EncodedImage

_PHRASE = "{phrase}"
_MOST_TOKENS = 64


def write_box(
    lvlm: LVLM, encoded: EncodedImage, phrase: str
) -> tuple[str, tuple[float, float, float, float] | None]:
    """Let the model write where a phrase is, greedily, in its family's own form.

    Returns the text, and the box in the encoded picture's pixels (None where the text holds none).

    Raises GroundingError for an empty or overlong phrase, or a model without a language head.
    """
    dialect = box_dialect(lvlm.family.name)
    template = lvlm.family.prompts.template.replace(_PHRASE, dialect.question)
    text = write(lvlm, encoded, phrase, template)
    cell = _cell(lvlm.family.config.vision_config)
    rows, columns = encoded.tokens.grid_hw
    region = encoded.tokens.region_xyxy
    return text, dialect.read(text, region, (columns * cell, rows * cell))


def write(
    lvlm: LVLM, encoded: EncodedImage, phrase: str, template: str, tokens: int = _MOST_TOKENS
) -> str:
    """What the model writes after a prompt, by greedy decoding, at most `tokens` tokens."""
    network: Any = lvlm.network
    if getattr(network, "lm_head", None) is None:
        raise GroundingError("the model has no language head to write with; load with full=True")
    lvlm.check_depth(encoded, lvlm.n_layers)
    ids = lvlm.suffix(encoded, phrase, template)
    inputs = suffix_inputs(encoded, [Suffix(ids)], lvlm.device)
    # A family that read no prefix counts its own positions (PaliGemma's begin at 1).
    start = None if encoded.features is not None else encoded.next_position + len(ids)
    ends = _ends(network, lvlm.family)
    written: list[int] = []
    with torch.inference_mode():
        while len(written) < tokens:
            out = network(**inputs, logits_to_keep=1)
            following = int(out.logits[0, -1].argmax())
            if following in ends:
                break
            cache = inputs["past_key_values"]
            inputs = {"input_ids": torch.tensor([[following]], device=lvlm.device)}
            inputs |= {"past_key_values": cache, "use_cache": True}
            if start is not None:
                place = start + len(written)
                inputs["position_ids"] = torch.tensor([[place]], device=lvlm.device)
            written.append(following)
    return lvlm.family.prompts.tokenizer.decode(list(written))


def rollout(lvlm: LVLM, image: np.ndarray, phrase: str) -> np.ndarray:
    """Attention rollout from a phrase's query token to the picture, (P, Q) float32.

    Each layer's attention is the mean over its heads, half of it the residual connection; the
    layers' matrices are multiplied. Every row of every layer is read, which takes
    4 · layers · heads · tokens² bytes (1.5 GB for LLaVA-1.5-7B).

    Raises GroundingError for a phrase that cannot be read, or a family that reads the picture
    anew with every phrase.
    """
    if not lvlm.family.shares_prefix:
        raise GroundingError(
            f"rollout is not made for the {lvlm.family.name} family, which reads the picture anew "
            "with every phrase; choose another arm"
        )
    prepared = lvlm.family.prepare(image)
    inputs = {name: lvlm.tensor(array) for name, array in prepared.inputs.items()}
    prefix = prepared.prefix_ids or lvlm.family.prefix_ids
    inputs["input_ids"] = torch.tensor([prefix], device=lvlm.device)
    cache = DynamicCache()
    seen = _attention(lvlm, {**inputs, "past_key_values": cache, "use_cache": True}, len(prefix))
    prompt = lvlm.family.prompts.build(phrase)
    ids = prompt.ids[len(lvlm.family.prefix_ids) :]
    position = prepared.next_position or len(prefix)
    after = packed_inputs(fork(cache), position, [Suffix(ids)], lvlm.device)
    asked = _attention(lvlm, after, len(ids))
    flow = torch.zeros(len(prefix) + len(ids), device=lvlm.device)
    flow[len(prefix) + prompt.query - len(lvlm.family.prefix_ids)] = 1
    for layer in reversed(range(lvlm.n_layers)):
        before, own = flow[: len(prefix)], flow[len(prefix) :]
        mixed = own @ asked[layer]
        mixed[: len(prefix)] += before @ seen[layer]
        flow = (flow + mixed) / 2
    found = flow[torch.from_numpy(prepared.tokens.positions).to(flow.device)]
    return found.float().cpu().numpy().reshape(prepared.tokens.grid_hw)


def _attention(lvlm: LVLM, inputs: dict[str, Any], queries: int) -> list[Tensor]:
    """Attention (queries, keys) of every layer in a forward, the mean over its heads."""
    request = RowRequest(
        dict.fromkeys(range(lvlm.n_layers)),
        keys=slice(None),
        query=torch.arange(queries)[None],
        stop=False,
    )
    with torch.inference_mode(), capture(request) as rows:
        lvlm.base(**inputs)
    return [rows[layer][0].mean(0) for layer in range(lvlm.n_layers)]


def _cell(vision: Any) -> int:
    """Side of a token in the pixels of the prepared picture."""
    patch = vision.patch_size if isinstance(vision.patch_size, int) else vision.patch_size[0]
    return int(patch) * int(getattr(vision, "spatial_merge_size", 1))


def _ends(network: Any, family: Any) -> set[int]:
    """Tokens that end an answer."""
    given = getattr(getattr(network, "generation_config", None), "eos_token_id", None)
    ends = given if isinstance(given, list) else [given]
    return {int(one) for one in (*ends, family.prompts.tokenizer.eos_token_id) if one is not None}
