"""Groundings on disk, between finding and painting; nothing is pickled, nothing half-written."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import GroundbrushError, one_line
from ..files import atomic_write

if TYPE_CHECKING:
    from ...grounding.result import Grounding

_LARGEST = 1 << 31  # bits of one mask
_PLAIN = ("phrase", "status", "reason", "box", "score", "heads", "region", "presence", "timings")


def save_grounding(
    path: Path, found: Grounding, spares: Mapping[str, np.ndarray | None] | None = None
) -> None:
    """Write a grounding so that :func:`load_grounding` gives back the same one.

    `spares` are what `find_spares` found beside it, for :func:`load_spares`.
    """
    facts = {name: _plain(getattr(found, name)) for name in _PLAIN}
    facts["size"] = list(found.mask.shape)
    facts["candidates"] = [
        {"box": list(map(float, c.box)), "score": float(c.score), "size": list(c.mask.shape)}
        for c in found.candidates
    ]
    beside = {k: np.zeros((0, 0), bool) if v is None else v for k, v in (spares or {}).items()}
    facts["spares"] = [{"key": key, "size": list(mask.shape)} for key, mask in beside.items()]
    arrays = {"mask": np.packbits(found.mask), "token_map": found.token_map}
    arrays |= {f"candidate{k}": np.packbits(c.mask) for k, c in enumerate(found.candidates)}
    arrays |= {f"spare{k}": np.packbits(mask) for k, mask in enumerate(beside.values())}
    arrays["facts"] = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    atomic_write(path, buffer.getvalue())


def load_grounding(path: Path) -> Grounding:
    """Read a grounding.

    Raises
    ------
    GroundbrushError
        When it is not there or not whole.
    """
    from ...grounding.result import Candidate, Grounding

    try:
        content = io.BytesIO(path.read_bytes())  # given a path, numpy leaves damaged files open
        with np.load(content, allow_pickle=False) as arrays:
            facts = json.loads(arrays["facts"].tobytes())
            mask = _unpack(arrays["mask"], facts.pop("size"))
            candidates = tuple(
                Candidate(tuple(c["box"]), c["score"], _unpack(arrays[f"candidate{k}"], c["size"]))
                for k, c in enumerate(facts.pop("candidates"))
            )
            facts.pop("spares", None)
            heads = tuple(tuple(pair) for pair in facts.pop("heads"))
            box = None if (b := facts.pop("box")) is None else tuple(b)
            return Grounding(
                mask=mask,
                candidates=candidates,
                heads=heads,
                box=box,
                region=tuple(facts.pop("region")),
                token_map=arrays["token_map"],
                **facts,
            )
    except Exception as error:  # noqa: BLE001 - damaged archives raise nearly everything
        raise _unreadable(path, error) from error


def load_spares(path: Path) -> dict[str, np.ndarray | None]:
    """What was found beside a grounding, as it was given to :func:`save_grounding`.

    Raises
    ------
    GroundbrushError
        As :func:`load_grounding`.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            told = json.loads(arrays["facts"].tobytes()).get("spares", [])
            return {
                one["key"]: _unpack(arrays[f"spare{k}"], one["size"]) if all(one["size"]) else None
                for k, one in enumerate(told)
            }
    except Exception as error:  # noqa: BLE001 - damaged archives raise nearly everything
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> GroundbrushError:
    return GroundbrushError(
        f"the kept grounding {str(path)!r} cannot be read ({one_line(error)}); run the batch again "
        "with --retry-failed, which finds it anew"
    )


def _unpack(bits: np.ndarray, size: list[int]) -> np.ndarray:
    height, width = size
    if not 0 < height * width <= _LARGEST:
        raise ValueError(f"a mask of {height} by {width}")
    return np.unpackbits(bits, count=height * width).reshape(height, width).astype(bool)


def _plain(value: Any) -> Any:
    """A value as JSON holds it; numpy's numbers become Python's."""
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return value.item() if isinstance(value, np.generic) else value
