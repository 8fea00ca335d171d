"""Rank attention heads by the two criteria of the paper (Kang et al., CVPR 2025, Sec. 4).

`rows` are attention rows over the image tokens only, not renormalised, `(..., L, H, P, Q)` for
`L` layers, `H` heads and a `P` by `Q` token grid. Layers and heads are counted from 0. This module
knows no model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks import check_choice
from ..errors import GroundingError
from ..localize.maps import finite_array
from .criteria import Binarise, attention_sums, bottom_row_focus, elbow, spatial_entropy

Head = tuple[int, int]
Threshold = float | Literal["per-sample"] | None


class RankedHead(NamedTuple):
    """One line of a ranking."""

    layer: int
    head: int
    frequency: float
    mean_sum: float


@dataclass(frozen=True, eq=False)
class HeadRanking:
    """Selection frequency of every head over a set of samples (Sec. 4, Fig. 6a).

    Parameters
    ----------
    frequency : (L, H) float in [0, 1], share of the samples in which the head was selected.
    mean_sums : (L, H) float, attention sums averaged over the samples.
    threshold : the attention sum a head needed (the mean of them for ``"per-sample"``).
    samples : how many samples were measured.
    lowest : how many heads of lowest spatial entropy were selected in each sample.
    skip_layers : how many first layers were left out.
    """

    frequency: NDArray[np.float64]
    mean_sums: NDArray[np.float64]
    threshold: float
    samples: int
    lowest: int = 10
    skip_layers: int = 2

    def __post_init__(self) -> None:
        if np.ndim(self.frequency) != 2 or np.shape(self.frequency) != np.shape(self.mean_sums):
            raise GroundingError(
                f"frequency has shape {np.shape(self.frequency)} and mean_sums "
                f"{np.shape(self.mean_sums)}; expected one (L, H) for both."
            )
        if np.min(self.frequency) < 0 or np.max(self.frequency) > 1:
            raise GroundingError(
                f"frequency runs from {np.min(self.frequency):.4g} to "
                f"{np.max(self.frequency):.4g}; expected shares of the samples in [0, 1]."
            )

    def order(self) -> tuple[RankedHead, ...]:
        """Every head outside the skipped layers, best first.

        By frequency, then the larger mean sum, then the lower index.
        """
        heads = [
            RankedHead(layer, head, float(share), float(self.mean_sums[layer, head]))
            for (layer, head), share in np.ndenumerate(self.frequency)
            if layer >= self.skip_layers
        ]
        return tuple(sorted(heads, key=lambda r: (-r.frequency, -r.mean_sum, r.layer, r.head)))

    def top(self, k: int = 3) -> tuple[Head, ...]:
        """The `k` best heads as (layer, head) pairs; the paper takes 3 (Tab. 4).

        Raises GroundingError for `k` below 1, or more heads than were ever selected.
        """
        ranked = tuple(row for row in self.order() if row.frequency > 0)
        if not 1 <= k <= len(ranked):
            raise GroundingError(
                f"k is {k}, but {len(ranked)} heads are ranked (selected at least once); take "
                f"fewer, lower the threshold ({self.threshold:.4g}) or measure more samples."
            )
        return tuple((row.layer, row.head) for row in ranked[:k])

    def correlation(self, head_ious: ArrayLike, min_frequency: float = 0.01) -> tuple[float, float]:
        """Spearman rho of frequency and pseudo-mask IoU, (L, H), and its p-value (Fig. 6b).

        Only heads with frequency >= `min_frequency` count. NaN where fewer than three do, or where
        either is the same for all of them.
        """
        from scipy.stats import spearmanr  # slow to import and needed by this check alone

        ious = finite_array(head_ious, "head IoUs", axes="(L, H)", ndim=2, exact=True)
        if ious.shape != self.frequency.shape:
            raise GroundingError(
                f"head IoUs have shape {ious.shape}; expected {self.frequency.shape}, one a head."
            )
        counted = self.frequency >= min_frequency
        if counted.sum() < 3 or not (np.ptp(self.frequency[counted]) and np.ptp(ious[counted])):
            return float("nan"), float("nan")
        found = spearmanr(self.frequency[counted], ious[counted])
        return float(found.statistic), float(found.pvalue)


@dataclass(frozen=True, eq=False)
class HeadMeasurements:
    """Both criteria of every head on every sample; ranks under any setting without a new pass.

    Parameters
    ----------
    sums : (N, L, H) float32 attention sums.
    entropies : (N, L, H) float32 spatial entropies in nats, ``inf`` for blank maps.
    """

    sums: NDArray[np.float32]
    entropies: NDArray[np.float32]

    def __post_init__(self) -> None:
        shape = np.shape(self.sums)
        if len(shape) != 3 or 0 in shape or shape != np.shape(self.entropies):
            raise GroundingError(
                f"sums have shape {shape} and entropies {np.shape(self.entropies)}; "
                "expected one (N, L, H) for both, N at least 1."
            )

    def __len__(self) -> int:
        return len(self.sums)

    def subset(self, samples: ArrayLike) -> HeadMeasurements:
        """Measurements of the chosen samples, as for trials or for the effect of N."""
        index = np.asarray(samples)
        return HeadMeasurements(self.sums[index], self.entropies[index])

    def rank(
        self,
        lowest: int = 10,
        skip_layers: int = 2,
        threshold: Threshold = None,
        *,
        by: Literal["entropy", "sum"] = "entropy",
    ) -> HeadRanking:
        """See `rank_heads`; ``by="sum"`` counts a sample's largest sums (Tab. 5)."""
        _check_skipped(skip_layers, self.sums.shape[1])
        if lowest < 1:
            raise GroundingError(f"lowest is {lowest}; expected at least 1 head a sample.")
        mean_sums = self.sums.mean(axis=0, dtype=np.float64)
        admitted, tau = self._admitted(mean_sums, skip_layers, threshold)
        check_choice("by", by, ("entropy", "sum"))
        scores = np.where(admitted, self.entropies if by == "entropy" else -self.sums, np.inf)
        frequency = np.zeros(mean_sums.size)
        for entropy, total in zip(scores, self.sums, strict=True):
            frequency[_lowest(entropy, total, lowest)] += 1
        frequency = (frequency / len(self)).reshape(mean_sums.shape)
        return HeadRanking(frequency, mean_sums, tau, len(self), lowest, skip_layers)

    def ties(
        self, lowest: int = 10, skip_layers: int = 2, threshold: Threshold = None
    ) -> tuple[float, float]:
        """How much the tie rule decides: two shares in [0, 1].

        Of the admitted heads, over the samples, those with entropy exactly 0; and of the samples,
        those in which an admitted head that is not counted ties with the last one counted.
        """
        mean_sums = self.sums.mean(axis=0, dtype=np.float64)
        admitted, _ = self._admitted(mean_sums, skip_layers, threshold)
        inside = np.broadcast_to(admitted, self.entropies.shape)
        scores = np.where(inside, self.entropies, np.inf).reshape(len(self), -1)
        ordered = np.sort(scores, axis=1)
        last = min(lowest, ordered.shape[1] - 1)
        tied = np.isfinite(ordered[:, last]) & (ordered[:, last] == ordered[:, last - 1])
        return float((scores == 0).sum() / max(1, inside.sum())), float(tied.mean())

    def _admitted(
        self, mean_sums: NDArray, skip_layers: int, threshold: Threshold
    ) -> tuple[NDArray[np.bool_], float]:
        """Which heads pass criterion 1, (1 or N, L, H), and the threshold."""
        if threshold == "per-sample":
            taus = np.array([elbow(s[skip_layers:].ravel()) for s in self.sums])
            admitted, tau = self.sums >= taus[:, None, None], float(taus.mean())
        else:
            tau = _threshold(mean_sums[skip_layers:], threshold)
            admitted = (mean_sums >= tau)[None].copy()
        admitted[:, :skip_layers] = False
        return admitted, tau


