"""Scores as Markdown tables, beside the paper's (Kang et al., CVPR 2025), and a report page.

The paper's values are percent; its RefCOCO, RefCOCO+ and RefCOCOg are the validation splits. Its
Acc@0.5 is of the map's box, before SAM (App. B.2: SAM serves segmentation only), so it stands
beside ours before SAM; its ReasonSeg values are cIoU (Sec. 6.1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .arms import Arm
from .scores import Score, Scores

REC = "Acc@0.5 before SAM"
COLUMNS = (
    ("Acc@0.5", "accuracy"),
    (REC, "map_accuracy"),
    ("cIoU", "ciou"),
    ("gIoU", "giou"),
    ("called absent", "refused"),
)
"""(title, field of `Scores`)."""

REFCOCO_VAL: Mapping[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "DeepSeek-VL-1.3B": ((73.2, 62.0, 65.2), (56.3, 51.2, 52.3)),
    "Mini-Gemini-2B": ((74.0, 62.5, 65.1), (59.8, 56.3, 55.1)),
    "InternVL-6B": ((85.2, 78.0, 81.1), (62.1, 62.2, 63.5)),
    "Yi-VL-6B": ((85.1, 78.9, 80.5), (62.5, 61.0, 64.0)),
    "DeepSeek-VL-7B": ((85.3, 77.8, 81.1), (73.9, 63.1, 64.0)),
    "ShareGPT4V-7B": ((86.1, 79.7, 82.4), (73.5, 59.4, 60.7)),
    "LLaVA-7B": ((80.3, 74.5, 77.5), (65.4, 59.9, 59.7)),
    "LLaVA-1.5-7B": ((86.5, 80.1, 82.3), (74.2, 62.5, 64.2)),
    "LLaVA-13B": ((82.8, 79.3, 79.8), (66.8, 62.3, 65.0)),
    "LLaVA-1.5-13B": ((87.2, 82.7, 84.3), (76.1, 64.1, 67.7)),
}
"""Model -> (Acc@0.5 before SAM, cIoU), each for RefCOCO, RefCOCO+, RefCOCOg."""

REASONSEG_CIOU: Mapping[str, Mapping[str, float]] = {
    "LLaVA-1.5-7B": {"val": 52.4, "test, short": 48.0, "test, long": 49.1, "test": 48.7},
    "LLaVA-1.5-13B": {"val": 60.5, "test, short": 48.7, "test, long": 51.0, "test": 49.9},
}
"""Model -> split or group -> cIoU."""

SAME_MODEL = {name.lower(): name for name in REFCOCO_VAL}
"""Preset -> the paper's name of its LVLM."""


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; empty without rows."""
    if not rows:
        return ""
    lines = [f"| {' | '.join(row)} |" for row in (heads, *rows)]
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


def beside(benchmark: str, group: str) -> dict[str, dict[str, float]]:
    """The paper's values for one row of our table: model -> metric -> percent; {} if none.

    Examples
    --------
    >>> beside("refcoco", "val")["LLaVA-1.5-7B"]
    {'Acc@0.5 before SAM': 86.5, 'cIoU': 74.2}
    """
    names = ("refcoco", "refcoco+", "refcocog")
    if benchmark == "reasonseg":
        rows = {m: values for m, values in REASONSEG_CIOU.items() if group in values}
        return {model: {"cIoU": values[group]} for model, values in rows.items()}
    if benchmark not in names or group != "val":
        return {}
    at = names.index(benchmark)
    return {m: {REC: rec[at], "cIoU": res[at]} for m, (rec, res) in REFCOCO_VAL.items()}


def paper_table(benchmark: str, preset: str, scores: Mapping[str, Scores]) -> str:
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
            name = f"{model} (paper)" + (", same LVLM" if SAME_MODEL.get(preset) == model else "")
            rows.append([name, *(f"{values[m]:.1f}" for m in metrics)])
        blocks.append(markdown([label, *metrics], rows))
    return "\n\n".join(blocks)


def arms_table(arms: Sequence[Arm], by_arm: Mapping[str, Scores]) -> str:
    """One row an arm, with the change against the arm that it differs from."""
    rows = []
    for arm in arms:
        row, against, change = by_arm[arm.name], arm.against or arms[0].name, ""
        base = by_arm.get(against)
        if base is not None and base.giou and row.giou and arm.name != against:
            change = f"{100 * (row.giou.value - base.giou.value):+.1f} against {against}"
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
