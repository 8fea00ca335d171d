"""Evaluate a preset on a benchmark: read, measure, score, write a report."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ...grounding.errors import GroundingError
from ...grounding.pipeline import Grounder
from .. import __version__
from ..errors import GroundbrushError, translate
from ..files import atomic_write
from ..journal import Record
from ..machine import measured_on
from ..models.models import Models
from ..models.presets import Preset, weights_stamp
from ..workers.pool import Pool
from .arms import PRESET, Arm
from .calibration import discovery_settings, run_calibration
from .items import Item
from .measure import evaluate
from .measurements import Measurements
from .readers import benchmark, read_items
from .report import arms_table, beside_paper, page, scores_table
from .scores import groups, scores, terms
from .sheet import failure_sheet, failures

OnProgress = Callable[[int, int], None]
One = TypeVar("One")


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """Options of every evaluation.

    Parameters
    ----------
    data : The folder that holds the benchmark, or its file.
    out : Folder for the journal, the page, the scores and the picture of failures.
    limit : Only this many items (or narratives), drawn with `seed`; None = all.
    fresh : Measure again what an earlier run has measured.
    sheet : How many failures to show.
    """

    data: Path
    out: Path
    limit: int | None = None
    seed: int = 0
    fresh: bool = False
    sheet: int = 24

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise GroundbrushError(f"limit {self.limit} given; expected at least 1, or no limit")

    @property
    def stem(self) -> str:
        """The start of every file's name."""
        raise NotImplementedError

    def draw(self, items: Sequence[One]) -> list[One]:
        """All items, or `limit` of them in their order."""
        if self.limit is None or self.limit >= len(items):
            return list(items)
        rng = np.random.default_rng(self.seed)
        chosen = rng.choice(len(items), self.limit, replace=False)
        return [items[i] for i in sorted(chosen.tolist())]

    @property
    def drawn(self) -> str:
        """How items were chosen, for a page."""
        return f" drawn with seed {self.seed}" if self.limit else ""


