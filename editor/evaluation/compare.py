"""Several presets' scores on one benchmark, side by side by query type, and how they differ."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import GroundbrushError, one_line
from ..files import atomic_write, open_regular
from .paired import Difference, Key, counted, differences, read_records
from .report import COLUMNS, page
from .summary import Record, Scores
from .summary import groups as grouped


@dataclass(frozen=True, eq=False)
class Result:
    """What one evaluation wrote into its ``.json``, and its answers.

    Attributes
    ----------
    preset, evaluation
        What was measured, on what (such as ``refcoco-val``).
    groups
        Scores by split, query type and the benchmark's own groups.
    facts
        What the page says about the measurement.
    answers
        Records by item, from the ``.jsonl`` beside it; none where that is not there.
    absent_below
        The preset's threshold of presence, where it has one.
    """

    preset: str
    evaluation: str
    groups: Mapping[str, Scores]
    facts: Mapping[str, Any]
    answers: Mapping[Key, Record] = field(default_factory=dict, repr=False)
    absent_below: float | None = None

    def counted(self, keys: Sequence[Key]) -> list[dict[str, tuple[float, float]]]:
        """What its answers to some items add to each score."""
        return [counted(self.answers[key], self.absent_below) for key in keys]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Results of one evaluation under names that differ."""

    evaluation: str
    results: Mapping[str, Result]

    @property
    def groups(self) -> list[str]:
        """Every group that some result has, in the first one's order."""
        return list(dict.fromkeys(g for r in self.results.values() for g in r.groups))

    @property
    def tables(self) -> list[tuple[str, str]]:
        """(metric, Markdown table) of every metric that a result has, each with its differences."""
        made = [
            one
            for title, metric in COLUMNS
            for one in (
                (title, self._table(metric)),
                (f"{title}: minus {self.first}, same items", self._gaps(metric)),
            )
        ]
        return [(title, table) for title, table in made if table]

    @property
    def first(self) -> str:
        """What the others are compared with."""
        return next(iter(self.results))

    @cached_property
    def differences(self) -> dict[str, dict[str, dict[str, Difference]]]:
        """Group -> result -> metric -> the result's score minus the first one's, item by item."""
        base, *others = self.results.values()
        found: dict[str, dict[str, dict[str, Difference]]] = {}
        for group, records in grouped(list(base.answers.values())).items():
            keys = [(str(r["item"]), str(r["phrase"])) for r in records]
            found[group] = {}
            for name, other in zip(list(self.results)[1:], others, strict=True):
                both = [k for k in keys if k in other.answers]
                gaps = differences(other.counted(both), base.counted(both))
                if gaps:
                    found[group][name] = gaps
        return {group: by_name for group, by_name in found.items() if by_name}

    @property
    def notes(self) -> list[str]:
        """What stands in the way of comparing."""
        others = [g for g in self.groups if len(set(self._counts(g))) > 1]
        alone = [name for name, r in self.results.items() if not r.answers]
        notes = []
        if others:
            notes.append(
                f"not the same items were measured in {', '.join(others)}: compare with care"
            )
        if alone:
            notes.append(
                f"no answers (.jsonl) lie beside the scores of {', '.join(alone)}: no "
                "differences by item"
            )
        return notes

    @property
    def page(self) -> str:
        """The whole as Markdown."""
        facts = {name: _told(r.facts) for name, r in self.results.items()}
        facts["intervals"] = "95%, bootstrap over items; values in percent, differences in points"
        return page(f"{self.evaluation}, side by side", facts, self.tables, self.notes)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: evaluation, group -> preset -> scores, the same of differences, notes."""
        groups = {
            g: {n: r.groups[g].as_dict() for n, r in self.results.items() if g in r.groups}
            for g in self.groups
        }
        gaps = {
            g: {n: {m: d.as_dict() for m, d in by_metric.items()} for n, by_metric in row.items()}
            for g, row in self.differences.items()
        }
        return {
            "evaluation": self.evaluation,
            "groups": groups,
            "minus": self.first,
            "differences": gaps,
            "notes": self.notes,
        }

    def _counts(self, group: str) -> list[int]:
        return [r.groups[group].count if group in r.groups else 0 for r in self.results.values()]

    def _table(self, metric: str) -> str:
        rows = []
        for group in self.groups:
            known = [r.groups.get(group) for r in self.results.values()]
            cells = [getattr(one, metric) if one is not None else None for one in known]
            if any(cell is not None for cell in cells):
                n = " / ".join(map(str, dict.fromkeys(self._counts(group))))
                rows.append([group, n, *("" if cell is None else str(cell) for cell in cells)])
        return _markdown(["items", "n", *self.results], rows)

    def _gaps(self, metric: str) -> str:
        rows = []
        for group, by_name in self.differences.items():
            known = [by_name.get(name, {}).get(metric) for name in list(self.results)[1:]]
            counts = dict.fromkeys(str(one.count) for one in known if one is not None)
            if counts:
                cells = ["" if one is None else str(one) for one in known]
                rows.append([group, " / ".join(counts), *cells])
        return _markdown(["items", "n", *list(self.results)[1:]], rows)


def compare(files: Sequence[str | os.PathLike[str]]) -> Comparison:
    """Put the results of several presets side by side.

    Parameters
    ----------
    files
        ``.json`` files that `run_evaluation` wrote, of one benchmark; the table has their order.

    Raises
    ------
    GroundbrushError
        For fewer than two, a file that is no result, or results of different benchmarks.
    """
    results = [read_result(Path(file)) for file in files]
    if len(results) < 2:
        raise GroundbrushError(
            f"{len(results)} results given; expected at least two .json files of one benchmark"
        )
    first = results[0]
    named: dict[str, Result] = {}
    for file, result in zip(files, results, strict=True):
        if result.evaluation != first.evaluation:
            raise GroundbrushError(
                f"{os.fspath(file)!r} holds {result.evaluation!r} and the first file "
                f"{first.evaluation!r}; expected one benchmark and split for all"
            )
        name = result.preset if result.preset not in named else f"{result.preset} ({file})"
        named[name] = result
    return Comparison(first.evaluation, named)


def read_result(path: Path) -> Result:
    """Read what an evaluation wrote.

    Raises
    ------
    GroundbrushError
        When it is not there or something else.
    """
    with open_regular(path, "JSON scores") as file:
        content = file.read()
    try:
        raw = json.loads(content)
        groups = {str(k): Scores.from_dict(v) for k, v in raw["groups"].items()}
        facts, limit = dict(raw["facts"]), raw.get("absent_below")
        arm = next(iter(raw.get("arms", {})), None)
        limit = None if limit is None else float(limit)
        preset, evaluation = str(raw["preset"]), str(raw["evaluation"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise GroundbrushError(
            f"{str(path)!r} does not hold the scores of an evaluation ({one_line(error)}); "
            "expected a .json that `groundbrush evaluate BENCHMARK` wrote; run that again"
        ) from error
    beside = path.with_suffix(".jsonl")
    answers = read_records(beside, arm) if arm is not None and beside.is_file() else {}
    return Result(preset, evaluation, groups, facts, answers, limit)


def write_comparison(found: Comparison, folder: Path) -> dict[str, Path]:
    """Write the page and the numbers into a folder; returns the files by name."""
    stem = f"{found.evaluation}-compared"
    files = {"page": folder / f"{stem}.md", "scores": folder / f"{stem}.json"}
    atomic_write(files["page"], found.page.encode())
    atomic_write(files["scores"], json.dumps(found.as_dict(), indent=1).encode())
    return files


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; nothing without rows."""
    if not rows:
        return ""
    lines = [f"| {' | '.join(row)} |" for row in (heads, *rows)]
    return "\n".join([lines[0], "|---" * len(heads) + "|", *lines[1:]])


def _told(facts: Mapping[str, Any]) -> str:
    """What found the phrases, on what machine, in one line."""
    names = ("LVLM", "heads", "backend", "segmenter", "items", "measured")
    return "; ".join(f"{name} {facts[name]}" for name in names if facts.get(name))
