"""Scores as Markdown tables, beside the paper's, and a report page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .arms import Arm
from .paper import REC, beside, same_model
from .scores import Record, Score, Scores, differences, terms

COLUMNS = (
    ("Acc@0.5", "accuracy"),
    (REC, "map_accuracy"),
    ("cIoU", "ciou"),
    ("gIoU", "giou"),
    ("called absent", "refused"),
)
"""(title, field of `Scores`)."""


def markdown(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table; empty without rows."""
    if not rows:
        return ""
    lines = [f"| {' | '.join(map(str, row))} |" for row in (heads, *rows)]
    return "\n".join([lines[0], "|---" * len(heads) + "|", *lines[1:]])


def scores_table(scores: Mapping[str, Scores], first: str = "items") -> str:
    """Scores in percent with 95% intervals; columns without values are left out."""
    used = [
        (title, name)
        for title, name in COLUMNS
        if any(getattr(row, name) is not None for row in scores.values())
    ]
    rows = [
        [
            label,
            f"{row.count}" + (f" (+{row.failed} failed)" if row.failed else ""),
            *(_cell(getattr(row, name)) for _, name in used),
        ]
        for label, row in scores.items()
    ]
    return markdown([first, "n", *(title for title, _ in used)], rows)


def beside_paper(benchmark: str, preset: str, scores: Mapping[str, Scores]) -> str:
    """Our scores beside the paper's, for the splits that it has: one metric after one step."""
    blocks = []
    for label, ours in scores.items():
        theirs = beside(benchmark, label)
        if not theirs:
            continue
        metrics = list(next(iter(theirs.values())))
        mine = {title: _cell(getattr(ours, name)) for title, name in COLUMNS}
        rows = [[f"**{preset} (measured here)**", *(mine[m] for m in metrics)]]
        for model, values in theirs.items():
            name = f"{model} (paper)" + (", same LVLM" if same_model(preset) == model else "")
            rows.append([name, *(f"{values[m]:.1f}" for m in metrics)])
        blocks.append(markdown([label, *metrics], rows))
    return "\n\n".join(blocks)


def arms_table(
    arms: Sequence[Arm], by_arm: Mapping[str, Scores], records: Sequence[Record] = ()
) -> str:
    """One row an arm, with the change against the arm that it differs from, item by item."""
    by_item: dict[str, dict[str, Any]] = {arm.name: {} for arm in arms}
    for record in records:
        if "error" not in record:
            by_item[record["arm"]][record["item"]] = terms(record, None)
    rows = []
    for arm in arms:
        row, against, change = by_arm[arm.name], arm.against or arms[0].name, ""
        ours, theirs = by_item[arm.name], by_item.get(against, {})
        both = [item for item in ours if item in theirs and arm.name != against]
        gaps = differences([ours[i] for i in both], [theirs[i] for i in both])
        if "giou" in gaps:
            change = f"{gaps['giou']} against {against}"
        values = [row.accuracy, row.map_accuracy, row.ciou, row.giou]
        rows.append([arm.name, arm.about, str(row.count), *map(_cell, values), change])
    heads = "arm|what differs|n|Acc@0.5|of the map's box|cIoU|gIoU|change in gIoU"
    return markdown(heads.split("|"), rows)


def page(
    title: str,
    facts: Mapping[str, Any],
    tables: Sequence[tuple[str, str]],
    notes: Sequence[str] = (),
) -> str:
    """A Markdown page: the facts of the measurement, then each (heading, table), then notes."""
    items = "\n".join(f"- {name}: {value}" for name, value in facts.items() if value)
    body = "\n\n".join(f"## {heading}\n\n{table}" for heading, table in tables if table)
    end = "\n## Notes\n\n" + "\n".join(f"- {note}" for note in notes) + "\n" if notes else ""
    return f"# {title}\n\n{items}\n\n{body}\n{end}"


def _cell(score: Score | None) -> str:
    return "" if score is None else str(score)
