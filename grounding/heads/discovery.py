"""Discover localization heads without labels: which pairs are measured, and what is measured.

Kang et al., CVPR 2025, Sec. 4. Image-phrase pairs are drawn for all trials; every head's row for
each pair gives the two criteria. Rankings are in `grounding.heads.trials`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ..checks import check_choice, check_names
from ..errors import GroundingError
from ..families.prompts import QUERY_MODES
from ..localize.boxes import cells_on_picture
from .criteria import BINARISE, Binarise, attention_sums, phrase_contrast, spatial_entropy
from .ranking import Threshold

if TYPE_CHECKING:
    from ..attention.model import LVLM
    from ..attention.reading import EncodedImage

CRITERIA = ("sum", "contrast")
_PAIRS_AT_ONCE = 8
"""Pairs of one picture in one forward: every head's rows of a pair are 2.4 MB in LLaVA-1.5-7B."""

Values = dict[str, NDArray]
"""Of one pair: ``sums``, ``entropies`` and ``ious``, each (L, H)."""
TrueMask = Callable[[Any, tuple[int, int]], NDArray[np.bool_] | None]
"""(item, (width, height)) -> its true mask (H, W), or None if unknown."""


@dataclass(frozen=True)
class DiscoverySettings:
    """How a model's heads are measured, ranked and chosen (Kang et al., CVPR 2025, Sec. 4).

    Parameters
    ----------
    samples, trials : Image-phrase pairs per trial, and trials; the paper has 1,000 and 5. With
        fewer pairs than all trials together need, trials share pairs; with fewer than one needs,
        each trial is a bootstrap resample of all.
    threshold : tau: the attention sum that a head's mean must reach. None takes the elbow of the
        mean curve, ``"per-sample"`` each sample's own elbow, 0 switches the criterion off.
    lowest : How many heads of lowest spatial entropy count as selected in a sample.
    skip_layers : How many first layers are left out, before the curve is drawn.
    heads : How many heads to choose: the paper's k = 3.
    criterion : ``"sum"``, the paper's, or ``"contrast"``: how much a head's row changes between two
        phrases about one picture, for models so small that every head attends to the picture.
    binarise : Cells that count for the entropy: above the ``"mean"``, or as the ``"public-code"``
        has it.
    cells : Cells that count for the entropy and the IoU: those on the ``"picture"``, or ``"all"``,
        its padding too.
    query, padding : The query token and the treatment of the picture's shape; None = the preset's.
    seed : Same seed, same pairs.
    """

    samples: int = 1000
    trials: int = 5
    threshold: Threshold = None
    lowest: int = 10
    skip_layers: int = 2
    heads: int = 3
    criterion: Literal["sum", "contrast"] = "sum"
    binarise: Binarise = "mean"
    cells: Literal["picture", "all"] = "picture"
    query: str | None = None
    padding: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"samples": 1, "trials": 1, "lowest": 1, "heads": 1, "skip_layers": 0, "seed": 0}
        for name, low in least.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < low:
                raise GroundingError(
                    f"calibration's {name} is {value!r}; expected a whole number from {low}"
                )
        check_choice("calibration's criterion", self.criterion, CRITERIA)
        check_choice("calibration's binarise", self.binarise, BINARISE)
        check_choice("calibration's cells", self.cells, ("picture", "all"))
        if self.query is not None:
            check_choice("calibration's query", self.query, QUERY_MODES)
        number = isinstance(self.threshold, (int, float)) and not isinstance(self.threshold, bool)
        if self.threshold not in (None, "per-sample") and not (
            number and 0 <= float(self.threshold) <= 1
        ):
            raise GroundingError(
                f"calibration's threshold is {self.threshold!r}; expected an attention sum in "
                "[0, 1], 'per-sample', or None for the elbow"
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DiscoverySettings:
        """Build from a mapping such as a preset's ``lvlm.calibration``."""
        check_names(cls, values, "calibration settings hold")
        return cls(**values)

    @property
    def measuring(self) -> dict[str, Any]:
        """The settings that decide what is measured; the others only rank and cost nothing."""
        names = ("binarise", "cells", "criterion", "query", "padding", "seed")
        return {name: getattr(self, name) for name in names}


class ImagePhrase(Protocol):
    """A phrase about a picture; `target` is what it names, where two phrases may name one."""

    @property
    def image(self) -> Any: ...  # noqa: D102

    @property
    def phrase(self) -> str: ...  # noqa: D102

    @property
    def target(self) -> str: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class DrawnPair:
    """A drawn image-phrase pair, and another phrase for the contrast (None if not used)."""

    number: int
    item: Any
    other: str | None


def draw_pairs(items: Sequence[ImagePhrase], settings: DiscoverySettings) -> list[DrawnPair]:
    """As many pairs as all trials need, or all there are; those of one picture side by side."""
    rng = np.random.default_rng(settings.seed)
    order = rng.permutation(len(items))[: settings.samples * settings.trials].tolist()
    contrast = settings.criterion == "contrast"
    about: dict[Any, list[tuple[str, str]]] = {}
    for item in items if contrast else ():
        about.setdefault(item.image, []).append((item.target or item.phrase, item.phrase))
    pairs = []
    for number, index in enumerate(order):
        item, other = items[index], None
        if contrast:
            beside = [p for t, p in about[item.image] if t != (item.target or item.phrase)]
            # A phrase about another picture still shows whether a head reads the phrase.
            away = items[order[(number + 1) % len(order)]].phrase
            other = beside[int(rng.integers(len(beside)))] if beside else away
        pairs.append(DrawnPair(number, item, other))
    return sorted(pairs, key=lambda pair: str(pair.item.image))


def measure_pairs(
    lvlm: LVLM,
    image: NDArray[np.uint8],
    pairs: Sequence[DrawnPair],
    settings: DiscoverySettings,
    true_mask: TrueMask | None = None,
) -> Iterator[Values | GroundingError]:
    """Both criteria of every head for pairs of one picture, or the error of a pair that fails.

    Parameters
    ----------
    lvlm : With every layer loaded.
    image : (H, W, 3) uint8 RGB.
    pairs : Pairs about it.
    settings : Its criterion and binarisation are used here.
    true_mask : For the IoUs only, which never choose heads.
    """
    encoded = lvlm.encode(image, all_layers=True)
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        some = pairs[start : start + _PAIRS_AT_ONCE]
        yield from _measure(lvlm, encoded, some, settings, true_mask)


def _measure(
    lvlm: LVLM,
    encoded: EncodedImage,
    pairs: Sequence[DrawnPair],
    settings: DiscoverySettings,
    true_mask: TrueMask | None,
) -> list[Values | GroundingError]:
    """Pairs in one forward; each alone where one of them cannot be measured."""
    phrases = [[p for p in (pair.item.phrase, pair.other) if p is not None] for pair in pairs]
    try:
        rows = iter(lvlm.head_rows(encoded, [phrase for both in phrases for phrase in both]))
        return [
            _values(encoded, pair.item, [next(rows) for _ in both], settings, true_mask)
            for pair, both in zip(pairs, phrases, strict=True)
        ]
    except GroundingError as error:
        if len(pairs) == 1:
            return [error]
    return [one for pair in pairs for one in _measure(lvlm, encoded, [pair], settings, true_mask)]


def _values(
    encoded: EncodedImage,
    item: Any,
    rows: Sequence[NDArray],
    settings: DiscoverySettings,
    true_mask: TrueMask | None,
) -> Values:
    contrast = settings.criterion == "contrast"
    mask = true_mask(item, encoded.size_wh) if true_mask else None
    region, grid = encoded.tokens.region_xyxy, rows[0].shape[-2:]
    truth = None if mask is None else true_cells(mask, region, grid)
    seen = picture_cells(grid, region, encoded.size_wh) if settings.cells == "picture" else ...
    return {
        "sums": phrase_contrast(rows[0], rows[1]) if contrast else attention_sums(rows[0]),
        "entropies": spatial_entropy(rows[0][seen], binarise=settings.binarise),
        "ious": head_ious(rows[0][seen], None if truth is None else truth[seen]),
    }


def picture_cells(
    grid: tuple[int, ...], region: tuple[float, ...], size_wh: tuple[int, int]
) -> Any:
    """Index of the rectangle of cells that lie on the picture, into (..., P, Q).

    Examples
    --------
    >>> rows = np.zeros((2, 4, 4))
    >>> rows[picture_cells((4, 4), (0, -50, 200, 150), (200, 100))].shape
    (2, 2, 4)
    """
    inside = cells_on_picture(grid, region, size_wh)  # type: ignore[arg-type]
    rows, columns = (np.flatnonzero(inside.any(axis)) for axis in (1, 0))
    return (..., slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))


