"""Pairs -> two numbers a head and pair, kept on disk; the attention rows are let go.

One record is a few kilobytes (12 KB for 32 layers of 32 heads), so memory does not grow with what
is read. A killed run goes on after the last whole record.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...grounding import HeadMeasurements, attention_sums, phrase_contrast, spatial_entropy
from ...grounding.errors import GroundingError
from ..errors import GroundbrushError, one_line, translate
from ..files import atomic_write
from ..pictures.picture import open_picture
from ..workers.pool import LocalPool, Pool, Unit, Work
from .samples import Pair
from .settings import CalibrationSettings

if TYPE_CHECKING:
    from ...grounding.attention.model import LVLM

OnPair = Callable[[int, int], None]
_PAIRS_AT_ONCE = 8
"""Pairs of one picture in one forward: every head's rows of a pair are 2.4 MB in LLaVA-1.5-7B."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured, in the order the pairs were drawn.

    Parameters
    ----------
    sums, entropies
        (N, L, H) float32: the admitting criterion (attention sum, or contrast) and the entropy.
    ious
        (N, L, H) float32 IoU of each head's pseudo-mask with the true mask on the grid, NaN where
        the truth is not known. Never used to choose.
    skipped
        Why pairs were left out.
    """

    sums: NDArray[np.float32]
    entropies: NDArray[np.float32]
    ious: NDArray[np.float32]
    skipped: tuple[str, ...] = ()

    @property
    def heads(self) -> HeadMeasurements:
        """Both criteria, for ranking."""
        return HeadMeasurements(self.sums, self.entropies)

    @property
    def mean_ious(self) -> NDArray[np.float64] | None:
        """(L, H) mean over the pairs with truth, or None where none has any."""
        known = ~np.isnan(self.ious).any(axis=(1, 2))
        return self.ious[known].mean(axis=0, dtype=np.float64) if known.any() else None

    def __len__(self) -> int:
        return len(self.sums)


class Store:
    """Fixed-length records in a file beside a header that says what they are of."""

    def __init__(self, folder: Path, header: Mapping[str, Any], layers: int, heads: int) -> None:
        self.file = folder / "measurements.bin"
        self.dtype = np.dtype(
            [
                ("number", "<i4"),
                ("good", "?"),
                *((name, "<f4", (layers, heads)) for name in ("sums", "entropies", "ious")),
            ]
        )
        full = json.loads(json.dumps({**header, "layers": layers, "heads": heads}))
        said = folder / "measurements.json"
        if said.is_file():
            self._check(said, full)
        else:
            self.file.unlink(missing_ok=True)
            atomic_write(said, json.dumps(full, indent=1).encode())
        whole = self.file.stat().st_size // self.dtype.itemsize if self.file.is_file() else 0
        if whole:
            with self.file.open("r+b") as file:
                file.truncate(whole * self.dtype.itemsize)

    def rows(self) -> np.ndarray:
        """All records, (n,) structured; read from the file."""
        if not self.file.is_file():
            return np.zeros(0, self.dtype)
        return np.fromfile(self.file, self.dtype)

    def measured(self, first: int | None = None, skipped: tuple[str, ...] = ()) -> Measured:
        """The pairs that could be measured (of the first ones), in the order they were drawn."""
        every = self.rows()
        every = every if first is None else every[every["number"] < first]
        rows = every[every["good"]]
        if len(rows) < len(every):
            skipped = (f"{len(every) - len(rows)} pairs could not be measured", *skipped)
        rows = rows[np.argsort(rows["number"], kind="stable")]
        return Measured(rows["sums"], rows["entropies"], rows["ious"], skipped)

    def add(self, number: int, values: Mapping[str, ArrayLike] | None) -> None:
        """Append one record; None for a pair that could not be measured."""
        row = np.zeros(1, self.dtype)
        row["number"], row["good"] = number, values is not None
        for name, value in (values or {}).items():
            row[name] = value
        try:
            with self.file.open("ab") as file:
                file.write(row.tobytes())
        except OSError as error:
            raise GroundbrushError(
                f"cannot write {str(self.file)!r} ({one_line(error)}); free some space or give "
                "another --out"
            ) from error

    @staticmethod
    def _check(said: Path, full: Mapping[str, Any]) -> None:
        try:
            there = dict(json.loads(said.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise GroundbrushError(
                f"{str(said)!r} cannot be read ({one_line(error)}); give another --out, or --fresh"
            ) from error
        if there != full:
            names = sorted(k for k in {*there, *full} if there.get(k) != full.get(k))
            raise GroundbrushError(
                f"{str(said.parent)!r} holds measurements with another {', '.join(names)}; give "
                "another --out, or --fresh to measure again"
            )


def measure_pairs(
    lvlm: LVLM,
    pairs: Sequence[Pair],
    settings: CalibrationSettings,
    store: Store,
    *,
    on_pair: OnPair | None = None,
    pool: Pool | None = None,
    load: Callable[[], LVLM] | None = None,
) -> Measured:
    """Read every pair once, all heads of all layers, and keep what ranks them.

    Parameters
    ----------
    lvlm
        With every layer loaded.
    pairs
        From `draw_pairs`, one picture's side by side.
    settings
        Its criterion and binarisation are used here.
    store
        Keeps the records; pairs it has are not read again.
    on_pair
        Called with (measured, in all).
    pool, load
        Who measures instead of this process, and what loads the same LVLM there.

    Raises
    ------
    GroundbrushError
        When no pair could be measured.
    """
    done = set(store.rows()["number"].tolist())
    reasons: list[str] = []
    count = sum(pair.number in done for pair in pairs)
    units = []
    for image, group in groupby(pairs, key=lambda pair: pair.item.image):
        left = [pair for pair in group if pair.number not in done]
        units += [Unit(f"the picture {image}", left)] if left else []
    make = partial(_measurer, load or (lambda: lvlm), settings)
    for answer in (pool or LocalPool()).map(make, [[unit] for unit in units]):
        left = answer.unit.value
        values, why = answer.value or ([None] * len(left), [str(answer.gave_up)])
        reasons += why
        for pair, one in zip(left, values, strict=True):
            store.add(pair.number, one)
            count += 1
            if on_pair:
                on_pair(count, len(pairs))
    found = store.measured(len(pairs), tuple(dict.fromkeys(reasons)))
    if not len(found):
        why = f": {reasons[0]}" if reasons else ""
        raise GroundbrushError(f"none of the {len(pairs)} pairs could be measured{why}")
    return found


def _measurer(load: Callable[[], LVLM], settings: CalibrationSettings) -> Work:
    """What measures one picture's pairs: numbers as JSON has them, and why some have none."""
    lvlm = load()

    def work(pairs: Sequence[Pair]) -> tuple[list[Any], list[str]]:
        reasons: list[str] = []
        found = _measure_picture(lvlm, pairs[0].item.image, pairs, settings, reasons)
        return [
            None if values is None else {k: v.tolist() for k, v in values.items()}
            for _, values in found
        ], reasons

    return work


