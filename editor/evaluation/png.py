"""Evaluate a preset on Panoptic Narrative Grounding: read, measure, score, write a report.

Average recall is the mean IoU (see `multiobject.narrative_benchmark`), for all phrases, things,
stuff, singulars and plurals, with several arms side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...multiobject.narrative_benchmark import GROUPS
from ..errors import GroundbrushError
from ..journal import Record
from ..machine import measured_on
from ..models.models import Models
from ..models.presets import Preset
from .job import EvaluationOptions, OnProgress, header, resume, write_report
from .paper import paper_table
from .png_measure import ARMS, NarrativeItems, measure_narratives, read_narratives
from .report import markdown
from .scores import Score, mean_score

USUAL_SPLIT = "val2017"


@dataclass(frozen=True, kw_only=True)
class PngJob(EvaluationOptions):
    """The narratives to evaluate on, and the arms (some of `ARMS`) to measure.

    The picture of failures shows those of the last arm but the oracle.
    """

    split: str = USUAL_SPLIT
    arms: Sequence[str] = tuple(ARMS)

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = [arm for arm in self.arms if arm not in ARMS]
        if unknown or not self.arms or len(set(self.arms)) < len(self.arms):
            raise GroundbrushError(
                f"arms {list(self.arms)} given; expected some of {', '.join(ARMS)}, each once"
            )

    @property
    def stem(self) -> str:
        """See `EvaluationOptions.stem`."""
        return "png" if self.split == USUAL_SPLIT else f"png-{self.split}"


@dataclass(frozen=True, eq=False)
class PngEvaluation:
    """Average recall by arm and group, the files, and notes on failures."""

    by_arm: Mapping[str, Mapping[str, Score]]
    counts: Mapping[str, int]
    records: Sequence[Record]
    files: Mapping[str, Path]
    notes: Sequence[str] = ()

    @property
    def table(self) -> str:
        """Average recall in percent: groups down, arms across, as Markdown."""
        return recall_table(self.by_arm, self.counts)


def run_png(
    job: PngJob,
    preset: Preset,
    *,
    device: str = "auto",
    offline: bool = False,
    on_load: Callable[[str], None] | None = None,
    on_progress: OnProgress | None = None,
) -> PngEvaluation:
    """Evaluate a preset; an interrupted run resumes.

    Parameters are those of `editor.evaluation.job.run_evaluation`.

    Raises
    ------
    GroundbrushError
        For data that cannot be read, a journal of another measurement, a model that fails, or the
        arm "caption" with a preset without localization heads.
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
    journal, on_records = resume(
        job, header(job, preset, f"png {job.split}", {}), keys, on_progress
    )
    models = Models(preset, device=device, offline=offline, on_load=on_load)
    records = measure_narratives(
        models.grounder, narratives, job.arms, journal, on_records=on_records
    )

    own = {arm: [r for r in records if r["arm"] == arm] for arm in job.arms}
    by_arm = {arm: average_recall(mine) for arm, mine in own.items()}
    phrases = [p for one in narratives for p in one.narrative.phrases]
    counts = {name: len(group) for name, group in _groups(phrases, "is_thing", getattr).items()}
    facts = _page_facts(job, preset, device, narratives, own)
    files, notes = write_report(
        job,
        journal,
        records,
        items,
        worst=own[next((arm for arm in reversed(job.arms) if arm != "oracle"), job.arms[0])],
        title=f"Panoptic Narrative Grounding with {preset.name}",
        facts=facts,
        tables=[
            ("Average recall (the mean IoU)", recall_table(by_arm, counts)),
            ("Arms", "\n".join(f"- {arm}: {ARMS[arm]}" for arm in job.arms)),
        ],
        numbers={
            "facts": facts,
            "counts": counts,
            "arms": {a: {g: asdict(s) for g, s in row.items()} for a, row in by_arm.items()},
            "table": recall_table(by_arm, counts),
        },
    )
    return PngEvaluation(by_arm, counts, records, files, notes)


def average_recall(records: Sequence[Record]) -> dict[str, Score]:
    """Average recall of one arm's records by group, with 95% bootstrap intervals over phrases.

    Groups without phrases, and records that hold an error, are left out.
    """
    good = [r for r in records if "error" not in r]
    chosen = _groups(good, "thing", lambda record, name: record[name])
    return {
        group: mean_score(np.array([r["iou"] for r in chosen[group]], float))
        for group in GROUPS
        if chosen[group]
    }


def recall_table(by_arm: Mapping[str, Mapping[str, Score]], counts: Mapping[str, int]) -> str:
    """Groups down, arms across, in percent; groups without phrases are left out."""
    rows = [
        [group, str(counts[group]), *(str(s[group]) if group in s else "" for s in by_arm.values())]
        for group in GROUPS
        if counts.get(group)
    ]
    return markdown(["average recall", "n", *by_arm], rows)


def _groups(
    phrases: Sequence[Any], thing: str, value: Callable[[Any, str], bool]
) -> dict[str, list[Any]]:
    """Phrases, or their records, by group of the benchmark."""
    return {
        "all": list(phrases),
        "things": [p for p in phrases if value(p, thing)],
        "stuff": [p for p in phrases if not value(p, thing)],
        "singulars": [p for p in phrases if not value(p, "plural")],
        "plurals": [p for p in phrases if value(p, "plural")],
    }


def _page_facts(
    job: PngJob,
    preset: Preset,
    device: str,
    narratives: Sequence[NarrativeItems],
    own: Mapping[str, Sequence[Record]],
) -> dict[str, Any]:
    named = sorted({len(one.items) for one in narratives})
    published = ", ".join(
        f"{model} ({group}) {values[0]}"
        for group, rows in paper_table(9).printed.items()
        for model, values in rows.items()
    )
    answers = [
        r["presence"]
        for arm, mine in own.items()
        if arm != "oracle"
        for r in mine
        if r.get("presence") is not None
    ]
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
