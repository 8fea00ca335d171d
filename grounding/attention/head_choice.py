"""Which heads' rows are wanted of a model, and how what it leaves behind is put in that order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ..errors import GroundingError

__all__ = ["HeadChoice"]

Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class HeadChoice:
    """Some heads of a model, or all of them.

    Parameters
    ----------
    pairs
        (layer, head), 0-based, in the order wanted; None = every head of every layer.
    n_layers, n_heads
        What the model has.

    Raises
    ------
    GroundingError
        For no pair, or one that the model lacks.

    Examples
    --------
    >>> HeadChoice(((2, 3), (0, 1), (2, 0)), 4, 4).by_layer
    {0: [1], 2: [0, 3]}
    """

    pairs: Pairs | None
    n_layers: int
    n_heads: int

    def __post_init__(self) -> None:
        if self.pairs is None:
            return
        if not self.pairs:
            raise GroundingError("heads is empty; give at least one (layer, head) pair, or None")
        for layer, head in self.pairs:
            if not (0 <= layer < self.n_layers and 0 <= head < self.n_heads):
                raise GroundingError(
                    f"head ({layer}, {head}) is not in the loaded model, which has layers 0 to "
                    f"{self.n_layers - 1} with heads 0 to {self.n_heads - 1}; numbers are 0-based"
                )

    @classmethod
    def of(cls, heads: Iterable[tuple[int, int]] | None, n_layers: int, n_heads: int) -> HeadChoice:
        """Heads as a caller gives them.

        Raises
        ------
        GroundingError
            For anything but pairs of numbers that the model has.
        """
        if heads is None:
            return cls(None, n_layers, n_heads)
        try:
            pairs = tuple((int(layer), int(head)) for layer, head in heads)
        except (TypeError, ValueError) as error:
            raise GroundingError(
                f"heads is {heads!r}; expected (layer, head) pairs, e.g. [(14, 24), (14, 13)]"
            ) from error
        return cls(pairs, n_layers, n_heads)

    @property
    def deepest(self) -> int:
        """The deepest layer wanted, 0-based."""
        return self.n_layers - 1 if self.pairs is None else max(layer for layer, _ in self.pairs)

    @property
    def by_layer(self) -> dict[int, list[int] | None]:
        """Layer -> its heads in order, or None for all of them."""
        if self.pairs is None:
            return dict.fromkeys(range(self.n_layers))
        layers = sorted({layer for layer, _ in self.pairs})
        return {i: sorted({h for layer, h in self.pairs if layer == i}) for i in layers}

    def maps(self, rows: Mapping[int, Tensor], grid_hw: tuple[int, int]) -> list[np.ndarray]:
        """Rows as captured -> per query its maps on the grid, heads in the order asked for.

        Parameters
        ----------
        rows
            Layer -> (1, heads, R, P * Q), as `capture` leaves them for `by_layer`.
        grid_hw
            P and Q.

        Returns
        -------
        list of ndarray
            R of them: (k, P, Q) float32, or (L, H, P, Q) for all heads.
        """
        arrays = {layer: r[0].cpu().numpy() for layer, r in rows.items()}
        if self.pairs is None:
            stack = np.stack([arrays[layer] for layer in range(self.n_layers)])
        else:
            order = self.by_layer
            stack = np.stack([arrays[i][(order[i] or []).index(h)] for i, h in self.pairs])
        folded = stack.reshape(*stack.shape[:-1], *grid_hw)
        return [np.ascontiguousarray(folded[..., r, :, :]) for r in range(folded.shape[-3])]
