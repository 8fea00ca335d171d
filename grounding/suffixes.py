"""Several short continuations of one cached prefix in a single row.

Each continuation sees the prefix and itself, never its neighbours, and counts its positions as
though it stood alone. The prefix's keys and values are shared, not copied per continuation, as a
batch would need.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache

__all__ = ["Suffix", "chunks", "fork", "packed_inputs"]


@dataclass
class Suffix:
    """The tokens of one prompt after the prefix, and what is wanted of them.

    Parameters
    ----------
    ids
        Token ids, at least one.
    query
        Position in `ids` whose attention row is wanted, or None.
    answer
        Whether the next-token logits after the last one are wanted.
    """

    ids: tuple[int, ...]
    query: int | None = None
    answer: bool = False


def chunks(suffixes: Sequence[Suffix], limit: int) -> Iterator[list[Suffix]]:
    """Consecutive runs of suffixes of at most `limit` tokens together (or one longer suffix)."""
    chunk: list[Suffix] = []
    size = 0
    for suffix in suffixes:
        if chunk and size + len(suffix.ids) > limit:
            yield chunk
            chunk, size = [], 0
        chunk.append(suffix)
        size += len(suffix.ids)
    if chunk:
        yield chunk


def fork(cache: DynamicCache) -> DynamicCache:
    """A cache that starts as `cache` and may grow without touching it.

    Layers are copied shallowly: they grow by concatenation into new tensors, so the prefix's own
    are only read.
    """
    new = DynamicCache()
    new.layers = [copy.copy(layer) for layer in cache.layers]
    return new


def packed_inputs(
    cache: DynamicCache, position: int, suffixes: Sequence[Suffix], device: torch.device
) -> dict[str, Any]:
    """Forward arguments for suffixes laid end to end over a fork of `cache`.

    Parameters
    ----------
    cache
        Keys and values of the prefix, batch of one.
    position
        Rotary position of the first token after it: its length in tokens, but for families that
        count pictures otherwise.
    suffixes
        At least one. A single one needs no mask of its own.
    device
        Where the model is.
    """
    inputs: dict[str, Any] = {
        "input_ids": torch.tensor([[i for s in suffixes for i in s.ids]], device=device),
        "past_key_values": fork(cache),
        "use_cache": True,
    }
    place = torch.cat([torch.arange(len(s.ids), device=device) for s in suffixes])
    inputs["position_ids"] = (position + place)[None]
    if len(suffixes) == 1:
        return inputs
    lengths = torch.tensor([len(s.ids) for s in suffixes], device=device)
    owner = torch.repeat_interleave(torch.arange(len(suffixes), device=device), lengths)
    own = (owner[:, None] == owner).tril()
    seen = torch.ones(len(owner), cache.get_seq_length(), dtype=torch.bool, device=device)
    inputs["attention_mask"] = torch.cat([seen, own], dim=1)[None, None]
    return inputs