def measure_heads(samples: Iterable[ArrayLike], *, binarise: Binarise = "mean") -> HeadMeasurements:
    """Attention sums and spatial entropies of every sample, read one at a time.

    Parameters
    ----------
    samples : iterable of (L, H, P, Q) attention rows; the grid may differ between samples.
    binarise : see `spatial_entropy`.

    Raises GroundingError for no sample, a sample of the wrong shape, or L and H that change between
    samples.
    """
    sums: list[NDArray] = []
    entropies: list[NDArray] = []
    for number, rows in enumerate(samples):
        array = np.asarray(rows)
        if array.ndim != 4:
            raise GroundingError(
                f"sample {number} has shape {array.shape}; expected (L, H, P, Q). "
                "Pass an iterable of samples, also when there is only one."
            )
        sums.append(attention_sums(array).astype(np.float32))
        if sums[-1].shape != sums[0].shape:
            raise GroundingError(
                f"sample {number} has (L, H) = {sums[-1].shape} but the first had "
                f"{sums[0].shape}; rank the heads of one model at a time."
            )
        entropies.append(spatial_entropy(array, binarise=binarise).astype(np.float32))
    if not sums:
        raise GroundingError("there are no samples to rank heads by; pass at least one.")
    return HeadMeasurements(np.stack(sums), np.stack(entropies))


