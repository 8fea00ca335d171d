"""Measure a table of the paper with some presets, and print it beside the paper's numbers."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import GroundbrushError, one_line
from ..files import atomic_write
from ..journal import Record
from ..machine import measured_on
from ..models.presets import Preset
from ..workers.pool import Pool
from .ablations import ablation_arms
from .arms import COORDINATES, PAPER, PRESET, Arm
from .calibration import ablations_of
from .job import Evaluation, EvaluationJob, OnProgress, run_evaluation, with_trained_heads
from .paper import PNG, Cell, PaperTable, same_model
from .png import USUAL_SPLIT, PngJob, average_recall, run_png
from .report import markdown, page
from .scores import Score, groups, scores


@dataclass(frozen=True, kw_only=True)
class TableJob:
    """Where the data are, and how much of them is measured.

    Parameters
    ----------
    data : Benchmark -> its folder or file.
    out : Folder for the journals, one folder a preset, and for the tables.
    narratives : The split of Panoptic Narrative Grounding.
    calibration : Output of `calibrate`, for arms that choose heads; None = calibrate first.
    options : ``limit``, ``seed`` and ``fresh`` of `editor.evaluation.job.EvaluationOptions`.
    run : ``device``, ``offline`` and ``on_load`` of `run_evaluation`.
    """

    data: Mapping[str, Path]
    out: Path
    narratives: str = USUAL_SPLIT
    calibration: Path | None = None
    options: Mapping[str, Any]
    run: Mapping[str, Any]

    def of(self, preset: Preset, name: str) -> dict[str, Any]:
        """Options of one preset's measurement on a benchmark."""
        own = {"data": self.data[name], "out": self.out / preset.name, "sheet": 0}
        return {**self.options, **own}

    def calibrated(self, preset: Preset, name: str) -> dict[str, Any]:
        """Where heads are calibrated for it: on RefCOCO's training split, if it is there."""
        data = self.data[name] if (self.data[name] / "refcoco").is_dir() else None
        return {"data": data, "out": self.out / preset.name / "calibration", **self.run}


Rows = dict[str, dict[str, tuple[Score, int] | None]]
"""``preset, way`` -> column -> score and number of items, None where it is missing."""


def measure_table(
    table: PaperTable,
    presets: Sequence[Preset],
    job: TableJob,
    *,
    on_progress: OnProgress | None = None,
    pool: Pool | None = None,
) -> Evaluation:
    """Measure every cell with every preset; what cannot be measured is missing, with a note.

    Interrupted, it resumes; tables with the same arms share their measurements.
    """
    rows: Rows = {}
    notes, every = list(table.notes), list[Record]()
    for preset in presets:
        records: dict[str, list[Record]] = {}
        for name in table.benchmarks:
            try:
                records[name] = _records(table, preset, name, job, on_progress, pool)
            except GroundbrushError as error:
                notes.append(f"{preset.name} on {name}: {one_line(error)}")
        for way, column, cell in table.cells():
            label = f"{preset.name}, {way}" if way else preset.name
            own = records.get(cell["benchmark"], [])
            rows.setdefault(label, {})[column] = _score(own, cell)
        measured = [r for own in records.values() for r in own]
        notes += _notes(preset, measured)
        every += measured
    if table.printed and not any(same_model(preset.name) for preset in presets):
        notes.append("none of these presets has an LVLM of the paper's")
    return _write(table, rows, list(dict.fromkeys(notes)), every, job)


