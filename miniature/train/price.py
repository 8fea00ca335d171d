"""A penalty on attention to the picture, so that heads that do not need the picture ignore it.

In so small a model nearly every head would give nearly all of its attention to the picture, needed
or not, and the first criterion of head discovery (the attention sum) would separate nothing. Large
models learn from much text to attend to their first tokens (attention sinks); here every unit of
attention from a word to the picture adds a little to the loss. The penalty does not depend on
*where* in the picture the attention lies.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NAME = "sdpa_with_price"


class Ledger:
    """What attention of one forward pass went to the keys marked in ``flags`` ``(S,)``."""

    def __init__(self, flags: Tensor) -> None:
        self.flags = flags
        self.paid: list[Tensor] = []

    def mean(self, words: Tensor) -> Tensor:
        """Mean attention sum over layers and heads of the word positions ``words`` ``(B, T)``
        bool, which are the last T queries."""
        late = torch.stack(self.paid)[..., -words.shape[1] :]  # (L, B, H, T)
        return (late * words[:, None]).sum() / (words.sum() * late.shape[0] * late.shape[2])


_open: list[Ledger] = []


@contextmanager
def priced(language_model: nn.Module, flags: Tensor) -> Iterator[Ledger]:
    """Record what the language model's heads pay to the flagged keys inside the block."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, _attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    config: Any = language_model.config
    before, config._attn_implementation = config._attn_implementation, NAME
    ledger = Ledger(flags)
    _open.append(ledger)
    try:
        yield ledger
    finally:
        _open.pop()
        config._attn_implementation = before


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    scaling: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """SDPA with one more value column that is 1 on flagged keys: its output is their share."""
    ledger = _open[-1]
    flags = ledger.flags.to(value.dtype)[:, None].expand(*value.shape[:-1], 1)
    out = F.scaled_dot_product_attention(
        F.pad(query, (0, 1)),
        F.pad(key, (0, 1)),
        torch.cat([value, flags], -1),
        attn_mask=mask,
        scale=scaling,
    )
    ledger.paid.append(out[..., -1])
    return out[..., :-1].transpose(1, 2).contiguous(), None
