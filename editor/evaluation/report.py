"""Scores as tables: ours by group, ours beside the paper's, arms side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .arms import Arm
from .paper import beside
from .summary import Score, Scores

SAME_MODEL = {"llava-1.5-7b": "LLaVA-1.5-7B", "llava-1.5-13b": "LLaVA-1.5-13B"}
"""Preset -> the paper's name of its LVLM."""

COLUMNS = (
    ("Acc@0.5", "accuracy"),
    ("Acc@0.5 before SAM", "map_accuracy"),
    ("cIoU", "ciou"),
    ("gIoU", "giou"),
    ("called absent", "refused"),
)
"""(title, field of `Scores`)."""


def scores_table(rows: Mapping[str, Scores], first: str = "items") -> str:
    """Scores as a Markdown table, in percent with 95% intervals; empty columns are left out."""
    used = [
        (t, name)
        for t, name in COLUMNS
        if any(getattr(row, name) is not None for row in rows.values())
    ]
    lines = [
        "| " + " | ".join([first, "n", *(title for title, _ in used)]) + " |",
        "|---" * (2 + len(used)) + "|",
    ]
    for label, row in rows.items():
        count = f"{row.count}" + (f" (+{row.failed} failed)" if row.failed else "")
        cells = [_cell(getattr(row, name)) for _, name in used]
        lines.append("| " + " | ".join([label, count, *cells]) + " |")
    return "\n".join(lines)


def paper_table(benchmark: str, preset: str, rows: Mapping[str, Scores]) -> str:
    """Our scores beside the paper's, where the paper has that split; empty where it has none."""
    blocks = []
    for label, ours in rows.items():
        theirs = beside(benchmark, label)
        if not theirs:
            continue
        metrics = list(next(iter(theirs.values())))
        mine = {"Acc@0.5": ours.accuracy, "cIoU": ours.ciou, "gIoU": ours.giou}
        lines = [
            f"| {label} | " + " | ".join(metrics) + " |",
            "|---" * (1 + len(metrics)) + "|",
            f"| **{preset} (measured here)** | "
            + " | ".join(_cell(mine[m]) for m in metrics)
            + " |",
        ]
        for model, values in theirs.items():
            name = f"{model} (paper)" + (", same LVLM" if SAME_MODEL.get(preset) == model else "")
            lines.append(f"| {name} | " + " | ".join(f"{values[m]:.1f}" for m in metrics) + " |")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def arms_table(arms: Sequence[Arm], by_arm: Mapping[str, Scores]) -> str:
    """One line an arm, each beside what it gains or loses against the arm it differs from."""
    lines = [
        "| arm | what differs | n | Acc@0.5 | of the map's box | cIoU | gIoU | change in gIoU |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for arm in arms:
        row = by_arm[arm.name]
        against = arm.against or arms[0].name
        base = by_arm.get(against)
        change = ""
        if base is not None and base.giou and row.giou and arm.name != against:
            change = f"{100 * (row.giou.value - base.giou.value):+.1f} against {against}"
        cells = [
            arm.name,
            arm.about,
            str(row.count),
            _cell(row.accuracy),
            _cell(row.map_accuracy),
            _cell(row.ciou),
            _cell(row.giou),
            change,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def page(
    title: str,
    facts: Mapping[str, Any],
    tables: Sequence[tuple[str, str]],
    notes: Sequence[str] = (),
) -> str:
    """A Markdown page: what was measured and how, then each (heading, table)."""
    told = "\n".join(f"- {name}: {value}" for name, value in facts.items() if value)
    body = "\n\n".join(f"## {heading}\n\n{table}" for heading, table in tables if table)
    said = "\n".join(f"- {note}" for note in notes)
    return f"# {title}\n\n{told}\n\n{body}\n" + (f"\n## Notes\n\n{said}\n" if said else "")


def _cell(score: Score | None) -> str:
    return "" if score is None else str(score)
