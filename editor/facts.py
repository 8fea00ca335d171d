"""Results as JSON-able values: what ``--json``, batch results and HTTP answers contain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..grounding.result import Candidate, Grounding
    from ..multiobject.panoptic import Segment
    from .editing.result import Edit


def grounding_facts(found: Grounding) -> dict[str, Any]:
    """A grounding without its arrays; boxes are xyxy in pixels."""
    return {
        "phrase": found.phrase,
        "status": found.status,
        "reason": found.reason,
        "score": round(float(found.score), 4),
        "box": None if found.box is None else _box(found.box),
        "candidates": _scored_boxes(found.candidates),
        **({"instances": _scored_boxes(found.instances)} if found.instances else {}),
        **(
            {"heads": [list(head) for head in found.heads], "query": found.query}
            if found.heads
            else {}
        ),
    }


def segment_facts(segment: Segment) -> dict[str, Any]:
    """One phrase of a `PanopticGrounding`, without its mask."""
    return {
        "phrase": segment.phrase,
        "span": list(segment.span),
        "name": segment.name,
        "is_thing": segment.is_thing,
        "plural": segment.plural,
        "status": segment.status,
        "reason": segment.reason,
        "score": round(segment.score, 4),
        "ids": list(segment.ids),
        "boxes": [_box(instance.box) for instance in segment.instances],
        "area": int(segment.mask.sum()),
    }


def edit_facts(edit: Edit) -> dict[str, Any]:
    """An edit without its pictures."""
    return {
        "done": not edit.unmet,
        "reason": edit.unmet,
        "seed": edit.variants[0].seed if edit.variants else edit.seed,
        "support_pixels": int(edit.support.sum()),
        "checks": dict(edit.checks),
    }


def _scored_boxes(found: Sequence[Candidate]) -> list[dict[str, Any]]:
    return [{"box": _box(one.box), "score": round(float(one.score), 4)} for one in found]


def _box(box: Any) -> list[float]:
    return [round(float(v), 1) for v in box]
