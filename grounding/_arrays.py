"""The one check that every array goes through at this package's edge."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import GroundingError


def finite_array(
    value: ArrayLike,
    what: str,
    *,
    axes: str,
    ndim: int,
    exact: bool = False,
    mend: str = "Leave them out or repair them.",
) -> NDArray:
    """`value` as a float array with enough axes and only finite entries."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise GroundingError(f"{what} do not form an array {axes}: {error}.") from error
    if array.dtype.kind not in "fiub":
        raise GroundingError(f"{what} have dtype {array.dtype}; expected real numbers {axes}.")
    if array.ndim < ndim or (exact and array.ndim != ndim) or array.size == 0:
        raise GroundingError(f"{what} have shape {array.shape}; expected a non-empty {axes}.")
    if array.dtype.kind != "f" or array.dtype == np.float16:
        array = array.astype(np.float64 if array.dtype.kind != "f" else np.float32)
    if not np.isfinite(array).all():
        bad = int(np.size(array) - np.isfinite(array).sum())
        raise GroundingError(f"{what} hold {bad} values that are not finite. {mend}")
    return array
