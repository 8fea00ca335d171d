"""A picture that an LVLM has read, the heads to read from it, and the result for one phrase."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import GroundingError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import DynamicCache

    from ..families.tokens import ImageTokens


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
    features : The vision tower's output, for families that read the whole prompt with every phrase.
    """

    size_wh: tuple[int, int]
    tokens: ImageTokens
    prefix_ids: tuple[int, ...]
    cache: DynamicCache
    next_position: int
    features: Mapping[str, Any] | None = None

    @property
    def layers(self) -> int | None:
        """How many layers have read the picture; None where each phrase reads it anew."""
        return None if self.features is not None else len(self.cache.layers)


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

    @property
    def by_layer(self) -> dict[int, list[int] | None]:
        """Layer -> its selected heads in order, or None for all of them."""
        if self.pairs is None:
            return dict.fromkeys(range(self.n_layers))
        layers = sorted({layer for layer, _ in self.pairs})
        return {i: sorted({h for layer, h in self.pairs if layer == i}) for i in layers}

    def maps(self, rows: Mapping[int, Tensor], grid_hw: tuple[int, int]) -> list[np.ndarray]:
        """Captured rows as maps on the grid, heads in the selected order.

        Parameters
        ----------
        rows : Layer -> (1, heads, R, P * Q), as `capture` leaves them for `by_layer`.
        grid_hw : P and Q.

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
