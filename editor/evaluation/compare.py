"""Scores of several presets on one benchmark side by side, and their differences item by item."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ..errors import GroundbrushError, one_line
from ..files import atomic_write, open_regular
from .report import COLUMNS, markdown, page
from .scores import Difference, Record, Scores, differences, groups, terms

Key = tuple[str, str]
"""Id and phrase of an item: what two measurements of it have in common."""


class SavedScores(BaseModel):
    """The ``.json`` that one evaluation wrote, with the records of its ``.jsonl``.

    `evaluation` is benchmark and split, such as ``refcoco-val``; `absent_below` the preset's
    threshold of presence; `records` are of the first arm, empty without a ``.jsonl``.
    """

    model_config = ConfigDict(frozen=True)
    preset: str
    evaluation: str
    groups: dict[str, Scores]
    facts: dict[str, Any]
    arms: dict[str, Any] = Field(default_factory=dict)
    absent_below: float | None = None
    records: dict[Key, Record] = Field(default_factory=dict)

    def terms(self, keys: Sequence[Key]) -> list[dict[str, tuple[float, float]]]:
        """What some of its records add to each score."""
        return [terms(self.records[key], self.absent_below) for key in keys]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Scores of one evaluation under different names; the first is the baseline."""

    evaluation: str
    results: Mapping[str, SavedScores]

    @property
    def first(self) -> str:
        """The baseline's name."""
        return next(iter(self.results))

    @cached_property
    def counts(self) -> dict[str, list[int]]:
        """Items of each result in every group that some result has, in the first one's order."""
        every = dict.fromkeys(g for r in self.results.values() for g in r.groups)
        return {
            g: [r.groups[g].count if g in r.groups else 0 for r in self.results.values()]
            for g in every
        }

    @property
    def tables(self) -> list[tuple[str, str]]:
        """(title, Markdown table) of every metric, each followed by its differences."""
        made, names = [], list(self.results)
        for title, metric in COLUMNS:
            rows = {
                g: [getattr(r.groups.get(g), metric, None) for r in self.results.values()]
                for g in self.counts
            }
            made.append((title, _table(names, rows, self.counts)))
            gaps = {
                g: [by_name.get(name, {}).get(metric) for name in names[1:]]
                for g, by_name in self.differences.items()
            }
            counts = {g: [one.count for one in row if one is not None] for g, row in gaps.items()}
            about = f"{title}: minus {self.first}, same items"
            made.append((about, _table(names[1:], gaps, counts)))
        return [(title, table) for title, table in made if table]

    @cached_property
    def differences(self) -> dict[str, dict[str, dict[str, Difference]]]:
        """Group -> result -> metric -> the result's score minus the baseline's, item by item."""
        base = self.results[self.first]
        found: dict[str, dict[str, dict[str, Difference]]] = {}
        for group, records in groups(list(base.records.values())).items():
            keys = [(str(r["item"]), str(r["phrase"])) for r in records]
            for name, other in list(self.results.items())[1:]:
                both = [k for k in keys if k in other.records]
                if gaps := differences(other.terms(both), base.terms(both)):
                    found.setdefault(group, {})[name] = gaps
        return found

    @property
    def notes(self) -> list[str]:
        """What limits the comparison."""
        others = [group for group, counts in self.counts.items() if len(set(counts)) > 1]
        keys = [r.records.keys() for r in self.results.values() if r.records]
        shared = set(keys[0]).intersection(*keys[1:]) if keys else set()
        alone = [name for name, r in self.results.items() if not r.records]
        notes = []
        if any(len(one) > len(shared) for one in keys):
            notes.append(f"only {len(shared)} items were measured in all: compare with care")
        elif others:
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
        names = ("LVLM", "heads", "backend", "segmenter", "items", "measured")
        facts = {
            name: "; ".join(f"{n} {r.facts[n]}" for n in names if r.facts.get(n))
            for name, r in self.results.items()
        }
        facts["intervals"] = "95%, bootstrap over items; values in percent, differences in points"
        return page(f"{self.evaluation}, side by side", facts, self.tables, self.notes)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "evaluation": self.evaluation,
            "groups": {
                g: {n: asdict(r.groups[g]) for n, r in self.results.items() if g in r.groups}
                for g in self.counts
            },
            "minus": self.first,
            "differences": {
                g: {n: {m: asdict(d) for m, d in row.items()} for n, row in by_name.items()}
                for g, by_name in self.differences.items()
            },
            "notes": self.notes,
        }


