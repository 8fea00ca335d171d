"""Panoptic Narrative Grounding, a whole evaluation: read, measure, count, write the page.

Average recall is the mean IoU (see `multiobject.narratives`), for all phrases, things, stuff,
singulars and plurals, of three ways of finding side by side.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...grounding.metrics import bootstrap_interval
from ...multiobject.narratives import GROUPS
from .. import __version__
from ..errors import GroundbrushError
from ..files import atomic_write, weights_mark
from ..journal import Record
from ..machine import measured_on
from ..models.models import Models
from ..models.presets import Preset
from .job import OnProgress
from .measurements import Measurements
from .narrative_items import Told, read_told
from .narrative_measure import ARMS, measure_told
from .report import page
from .sheet import failure_sheet, failures
from .summary import Score

PUBLISHED = {"DeepSeek-VL-7B (paper)": 66.7, "F-LMM": 65.7}
"""Average recall over all phrases of val2017, in percent (Kang et al., CVPR 2025, App. D.4)."""


@dataclass(frozen=True)
class PngJob:
    """What is evaluated, and where the results go.

    Parameters
    ----------
    data, split
        As for `multiobject.narratives.read_png`.
    out
        Folder for the journal, the page, the scores and the sheet of failures.
    arms
        Some of `editor.evaluation.narrative_measure.ARMS`.
    limit
        Only this many narratives, drawn with `seed`; None = all.
    fresh
        Measure again what an earlier run has measured.
    sheet
        How many failures to show, of the last arm but the oracle.
    """

    data: Path
    out: Path
    split: str = "val2017"
    arms: Sequence[str] = tuple(ARMS)
    limit: int | None = None
    seed: int = 0
    fresh: bool = False
    sheet: int = 24

    def __post_init__(self) -> None:
        unknown = [arm for arm in self.arms if arm not in ARMS]
        if unknown or not self.arms or len(set(self.arms)) < len(self.arms):
            raise GroundbrushError(
                f"arms {list(self.arms)} given; expected some of {', '.join(ARMS)}, each once"
            )
        if self.limit is not None and self.limit < 1:
            raise GroundbrushError(f"limit {self.limit} given; expected at least 1, or none")

    @property
    def stem(self) -> str:
        """The start of every file's name."""
        return "png" if self.split == "val2017" else f"png-{self.split}"


@dataclass(frozen=True, eq=False)
class PngEvaluation:
    """What came out: average recall by arm and group, the files, and what went wrong."""

    by_arm: Mapping[str, Mapping[str, Score]]
    counts: Mapping[str, int]
    records: Sequence[Record]
    files: Mapping[str, Path]
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def table(self) -> str:
        """Average recall in percent: groups down, ways of finding across, as Markdown."""
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
    """Evaluate a preset; an interrupted run goes on where it was.

    Parameters
    ----------
    job
        See :class:`PngJob`.
    preset, device, offline, on_load
        As for :class:`editor.models.models.Models`.
    on_progress
        Called with (answers journalled, answers in all) after each picture.

    Raises
    ------
    GroundbrushError
        For data that cannot be read, a journal of another measurement, a model that fails, or a
        preset without localization heads where the caption is to be read at once.
    """
    if not preset.lvlm and "caption" in job.arms:
        raise GroundbrushError(
            f"preset {preset.name!r} has no language model whose heads could read a caption; use "
            "a preset with an lvlm"
        )
    told = read_told(job.data, job.split, job.limit, job.seed)
    path = job.out / f"{job.stem}.jsonl"
    if job.fresh:
        path.unlink(missing_ok=True)
    journal = Measurements(path, _header(job, preset))
    total = len(job.arms) * sum(len(one.items) for one in told)
    count = sum(journal.done(arm, i.id) for arm in job.arms for one in told for i in one.items)

    def on_records(new: int) -> None:
        nonlocal count
        count += new
        if on_progress:
            on_progress(count, total)

    models = Models(preset, device=device, offline=offline, on_load=on_load)
    records = measure_told(models.grounder, told, job.arms, journal, on_records=on_records)
    return _concluded(job, preset, device, told, records, journal)


def average_recall(records: Sequence[Record]) -> dict[str, Score]:
    """Average recall of one arm's records by group, with 95% bootstrap intervals over phrases.

    Groups without phrases, and records that hold an error, are left out.
    """
    good = [r for r in records if "error" not in r]
    chosen = {
        "all": good,
        "things": [r for r in good if r["thing"]],
        "stuff": [r for r in good if not r["thing"]],
        "singulars": [r for r in good if not r["plural"]],
        "plurals": [r for r in good if r["plural"]],
    }
    found = {}
    for group in GROUPS:
        ious = np.array([r["iou"] for r in chosen[group]], float)
        if ious.size:
            found[group] = Score(float(ious.mean()), *bootstrap_interval(ious))
    return found


