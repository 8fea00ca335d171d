"""Groundings on disk, between finding and painting."""

from __future__ import annotations

import dataclasses
import gzip
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from ..errors import GroundbrushError, one_line
from ..files import OutputError, atomic_write
from ..grounding_json import DecodedMask, GroundingEntry, grounding_values
from ..masks.source import encode_mask

if TYPE_CHECKING:
    from ...grounding.result import Grounding

Spares = Mapping[str, np.ndarray | None]


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    grounding: GroundingEntry
    timings: dict[str, float]
    spares: dict[str, DecodedMask | None]


def save_grounding(path: Path, found: Grounding, spares: Spares | None = None) -> None:
    """Write a grounding, and the masks beside it that painting will spare, for `load_spares`.

    A power cut may damage it: a later run then finds it anew.
    """
    masks = {k: None if mask is None else encode_mask(mask) for k, mask in (spares or {}).items()}
    kept = {"grounding": grounding_values(found), "timings": dict(found.timings), "spares": masks}
    text = json.dumps(kept, default=lambda number: number.item())  # of numpy
    # The checksum finds a damaged digit.
    atomic_write(path, gzip.compress(text.encode(), 1, mtime=0), durable=False)


def load_grounding(path: Path) -> Grounding:
    """Read a grounding.

    Raises
    ------
    GroundbrushError
        If the file is missing or damaged.
    """
    kept = _load(path)
    return dataclasses.replace(kept.grounding.grounding(), timings=kept.timings)


def load_spares(path: Path) -> dict[str, np.ndarray | None]:
    """Read the masks beside a grounding; raises as `load_grounding`."""
    return _load(path).spares


def _load(path: Path) -> _Kept:
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        raise _unreadable(path, error, OutputError) from error
    try:
        return _Kept.model_validate_json(gzip.decompress(content))
    except (OSError, EOFError, zlib.error, ValidationError) as error:
        raise _unreadable(path, error) from error


def _unreadable(
    path: Path, error: Exception, kind: type[GroundbrushError] = GroundbrushError
) -> GroundbrushError:
    return kind(
        f"the kept grounding {str(path)!r} cannot be read ({one_line(error)}); run the batch again "
        "with --retry-failed, which finds it anew"
    )
