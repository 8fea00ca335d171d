"""Convert to roboflow's `supervision.Detections`, for its annotators and trackers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...grounding.view import tight_box
from ..errors import MultiObjectError
from ..panoptic import PanopticGrounding


def to_detections(found: PanopticGrounding) -> Any:
    """Convert to ``supervision.Detections``, things one by one.

    Returns supervision.Detections: ``xyxy``, ``mask`` (whole masks, which may overlap),
    ``confidence``, ``class_id`` (from 0, by noun) and the data ``class_name`` and ``phrase``.

    Raises MultiObjectError if supervision is not installed.
    """
    try:
        import supervision
    except ImportError as error:
        raise MultiObjectError(
            f"Detections need the package supervision ({error}): "
            "pip install 'groundbrush[supervision]'"
        ) from error
    rows = []
    for segment in found.found:
        whole = [(segment.mask, segment.score)] if segment.mask.any() else []
        parts = [(i.mask, i.score) for i in segment.instances] if segment.is_thing else whole
        rows += [(segment, mask, score) for mask, score in parts]
    if not rows:
        return supervision.Detections.empty()
    names = list(dict.fromkeys(s.name for s, _, _ in rows))
    return supervision.Detections(
        xyxy=np.array([tight_box(mask) for _, mask, _ in rows], np.float32),
        mask=np.stack([mask for _, mask, _ in rows]),
        confidence=np.array([score for _, _, score in rows], np.float32),
        class_id=np.array([names.index(s.name) for s, _, _ in rows]),
        data={
            "class_name": np.array([s.name for s, _, _ in rows]),
            "phrase": np.array([s.phrase for s, _, _ in rows]),
        },
    )
