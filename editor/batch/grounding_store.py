"""Groundings on disk, between finding and painting."""

from __future__ import annotations

import dataclasses
import gzip
import json
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from ...grounding.result import Grounding
from ..errors import GroundbrushError, one_line
from ..files import OutputError, atomic_write
from ..grounding_json import DecodedMask, GroundingEntry, grounding_values
from ..masks.source import encode_mask

Spares = Mapping[str, np.ndarray | None]


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    grounding: GroundingEntry
    timings: dict[str, float]
    spares: dict[str, DecodedMask | None]


def save_grounding(path: Path, found: Grounding, spares: Spares | None = None) -> None:
    """Write a grounding, and the masks beside it that painting will spare.

    A power cut may damage it: a later run then finds it anew.
    """
    masks = {k: None if mask is None else encode_mask(mask) for k, mask in (spares or {}).items()}
    kept = {"grounding": grounding_values(found), "timings": dict(found.timings), "spares": masks}
    text = json.dumps(kept, default=lambda number: number.item())  # of numpy
    # The checksum finds a damaged digit.
    atomic_write(path, gzip.compress(text.encode(), 1, mtime=0), durable=False)


def load_grounding(path: Path) -> tuple[Grounding, Spares]:
    """Read a grounding and the masks beside it; GroundbrushError if the file is damaged."""
    try:
        kept = _Kept.model_validate_json(gzip.decompress(path.read_bytes()))
    except (OSError, EOFError, zlib.error, ValueError) as error:
        # a file that cannot be read may be the storage's failure, which stops a batch
        kind = OutputError if isinstance(error, OSError) and error.errno else GroundbrushError
        raise kind(
            f"the kept grounding {str(path)!r} cannot be read ({one_line(error)}); run the batch "
            "again with --retry-failed, which finds it anew"
        ) from error
    return dataclasses.replace(kept.grounding.grounding(), timings=kept.timings), kept.spares
