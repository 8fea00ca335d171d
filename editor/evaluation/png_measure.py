"""Panoptic Narrative Grounding: narratives -> a record for each phrase and arm."""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...grounding.errors import GroundingError
from ...grounding.localize.edges import refine_edges
from ...grounding.metrics import mask_iou
from ...grounding.view import tight_boxes
from ...multiobject.errors import MultiObjectError
from ...multiobject.export.rle import encode_rle
from ...multiobject.narrative_benchmark import Narrative, ground_narrative, read_png, truth
from ..errors import GroundbrushError, one_line, translate
from ..journal import Record
from ..pictures.picture import open_picture
from .items import Item, query_kind
from .measure import item_facts
from .measurements import Measurements
from .true_masks import Labels

if TYPE_CHECKING:
    from ...grounding.pipeline import Grounder
    from ...grounding.view import View

ARMS = {
    "caption": "one forward of the whole caption; a phrase's map is the mean of its tokens' rows",
    "phrases": "each phrase is a query of its own, all packed behind one reading of the picture",
    "oracle": "SAM prompted with each segment's true box, the best of its masks, edges refined",
}
"""Ways to find the phrases -> what they do."""

Answer = tuple[np.ndarray, dict[str, Any]]


@dataclass(frozen=True)
class SegmentUnion:
    """A true mask: the union of a phrase's segments in its picture's panoptic PNG."""

    narrative: Narrative
    phrase: int

    def draw(self, size_wh: tuple[int, int]) -> Labels:
        """See `editor.evaluation.true_masks.Truth`."""
        with translate(MultiObjectError):
            ids = self.narrative.ids()
        if ids.shape != size_wh[::-1]:
            raise GroundbrushError(
                f"{str(self.narrative.mask_file)!r} is {ids.shape[1]} by {ids.shape[0]} and the "
                f"picture {size_wh[0]} by {size_wh[1]}; expected one size"
            )
        return truth(ids, self.narrative.phrases[self.phrase]).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class NarrativeItems:
    """A narrative with an item for each of its phrases."""

    narrative: Narrative
    items: tuple[Item, ...]


def read_narratives(root: Path, split: str) -> list[NarrativeItems]:
    """The narratives of a split that have phrases, in the file's order.

    Raises
    ------
    GroundbrushError
        If a file is missing or has another form.
    """
    if not root.exists():
        raise GroundbrushError(
            f"{str(root)!r} does not exist; expected the folder that holds images/{split} and "
            "annotations"
        )
    with translate(MultiObjectError):
        narratives = list(read_png(root, split))
    found = [_with_items(n, k, split) for k, n in enumerate(narratives) if n.phrases]
    if not found:
        raise GroundbrushError(f"{str(root)!r} holds no narrative of split {split!r} with phrases")
    return found


def _with_items(narrative: Narrative, number: int, split: str) -> NarrativeItems:
    items = (
        Item(
            id=f"{split}-{number}-{k}",
            image=narrative.image_file,
            phrase=phrase.text,
            split=split,
            kind=query_kind(phrase.text),
            truth=SegmentUnion(narrative, k),
        )
        for k, phrase in enumerate(narrative.phrases)
    )
    return NarrativeItems(narrative, tuple(items))


def measure_narratives(
    load: Callable[[], Grounder],
    narratives: Sequence[NarrativeItems],
    arms: Sequence[str],
    journal: Measurements,
    *,
    on_records: Callable[[int], None] | None = None,
) -> list[Record]:
    """Measure every phrase with every arm, skipping what the journal has.

    Parameters
    ----------
    load
        Returns the models; called only if there is something to measure.
    arms
        Some of :data:`ARMS`.
    on_records
        Called with the number of new records after each picture.

    Returns
    -------
    list of dict
        The records, arm by arm; with ``error`` where something could not be measured.
    """
    grounder = None
    for one in narratives:
        missing = [a for a in arms if not all(journal.done(a, i.id) for i in one.items)]
        if not missing:
            continue
        grounder = grounder or _without_refusal(load())
        records = [
            r for r in _measure(grounder, one, missing) if not journal.done(r["arm"], r["item"])
        ]
        journal.add(records)
        if on_records:
            on_records(len(records))
    latest = {(r["arm"], r["item"]): r for r in journal.records}
    return [latest[arm, item.id] for arm in arms for one in narratives for item in one.items]