def rank_heads(
    rows_iterable: Iterable[ArrayLike],
    lowest: int = 10,
    skip_layers: int = 2,
    threshold: Threshold = None,
    *,
    binarise: Binarise = "mean",
) -> HeadRanking:
    """Rank the heads of a model by how often they attend to one compact region (Sec. 4).

    The threshold needs the mean sums of all samples before any head can be counted, so one pass
    keeps two numbers per head and sample (8 MB for 1,000 samples of 32 by 32 heads) and lets the
    attention rows go. Use `measure_heads` to try several settings on one pass.

    Parameters
    ----------
    rows_iterable : iterable of (L, H, P, Q) attention rows; the grid may differ between samples.
    lowest : how many heads of lowest spatial entropy count as selected in a sample. Ties (many
        heads have one component, entropy 0) go to the larger attention sum of the sample.
    skip_layers : leave this many first layers out, before the curve is drawn.
    threshold : attention sum a head's mean must reach; None takes the elbow of the mean curve,
        ``"per-sample"`` the elbow of each sample's own curve, 0 switches criterion 1 off.
    binarise : see `spatial_entropy`.

    Raises GroundingError as `measure_heads`, or settings out of range.

    Examples
    --------
    >>> rows = np.full((1, 3, 4, 4), 0.01)
    >>> rows[0, 1, 1:3, 1:3] = 0.2
    >>> rows[0, 2, ::2, ::2] = 0.2
    >>> rank_heads([rows], lowest=1, skip_layers=0, threshold=0.5).top(1)
    ((0, 1),)
    """
    return measure_heads(rows_iterable, binarise=binarise).rank(lowest, skip_layers, threshold)


def greedy_heads(
    rows: ArrayLike,
    k: int = 3,
    *,
    skip_layers: int = 2,
    threshold: float | None = None,
    binarise: Binarise = "mean",
    bottom_row_limit: float | None = None,
    public_code: bool = False,
) -> tuple[Head, ...]:
    """Up to `k` heads chosen on one sample alone: the weak arm of Tab. 5, kept for the ablation.

    Parameters
    ----------
    rows : (L, H, P, Q) attention rows of one sample.
    k, skip_layers, binarise : as in `rank_heads`; the public code takes k = 5.
    threshold : attention sum needed in this sample; None takes the elbow of its own curve.
    bottom_row_limit : drop heads by `bottom_row_focus`; the public code uses 0.05.
    public_code : its slips: the elbow is over all layers, the skipped ones too; a map without a
        counted cell has entropy 0 and comes first; ties go to the lower layer, then head.

    Returns (layer, head) pairs of lowest entropy first; where none qualifies, the head of largest
    sum.
    """
    if k < 1:
        raise GroundingError(f"k is {k}; expected at least 1.")
    sums = attention_sums(rows).astype(np.float32)
    blank = 0.0 if public_code else np.inf
    entropies = spatial_entropy(rows, binarise=binarise, blank=blank).astype(np.float32)
    _check_skipped(skip_layers, len(sums))
    tau = _threshold(sums if public_code else sums[skip_layers:], threshold)
    usable = np.ones(sums.shape, dtype=bool)
    usable[:skip_layers] = False
    if bottom_row_limit is not None:
        usable &= ~bottom_row_focus(rows, bottom_row_limit)
    entropy = np.where(usable & (sums >= tau), entropies, np.inf)
    chosen = _lowest(entropy, np.zeros_like(sums) if public_code else sums, k)
    if not chosen.size:
        chosen = np.array([np.argmax(np.where(usable, sums, -1.0))])
    layers, heads = np.unravel_index(chosen, sums.shape)
    return tuple((int(layer), int(head)) for layer, head in zip(layers, heads, strict=True))


