"""Keep two numbers per head and pair on disk, so that a killed discovery resumes.

One record is a few kilobytes (12 KB for 32 layers of 32 heads), so memory does not grow with the
number of pairs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import GroundingError
from .ranking import HeadMeasurements

if TYPE_CHECKING:
    from .discovery import DrawnPair

RECORDS, HEADER = "measurements.bin", "measurements.json"


@dataclass(frozen=True, eq=False)
class MeasuredPairs:
    """The measured numbers, in the order in which the pairs were drawn.

    Parameters
    ----------
    sums, entropies : (N, L, H) float32: the admitting criterion (attention sum, or contrast) and
        the entropy.
    ious : (N, L, H) float32 IoU of each head's pseudo-mask with the true mask on the grid, NaN
        where the truth is unknown. Never used to choose heads.
    skipped : Why pairs were left out.
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


class MeasurementStore:
    """Fixed-length records in a file, beside a header that identifies what was measured.

    The folder is created if missing; `header` holds JSON-able facts on which the records depend.

    Raises GroundingError when the folder holds measurements with another header, or cannot be
    written.
    """

    def __init__(self, folder: Path, header: Mapping[str, Any], layers: int, heads: int) -> None:
        self.file = folder / RECORDS
        self.dtype = np.dtype(
            [
                ("number", "<i4"),
                ("good", "?"),
                *((name, "<f4", (layers, heads)) for name in ("sums", "entropies", "ious")),
            ]
        )
        full = json.loads(json.dumps({**header, "layers": layers, "heads": heads}))
        if (folder / HEADER).is_file():
            _check_header(folder / HEADER, full)
        else:
            self._start(folder, full)
        whole = self.file.stat().st_size // self.dtype.itemsize if self.file.is_file() else 0
        if whole:
            with self.file.open("r+b") as file:
                file.truncate(whole * self.dtype.itemsize)

    def rows(self) -> np.ndarray:
        """All records, (n,) structured; read from the file."""
        if not self.file.is_file():
            return np.zeros(0, self.dtype)
        return np.fromfile(self.file, self.dtype)

    def measured(self, first: int | None = None, skipped: tuple[str, ...] = ()) -> MeasuredPairs:
        """The pairs that could be measured (of the first ones), in the order they were drawn."""
        every = self.rows()
        every = every if first is None else every[every["number"] < first]
        rows = every[every["good"]]
        if len(rows) < len(every):
            skipped = (f"{len(every) - len(rows)} pairs could not be measured", *skipped)
        rows = rows[np.argsort(rows["number"], kind="stable")]
        return MeasuredPairs(rows["sums"], rows["entropies"], rows["ious"], skipped)

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
            raise self._unwritable(error) from error

    def _start(self, folder: Path, header: Mapping[str, Any]) -> None:
        """Write the header in one step, and drop records without one."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.file.unlink(missing_ok=True)
            temporary = folder / f".{HEADER}.tmp"
            temporary.write_text(json.dumps(header, indent=1), encoding="utf-8")
            os.replace(temporary, folder / HEADER)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> GroundingError:
        return GroundingError(
            f"cannot write {str(self.file)!r} ({error}); free some space or give another --out"
        )


def _check_header(file: Path, header: Mapping[str, Any]) -> None:
    try:
        there = dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise GroundingError(
            f"{str(file)!r} cannot be read ({error}); give another --out, or --fresh"
        ) from error
    if there != header:
        names = sorted(k for k in {*there, *header} if there.get(k) != header.get(k))
        raise GroundingError(
            f"{str(file.parent)!r} holds measurements with another {', '.join(names)}; give "
            "another --out, or --fresh to measure again"
        )


Answers = Iterable[tuple[Sequence["DrawnPair"], Sequence[Mapping[str, ArrayLike] | str]]]
"""Pairs of one picture, and for each its numbers, or why there are none."""


def measure_missing(
    store: MeasurementStore,
    pairs: Sequence[DrawnPair],
    measure: Callable[[list[list[DrawnPair]]], Answers],
    on_pair: Callable[[int, int], None] | None = None,
) -> MeasuredPairs:
    """Measure the pairs that a store does not hold yet.

    `pairs` are from `draw_pairs`, one picture's side by side; `measure` takes the missing ones, a
    list for each picture, and may answer in another order; `on_pair` gets (measured, in all).
    """
    done = set(store.rows()["number"].tolist())
    count = sum(pair.number in done for pair in pairs)
    groups = (list(group) for _, group in groupby(pairs, key=lambda pair: pair.item.image))
    missing = [[pair for pair in group if pair.number not in done] for group in groups]
    reasons: dict[str, None] = {}
    for same, answers in measure([group for group in missing if group]):
        for pair, answer in zip(same, answers, strict=True):
            if isinstance(answer, str):
                reasons[answer] = None
            store.add(pair.number, None if isinstance(answer, str) else answer)
            count += 1
            if on_pair:
                on_pair(count, len(pairs))
    return store.measured(len(pairs), tuple(reasons))


def load_measured(folder: Path) -> MeasuredPairs:
    """The measured pairs in the folder of an earlier discovery.

    Raises GroundingError when the folder holds no measurements.
    """
    try:
        header = json.loads((folder / HEADER).read_text(encoding="utf-8"))
        facts = {k: v for k, v in header.items() if k not in ("layers", "heads")}
        store = MeasurementStore(folder, facts, int(header["layers"]), int(header["heads"]))
    except Exception as error:  # a damaged header fails in many ways, down to the dtype
        raise GroundingError(
            f"{str(folder)!r} holds no measurements; expected the --out folder of `groundbrush "
            "calibrate`"
        ) from error
    found = store.measured()
    if not len(found):
        raise GroundingError(f"{str(folder)!r} holds no finished measurement; calibrate first")
    return found
