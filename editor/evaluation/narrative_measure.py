"""A narrative -> a record for each phrase and way of finding it: caption, phrases, oracle."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...grounding.errors import GroundingError
from ...grounding.localize.edges import refine_edges
from ...grounding.metrics import mask_iou
from ...multiobject.errors import MultiObjectError
from ...multiobject.export.rle import encode_rle
from ...multiobject.instances import tight_box
from ...multiobject.narratives import ground_narrative
from ..errors import GroundbrushError, one_line
from ..journal import Record
from ..pictures.picture import open_picture
from .items import Item
from .measurements import Measurements
from .narrative_items import Told

if TYPE_CHECKING:
    from ...grounding.pipeline import Grounder
    from ...grounding.view import View

ARMS = {
    "caption": "one forward of the whole caption; a phrase's map is the mean of its tokens' rows",
    "phrases": "each phrase asks for itself, all packed behind one reading of the picture",
    "oracle": "SAM asked with the true box of each segment, the best of its masks, edges refined",
}
"""Ways of finding -> what they do."""

Answer = tuple[np.ndarray, dict[str, Any]]


def measure_told(
    load: Callable[[], Grounder],
    told: Sequence[Told],
    arms: Sequence[str],
    journal: Measurements,
    *,
    on_records: Callable[[int], None] | None = None,
) -> list[Record]:
    """Measure every phrase in every way that the journal does not have yet.

    Parameters
    ----------
    load
        Gives the models; called when there is something to measure.
    told
        The narratives.
    arms
        Some of :data:`ARMS`.
    journal
        Keeps the records.
    on_records
        Called with the number of new records after each picture.

    Returns
    -------
    list of dict
        The records, arm by arm; or with ``error`` where something could not be measured.
    """
    grounder = None
    for one in told:
        missing = [a for a in arms if not all(journal.done(a, i.id) for i in one.items)]
        if not missing:
            continue
        grounder = grounder or _never_refusing(load())
        records = [
            r for r in _measure(grounder, one, missing) if not journal.done(r["arm"], r["item"])
        ]
        journal.add(records)
        if on_records:
            on_records(len(records))
    latest = {(r["arm"], r["item"]): r for r in journal.records}
    return [latest[arm, item.id] for arm in arms for one in told for item in one.items]


def _never_refusing(grounder: Grounder) -> Grounder:
    """The same models without the answer "absent": the benchmark's phrases are all there."""
    import copy

    other = copy.copy(grounder)
    other.settings = dataclasses.replace(grounder.settings, absent_below=0.0)
    return other


def _measure(grounder: Grounder, told: Told, arms: Sequence[str]) -> list[Record]:
    try:
        pixels = open_picture(told.narrative.image_file).pixels
        truths = [
            item.truth.draw(pixels.shape[1::-1]) == 1
            for item in told.items
            if item.truth is not None
        ]
        view = grounder.look(pixels)
    except (GroundbrushError, GroundingError) as error:
        return [_failed(told, item, arm, error) for arm in arms for item in told.items]
    records = []
    for arm in arms:
        started = time.perf_counter()
        try:
            answers = _answers(grounder, view, told, arm)
        except (GroundbrushError, GroundingError, MultiObjectError) as error:
            records += [_failed(told, item, arm, error) for item in told.items]
            continue
        seconds = round((time.perf_counter() - started) / len(told.items), 4)
        for item, true, (mask, facts) in zip(told.items, truths, answers, strict=True):
            records.append(
                {
                    **_facts(told, item, arm),
                    **facts,
                    "iou": mask_iou(mask, true),
                    "shared": int((mask & true).sum()),
                    "union": int((mask | true).sum()),
                    "true": int(true.sum()),
                    "box": None,
                    "mask": encode_rle(mask),
                    "seconds": seconds,
                }
            )
    return records


def _answers(grounder: Grounder, view: View, told: Told, arm: str) -> list[Answer]:
    """Each phrase's mask and what is known of it."""
    if arm == "oracle":
        return [
            (mask, {"status": "found", "presence": None, "score": 1.0, "places": None})
            for mask in oracle_masks(grounder, view, told)
        ]
    found = ground_narrative(grounder, view, told.narrative, mode=arm)
    return [
        (
            s.mask,
            {
                "status": s.status,
                "score": round(s.score, 4),
                "places": len(s.instances),
                "presence": None if s.presence is None else round(s.presence, 4),
            },
        )
        for s in found.segments
    ]


def oracle_masks(grounder: Grounder, view: View, told: Told) -> list[np.ndarray]:
    """What the segmenter makes of the true boxes, (H, W) bool for each phrase.

    Of the masks that it offers for a box the one with the best IoU is taken, so this is a ceiling:
    what perfect finding would reach.
    """
    height, width = view.image.shape[:2]
    ids = told.narrative.ids()
    wanted = sorted({i for phrase in told.narrative.phrases for i in phrase.segment_ids})
    true = {i: ids == i for i in wanted}
    true = {i: mask for i, mask in true.items() if mask.any()}
    made: dict[int, np.ndarray] = {}
    if true:
        boxes = np.array([tight_box(mask) for mask in true.values()])
        boxes = boxes / np.tile(view.scale_xy, 2)
        logits, _ = grounder.segmenter.prompt_logits(view.embedding, boxes=boxes)
        for offered, (number, mask) in zip(logits, true.items(), strict=True):
            masks = [
                grounder.segmenter.full_mask(view.embedding, one, (width, height))
                for one in offered
            ]
            best = max(masks, key=lambda one: mask_iou(one, mask))
            made[number] = refine_edges(view.image, best) if grounder.settings.refine else best
    nothing = np.zeros((height, width), bool)
    return [
        np.any([made.get(i, nothing) for i in phrase.segment_ids], axis=0)
        for phrase in told.narrative.phrases
    ]


def _facts(told: Told, item: Item, arm: str) -> Record:
    phrase = told.narrative.phrases[told.items.index(item)]
    return {
        "item": item.id,
        "arm": arm,
        "split": item.split,
        "kind": item.kind,
        "group": "",
        "phrase": item.phrase,
        "image": item.image.name,
        "thing": phrase.is_thing,
        "plural": phrase.plural,
        "named": len(told.items),
    }


def _failed(told: Told, item: Item, arm: str, error: Exception) -> Record:
    return {**_facts(told, item, arm), "error": one_line(error)}