def _without_refusal(grounder: Grounder) -> Grounder:
    """The same models without the answer "absent": the benchmark's phrases are all there."""
    other = copy.copy(grounder)
    other.settings = dataclasses.replace(grounder.settings, absent_below=0.0)
    return other


def _measure(grounder: Grounder, one: NarrativeItems, arms: Sequence[str]) -> list[Record]:
    try:
        pixels = open_picture(one.narrative.image_file).pixels
        truths = [
            item.truth.draw(pixels.shape[1::-1]) == 1
            for item in one.items
            if item.truth is not None
        ]
        view = grounder.look(pixels)
    except (GroundbrushError, GroundingError) as error:
        return [_failed(one, item, arm, error) for arm in arms for item in one.items]
    records = []
    for arm in arms:
        started = time.perf_counter()
        try:
            answers = _answers(grounder, view, one, arm)
        except (GroundbrushError, GroundingError, MultiObjectError) as error:
            records += [_failed(one, item, arm, error) for item in one.items]
            continue
        seconds = round((time.perf_counter() - started) / len(one.items), 4)
        for item, true, (mask, facts) in zip(one.items, truths, answers, strict=True):
            records.append(
                {
                    **_facts(one, item, arm),
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


def _answers(grounder: Grounder, view: View, one: NarrativeItems, arm: str) -> list[Answer]:
    """Each phrase's mask, and the facts of its record."""
    if arm == "oracle":
        return [
            (mask, {"status": "found", "presence": None, "score": 1.0, "places": None})
            for mask in oracle_masks(grounder, view, one.narrative)
        ]
    found = ground_narrative(grounder, view, one.narrative, mode=arm)
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


def oracle_masks(grounder: Grounder, view: View, narrative: Narrative) -> list[np.ndarray]:
    """The segmenter's masks of the true boxes, (H, W) bool for each phrase: an upper bound.

    Of the masks offered for a box, the one with the best IoU is taken.
    """
    height, width = view.image.shape[:2]
    ids = narrative.ids()
    wanted = sorted({i for phrase in narrative.phrases for i in phrase.segment_ids})
    true = {i: mask for i in wanted if (mask := ids == i).any()}
    made: dict[int, np.ndarray] = {}
    if true:
        boxes = tight_boxes(list(true.values()))
        boxes = boxes / np.tile(view.scale_xy, 2)
        logits, _ = grounder.segmenter.prompt_logits(view.embedding, boxes=boxes)
        for offered, (number, mask) in zip(logits, true.items(), strict=True):
            masks = grounder.segmenter.full_masks(view.embedding, offered, (width, height))
            best = max(masks, key=lambda one: mask_iou(one, mask))
            made[number] = refine_edges(view.image, best) if grounder.settings.refine else best
    nothing = np.zeros((height, width), bool)
    return [
        np.any([made.get(i, nothing) for i in phrase.segment_ids], axis=0)
        for phrase in narrative.phrases
    ]


def _facts(one: NarrativeItems, item: Item, arm: str) -> Record:
    phrase = one.narrative.phrases[one.items.index(item)]
    return {
        **item_facts(item),
        "arm": arm,
        "thing": phrase.is_thing,
        "plural": phrase.plural,
        "named": len(one.items),
    }


def _failed(one: NarrativeItems, item: Item, arm: str, error: Exception) -> Record:
    return {**_facts(one, item, arm), "error": one_line(error)}
