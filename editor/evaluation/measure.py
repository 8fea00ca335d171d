"""Items -> records: read each picture once, ground its phrases with every arm."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...grounding import Backend, box_iou, mask_overlap, token_map_to_image
from ...grounding.attention.model import LVLM
from ...grounding.attention.normalize import query_terms
from ...grounding.errors import GroundingError
from ...grounding.localize.boxes import cells_to_mask, map_boxes, map_mask
from ...grounding.pipeline import Grounder
from ...grounding.result import Grounding
from ...grounding.view import View
from ...multiobject.export.rle import encode_rle
from ..errors import GroundbrushError, one_line, translate
from ..journal import Record
from ..pictures.picture import open_picture
from ..workers.pool import LocalPool, Pool, Unit, Work
from .arms import Arm, Greedy, Head
from .items import Item
from .measurements import Measurements

NEUTRAL = "the picture"
"""A phrase that singles nothing out."""

Load = Callable[[Mapping[str, Any]], "Grounder"]
Box = tuple[float, float, float, float]


class _Task(NamedTuple):
    """The items and arms of one picture, and the (arm, item) that are not measured yet."""

    image: Path
    items: Sequence[Item]
    arms: Sequence[Arm]
    open: frozenset[tuple[str, str]]

    def failed(self, why: str) -> list[Record]:
        """Records that hold an error."""
        return [
            {**item_facts(item), "arm": arm.name, "error": why}
            for item in self.items
            for arm in self.arms
            if (arm.name, item.id) in self.open
        ]


@dataclass(frozen=True, eq=False)
class _Seen:
    """What the models read of a picture and its phrases."""

    view: View
    items: Sequence[Item]
    rows: Sequence[np.ndarray] = ()
    presence: Sequence[float | None] = ()
    heads: tuple[Head, ...] | None = ()
    plain: Sequence[np.ndarray] = ()  # rows of the phrases before they are reworded
    neutral: np.ndarray | None = None  # rows of a phrase that names nothing


def evaluate(
    load: Load,
    items: Sequence[Item],
    arms: Sequence[Arm],
    journal: Measurements,
    pool: Pool | None = None,
) -> list[Record]:
    """Ground every item with every arm, skipping what the journal has.

    Arms with the same LVLM share one forward pass for each picture and phrase; a find backend runs
    phrase by phrase. The records of these items and arms hold IoUs, pixel counts, presence and the
    predicted box; or ``error`` if an item could not be measured. The predicted mask (COCO run
    lengths) is in the journal only, so that memory does not grow with it.

    Parameters
    ----------
    load : From changes to the preset's ``lvlm`` to a grounder; called once per kind of change, and
        in every process of `pool`.
    pool : Workers to measure in; None: this process.
    """
    by_lvlm: dict[str, list[Arm]] = {}
    for arm in arms:
        by_lvlm.setdefault(json.dumps(arm.lvlm, sort_keys=True), []).append(arm)
    for group in by_lvlm.values():
        units = [Unit(f"the picture {task.image}", task) for task in _tasks(items, group, journal)]
        make = partial(_measurer, load, group[0].lvlm)
        for answer in (pool or LocalPool()).map(make, [[unit] for unit in units]):
            records = answer.value
            if answer.gave_up is not None:
                records = answer.unit.value.failed(answer.gave_up)
            journal.add(records)
    return journal.latest((arm.name, item.id) for arm in arms for item in items)


def _tasks(items: Sequence[Item], arms: Sequence[Arm], journal: Measurements) -> list[_Task]:
    """A task for each picture with something left to measure."""
    pictures: dict[Path, list[Item]] = {}
    left: dict[Path, set[tuple[str, str]]] = {}
    for item in items:
        missing = {(arm.name, item.id) for arm in arms if not journal.done(arm.name, item.id)}
        if missing:
            pictures.setdefault(item.image, []).append(item)
            left.setdefault(item.image, set()).update(missing)
    return [_Task(image, own, arms, frozenset(left[image])) for image, own in pictures.items()]


def _measurer(load: Load, changes: Mapping[str, Any]) -> Work:
    """A function that measures one task, with its models loaded."""
    grounder = load(changes)
    return lambda task: _measure_picture(grounder, task)


def _measure_picture(grounder: Grounder, task: _Task) -> list[Record]:
    try:
        seen = _look(grounder, task.image, task.items, task.arms)
    except (GroundbrushError, GroundingError) as error:
        if len(task.items) == 1:
            return task.failed(one_line(error))
        # One phrase that is too long must not fail the others.
        alone = (task._replace(items=[item]) for item in task.items)
        return [record for one in alone for record in _measure_picture(grounder, one)]
    truths: dict[int, np.ndarray] = {}
    return [
        _measure(grounder, seen, number, arm, truths)
        for number, item in enumerate(task.items)
        for arm in task.arms
        if (arm.name, item.id) in task.open
    ]


def _look(grounder: Grounder, image: Path, items: Sequence[Item], arms: Sequence[Arm]) -> _Seen:
    """Read the picture and all its phrases, with every head that some arm needs."""
    pixels = open_picture(image).pixels
    size = pixels.shape[1::-1]
    known = items[0].size_wh
    if known is not None and known != size:
        raise GroundbrushError(
            f"{str(image)!r} is {size[0]} by {size[1]} pixels and the annotations say {known[0]} "
            f"by {known[1]}; expected the benchmark's own pictures"
        )
    if isinstance(grounder, Backend):  # it reads a phrase when that is measured
        return _Seen(grounder.look(pixels), items)
    lvlm = grounder.lvlm
    greedy = any(isinstance(arm.heads, Greedy) for arm in arms)
    heads = None if greedy else tuple(sorted({h for arm in arms for h in _heads(arm, lvlm)}))
    deep = greedy or any(arm.source != "heads" for arm in arms)
    view = grounder.look(pixels)
    needed = lvlm.n_layers if deep or not heads else 1 + max(layer for layer, _ in heads)
    if view.encoded.layers is not None and view.encoded.layers < needed:
        encoded = lvlm.encode(view.proxy, all_layers=True)
        view = dataclasses.replace(view, encoded=encoded)
    phrases = [item.phrase for item in items]
    readings = grounder.read(view, phrases, heads)
    rows = plain = [r.rows for r in readings if r.rows is not None]
    if any(query_terms(text) != (text, None) for text in phrases):
        plain = lvlm.head_rows(view.encoded, phrases, heads)
    neutral = None
    if any(arm.neutral for arm in arms):
        (neutral,) = lvlm.head_rows(view.encoded, [NEUTRAL], heads)
    return _Seen(view, items, rows, [r.presence for r in readings], heads, plain, neutral)


def _measure(
    grounder: Grounder, seen: _Seen, number: int, arm: Arm, truths: dict[int, np.ndarray]
) -> Record:
    item, started = seen.items[number], time.perf_counter()
    settings = arm.settings(grounder.settings)
    record: Record = {**item_facts(item), "arm": arm.name}
    try:
        with translate(GroundingError):
            if arm.source == "coordinates":
                facts, box, mask = _written(grounder, seen, item)
                map_box = box
            else:
                found = _found(grounder, seen, number, arm, settings)
                map_box = found.detection or _map_box(found, settings)
                mask = found.mask if arm.segment else _pseudo(found, settings, map_box)
                box = found.box if arm.segment else map_box
                facts = {
                    "heads": [list(h) for h in found.heads],
                    "status": found.status,
                    "presence": None if found.presence is None else round(found.presence, 4),
                    "score": round(found.score, 4),
                }
            record |= {
                **facts,
                "box": None if box is None else [round(v, 2) for v in box],
                "mask": encode_rle(mask),
                **_against(item, box, map_box, mask, truths),
            }
    except GroundbrushError as error:
        return {**record, "error": one_line(error)}
    return {**record, "seconds": round(time.perf_counter() - started, 4)}


def _found(grounder: Grounder, seen: _Seen, number: int, arm: Arm, settings: Any) -> Grounding:
    from ...grounding.attention.baselines import rollout
    from ...grounding.pipeline import Grounder

    phrase = seen.items[number].phrase
    if isinstance(grounder, Backend):
        return grounder.using(settings).ground(seen.view, phrase)
    heads: tuple[Head, ...] = ()
    if arm.source == "rollout":
        rows = rollout(grounder.lvlm, seen.view.proxy, phrase)[None]
    else:
        heads = _heads(arm, grounder.lvlm)
        if isinstance(arm.heads, Greedy):
            heads = arm.heads.choose(seen.rows[number])
        whole = (seen.rows if settings.reword else seen.plain)[number]
        rows = _rows(seen, whole, heads)
        if arm.neutral and seen.neutral is not None:
            rows = _without_neutral(rows, _rows(seen, seen.neutral, heads), arm.neutral)
    placed = Grounder(grounder.lvlm, grounder.segmenter, settings).place(
        seen.view, phrase, rows, seen.presence[number]
    )
    return dataclasses.replace(placed, heads=heads)


def _heads(arm: Arm, lvlm: LVLM) -> tuple[Head, ...]:
    """The heads that are known before a phrase is read."""
    return () if isinstance(arm.heads, Greedy) else tuple(arm.heads or lvlm.heads or ())


def _rows(seen: _Seen, rows: np.ndarray, heads: tuple[Head, ...]) -> np.ndarray:
    """Maps (k, P, Q) of some of the heads that were read."""
    if seen.heads is None:
        layers, columns = np.array(heads).T
        return rows[layers, columns]
    return rows[[seen.heads.index(head) for head in heads]]


def _without_neutral(rows: np.ndarray, neutral: np.ndarray, how: str) -> np.ndarray:
    """Rows (k, P, Q) with what a head does whatever it is given subtracted, or divided out.

    The mean of the neutral row is added to the divisor, so that cells which neither phrase attends
    to do not decide.
    """
    if how == "subtract":
        return np.maximum(rows - neutral, 0)
    return rows / np.maximum(neutral + neutral.mean((-2, -1), keepdims=True), 1e-12)


def _written(grounder: Grounder, seen: _Seen, item: Item) -> tuple[Record, Box | None, np.ndarray]:
    """The facts, box and mask of the box that the model writes; no pixel where there is none."""
    from ...grounding.attention.baselines import write_box

    wrote, box = write_box(grounder.lvlm, seen.view.encoded, item.phrase)
    box = None if box is None else seen.view.enlarged(box)
    mask = np.zeros(seen.view.image.shape[:2], bool)
    if box is not None:
        x0, y0, x1, y1 = (max(0, round(v)) for v in box)
        mask[y0:y1, x0:x1] = True
    facts: Record = {"heads": [], "status": "absent" if box is None else "found", "presence": None}
    return {**facts, "score": 0.0 if box is None else 1.0, "wrote": wrote}, box, mask


def _map_box(found: Grounding, settings: Any) -> Box | None:
    """The pseudo-mask's box, before SAM, in the picture's pixels."""
    heat = token_map_to_image(found.token_map, found.region, found.size_wh)
    boxes = map_boxes(found.token_map, heat, found.region, found.size_wh, settings.boxes)
    return boxes[0] if boxes else None


def _pseudo(found: Grounding, settings: Any, box: Box | None) -> np.ndarray:
    """The pseudo-mask over the picture, (H, W) bool, cut to its box."""
    mask = np.zeros(found.mask.shape, bool)
    if box is None:
        return mask
    heat = token_map_to_image(found.token_map, found.region, found.size_wh)
    above = map_mask(found.token_map, heat, found.region, found.size_wh, settings.boxes)
    if settings.boxes.threshold == "grid":
        above = cells_to_mask(above, found.region, found.size_wh)
    x0, y0, x1, y1 = (round(v) for v in box)
    mask[y0:y1, x0:x1] = above[y0:y1, x0:x1]
    return mask


def _against(
    item: Item,
    box: Box | None,
    map_box: Box | None,
    mask: np.ndarray,
    truths: dict[int, np.ndarray],
) -> Record:
    """IoUs with the truth, and the pixel counts that cIoU needs; None without a truth."""
    out: Record = dict.fromkeys(("box_iou", "map_box_iou", "shared", "union", "true"))
    if item.box is not None:
        for name, one in (("box_iou", box), ("map_box_iou", map_box)):
            out[name] = 0.0 if one is None else float(box_iou(one, item.box))
    if item.truth is not None:
        if id(item.truth) not in truths:
            truths[id(item.truth)] = item.truth.draw((mask.shape[1], mask.shape[0]))
        truth = truths[id(item.truth)]
        out["shared"], out["union"] = mask_overlap(mask, truth)
        out["true"] = int((truth == 1).sum())
    return out


def item_facts(item: Item) -> Record:
    """What a record says of its item."""
    return {
        "item": item.id,
        "split": item.split,
        "kind": item.kind,
        "group": item.group,
        "phrase": item.phrase,
        "image": item.image.name,
    }
