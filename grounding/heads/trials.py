"""Rank heads over trials, and measure how stable the choice is (Sec. 4, Figs. 6, 13 and 14)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from types import EllipsisType

import numpy as np
from numpy.typing import NDArray

from ..errors import GroundingError
from .discovery import DiscoverySettings
from .measured_pairs import MeasuredPairs
from .ranking import Head, HeadRanking, Threshold


@dataclass(frozen=True, eq=False)
class HeadDiscovery:
    """Rankings of a model's heads over trials (Sec. 4, Fig. 6)."""

    measured: MeasuredPairs
    settings: DiscoverySettings

    @cached_property
    def trials(self) -> tuple[HeadRanking, ...]:
        """The ranking of each trial.

        Raises GroundingError when the threshold has no elbow or the settings do not fit the model.
        """
        indices = trial_indices(len(self.measured), self.settings)
        return tuple(self.rank(index) for index in indices)

    def rank(
        self,
        index: NDArray[np.intp] | Sequence[int] | None = None,
        threshold: Threshold | EllipsisType = ...,
    ) -> HeadRanking:
        """The ranking of some of the pairs (all by default), at the settings' or another tau."""
        heads = self.measured.heads if index is None else self.measured.heads.subset(index)
        tau = self.settings.threshold if isinstance(threshold, EllipsisType) else threshold
        return heads.rank(self.settings.lowest, self.settings.skip_layers, tau)

    @cached_property
    def ranking(self) -> HeadRanking:
        """The mean over the trials, by which heads are chosen."""
        frequency = np.mean([trial.frequency for trial in self.trials], axis=0)
        sums = np.mean([trial.mean_sums for trial in self.trials], axis=0)
        tau = float(np.mean([trial.threshold for trial in self.trials]))
        samples = self.trials[0].samples
        return HeadRanking(
            frequency, sums, tau, samples, self.settings.lowest, self.settings.skip_layers
        )

    @cached_property
    def deviation(self) -> NDArray[np.float64]:
        """(L, H) standard deviation of the frequency over the trials."""
        return np.std([trial.frequency for trial in self.trials], axis=0)

    @cached_property
    def heads(self) -> tuple[Head, ...]:
        """The localization heads: the most frequent ones.

        Raises GroundingError when fewer heads were ever selected than requested.
        """
        return self.ranking.top(self.settings.heads)

    @property
    def agreement(self) -> tuple[float, float] | None:
        """Spearman rho of frequency and IoU (Fig. 6b) and its p-value; None without masks."""
        ious = self.measured.mean_ious
        return None if ious is None else self.ranking.correlation(ious)

    @property
    def same_in_trials(self) -> int:
        """In how many trials the same heads come first."""
        return sum(self.first_of(trial) == set(self.heads) for trial in self.trials)

    def first_of(self, ranking: HeadRanking) -> set[Head]:
        """The heads that a ranking would choose; none where it ranks too few."""
        try:
            return set(ranking.top(self.settings.heads))
        except GroundingError:
            return set()

    def over_tau(self, taus: Sequence[float]) -> list[tuple[float, HeadRanking]]:
        """(tau, ranking) under other thresholds (Fig. 13)."""
        return [(float(tau), self.rank(threshold=float(tau))) for tau in taus]

    def over_samples(self, counts: Sequence[int]) -> list[tuple[int, float, float]]:
        """(N, mean, deviation) of how many chosen heads come first with N pairs."""
        rng, out = np.random.default_rng([self.settings.seed, 2]), []
        for count in counts:
            kept = []
            for _ in range(max(5, self.settings.trials)):
                index = rng.choice(len(self.measured), count, replace=False)
                try:
                    kept.append(self.kept(self.rank(index))[0])
                except GroundingError:  # so few pairs may have no elbow
                    kept.append(0)
            out.append((int(count), float(np.mean(kept)), float(np.std(kept))))
        return out

    def over_lowest(self, counts: Sequence[int]) -> list[tuple[int, HeadRanking]]:
        """(N, ranking) with N heads of lowest entropy counted in a pair (Fig. 14)."""
        heads, settings = self.measured.heads, self.settings
        return [(n, heads.rank(n, settings.skip_layers, settings.threshold)) for n in counts]

    @property
    def lowest_share(self) -> float:
        """N, the heads counted in a sample, as a share of all; the paper's 10 of 1,024 is 1%."""
        return self.settings.lowest / self.ranking.frequency.size

    @cached_property
    def ties(self) -> tuple[float, float]:
        """See `HeadMeasurements.ties`."""
        settings = self.settings
        return self.measured.heads.ties(settings.lowest, settings.skip_layers, settings.threshold)

    def kept(self, ranking: HeadRanking) -> tuple[int, float | None]:
        """How many of the chosen heads come first in another ranking, and its heads' mean IoU."""
        top, ious = self.first_of(ranking), self.measured.mean_ious
        mean = None if ious is None or not top else float(np.mean([ious[h] for h in top]))
        return len(top & set(self.heads)), mean

    def table(self, limit: int = 10) -> str:
        """The ranking as Markdown: frequency as mean and deviation over the trials."""
        ious, contrast = self.measured.mean_ious, self.settings.criterion == "contrast"
        lines = [
            "| rank | head | frequency | "
            + ("mean contrast" if contrast else "mean attention sum")
            + " |"
            + (" IoU |" if ious is not None else ""),
            "|---|---|---|---|" + ("---|" if ious is not None else ""),
        ]
        for rank, row in enumerate(self.ranking.order()[:limit], start=1):
            spread = self.deviation[row.layer, row.head]
            line = (
                f"| {rank} | L{row.layer}H{row.head} | {row.frequency:.3f} ± {spread:.3f} | "
                f"{row.mean_sum:.3f} |"
            )
            lines.append(line + (f" {ious[row.layer, row.head]:.3f} |" if ious is not None else ""))
        return "\n".join(lines)


def trial_indices(count: int, settings: DiscoverySettings) -> list[NDArray[np.intp]]:
    """Numbers of each trial's pairs: disjoint if there are enough, else shared or resampled.

    Examples
    --------
    >>> [t.tolist() for t in trial_indices(4, DiscoverySettings(samples=2, trials=2))]
    [[0, 1], [2, 3]]
    """
    size = min(settings.samples, count)
    if count >= settings.samples * settings.trials:
        return [np.arange(t * size, (t + 1) * size) for t in range(settings.trials)]
    rng = np.random.default_rng([settings.seed, 1])
    whole = size == count
    if whole and settings.trials == 1:
        return [np.arange(count)]
    return [rng.choice(count, size, replace=whole) for _ in range(settings.trials)]
