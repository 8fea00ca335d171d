"""A price on attention to the picture, so that heads which do not need it look elsewhere.

In so small a model nearly every head would give nearly all of its attention to the picture, needed
or not, and the first criterion of head discovery (the attention sum) could tell nothing. Large
models learn to rest on their first tokens from years of text; here every unit of attention a word
pays to the picture costs a little loss. It says nothing about *where* in the picture to look.
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
