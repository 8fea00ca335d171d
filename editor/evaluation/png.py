"""Evaluate a preset on Panoptic Narrative Grounding: read, measure, score, write a report.

Average recall is the mean IoU (see `multiobject.narrative_benchmark`), for all phrases, things,
stuff, singulars and plurals, with several arms side by side.
"""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...grounding.errors import GroundingError
from ...grounding.localize.edges import refine_edges
from ...grounding.metrics import mask_iou
from ...grounding.pipeline import Grounder
from ...grounding.view import View, tight_boxes
from ...multiobject.errors import MultiObjectError
from ...multiobject.export.rle import encode_rle
from ...multiobject.narrative_benchmark import GROUPS, Narrative, ground_narrative, read_png, truth
from ..errors import GroundbrushError, one_line, translate
from ..journal import Record
from ..machine import measured_on
from ..models.models import Models
from ..models.presets import Preset
from ..pictures.picture import open_picture
from .items import Item, query_kind
from .job import Evaluation, EvaluationOptions, OnProgress, header, resume, write_report
from .measure import item_facts
from .measurements import Measurements
from .paper import paper_table
from .report import markdown
from .scores import Score, mean_score
from .true_masks import Labels, check_size

USUAL_SPLIT = "val2017"
ARMS = {
    "caption": "one forward of the whole caption; a phrase's map is the mean of its tokens' rows",
    "phrases": "each phrase is a query of its own, all packed behind one reading of the picture",
    "oracle": "SAM prompted with each segment's true box, the best of its masks, edges refined",
}
"""Ways to find the phrases -> what they do."""


@dataclass(frozen=True)
class SegmentUnion:
    """A true mask: the union of a phrase's segments in its picture's panoptic PNG."""

    narrative: Narrative
    phrase: int

    def draw(self, size_wh: tuple[int, int]) -> Labels:
        """See `editor.evaluation.true_masks.Truth`."""
        with translate(MultiObjectError):
            ids = self.narrative.ids()
        check_size(repr(str(self.narrative.mask_file)), ids.shape, size_wh)
        return truth(ids, self.narrative.phrases[self.phrase]).astype(np.uint8)


class NarrativeItems(NamedTuple):
    """A narrative with an item for each of its phrases."""

    narrative: Narrative
    items: list[Item]


def read_narratives(root: Path, split: str) -> list[NarrativeItems]:
    """The narratives of a split that have phrases, in the file's order."""
    if not root.exists():
        raise GroundbrushError(
            f"{str(root)!r} does not exist; expected the folder that holds images/{split} and "
            "annotations"
        )
    with translate(MultiObjectError):
        narratives = list(read_png(root, split))
    found = []
    for number, narrative in enumerate(narratives):
        items = [
            Item(
                id=f"{split}-{number}-{k}",
                image=narrative.image_file,
                phrase=phrase.text,
                split=split,
                kind=query_kind(phrase.text),
                truth=SegmentUnion(narrative, k),
            )
            for k, phrase in enumerate(narrative.phrases)
        ]
        if items:
            found.append(NarrativeItems(narrative, items))
    if not found:
        raise GroundbrushError(f"{str(root)!r} holds no narrative of split {split!r} with phrases")
    return found


@dataclass(frozen=True, kw_only=True)
class PngJob(EvaluationOptions):
    """The narratives to evaluate on, and the arms (some of `ARMS`) to measure.

    The picture of failures shows those of the last arm but the oracle.
    """

    split: str = USUAL_SPLIT
    arms: Sequence[str] = tuple(ARMS)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.arms or not set(self.arms) <= set(ARMS) or len(set(self.arms)) < len(self.arms):
            raise GroundbrushError(
                f"arms {list(self.arms)} given; expected some of {', '.join(ARMS)}, each once"
            )

    @property
    def stem(self) -> str:
        """See `EvaluationOptions.stem`."""
        return "png" if self.split == USUAL_SPLIT else f"png-{self.split}"


def run_png(
    job: PngJob, preset: Preset, *, on_progress: OnProgress | None = None, **options: Any
) -> Evaluation:
    """Evaluate a preset; an interrupted run resumes.

    `options` are ``device``, ``offline`` and ``on_load`` of `Models`. Raises GroundbrushError for
    data that cannot be read, a journal of another measurement, a model that fails, or the arm
    "caption" with a preset without localization heads.
    """
    preset.check_words("benchmark", "png")
    if not preset.lvlm and "caption" in job.arms:
        raise GroundbrushError(
            f"preset {preset.name!r} has no language model to read a caption with; use "
            "a preset with an lvlm"
        )
    narratives = job.draw(read_narratives(job.data, job.split))
    items = [item for one in narratives for item in one.items]
    keys = [(arm, item.id) for arm in job.arms for item in items]
    about = header(job, preset, f"png {job.split}")
    journal = resume(job, about, keys, on_progress)
    models = Models(preset, **options)
    records = measure_narratives(models.grounder, narratives, job.arms, journal)
    own = {arm: [r for r in records if r["arm"] == arm] for arm in job.arms}
    by_arm = {arm: average_recall(mine) for arm, mine in own.items()}
    counts = {group: len(in_group(own[job.arms[0]], group)) for group in GROUPS}
    facts = _page_facts(job, preset, options.get("device", "auto"), narratives, records)
    table = recall_table(by_arm, counts)
    return write_report(
        job,
        journal,
        records,
        items,
        worst=own[next((arm for arm in reversed(job.arms) if arm != "oracle"), job.arms[0])],
        title=f"Panoptic Narrative Grounding with {preset.name}",
        facts=facts,
        tables=[
            ("Average recall (the mean IoU)", table),
            ("Arms", "\n".join(f"- {arm}: {ARMS[arm]}" for arm in job.arms)),
        ],
        numbers={
            "counts": counts,
            "arms": {a: {g: asdict(s) for g, s in row.items()} for a, row in by_arm.items()},
        },
        table=table,
    )


