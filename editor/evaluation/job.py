"""A whole evaluation: read the benchmark, measure, count, write the page; the sentence."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...grounding.errors import GroundingError
from .. import __version__
from ..errors import GroundbrushError, translate
from ..files import atomic_write
from ..journal import Record
from ..machine import measured_on
from ..models.models import Models
from ..models.presets import Preset
from ..workers.pool import Pool
from .arms import PRESET, Arm
from .items import Item
from .measure import Load, evaluate
from .measurements import Measurements
from .readers import benchmark, read_items
from .report import arms_table, page, paper_table, scores_table
from .sheet import failure_sheet, failures
from .summary import Scores, groups, scores

if TYPE_CHECKING:
    from ...grounding.pipeline import Grounder

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class EvaluationJob:
    """What is evaluated, and where the results go.

    Parameters
    ----------
    benchmark
        A name in :data:`editor.evaluation.readers.BENCHMARKS`.
    data
        The folder that holds it, or the JSONL file.
    out
        Folder for the journal, the page, the scores and the sheet of failures.
    split, partition
        One split instead of all that are reported; another partition than the usual.
    arms
        What to measure; the first one is compared with the others.
    limit
        Only this many items, drawn with `seed`; None = all.
    fresh
        Measure again what an earlier run has measured.
    sheet
        How many failures to show.
    """

    benchmark: str
    data: Path
    out: Path
    split: str | None = None
    partition: str | None = None
    arms: Sequence[Arm] = (PRESET,)
    limit: int | None = None
    seed: int = 0
    fresh: bool = False
    sheet: int = 24

    def __post_init__(self) -> None:
        benchmark(self.benchmark, self.partition)
        names = [arm.name for arm in self.arms]
        if not names or len(set(names)) < len(names):
            raise GroundbrushError(f"arms {names} given; expected at least one, each name once")
        if self.limit is not None and self.limit < 1:
            raise GroundbrushError(f"limit {self.limit} given; expected at least 1 item, or none")

    @property
    def stem(self) -> str:
        """The start of every file's name."""
        mode = "ablations" if len(self.arms) > 1 else self.arms[0].name
        mode = "" if mode == PRESET.name else mode
        parts = (self.benchmark.replace("+", "plus"), self.partition, self.split, mode)
        return "-".join(part for part in parts if part)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What came out: scores by group of the first arm and by arm, the files, what went wrong."""

    by_group: Mapping[str, Scores]
    by_arm: Mapping[str, Scores]
    records: Sequence[Record]
    files: Mapping[str, Path]
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def table(self) -> str:
        """The first arm's scores by group, as Markdown."""
        return scores_table(self.by_group)


def run_evaluation(
    job: EvaluationJob,
    preset: Preset,
    *,
    device: str = "auto",
    offline: bool = False,
    on_load: Callable[[str], None] | None = None,
    on_progress: OnProgress | None = None,
    pool: Pool | None = None,
) -> Evaluation:
    """Evaluate a preset on a benchmark; an interrupted run goes on where it was.

    Parameters
    ----------
    job
        See :class:`EvaluationJob`.
    preset, device, offline, on_load
        As for :class:`editor.models.models.Models`.
    on_progress
        Called with (answers journalled, answers in all) after each picture.
    pool
        Who measures, such as a `RayPool`; None: this process.

    Raises
    ------
    GroundbrushError
        For data that cannot be read, a journal of another measurement, or a model that fails.
    """
    _check_arms(job, preset)
    items = job_items(job)
    journal_file = job.out / f"{job.stem}.jsonl"
    if job.fresh:
        journal_file.unlink(missing_ok=True)
    journal = Measurements(journal_file, _header(job, preset))
    total = len(items) * len(job.arms)
    count = sum(journal.done(arm.name, item.id) for arm in job.arms for item in items)

    def on_records(new: int) -> None:
        nonlocal count
        count += new
        if on_progress:
            on_progress(count, total)

    load = _loader(job, preset, device, offline, on_load)
    records = evaluate(load, items, job.arms, journal, on_records=on_records, pool=pool)
    return _concluded(job, preset, device, items, records, journal)


def job_items(job: EvaluationJob) -> list[Item]:
    """The items of a job, in the files' order."""
    import numpy as np

    items = read_items(benchmark(job.benchmark, job.partition), job.data, job.split)
    if job.limit is not None and job.limit < len(items):
        chosen = np.random.default_rng(job.seed).choice(len(items), job.limit, replace=False)
        items = [items[i] for i in sorted(chosen.tolist())]
    return items


def weights_mark(path: str) -> list[Any]:
    """What tells one checkpoint from another without reading it: its files' names and sizes."""
    folder = Path(path)
    if not folder.is_dir():
        return [path]
    return [
        [file.name, file.stat().st_size, file.stat().st_mtime_ns]
        for file in sorted(folder.iterdir())
        if file.suffix in (".safetensors", ".json")
    ]


def _check_arms(job: EvaluationJob, preset: Preset) -> None:
    """Refuse to switch what a find backend does not have."""
    switched = [arm.name for arm in job.arms if arm != PRESET]
    if preset.find and switched:
        raise GroundbrushError(
            f"preset {preset.name!r} finds with {preset.find['backend']!r}, which has no heads or "
            f"maps to switch, and {switched[0]!r} was asked for; leave out --ablate, --paper and "
            "--like-reference, or use a preset with an lvlm"
        )