def _table(
    names: Sequence[str], rows: Mapping[str, Sequence[Any]], counts: Mapping[str, Sequence[int]]
) -> str:
    """One metric by group and result; groups without a value are left out."""
    shown = [
        [
            group,
            " / ".join(map(str, dict.fromkeys(counts[group]))),
            *("" if cell is None else str(cell) for cell in cells),
        ]
        for group, cells in rows.items()
        if any(cell is not None for cell in cells)
    ]
    return markdown(["items", "n", *names], shown)


def compare(files: Sequence[str | os.PathLike[str]]) -> Comparison:
    """Compare ``.json`` files that `run_evaluation` wrote for one benchmark; the first is the base.

    Raises GroundbrushError for fewer than two, a file that is no result, or results of different
    benchmarks.
    """
    results = [read_scores(Path(file)) for file in files]
    if len(results) < 2:
        raise GroundbrushError(
            f"{len(results)} results given; expected at least two .json files of one benchmark"
        )
    first = results[0]
    named: dict[str, SavedScores] = {}
    for file, result in zip(files, results, strict=True):
        if result.evaluation != first.evaluation:
            raise GroundbrushError(
                f"{os.fspath(file)!r} holds {result.evaluation!r} and the first file "
                f"{first.evaluation!r}; expected one benchmark and split for all"
            )
        name = result.preset if result.preset not in named else f"{result.preset} ({file})"
        if result.records and first.records and not result.records.keys() & first.records.keys():
            raise GroundbrushError(
                f"{os.fspath(file)!r} and the first file have no item in common; expected answers "
                "about the same pictures: evaluate with the same --data, --limit and --seed"
            )
        named[name] = result
    return Comparison(first.evaluation, named)


def read_scores(path: Path) -> SavedScores:
    """Read the ``.json`` of an evaluation and the ``.jsonl`` beside it, if any."""
    with open_regular(path, "JSON scores") as file:
        content = file.read()
    try:
        saved = SavedScores.model_validate_json(content)
    except ValueError as error:
        raise GroundbrushError(
            f"{str(path)!r} does not hold the scores of an evaluation ({one_line(error)}); "
            "expected a .json that `groundbrush evaluate BENCHMARK` wrote; run that again"
        ) from error
    beside = path.with_suffix(".jsonl")
    if not saved.arms or not beside.is_file():
        return saved
    return saved.model_copy(update={"records": _read_records(beside, next(iter(saved.arms)))})


def _read_records(path: Path, arm: str) -> dict[Key, Record]:
    """Records of one arm by item, without failures, from the ``.jsonl`` of an evaluation."""
    found: dict[Key, Record] = {}
    try:
        with open_regular(path, "JSON lines") as file:
            next(file, None)  # the header
            for line in file:
                if not line.endswith(b"\n"):
                    break  # cut off by a crash
                record = {k: v for k, v in json.loads(line).items() if k != "mask"}
                if record["arm"] == arm and "error" not in record:
                    terms(record, absent_below=0.0)  # has every member that is scored
                    found[str(record["item"]), str(record["phrase"])] = record
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise GroundbrushError(
            f"{str(path)!r} does not hold the answers of an evaluation ({one_line(error)}); "
            "expected the .jsonl that was written beside the scores; move it away to compare them "
            "without it"
        ) from error
    return found


def write_comparison(found: Comparison, folder: Path) -> dict[str, Path]:
    """Write the page and the numbers into a folder; returns the files by name."""
    stem = f"{found.evaluation}-compared"
    files = {"page": folder / f"{stem}.md", "scores": folder / f"{stem}.json"}
    atomic_write(files["page"], found.page.encode())
    atomic_write(files["scores"], json.dumps(found.as_dict(), indent=1).encode())
    return files