@dataclass(frozen=True, kw_only=True)
class EvaluationJob(EvaluationOptions):
    """A benchmark to evaluate on, and the arms to measure.

    Parameters
    ----------
    benchmark : A name in :data:`editor.evaluation.readers.BENCHMARKS`.
    split, partition : One split instead of all that are reported; another partition than the usual.
    arms : The first one is compared with the others.
    name : In the files' names, in place of the arms'.
    """

    benchmark: str
    split: str | None = None
    partition: str | None = None
    arms: Sequence[Arm] = (PRESET,)
    name: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        benchmark(self.benchmark, self.partition)
        names = [arm.name for arm in self.arms]
        if not names or len(set(names)) < len(names):
            raise GroundbrushError(f"arms {names} given; expected at least one, each name once")

    @property
    def stem(self) -> str:
        """See `EvaluationOptions.stem`."""
        mode = "ablations" if len(self.arms) > 1 else self.arms[0].name
        mode = self.name or ("" if mode == PRESET.name else mode)
        parts = (self.benchmark.replace("+", "plus"), self.partition, self.split, mode)
        return "-".join(part for part in parts if part)

    def items(self) -> list[Item]:
        """The items to measure, in the files' order."""
        return self.draw(
            read_items(benchmark(self.benchmark, self.partition), self.data, self.split)
        )


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was measured: the scores (JSON-able) and their table, the files, notes on failures."""

    scores: Mapping[str, Any]
    table: str
    records: Sequence[Record]
    files: Mapping[str, Path]
    notes: Sequence[str]


def run_evaluation(
    job: EvaluationJob,
    preset: Preset,
    *,
    on_progress: OnProgress | None = None,
    pool: Pool | None = None,
    **options: Any,
) -> Evaluation:
    """Evaluate a preset on a benchmark; an interrupted run resumes.

    Raises GroundbrushError for data that cannot be read, a journal of another measurement, or a
    model that fails.

    Parameters
    ----------
    preset, options : As for :class:`editor.models.models.Models`.
    on_progress : Called with (records on disk, records in all) after each picture.
    pool : Workers to measure in (such as a `RayPool`); None: this process.
    """
    preset.check_words("benchmark", job.benchmark)
    _check_arms(job, preset)
    items = job.items()
    about = header(job, preset, f"{job.benchmark} {job.partition or ''}".strip())
    about["arms"] = [dataclasses.asdict(arm) for arm in job.arms]
    keys = [(arm.name, item.id) for arm in job.arms for item in items]
    journal = resume(job, about, keys, on_progress)
    load = partial(_load, job.arms, preset, options)
    records = evaluate(load, items, job.arms, journal, pool)

    threshold = _threshold(preset)
    own = {arm.name: [r for r in records if r["arm"] == arm.name] for arm in job.arms}
    first = own[job.arms[0].name]
    by_group = {name: scores(some, threshold) for name, some in groups(first).items()}
    by_arm = {name: scores(some, threshold) for name, some in own.items()}
    facts = _facts(job, preset, options.get("device", "auto"), len(items), first)
    ablations = arms_table(job.arms, by_arm, records) if len(job.arms) > 1 else ""
    table = scores_table(by_group)
    return write_report(
        job,
        journal,
        records,
        items,
        worst=first,
        title=f"{job.stem} with {preset.name}",
        facts=facts,
        tables=[
            (f"Scores ({job.arms[0].name})", table),
            ("Beside the paper", beside_paper(job.benchmark, preset.name, by_group)),
            ("Ablations", ablations),
        ],
        about={"evaluation": job.stem, "preset": preset.name, "absent_below": threshold},
        numbers={
            "groups": {k: dataclasses.asdict(v) for k, v in by_group.items()},
            "arms": {k: dataclasses.asdict(v) for k, v in by_arm.items()},
        },
        table="\n\n".join(filter(None, [table, ablations])),
    )


def with_trained_heads(preset: Preset, data: Path, out: Path, **options: Any) -> Preset:
    """The preset, with heads from RefCOCO's training split in `data` where it names none.

    As the paper did. Without that split it is left as it is, so that its first use finds heads on
    composed scenes, and ``on_load`` is called with a line that says so.
    """
    if preset.find or preset.lvlm.get("heads"):
        return preset
    if not (data / "refcoco").is_dir():
        if on_load := options.get("on_load"):
            on_load(
                f"preset {preset.name!r} names no heads, and {data} holds no refcoco/ to find them "
                "on as the paper did: COMPOSED SCENES are used instead"
            )
        return preset
    settings = discovery_settings(preset)
    found = run_calibration(preset, out, settings, data=data, figures=False, **options).found
    source = (
        f"label-free discovery on RefCOCO's training split: {len(found.measured)} pairs, query "
        f"{preset.lvlm.get('query', 'stop')}"
    )
    heads = [list(pair) for pair in found.heads]
    return dataclasses.replace(preset, lvlm={**preset.lvlm, "heads": heads, "provenance": source})


def header(job: EvaluationOptions, preset: Preset, benchmark: str) -> dict[str, Any]:
    """What the records of an evaluation depend on."""
    parts = [p for p in ("lvlm", "find", "segmenter") if getattr(preset, p, None)]
    return {
        "what": "groundbrush evaluation",
        "version": __version__,
        "benchmark": benchmark,
        "data": str(job.data.resolve()),
        "models": {
            **{p: dict(getattr(preset, p)) for p in parts},
            "weights": [weights_stamp(preset.path(p)) for p in parts],
        },
        "settings": dict(preset.grounding),
    }


def resume(
    job: EvaluationOptions,
    header: Mapping[str, Any],
    keys: Sequence[tuple[str, str]],
    on_progress: OnProgress | None,
) -> Measurements:
    """The journal of an earlier run, if any, which reports how much is measured.

    `keys` are (arm, item id) of everything that the job measures.
    """
    path = job.out / f"{job.stem}.jsonl"
    if job.fresh:
        path.unlink(missing_ok=True)
    journal = Measurements(path, header)
    count = sum(journal.done(arm, item) for arm, item in keys)

    def on_add(new: int) -> None:
        nonlocal count
        count += new
        if on_progress:
            on_progress(count, len(keys))

    journal.on_add = on_add
    return journal


def write_report(
    job: EvaluationOptions,
    journal: Measurements,
    records: Sequence[Record],
    items: Sequence[Item],
    *,
    worst: Sequence[Record],
    title: str,
    facts: Mapping[str, Any],
    tables: Sequence[tuple[str, str]],
    numbers: Mapping[str, Any],
    table: str,
    about: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Write the page, the numbers, and a picture of failures among `worst`."""
    failed = [r for r in records if "error" in r]
    notes = [f"{len(failed)} answers could not be measured and are in no score"] if failed else []
    notes += list(dict.fromkeys(r["error"] for r in failed))[:5]
    files = {
        "journal": journal.path,
        "page": job.out / f"{job.stem}.md",
        "scores": job.out / f"{job.stem}.json",
    }
    shown = journal.whole(failures(worst, job.sheet)) if job.sheet else []
    sheet = failure_sheet(shown, items)
    if sheet is not None:
        files["failures"] = job.out / f"{job.stem}.failures.png"
        atomic_write(files["failures"], lambda file: sheet.save(file, "PNG"))
        tables = [*tables, ("Failures", f"![the worst]({files['failures'].name})")]
    atomic_write(files["page"], page(title, facts, tables, notes).encode())
    written = {**(about or {}), "facts": facts, **numbers, "notes": notes}
    atomic_write(files["scores"], json.dumps(written, indent=1).encode())
    return Evaluation(numbers, table, records, files, [*notes, *filter(None, [facts.get("truth")])])