def recall_table(by_arm: Mapping[str, Mapping[str, Score]], counts: Mapping[str, int]) -> str:
    """Groups down, arms across, in percent; groups without phrases are left out."""
    lines = [
        "| average recall | n | " + " | ".join(by_arm) + " |",
        "|---" * (2 + len(by_arm)) + "|",
    ]
    for group in GROUPS:
        if counts.get(group):
            cells = [str(scores[group]) if group in scores else "" for scores in by_arm.values()]
            lines.append(f"| {group} | {counts[group]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _header(job: PngJob, preset: Preset) -> dict[str, Any]:
    parts = [p for p in ("lvlm", "find", "segmenter") if getattr(preset, p, None)]
    return {
        "what": "groundbrush evaluation",
        "version": __version__,
        "benchmark": f"png {job.split}",
        "data": str(job.data.resolve()),
        "models": {
            **{p: dict(getattr(preset, p)) for p in parts},
            "weights": [weights_mark(preset.path(p)) for p in parts],
        },
        "settings": dict(preset.grounding),
    }


def _concluded(
    job: PngJob,
    preset: Preset,
    device: str,
    told: Sequence[Told],
    records: Sequence[Record],
    journal: Measurements,
) -> PngEvaluation:
    """Count, and write the page, the numbers and the sheet."""
    own = {arm: [r for r in records if r["arm"] == arm] for arm in job.arms}
    by_arm = {arm: average_recall(mine) for arm, mine in own.items()}
    phrases = [p for one in told for p in one.narrative.phrases]
    counts = {
        "all": len(phrases),
        "things": sum(p.is_thing for p in phrases),
        "stuff": sum(not p.is_thing for p in phrases),
        "singulars": sum(not p.plural for p in phrases),
        "plurals": sum(p.plural for p in phrases),
    }
    files = {
        "journal": journal.path,
        "page": job.out / f"{job.stem}.md",
        "scores": job.out / f"{job.stem}.json",
    }
    shown = next((arm for arm in reversed(job.arms) if arm != "oracle"), job.arms[0])
    failed = journal.whole(failures(own[shown], job.sheet)) if job.sheet else []
    sheet = failure_sheet(failed, [item for one in told for item in one.items])
    if sheet is not None:
        files["failures"] = job.out / f"{job.stem}.failures.png"
        atomic_write(files["failures"], lambda file: sheet.save(file, "PNG"))
    facts, notes = _page_facts(job, preset, device, told, own), _notes(records)
    tables = [
        ("Average recall (the mean IoU)", recall_table(by_arm, counts)),
        ("Ways of finding", "\n".join(f"- {arm}: {ARMS[arm]}" for arm in job.arms)),
        ("Failures", f"![the worst of {shown}]({files['failures'].name})" if sheet else ""),
    ]
    text = page(f"Panoptic Narrative Grounding with {preset.name}", facts, tables, notes)
    atomic_write(files["page"], text.encode())
    numbers = {
        "facts": facts,
        "counts": counts,
        "notes": notes,
        "arms": {a: {g: asdict(s) for g, s in row.items()} for a, row in by_arm.items()},
        "table": recall_table(by_arm, counts),
    }
    atomic_write(files["scores"], json.dumps(numbers, indent=1).encode())
    return PngEvaluation(by_arm, counts, records, files, notes)


def _page_facts(
    job: PngJob,
    preset: Preset,
    device: str,
    told: Sequence[Told],
    own: Mapping[str, Sequence[Record]],
) -> dict[str, Any]:
    drawn = f" drawn with seed {job.seed}" if job.limit else ""
    named = sorted({len(one.items) for one in told})
    published = ", ".join(f"{name} {value}" for name, value in PUBLISHED.items())
    return {
        "measured": measured_on(device),
        "pictures": f"{len(told)} of {job.split}{drawn}, {named[0]} to {named[-1]} phrases each",
        "intervals": "95%, bootstrap over phrases; values in percent",
        "refusal": "off: every phrase is answered" + _refused(own, preset),
        "published": f"{published} (all phrases)" if job.split == "val2017" else "",
    }


def _refused(own: Mapping[str, Sequence[Record]], preset: Preset) -> str:
    """Which share of the phrases the preset would have called absent."""
    asked = [
        r
        for arm, mine in own.items()
        if arm != "oracle"
        for r in mine
        if r.get("presence") is not None
    ]
    if not asked:
        return ""
    limit = float(preset.grounding.get("absent_below", 0.5))
    share = sum(r["presence"] < limit for r in asked) / len(asked)
    return f"; the preset would have called {100 * share:.1f}% of them absent"


def _notes(records: Sequence[Record]) -> list[str]:
    failed = [r for r in records if "error" in r]
    reasons = list(dict.fromkeys(r["error"] for r in failed))
    told = [f"{len(failed)} answers could not be measured and are in no score"] if failed else []
    return told + reasons[:5]