def in_group(records: Sequence[Record], group: str) -> list[Record]:
    """The records of phrases in one of `GROUPS`."""
    if group == "all":
        return list(records)
    name = "thing" if group in ("things", "stuff") else "plural"
    return [r for r in records if r[name] == (group in ("things", "plurals"))]


def average_recall(records: Sequence[Record]) -> dict[str, Score]:
    """Average recall of one arm's records by group, with 95% bootstrap intervals over phrases.

    Groups without phrases, and records that hold an error, are left out.
    """
    good = [r for r in records if "error" not in r]
    return {
        group: mean_score(np.array([r["iou"] for r in chosen], float))
        for group in GROUPS
        if (chosen := in_group(good, group))
    }


def recall_table(by_arm: Mapping[str, Mapping[str, Score]], counts: Mapping[str, int]) -> str:
    """Groups down, arms across, in percent; groups without phrases are left out."""
    rows = [
        [group, str(counts[group]), *(str(s.get(group, "")) for s in by_arm.values())]
        for group in GROUPS
        if counts.get(group)
    ]
    return markdown(["average recall", "n", *by_arm], rows)


def measure_narratives(
    load: Callable[[], Grounder],
    narratives: Sequence[NarrativeItems],
    arms: Sequence[str],
    journal: Measurements,
) -> list[Record]:
    """Measure every phrase with every arm (some of `ARMS`), skipping what the journal has.

    `load` is called only if there is something to measure. Returns the records, arm by arm; with
    ``error`` where something could not be measured.
    """
    grounder = None
    for one in narratives:
        missing = [a for a in arms if not all(journal.done(a, i.id) for i in one.items)]
        if not missing:
            continue
        if grounder is None:  # without the answer "absent": the benchmark's phrases are all there
            grounder = copy.copy(load())
            grounder.settings = dataclasses.replace(grounder.settings, absent_below=0.0)
        made = _measure(grounder, one, missing)
        records = [r for r in made if not journal.done(r["arm"], r["item"])]
        journal.add(records)
    return journal.latest(
        (arm, item.id) for arm in arms for one in narratives for item in one.items
    )


def _measure(grounder: Grounder, one: NarrativeItems, arms: Sequence[str]) -> list[Record]:
    facts = [
        {**item_facts(item), "thing": phrase.is_thing, "plural": phrase.plural}
        for item, phrase in zip(one.items, one.narrative.phrases, strict=True)
    ]
    try:
        pixels = open_picture(one.narrative.image_file).pixels
        size = pixels.shape[1::-1]
        truths = [SegmentUnion(one.narrative, k).draw(size) == 1 for k in range(len(facts))]
        view = grounder.look(pixels)
    except (GroundbrushError, GroundingError) as error:
        return [{**fact, "arm": arm, "error": one_line(error)} for arm in arms for fact in facts]
    records: list[Record] = []
    for arm in arms:
        started = time.perf_counter()
        try:
            answers = _answers(grounder, view, one.narrative, arm)
        except (GroundbrushError, GroundingError, MultiObjectError) as error:
            records += [{**fact, "arm": arm, "error": one_line(error)} for fact in facts]
            continue
        seconds = round((time.perf_counter() - started) / len(facts), 4)
        records += [
            {
                **fact,
                "arm": arm,
                **found,
                "iou": mask_iou(mask, true),
                "shared": int((mask & true).sum()),
                "union": int((mask | true).sum()),
                "true": int(true.sum()),
                "box": None,
                "mask": encode_rle(mask),
                "seconds": seconds,
            }
            for fact, true, (mask, found) in zip(facts, truths, answers, strict=True)
        ]
    return records


def _answers(
    grounder: Grounder, view: View, narrative: Narrative, arm: str
) -> list[tuple[np.ndarray, Record]]:
    """Each phrase's mask, and the facts of its record."""
    if arm == "oracle":
        known: Record = {"status": "found", "presence": None, "score": 1.0, "places": None}
        return [(mask, known) for mask in oracle_masks(grounder, view, narrative)]
    found = ground_narrative(grounder, view, narrative, mode=arm)
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
        boxes = tight_boxes(list(true.values())) / np.tile(view.scale_xy, 2)
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


def _page_facts(
    job: PngJob,
    preset: Preset,
    device: str,
    narratives: Sequence[NarrativeItems],
    records: Sequence[Record],
) -> dict[str, Any]:
    named = sorted(len(one.items) for one in narratives)
    published = ", ".join(
        f"{model} ({group}) {values[0]}"
        for group, rows in paper_table(9).printed.items()
        for model, values in rows.items()
    )
    answers = [r["presence"] for r in records if r.get("presence") is not None]
    refused = ""
    if answers:
        limit = float(preset.grounding.get("absent_below", 0.5))
        share = sum(presence < limit for presence in answers) / len(answers)
        refused = f"; the preset would have called {100 * share:.1f}% of them absent"
    return {
        "measured": measured_on(device),
        "pictures": f"{len(narratives)} of {job.split}{job.drawn}, {named[0]} to {named[-1]} "
        "phrases each",
        "intervals": "95%, bootstrap over phrases; values in percent",
        "refusal": f"off: every phrase is answered{refused}",
        "published": f"{published} (all phrases)" if job.split == USUAL_SPLIT else "",
    }
