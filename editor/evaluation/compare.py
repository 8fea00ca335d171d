"""Several presets' scores on one benchmark, side by side by query type."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from editor.errors import GroundbrushError, one_line
from editor.evaluation.report import COLUMNS, page
from editor.evaluation.summary import Scores
from editor.files import atomic_write, open_regular


@dataclass(frozen=True, eq=False)
class Result:
    """What one evaluation wrote into its ``.json``.

    Attributes
    ----------
    preset, evaluation
        What was measured, on what (such as ``refcoco-val``).
    groups
        Scores by split, query type and the benchmark's own groups.
    facts
        What the page says about the measurement.
    """

    preset: str
    evaluation: str
    groups: Mapping[str, Scores]
    facts: Mapping[str, Any]


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
        """(metric, Markdown table) of every metric that a result has."""
        made = ((title, self._table(metric)) for title, metric in COLUMNS)
        return [(title, table) for title, table in made if table]

    @property
    def notes(self) -> list[str]:
        """What stands in the way of comparing."""
        others = [g for g in self.groups if len(set(self._counts(g))) > 1]
        if not others:
            return []
        return [f"not the same items were measured in {', '.join(others)}: compare with care"]

    @property
    def page(self) -> str:
        """The whole as Markdown."""
        facts = {name: _told(r.facts) for name, r in self.results.items()}
        facts["intervals"] = "95%, bootstrap over items; values in percent"
        return page(f"{self.evaluation}, side by side", facts, self.tables, self.notes)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: evaluation, group -> preset -> scores, notes."""
        groups = {
            g: {n: r.groups[g].as_dict() for n, r in self.results.items() if g in r.groups}
            for g in self.groups
        }
        return {"evaluation": self.evaluation, "groups": groups, "notes": self.notes}

    def _counts(self, group: str) -> list[int]:
        return [r.groups[group].count if group in r.groups else 0 for r in self.results.values()]

    def _table(self, metric: str) -> str:
        rows = []
        for group in self.groups:
            known = [r.groups.get(group) for r in self.results.values()]
            cells = [getattr(one, metric) if one is not None else None for one in known]
            if any(cell is not None for cell in cells):
                n = " / ".join(map(str, dict.fromkeys(self._counts(group))))
                told = ["" if cell is None else str(cell) for cell in cells]
                rows.append("| " + " | ".join([group, n, *told]) + " |")
        if not rows:
            return ""
        head = "| " + " | ".join(["items", "n", *self.results]) + " |"
        return "\n".join([head, "|---" * (2 + len(self.results)) + "|", *rows])


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
        return Result(str(raw["preset"]), str(raw["evaluation"]), groups, dict(raw["facts"]))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise GroundbrushError(
            f"{str(path)!r} does not hold the scores of an evaluation ({one_line(error)}); "
            "expected a .json that `groundbrush evaluate BENCHMARK` wrote; run that again"
        ) from error


def write_comparison(found: Comparison, folder: Path) -> dict[str, Path]:
    """Write the page and the numbers into a folder; returns the files by name."""
    stem = f"{found.evaluation}-compared"
    files = {"page": folder / f"{stem}.md", "scores": folder / f"{stem}.json"}
    atomic_write(files["page"], found.page.encode())
    atomic_write(files["scores"], json.dumps(found.as_dict(), indent=1).encode())
    return files


def _told(facts: Mapping[str, Any]) -> str:
    """What found the phrases, on what machine, in one line."""
    names = ("LVLM", "heads", "backend", "segmenter", "items", "measured")
    return "; ".join(f"{name} {facts[name]}" for name in names if facts.get(name))
