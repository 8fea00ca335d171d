"""From proposals and the model's answers to a status, a score and a reason for both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..settings import GroundingSettings
from .maps import peaks
from .proposals import Proposal

_SEPARATE = 0.3  # two objects share less than this of the smaller mask
_SPREAD = 0.25  # of the grid's side: heads with peaks further apart point at different places
_REMEDY = "add a colour, side or neighbour, or take a candidate"


@dataclass(frozen=True, eq=False)
class OtherMatches:
    """What a phrase matches once the best match is covered.

    Attributes
    ----------
    matches : Proposals separate from it, in the order in which they were found, with their scores.
    beside : It was also seen next to or over a covered mask: that mask may hold a part of the
        object, or parts of two.
    complete : With all of these covered, the model answered that there are no more.
    """

    matches: tuple[tuple[Proposal, float], ...]
    beside: bool = False
    complete: bool = True


def decide_status(
    settings: GroundingSettings,
    ranked: Sequence[Proposal],
    scores: Sequence[float],
    presence: float | None,
    rows: np.ndarray,
    others: OtherMatches | None = None,
) -> tuple[str, str]:
    """Status and the reason for it.

    Parameters
    ----------
    settings : Its thresholds.
    ranked, scores : The proposals, best first, and their :func:`proposal_scores`.
    presence : The model's answer; None without a presence question.
    rows : (k, P, Q) head maps.
    others : Matches found with the best one covered; None where there was no such search, and
        rivals are counted on the map alone.
    """
    if presence is not None and presence < settings.absent_below:
        return "absent", (
            f"the model answers that it is not there (presence {presence:.2f}, needed "
            f"{settings.absent_below:.2f}); check the words, or take a candidate"
        )
    if not ranked:
        return "absent", "no mask agrees with where the model looks; name the thing in other words"
    if others and others.matches:
        many = "" if others.complete and not others.beside else "at least "
        return "ambiguous", f"{many}{1 + len(others.matches)} places fit; {_REMEDY}"
    if others and others.beside:
        return "uncertain", (
            "it is still seen beside its mask, which may hold a part of it or parts of two; check "
            "the mask before painting"
        )
    near = 1 if others else _count_rivals(ranked, settings.ambiguous_above)
    if near > 1:
        return "ambiguous", f"{near} places fit nearly as well; {_REMEDY}"
    if scores[0] < settings.uncertain_below:
        spread = _peak_spread(rows)
        why = "its heads look at different places" if spread > _SPREAD else "the map is diffuse"
        return "uncertain", f"score {scores[0]:.2f}: {why}; check the mask before painting"
    return "found", f"score {scores[0]:.2f}: its heads and the segmenter agree"


def proposal_scores(
    ranked: Sequence[Proposal], heat: np.ndarray, presence: float | None
) -> tuple[float, ...]:
    """Geometric mean of presence, the map's weight on the mask and SAM's score, per proposal.

    Parameters
    ----------
    ranked : With masks of one size, (h, w).
    heat : (H, W) map over the picture.
    presence : The model's answer; None leaves it out.
    """
    if not ranked:
        return ()
    size = ranked[0].mask.shape
    if heat.shape != size:
        heat = cv2.resize(heat, size[::-1], interpolation=cv2.INTER_AREA)
    above = np.clip(heat - heat.mean(), 0, None)
    total = max(float(above.sum()), 1e-12)
    rest = [] if presence is None else [presence]

    def score(proposal: Proposal) -> float:
        share = float(above[proposal.mask].sum() / total)
        parts = [min(1.0, 2 * share), float(np.clip(proposal.score, 0, 1)), *rest]
        return float(np.prod(parts) ** (1 / len(parts)))

    return tuple(map(score, ranked))


def are_separate(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> bool:
    """Whether two masks are different objects: they share little of the smaller one."""
    return bool((a & b).sum() < _SEPARATE * max(1, min(a.sum(), b.sum())))


def _count_rivals(ranked: Sequence[Proposal], share: float) -> int:
    """How many separate masks rank above a share of the best one's rank value."""
    kept: list[Proposal] = []
    for one in ranked:
        near = not kept or one.rank_value > share * ranked[0].rank_value
        if near and all(are_separate(one.mask, other.mask) for other in kept):
            kept.append(one)
    return len(kept)


def _peak_spread(rows: np.ndarray) -> float:
    """Mean distance of the heads' peaks from their mean, as a share of the grid's longer side."""
    tops = np.array([(peaks(row, 1).tolist() or [[0, 0]])[0] for row in rows], float)
    return float(np.linalg.norm(tops - tops.mean(0), axis=1).mean() / max(rows.shape[-2:]))
