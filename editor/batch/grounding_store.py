"""Groundings on disk, between finding and painting. Nothing is pickled."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..errors import GroundbrushError, one_line
from ..files import atomic_write

if TYPE_CHECKING:
    from ...grounding.result import Grounding

T = TypeVar("T")
Spares = Mapping[str, np.ndarray | None]
_LARGEST = 1 << 31  # bits of one mask
_PLAIN = ("phrase", "status", "reason", "box", "score", "heads", "region", "presence", "timings")


def save_grounding(path: Path, found: Grounding, spares: Spares | None = None) -> None:
    """Write a grounding, and what was found beside it to be spared (`load_spares`)."""
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
        If the file is missing or damaged.
    """
    return _load(path, _grounding)


def load_spares(path: Path) -> dict[str, np.ndarray | None]:
    """What was given to `save_grounding` beside a grounding; raises as `load_grounding`."""
    return _load(path, _spares)


def _load(path: Path, read: Callable[[Any, dict[str, Any]], T]) -> T:
    try:
        content = io.BytesIO(path.read_bytes())  # given a path, numpy leaves damaged files open
        with np.load(content, allow_pickle=False) as arrays:
            return read(arrays, json.loads(arrays["facts"].tobytes()))
    except Exception as error:  # noqa: BLE001 - damaged archives raise nearly everything
        raise GroundbrushError(
            f"the kept grounding {str(path)!r} cannot be read ({one_line(error)}); run the batch "
            "again with --retry-failed, which finds it anew"
        ) from error


def _grounding(arrays: Any, facts: dict[str, Any]) -> Grounding:
    from ...grounding.result import Candidate, Grounding

    candidates = tuple(
        Candidate(tuple(c["box"]), c["score"], _unpack(arrays[f"candidate{k}"], c["size"]))
        for k, c in enumerate(facts["candidates"])
    )
    plain = {name: facts[name] for name in _PLAIN}
    return Grounding(
        **{
            **plain,
            "box": None if facts["box"] is None else tuple(facts["box"]),
            "heads": tuple(map(tuple, facts["heads"])),
            "region": tuple(facts["region"]),
        },
        mask=_unpack(arrays["mask"], facts["size"]),
        token_map=arrays["token_map"],
        candidates=candidates,
    )


def _spares(arrays: Any, facts: dict[str, Any]) -> dict[str, np.ndarray | None]:
    return {
        one["key"]: _unpack(arrays[f"spare{k}"], one["size"]) if all(one["size"]) else None
        for k, one in enumerate(facts.get("spares", []))
    }


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