def _measure_picture(
    lvlm: LVLM,
    image: Path,
    pairs: Sequence[Pair],
    settings: CalibrationSettings,
    reasons: list[str],
) -> list[tuple[Pair, dict[str, np.ndarray] | None]]:
    try:
        with translate(GroundingError):
            pixels = open_picture(image).pixels
            encoded = lvlm.encode(pixels, all_layers=True)
    except GroundbrushError as error:
        reasons.append(one_line(error))
        return [(pair, None) for pair in pairs]
    found: list[tuple[Pair, dict[str, np.ndarray] | None]] = []
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        some = pairs[start : start + _PAIRS_AT_ONCE]
        found += _measure_some(lvlm, encoded, some, settings, reasons)
    return found


def _measure_some(
    lvlm: LVLM,
    encoded: Any,
    pairs: Sequence[Pair],
    settings: CalibrationSettings,
    reasons: list[str],
) -> list[tuple[Pair, dict[str, np.ndarray] | None]]:
    """Pairs of one picture in one forward; each alone where one of them cannot be measured."""
    asked = [[p for p in (pair.item.phrase, pair.other) if p is not None] for pair in pairs]
    try:
        with translate(GroundingError):
            rows = iter(lvlm.head_rows(encoded, [phrase for both in asked for phrase in both]))
            return [
                (pair, _numbers([next(rows) for _ in both], pair, encoded, settings))
                for pair, both in zip(pairs, asked, strict=True)
            ]
    except GroundbrushError as error:
        if len(pairs) == 1:
            reasons.append(one_line(error))
            return [(pairs[0], None)]
    return [
        one for pair in pairs for one in _measure_some(lvlm, encoded, [pair], settings, reasons)
    ]


def _numbers(
    rows: Sequence[np.ndarray], pair: Pair, encoded: Any, settings: CalibrationSettings
) -> dict[str, np.ndarray]:
    contrast = settings.criterion == "contrast"
    sums = phrase_contrast(rows[0], rows[1]) if contrast else attention_sums(rows[0])
    return {
        "sums": sums,
        "entropies": spatial_entropy(rows[0], binarise=settings.binarise),
        "ious": _ious(rows[0], pair, encoded),
    }


def _ious(rows: np.ndarray, pair: Pair, encoded: Any) -> np.ndarray:
    """IoU (L, H) of each head's cells above its mean with the true cells; NaN without truth."""
    item, size = pair.item, encoded.size_wh
    if item.truth is not None:
        mask = item.truth.draw(size) == 1
    elif item.box is not None:
        mask = np.zeros(size[::-1], bool)
        x0, y0, x1, y1 = (round(v) for v in item.box)
        mask[max(0, y0) : y1, max(0, x0) : x1] = True
    else:
        return np.full(rows.shape[:2], np.nan, np.float32)
    truth = true_cells(mask, encoded.tokens.region_xyxy, rows.shape[-2:])
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