def _check_arms(job: EvaluationJob, preset: Preset) -> None:
    """Refuse to switch what a find backend does not have."""
    switched = [arm.name for arm in job.arms if arm != PRESET]
    if preset.find and switched:
        raise GroundbrushError(
            f"preset {preset.name!r} finds with {preset.find['backend']!r}, which has no heads or "
            f"maps to switch, as {switched[0]!r} does; leave out --ablate, --paper and "
            "--like-reference, or use a preset with an lvlm"
        )


def _load(
    arms: Sequence[Arm], preset: Preset, options: Mapping[str, Any], changes: Mapping[str, Any]
) -> Grounder:
    """The preset's grounder with changes to its lvlm."""
    if not preset.find:
        # An arm with heads of its own may need deeper layers than the preset's.
        deep = any(arm.heads is not None or arm.source != "heads" for arm in arms)
        spec = {**preset.lvlm, **changes, "full": deep or bool(preset.lvlm.get("full"))}
        preset = dataclasses.replace(preset, lvlm=spec)
    return Models(preset, **options).grounder()


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
    if preset.find:
        model = {"backend": f"{preset.find['backend']} ({preset.find['path']}), no LVLM"}
    else:
        used = next((r["heads"] for r in records if "heads" in r), preset.lvlm.get("heads", []))
        heads = ", ".join(f"L{a}H{b}" for a, b in used)
        origin = preset.lvlm.get("provenance", "")
        if not preset.lvlm.get("heads"):
            origin = "found on first use on composed scenes, not on the training split"
        query = job.arms[0].lvlm.get("query") or preset.lvlm.get("query", "stop")
        model = {"LVLM": preset.lvlm["path"], "heads": f"{heads} ({origin})", "query token": query}
    good = [terms(r, None) for r in records if "error" not in r]
    known = sum(bool(one) for one in good)
    rest = f"{known} of {len(good)} items have a true box or mask; the others are in no accuracy"
    return {
        **model,
        "truth": rest if known < len(good) else "",
        "segmenter": preset.segmenter["path"],
        "items": f"{count}{job.drawn}",
        "measured": measured_on(device),
        "intervals": "95%, bootstrap over items; values in percent",
        "refusal": "off: every phrase is answered; what the preset would refuse is counted apart",
    }