def head_ious(rows: NDArray, truth: NDArray[np.bool_] | None) -> NDArray[np.float32]:
    """IoU (L, H) of each head's cells above its mean with the true cells; NaN without truth."""
    if truth is None:
        return np.full(rows.shape[:2], np.nan, np.float32)
    found = rows > rows.mean(axis=(-2, -1), keepdims=True)
    union = (found | truth).sum((-2, -1))
    return ((found & truth).sum((-2, -1)) / np.maximum(union, 1)).astype(np.float32)


def true_cells(
    mask: NDArray[np.bool_], region: tuple[float, float, float, float], grid: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Cells of the grid that a mask (H, W) covers by more than half, (P, Q) bool.

    Where it covers no cell so far, the cell it covers most.

    Examples
    --------
    >>> mask = np.zeros((4, 4), bool); mask[:2, :3] = True
    >>> true_cells(mask, (0, 0, 4, 4), (2, 2)).tolist()
    [[True, False], [False, False]]
    """
    x0, y0, x1, y1 = region
    shares = _cell_means(mask.astype(np.float64), y0, y1, grid[0])
    shares = _cell_means(shares.T, x0, x1, grid[1]).T
    covered = shares > 0.5
    return covered if covered.any() or not shares.any() else shares == shares.max()


def _cell_means(array: np.ndarray, start: float, stop: float, cells: int) -> np.ndarray:
    """Means of an array's rows over equal cells of the first axis; outside the array is 0."""
    total = np.concatenate([np.zeros((1, array.shape[1])), np.cumsum(array, axis=0)])
    edges = np.clip(np.linspace(start, stop, cells + 1), 0, len(array))
    lower = np.minimum(edges.astype(int), len(array) - 1)
    part = (edges - lower)[:, None]
    at = total[lower] * (1 - part) + total[lower + 1] * part
    return np.diff(at, axis=0) / ((stop - start) / cells)
