"""From proposals and the model's answers to a status, a score and a sentence that explains both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from .maps import peaks
from .proposals import Proposal

if TYPE_CHECKING:
    from ..pipeline import GroundingSettings
    from .ambiguity import SecondLook

__all__ = ["apart", "judge", "scores_of"]

_ASK = "add a colour, side or neighbour, or take a candidate"


def judge(
    settings: GroundingSettings,
    ranked: Sequence[Proposal],
    scores: Sequence[float],
    presence: float | None,
    rows: np.ndarray,
    again: SecondLook | None = None,
) -> tuple[str, str]:
    """Status and the sentence that explains it.

    Parameters
    ----------
    settings
        Its thresholds.
    ranked, scores
        The proposals, best first, and their :func:`scores_of`.
    presence
        The model's answer; None where it was not asked.
    rows
        (k, P, Q) head maps.
    again
        What a second look found; None where there was none, and the map's own rivals are all there
        is to go by.
    """
    if presence is not None and presence < settings.absent_below:
        return "absent", (
            f"the model answers that it is not there (presence {presence:.2f}, needed "
            f"{settings.absent_below:.2f}); check the words, or take a candidate"
        )
    if not ranked:
        return "absent", "no mask agrees with where the model looks; name the thing in other words"
    if again and again.others:
        many = "" if again.complete and not again.beside else "at least "
        return "ambiguous", f"{many}{1 + len(again.others)} places fit; {_ASK}"
    if again and again.beside:
        return "uncertain", (
            "it is still seen beside its mask, which may hold a part of it or parts of two; check "
            "the mask before painting"
        )
    near = 1 if again else _places(ranked, settings.ambiguous_above)
    if near > 1:
        return "ambiguous", f"{near} places fit nearly as well; {_ASK}"
    if scores[0] < settings.uncertain_below:
        spread = _spread(rows)
        why = "its heads look at different places" if spread > 0.25 else "the map is diffuse"
        return "uncertain", f"score {scores[0]:.2f}: {why}; check the mask before painting"
    return "found", f"score {scores[0]:.2f}: its heads and the segmenter agree"


def scores_of(
    ranked: Sequence[Proposal], heat: np.ndarray, presence: float | None
) -> tuple[float, ...]:
    """Geometric mean of presence, the map's weight on the mask, and SAM's score; of each proposal.

    Parameters
    ----------
    ranked
        Masks of one size, (h, w).
    heat
        (H, W) map over the picture.
    presence
        The model's answer; None leaves it out.
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


def apart(a: Proposal, b: Proposal) -> bool:
    """Whether two masks are different places: little of the smaller one lies in the other."""
    common = (a.mask & b.mask).sum()
    return bool(common < 0.3 * max(1, min(a.mask.sum(), b.mask.sum())))


def _places(ranked: Sequence[Proposal], share: float) -> int:
    """How many different places the proposals have that rank above a share of the best one."""
    places: list[Proposal] = []
    for p in ranked:
        near = not places or p.rank_value > share * ranked[0].rank_value
        if near and all(apart(p, place) for place in places):
            places.append(p)
    return len(places)


def _spread(rows: np.ndarray) -> float:
    """Mean distance of the heads' peaks from their middle, as a share of the grid's side."""
    tops = np.array([(peaks(row, 1).tolist() or [[0, 0]])[0] for row in rows], float)
    return float(np.linalg.norm(tops - tops.mean(0), axis=1).mean() / max(rows.shape[-2:]))