def _header(job: EvaluationJob, preset: Preset) -> dict[str, Any]:
    part = preset.finder
    return {
        "what": "groundbrush evaluation",
        "version": __version__,
        "benchmark": f"{job.benchmark} {job.partition or ''}".strip(),
        "data": str(job.data.resolve()),
        "models": {
            part: dict(getattr(preset, part)),
            "segmenter": dict(preset.segmenter),
            "weights": [weights_mark(preset.path(p)) for p in (part, "segmenter")],
        },
        "settings": dict(preset.grounding),
        "arms": [arm.as_dict() for arm in job.arms],
    }


def _loader(
    job: EvaluationJob,
    preset: Preset,
    device: str,
    offline: bool,
    on_load: Callable[[str], None] | None,
) -> Load:
    # an arm with heads of its own may look deeper than the preset's
    every_layer = any(arm.heads is not None for arm in job.arms)

    def load(changes: Mapping[str, Any]) -> Grounder:
        if preset.find:
            return Models(preset, device=device, offline=offline, on_load=on_load).grounder()
        spec = {**preset.lvlm, **changes, "full": every_layer or bool(preset.lvlm.get("full"))}
        changed = dataclasses.replace(preset, lvlm=spec)
        return Models(changed, device=device, offline=offline, on_load=on_load).grounder()

    return load


def _concluded(
    job: EvaluationJob,
    preset: Preset,
    device: str,
    items: Sequence[Item],
    records: Sequence[Record],
    journal: Measurements,
) -> Evaluation:
    """Count, and write the page, the numbers and the sheet."""
    threshold = _threshold(preset)
    first = [r for r in records if r["arm"] == job.arms[0].name]
    by_group = {name: scores(own, threshold) for name, own in groups(first).items()}
    by_arm = {
        arm.name: scores([r for r in records if r["arm"] == arm.name], threshold)
        for arm in job.arms
    }
    notes = _notes(records)
    files = {
        "journal": journal.path,
        "page": job.out / f"{job.stem}.md",
        "scores": job.out / f"{job.stem}.json",
    }
    failed = journal.whole(failures(first, job.sheet)) if job.sheet else []
    sheet = failure_sheet(failed, items)
    if sheet is not None:
        files["failures"] = job.out / f"{job.stem}.failures.png"
        atomic_write(files["failures"], lambda file: sheet.save(file, "PNG"))
    facts = _facts(job, preset, device, len(items), first)
    tables = [
        (f"Scores ({job.arms[0].name})", scores_table(by_group)),
        ("Beside the paper", paper_table(job.benchmark, preset.name, by_group)),
        ("Ablations", arms_table(job.arms, by_arm) if len(job.arms) > 1 else ""),
        ("Failures", f"![the worst]({files['failures'].name})" if sheet is not None else ""),
    ]
    text = page(f"{job.stem} with {preset.name}", facts, tables, notes)
    atomic_write(files["page"], text.encode())
    numbers = {
        "evaluation": job.stem,
        "preset": preset.name,
        "facts": facts,
        "absent_below": threshold,
        "groups": {k: v.as_dict() for k, v in by_group.items()},
        "arms": {k: v.as_dict() for k, v in by_arm.items()},
        "notes": notes,
    }
    atomic_write(files["scores"], json.dumps(numbers, indent=1).encode())
    return Evaluation(by_group, by_arm, records, files, notes)


def _threshold(preset: Preset) -> float | None:
    if preset.find:
        from ...grounding import backend_class

        with translate(GroundingError):
            kind = backend_class(preset.find["backend"])
            return kind.settings_from(preset.grounding).absent_below
    if not preset.lvlm.get("presence"):
        return None
    return float(preset.grounding.get("absent_below", 0.5))


def _facts(
    job: EvaluationJob, preset: Preset, device: str, count: int, records: Sequence[Record]
) -> dict[str, Any]:
    return {
        **_found_with(preset, records),
        "segmenter": preset.segmenter["path"],
        "items": f"{count}" + (f" drawn with seed {job.seed}" if job.limit else ""),
        "measured": measured_on(device),
        "intervals": "95%, bootstrap over items; values in percent",
        "refusal": "off: every phrase is answered; what the preset would refuse is counted apart",
    }


def _found_with(preset: Preset, records: Sequence[Record]) -> dict[str, str]:
    if preset.find:
        return {"backend": f"{preset.find['backend']} ({preset.find['path']}), no LVLM"}
    used = next((r["heads"] for r in records if "heads" in r), preset.lvlm.get("heads", []))
    heads = ", ".join(f"L{a}H{b}" for a, b in used)
    told = preset.lvlm.get("provenance", "found on first use")
    return {"LVLM": preset.lvlm["path"], "heads": f"{heads} ({told})"}


def _notes(records: Sequence[Record]) -> list[str]:
    failed = [r for r in records if "error" in r]
    reasons = list(dict.fromkeys(r["error"] for r in failed))
    told = [f"{len(failed)} answers could not be measured and are in no score"] if failed else []
    return told + reasons[:5]
