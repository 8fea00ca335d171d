"""Several phrases after one cached picture, packed into a single row of tokens.

Each phrase's suffix attends to the prefix and to itself, never to the other suffixes, and its
positions count from the prefix. The prefix's keys and values are shared, not copied per phrase, as
a batch would need.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache

from ..errors import GroundingError
from .types import EncodedImage


@dataclass
class Suffix:
    """The tokens of one prompt after the prefix, and what to read from them.

    Parameters
    ----------
    ids : Token ids, at least one.
    query : Position in `ids` of the token with the wanted attention row, or None.
    answer : Whether the next-token logits after the last one are wanted.
    """

    ids: tuple[int, ...]
    query: int | None = None
    answer: bool = False


def chunks(suffixes: Sequence[Suffix], limit: int) -> list[list[Suffix]]:
    """Consecutive runs of suffixes of at most `limit` tokens together (or one longer suffix)."""
    runs: list[list[Suffix]] = []
    size = 0
    for suffix in suffixes:
        size += len(suffix.ids)
        if runs and size <= limit:
            runs[-1].append(suffix)
        else:
            runs.append([suffix])
            size = len(suffix.ids)
    return runs


def suffix_inputs(
    encoded: EncodedImage, suffixes: Sequence[Suffix], device: torch.device
) -> dict[str, Any]:
    """Forward arguments for suffixes after a picture: packed, or one whole prompt."""
    if encoded.features is None:
        return packed_inputs(encoded.cache, encoded.next_position, suffixes, device)
    (suffix,) = suffixes  # a family that reads the whole prompt with every phrase packs nothing
    ids = torch.tensor([suffix.ids], device=device)
    return {
        "input_ids": ids,
        "past_key_values": DynamicCache(),
        "use_cache": True,
        "mm_encoder_outputs": dict(encoded.features),
        # All of it is the prefix of a prefix language model: every token sees every other.
        "token_type_ids": torch.zeros_like(ids),
    }


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
    """Forward arguments for suffixes laid end to end over a fork of `cache` (batch of one).

    `position` is the rotary position of the first token after the prefix: its length in tokens,
    except for families that count pictures otherwise. A single suffix needs no mask of its own.
    """
    inputs: dict[str, Any] = {
        "input_ids": torch.tensor([[i for s in suffixes for i in s.ids]], device=device),
        "past_key_values": fork(cache),
        "use_cache": True,
    }
    offset = torch.cat([torch.arange(len(s.ids), device=device) for s in suffixes])
    inputs["position_ids"] = (position + offset)[None]
    if len(suffixes) == 1:
        return inputs
    lengths = torch.tensor([len(s.ids) for s in suffixes], device=device)
    owner = torch.repeat_interleave(torch.arange(len(suffixes), device=device), lengths)
    own = (owner[:, None] == owner).tril()
    seen = torch.ones(len(owner), cache.get_seq_length(), dtype=torch.bool, device=device)
    inputs["attention_mask"] = torch.cat([seen, own], dim=1)[None, None]
    return inputs


def span_tokens(
    text: str, offsets: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int]]
) -> list[list[int]]:
    """Which of a text's tokens cover some of the characters of each span.

    Parameters
    ----------
    text : As given, white space included.
    offsets : Half-open offsets of its tokens in the text with single spaces.
    spans : Half-open offsets in `text`.

    Raises GroundingError for a span that is not in the text, or without a token.

    Examples
    --------
    >>> span_tokens("a  red dog", [(0, 1), (2, 5), (6, 9)], [(3, 6), (3, 10)])
    [[1], [1, 2]]
    """
    places, at, blank = [], -1, True
    for c in text:
        at += 0 if c.isspace() and blank else 1
        blank = c.isspace()
        places.append(max(at, 0))
    found = []
    for start, stop in spans:
        if not 0 <= start < stop <= len(text):
            raise GroundingError(
                f"span ({start}, {stop}) given; expected half-open offsets in a text of "
                f"{len(text)} characters"
            )
        first, last = places[start], places[stop - 1] + 1
        inside = [k for k, (a, b) in enumerate(offsets) if a < last and b > first and b > a]
        if not inside:
            raise GroundingError(f"the tokenizer has no token for {text[start:stop]!r}")
        found.append(inside)
    return found
