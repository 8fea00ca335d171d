"""The tables of Kang et al. (CVPR 2025): what each measures, and the numbers it prints.

``paper.json`` holds both as data. A cell is a benchmark, a group of its items, an arm and a metric;
rows and columns each fix some of them, so a printed number stands only beside its like. Acc@0.5 is
of the map's box, before SAM (App. B.2: SAM serves segmentation only); ReasonSeg is in cIoU.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import GroundbrushError
from .readers import benchmark

PNG = "png"
REC = "Acc@0.5 before SAM"
PAPER_ROWS = "paper"
_METRICS = {"map_accuracy": REC, "ciou": "cIoU"}
_FILE = Path(__file__).with_name("paper.json")
Cell = Mapping[str, str]
"""``benchmark``, ``group``, ``arm`` and ``metric``."""


@dataclass(frozen=True)
class PaperTable:
    """One table.

    Parameters
    ----------
    base, ways, columns : The parts of a cell that all share, that a row gives and that a column
        gives; a row is a preset measured under one protocol.
    printed : Group of methods -> method -> the printed values in percent, one a column.
    journal : The table with which measurements are shared, because it has the same arms.
    """

    number: int
    title: str
    base: Cell
    ways: Mapping[str, Cell]
    columns: Mapping[str, Cell]
    printed: Mapping[str, Mapping[str, Sequence[float]]]
    notes: Sequence[str]
    journal: str

    def cells(self, benchmark: str | None = None) -> Iterator[tuple[str, str, Cell]]:
        """(way, column, cell) of every cell, or of those on one benchmark."""
        for way, given in self.ways.items():
            for column, more in self.columns.items():
                cell = {**self.base, **given, **more}
                if benchmark in (None, cell["benchmark"]):
                    yield way, column, cell

    @property
    def benchmarks(self) -> list[str]:
        """The benchmarks that it is measured on."""
        return list(dict.fromkeys(cell["benchmark"] for _, _, cell in self.cells()))

    def on(self, name: str, split: str | None = None) -> PaperTable:
        """The table on one benchmark; without the printed numbers if they are of another."""
        own = {cell["benchmark"] for _, _, cell in self.cells()}
        cells = [(c, cell["group"].split(",")[0]) for _, c, cell in self.cells(name)]
        kept = {column for column, group in cells if split in (None, group)}
        if name in own and kept:
            at = [i for i, column in enumerate(self.columns) if column in kept]
            columns = {c: v for c, v in self.columns.items() if c in kept}
            printed = {
                group: {who: [values[i] for i in at] for who, values in rows.items()}
                for group, rows in self.printed.items()
            }
            return replace(self, columns=columns, printed=printed)
        splits = (split,) if split else ("all",) if name == PNG else benchmark(name).splits
        if any("group" in column for column in self.columns.values()):
            columns = {f"{name} {s}": {"benchmark": name, "group": s} for s in splits}
            return replace(self, columns=columns).unprinted()
        base = {**self.base, "benchmark": name, "group": splits[0]}
        return replace(self, base=base).unprinted()

    def unprinted(self) -> PaperTable:
        """The table without the paper's numbers and the notes on them."""
        return replace(self, printed={}, notes=())


def paper_table(number: int) -> PaperTable:
    """A table by its number.

    Raises GroundbrushError for a number that the paper does not have.
    """
    tables = _tables()
    if number not in tables:
        raise GroundbrushError(
            f"table {number} given; expected one of {', '.join(map(str, tables))}"
        )
    return tables[number]


def beside(name: str, group: str) -> dict[str, dict[str, float]]:
    """The paper's own results on one group of a benchmark: model -> metric -> percent.

    >>> beside("refcoco", "testA")["LLaVA-1.5-7B"]
    {'Acc@0.5 before SAM': 89.8, 'cIoU': 76.5}
    """
    found: dict[str, dict[str, float]] = {}
    for number in (1, 2, 3):
        table = paper_table(number)
        wanted = {"benchmark": name, "group": group}
        for at, column in enumerate(table.columns.values()):
            if {**table.base, **column}.items() >= wanted.items():
                for model, values in table.printed[PAPER_ROWS].items():
                    found.setdefault(model, {})[_METRICS[table.base["metric"]]] = values[at]
    return found


def same_model(preset: str) -> str | None:
    """The paper's name of a preset's LVLM, if the paper has it."""
    names = {name.lower(): name for name in paper_table(1).printed[PAPER_ROWS]}
    return names.get(preset)


@cache
def _tables() -> dict[int, PaperTable]:
    raw: dict[str, Any] = json.loads(_FILE.read_text(encoding="utf-8"))
    return {
        int(number): PaperTable(
            number=int(number),
            title=one["title"],
            base=one["base"],
            ways=one["ways"],
            columns=one["columns"],
            printed={
                group: {who: [float(v) for v in values.split()] for who, values in rows.items()}
                for group, rows in one["printed"].items()
            },
            notes=one.get("notes", ()),
            journal=one.get("journal", number),
        )
        for number, one in raw.items()
    }