def _check_skipped(skip_layers: int, layers: int) -> None:
    if not 0 <= skip_layers < layers:
        raise GroundingError(
            f"skip_layers is {skip_layers} but the rows have {layers} layers; "
            f"expected 0 to {layers - 1}."
        )


def _lowest(entropy: NDArray, sums: NDArray, count: int) -> NDArray[np.intp]:
    """Flat indices of the `count` lowest finite entropies; ties to the larger sum, lower index."""
    order = np.lexsort((-sums.ravel(), entropy.ravel()))[:count]
    return order[np.isfinite(entropy.ravel()[order])]


def _threshold(sums: NDArray, threshold: float | None) -> float:
    """The given attention sum, checked, or the elbow of `sums`."""
    if threshold is None:
        return elbow(sums.ravel())
    try:
        tau = float(threshold)
    except (TypeError, ValueError):
        tau = float("nan")
    if not np.isfinite(tau):
        raise GroundingError(
            f"threshold is {threshold!r}; expected a finite attention sum or None for the elbow."
        )
    return tau


@dataclass(frozen=True)
class LocalizationHeads:
    """The fixed heads of one model and where they come from.

    Parameters
    ----------
    heads : (layer, head) pairs counted from 0, best first; lists (as from JSON) become tuples.
    provenance : their source in words; shown wherever the heads are used.

    Examples
    --------
    >>> list(LocalizationHeads(((14, 24), (14, 13)), "paper, Sec. 5; not re-measured here"))
    [(14, 24), (14, 13)]
    """

    heads: tuple[Head, ...]
    provenance: str

    def __post_init__(self) -> None:
        if not isinstance(self.heads, (tuple, list)):
            raise GroundingError(
                f"heads is {self.heads!r}; expected a list of (layer, head) pairs."
            )
        pairs = tuple(_pair(item) for item in self.heads)
        if not pairs:
            raise GroundingError("heads is empty; expected at least one (layer, head) pair.")
        if len(set(pairs)) < len(pairs):
            raise GroundingError(f"heads {pairs} names a head twice; list each once.")
        if not isinstance(self.provenance, str) or not self.provenance.strip():
            raise GroundingError(
                f"provenance is {self.provenance!r}; say in words where the heads come from."
            )
        object.__setattr__(self, "heads", pairs)

    def __len__(self) -> int:
        return len(self.heads)

    def __iter__(self) -> Iterator[Head]:
        return iter(self.heads)

    def select(self, rows: ArrayLike) -> NDArray:
        """The maps of these heads, (..., k, P, Q), out of rows (..., L, H, P, Q)."""
        array = np.asarray(rows)
        if array.ndim < 4:
            raise GroundingError(f"rows have shape {array.shape}; expected (..., L, H, P, Q).")
        layers, heads = array.shape[-4:-2]
        for layer, head in self.heads:
            if layer >= layers or head >= heads:
                raise GroundingError(
                    f"head L{layer}H{head} is outside the model's {layers} layers of {heads} "
                    "heads (both counted from 0); use heads found on this model."
                )
        return array[..., *np.array(self.heads).T, :, :]


def _pair(item: Any) -> Head:
    """One (layer, head) pair of plain ints."""
    whole = (int, np.integer)
    ok = isinstance(item, (tuple, list)) and len(item) == 2
    if not ok or not all(isinstance(n, whole) and not isinstance(n, bool) and n >= 0 for n in item):
        raise GroundingError(
            f"head {item!r} is not a (layer, head) pair of whole numbers counted from 0."
        )
    return int(item[0]), int(item[1])
