"""Groundings on disk, between finding and painting. Nothing is pickled."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import GroundbrushError, one_line
from ..files import OutputError, atomic_write

if TYPE_CHECKING:
    from ...grounding.result import Grounding

Spares = Mapping[str, np.ndarray | None]
_OTHERS = ("candidates", "instances")
"""Fields of a grounding that hold further masks, each of its own size."""


def save_grounding(path: Path, found: Grounding, spares: Spares | None = None) -> None:
    """Write a grounding, and the masks beside it that painting will spare, for `load_spares`.

    A power cut may damage it: a later run then finds it anew.
    """
    fields = {f.name: getattr(found, f.name) for f in dataclasses.fields(found)}
    masks = {"mask": fields.pop("mask")}
    masks |= {f"{name}{k}": c.mask for name in _OTHERS for k, c in enumerate(fields[name])}
    masks |= {f"spare{k}": mask for k, mask in enumerate((spares or {}).values())}
    arrays: dict[str, Any] = {
        name: np.packbits(mask) for name, mask in masks.items() if mask is not None
    }
    arrays["token_map"] = fields.pop("token_map")
    for name in _OTHERS:
        fields[name] = [{"box": c.box, "score": c.score} for c in fields[name]]
    shapes = {name: mask.shape for name, mask in masks.items() if mask is not None}
    facts = {**fields, "spares": list(spares or {}), "shapes": shapes}
    text = json.dumps(facts, default=lambda number: number.item())  # of numpy
    arrays["facts"] = np.frombuffer(text.encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    atomic_write(path, buffer.getvalue(), durable=False)


def load_grounding(path: Path) -> Grounding:
    """Read a grounding.

    Raises
    ------
    GroundbrushError
        If the file is missing or damaged.
    """
    from ...grounding.result import Candidate, Grounding

    masks, token_map, facts = _load(path)
    try:
        fields = {name: _tuples(value) for name, value in facts.items() if name != "spares"}
        fields["timings"] = facts["timings"]
        for name in _OTHERS:
            fields[name] = tuple(
                Candidate(tuple(c["box"]), c["score"], masks[f"{name}{k}"])
                for k, c in enumerate(facts[name])
            )
        return Grounding(**fields, mask=masks["mask"], token_map=token_map)
    except Exception as error:  # noqa: BLE001 - damaged archives raise nearly everything
        raise _unreadable(path, error) from error


def load_spares(path: Path) -> dict[str, np.ndarray | None]:
    """Read the masks beside a grounding; raises as `load_grounding`."""
    masks, _, facts = _load(path)
    try:
        return {key: masks.get(f"spare{k}") for k, key in enumerate(facts["spares"])}
    except (KeyError, TypeError) as error:
        raise _unreadable(path, error) from error


def _load(path: Path) -> tuple[dict[str, np.ndarray], np.ndarray, dict[str, Any]]:
    """The masks, the token map and the rest."""
    try:
        content = io.BytesIO(path.read_bytes())  # given a path, numpy leaves damaged files open
    except (OSError, ValueError) as error:
        raise _unreadable(path, error, OutputError) from error
    try:
        with np.load(content, allow_pickle=False) as archive:
            arrays = dict(archive)
        facts = json.loads(arrays.pop("facts").tobytes())
        token_map = arrays.pop("token_map")
        masks = {
            name: np.unpackbits(arrays[name], count=height * width).reshape(height, width) != 0
            for name, (height, width) in facts.pop("shapes").items()
        }
        return masks, token_map, facts
    except Exception as error:  # noqa: BLE001 - damaged archives raise nearly everything
        raise _unreadable(path, error) from error


def _unreadable(
    path: Path, error: Exception, kind: type[GroundbrushError] = GroundbrushError
) -> GroundbrushError:
    return kind(
        f"the kept grounding {str(path)!r} cannot be read ({one_line(error)}); run the batch again "
        "with --retry-failed, which finds it anew"
    )


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
