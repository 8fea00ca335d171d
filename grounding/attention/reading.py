"""A picture that an LVLM has read, the phrases packed behind it, and what is read from them.

Several phrases share a single row of tokens: each one's suffix attends to the prefix and to itself,
never to the other suffixes, and its positions count from the prefix. The prefix's keys and values
are shared, not copied per phrase, as a batch would need.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache

from ..errors import GroundingError

if TYPE_CHECKING:
    from ..families.base import Family
    from ..families.geometry import ImageTokens


@dataclass(frozen=True, eq=False)
class EncodedImage:
    """A picture the model has read.

    Parameters
    ----------
    size_wh : The picture's width and height in pixels.
    tokens : Where its tokens are and what part of the picture they cover.
    prefix_ids : The prompt's tokens up to and including the picture.
    cache : Their keys and values, one entry per layer read. Never grown: every use copies it
        shallowly first. Empty where nothing can be read before the phrase is known.
    next_position : Rotary position of the first token after the prefix.
    layers : How many layers have read it; None where each phrase reads it anew.
    features : The vision tower's output, for families that read the whole prompt with every phrase.
    """

    size_wh: tuple[int, int]
    tokens: ImageTokens
    prefix_ids: tuple[int, ...]
    cache: DynamicCache
    next_position: int
    layers: int | None
    features: Mapping[str, Any] | None = None


@dataclass(frozen=True, eq=False)
class Reading:
    """The rows and the presence answer of one phrase.

    Parameters
    ----------
    rows : Attention of the query token over the image tokens, float32, not renormalised: (k, P, Q)
        for k named heads, (L, H, P, Q) for all, None if not requested.
    presence : Probability in [0, 1] that the phrase is in the picture, None if not requested.
    """

    rows: np.ndarray | None
    presence: float | None


@dataclass(frozen=True)
class Presence:
    """The question whether a phrase is in the picture at all.

    Parameters
    ----------
    template : The question, with ``{phrase}``. Without the image placeholder it continues the
        grounding prompt right after the picture; with it, it must open as the grounding prompt
        does.
    yes, no : The answers' first words; several spellings may be given as a tuple. With ``yes=None``
        the probability is ``1 - P(no)``, else ``P(yes) / (P(yes) + P(no))``, at the last token.

    Examples
    --------
    >>> Presence("Is there {phrase} in the image? ASSISTANT:", yes=("Yes", "yes"), no=("No", "no"))
    ... # doctest: +ELLIPSIS
    Presence(template=...)
    """

    template: str = "is there {phrase} ?"
    yes: str | tuple[str, ...] | None = "yes"
    no: str | tuple[str, ...] = "no"

    def __post_init__(self) -> None:
        if self.template.count("{phrase}") != 1:
            raise GroundingError(
                f"presence template {self.template!r} must hold {{phrase}} exactly once, e.g. "
                "'is there {phrase} ?'"
            )
        for name in ("yes", "no"):
            words = getattr(self, name)
            spelled = (words,) if isinstance(words, str) else words
            if spelled is None and name == "yes":
                continue
            if not spelled or not all(isinstance(w, str) and w.strip() for w in spelled):
                raise GroundingError(
                    f"presence answer {name}={words!r}; expected a word or a tuple of words"
                )


@dataclass(frozen=True)
class AnswerTokens:
    """First tokens of the answers to the presence question.

    Token ids that mean yes (empty: everything but no), and no.
    """

    yes: tuple[int, ...]
    no: tuple[int, ...]

    @classmethod
    def of(cls, family: Family, presence: Presence) -> AnswerTokens:
        """Look the answers up in the family's tokenizer.

        Raises GroundingError when a word is unknown to it, or yes and no begin alike.
        """

        def ids(words: str | tuple[str, ...] | None) -> tuple[int, ...]:
            spelled = (words,) if isinstance(words, str) else words or ()
            return tuple(sorted({family.prompts.answer_id(w, presence.template) for w in spelled}))

        yes, no = ids(presence.yes), ids(presence.no)
        if set(yes) & set(no):
            raise GroundingError(
                f"presence answers yes={presence.yes!r} and no={presence.no!r} begin with the "
                "same token; choose words that differ from the start"
            )
        return cls(yes, no)

    def scores(self, logits: Tensor) -> list[float]:
        """Presence in [0, 1] from next-token logits, (n, vocabulary) float32."""
        no = torch.logsumexp(logits[:, list(self.no)], dim=-1)
        if not self.yes:
            absent = no - torch.logsumexp(logits, dim=-1)
            return (-torch.expm1(absent)).clamp(0, 1).tolist()
        # The ratio of two probabilities from their logits: exact even where both are tiny.
        yes = torch.logsumexp(logits[:, list(self.yes)], dim=-1)
        return torch.sigmoid(yes - no).tolist()


@dataclass(frozen=True)
class HeadSelection:
    """Some heads of a model, or all of them.

    Parameters
    ----------
    pairs : (layer, head), 0-based, in the wanted order; None = every head of every layer.
    n_layers, n_heads : The model's numbers of layers, and of heads per layer.

    Examples
    --------
    >>> HeadSelection(((2, 3), (0, 1), (2, 0)), 4, 4).by_layer
    {0: [1], 2: [0, 3]}
    """

    pairs: tuple[tuple[int, int], ...] | None
    n_layers: int
    n_heads: int

    @classmethod
    def of(
        cls, heads: Iterable[tuple[int, int]] | None, n_layers: int, n_heads: int
    ) -> HeadSelection:
        """Check heads as a caller passes them: (layer, head) pairs that the model has, or None."""
        if heads is None:
            return cls(None, n_layers, n_heads)
        try:
            pairs = tuple((int(layer), int(head)) for layer, head in heads)
        except (TypeError, ValueError) as error:
            raise GroundingError(
                f"heads is {heads!r}; expected (layer, head) pairs, e.g. [(14, 24), (14, 13)]"
            ) from error
        if not pairs:
            raise GroundingError("heads is empty; give at least one (layer, head) pair, or None")
        for layer, head in pairs:
            if not (0 <= layer < n_layers and 0 <= head < n_heads):
                raise GroundingError(
                    f"head ({layer}, {head}) is not in the loaded model, which has layers 0 to "
                    f"{n_layers - 1} with heads 0 to {n_heads - 1}; numbers are 0-based"
                )
        return cls(pairs, n_layers, n_heads)

    @property
    def deepest(self) -> int:
        """The deepest selected layer, 0-based."""
        return self.n_layers - 1 if self.pairs is None else max(layer for layer, _ in self.pairs)

    @cached_property
    def by_layer(self) -> dict[int, list[int] | None]:
        """Layer -> its selected heads in order, or None for all of them."""
        if self.pairs is None:
            return dict.fromkeys(range(self.n_layers))
        layers = sorted({layer for layer, _ in self.pairs})
        return {i: sorted({h for layer, h in self.pairs if layer == i}) for i in layers}

    def maps(self, rows: Mapping[int, Tensor], grid_hw: tuple[int, int]) -> list[np.ndarray]:
        """Captured rows as maps on the grid, heads in the selected order.

        `rows` holds (1, heads, R, P * Q) for each layer, as `capture` leaves them for `by_layer`.

        Returns R arrays, (k, P, Q) float32, or (L, H, P, Q) for all heads.
        """
        arrays = {layer: r[0].cpu().numpy() for layer, r in rows.items()}
        if self.pairs is None:
            stack = np.stack([arrays[layer] for layer in range(self.n_layers)])
        else:
            order = self.by_layer
            stack = np.stack([arrays[i][(order[i] or []).index(h)] for i, h in self.pairs])
        folded = stack.reshape(*stack.shape[:-1], *grid_hw)
        return [np.ascontiguousarray(folded[..., r, :, :]) for r in range(folded.shape[-3])]


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

    `text` has its white space as given; `offsets` and `spans` are half-open, those of the tokens in
    the text with single spaces.

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