def _write(
    table: PaperTable, rows: Rows, notes: Sequence[str], records: Sequence[Record], job: TableJob
) -> Evaluation:
    """Write the table's page and numbers: our rows, then the paper's, in percent."""
    lines = [
        [f"**{name}**", *("–" if one is None else str(one[0]) for one in row.values())]
        for name, row in rows.items()
    ]
    for group, printed in table.printed.items():
        for who, values in printed.items():
            lines.append([f"{who} ({group})", *(f"{value:g}" for value in values)])
    shown = markdown(["measured here / printed", *table.columns], lines)
    counts = {c: {one[1] for row in rows.values() if (one := row.get(c))} for c in table.columns}
    limit, seed = job.options["limit"], job.options["seed"]
    facts = {
        "measured": measured_on(job.run.get("device", "auto")),
        "pictures": ", ".join(table.benchmarks),
        "items": ", ".join(
            f"{c} {' / '.join(map(str, sorted(n)))}" for c, n in counts.items() if n
        ),
        "drawn": f"at most {limit} a benchmark, with seed {seed}" if limit else "",
        "intervals": "95%, bootstrap over items; values in percent",
        "printed": "Kang et al., CVPR 2025: the same metric at the same step"
        if table.printed
        else "no number of the paper is of these pictures",
    }
    numbers = {
        "table": table.number,
        "title": table.title,
        "rows": {
            name: {
                c: None if one is None else {**asdict(one[0]), "n": one[1]}
                for c, one in row.items()
            }
            for name, row in rows.items()
        },
        "printed": table.printed,
    }
    files = {s: job.out / f"table-{table.number}.{s}" for s in ("md", "json")}
    title = f"Table {table.number}: {table.title}"
    atomic_write(files["md"], page(title, facts, [("Measured", shown)], notes).encode())
    written = {**numbers, "notes": notes, "facts": facts}
    atomic_write(files["json"], json.dumps(written, indent=1).encode())
    return Evaluation(numbers, f"{title}\n{shown}", records, files, notes)


def _records(
    table: PaperTable,
    preset: Preset,
    name: str,
    job: TableJob,
    on_progress: OnProgress | None,
    pool: Pool | None,
) -> list[Record]:
    """The records of one preset on one benchmark, with every arm that the table needs there."""
    cells = [cell for _, _, cell in table.cells(name)]
    wanted = list(dict.fromkeys(cell["arm"] for cell in cells))
    options = job.of(preset, name)
    if name == PNG:
        png = PngJob(arms=wanted, split=job.narratives, **options)
        return list(run_png(png, preset, on_progress=on_progress, **job.run).records)
    calibration = job.calibrated(preset, name)
    preset = with_trained_heads(preset, job.data[name], calibration["out"], **job.run)
    splits = list(dict.fromkeys(cell["group"].split(",")[0] for cell in cells))
    evaluation = EvaluationJob(
        benchmark=name,
        split=splits[0] if len(splits) == 1 and splits != ["all"] else None,
        arms=_arms(preset, wanted, job.calibration, calibration),
        name=f"table-{table.journal}",
        **options,
    )
    found = run_evaluation(evaluation, preset, on_progress=on_progress, pool=pool, **job.run)
    return list(found.records)


def _arms(
    preset: Preset, wanted: Sequence[str], measured: Path | None, options: Mapping[str, Any]
) -> list[Arm]:
    """The arms by name; heads that are chosen otherwise are used with the paper's steps."""
    if preset.find:
        return [PRESET]
    known = {arm.name: arm for arm in (PRESET, PAPER, COORDINATES, *ablation_arms(preset.lvlm))}
    if not known.keys() >= set(wanted):
        known |= {arm.name: arm for arm in ablations_of(preset, measured, **options)}
    found = [known[name] for name in wanted if name in known]
    steps = PAPER.grounding
    return [a if a.heads is None else dataclasses.replace(a, grounding=steps) for a in found]


def _score(records: Sequence[Record], cell: Cell) -> tuple[Score, int] | None:
    own = [r for r in records if r["arm"] == cell["arm"]]
    if cell["benchmark"] == PNG:
        good = [r for r in own if "error" not in r]
        recall = average_recall(good).get(cell["group"])
        return None if recall is None else (recall, len(good))
    found = scores(groups(own).get(cell["group"], []))
    score = getattr(found, cell["metric"])
    return None if score is None else (score, found.count)


def _notes(preset: Preset, records: Sequence[Record]) -> list[str]:
    """What is not in a number: failures, and answers without a box."""
    failed = [r["error"] for r in records if "error" in r]
    notes = []
    if failed:
        notes.append(f"{preset.name}: {len(failed)} answers could not be measured: {failed[0]}")
    written = [r for r in records if r["arm"] == COORDINATES.name and "error" not in r]
    if written:
        without = [r for r in written if r["box"] is None]
        words = f", such as {without[0]['wrote'][:60]!r}" if without else ""
        notes.append(
            f"{preset.name}: {len(without)} of {len(written)} answers in words hold no box{words}; "
            "they count as wrong"
        )
    return notes
