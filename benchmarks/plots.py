"""The plot of the page on performance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROW_WAYS = ("eager", "sdpa", "ours, every head", "ours, three heads")
ROW_FLOOR = "floor of a forward"
PANELS = (
    ("rows", "tokens", "seconds of a forward", ROW_FLOOR),
    ("phrases", "phrases", "seconds, picture to maps", "floor"),
    ("painting", "megapixels", "seconds of an edit", ""),
)
"""Topic, what it grows with, the axis's title and the way that is the floor."""
_COLOURS = ("#b3432b", "#8a8a8a", "#2f7fb8", "#1b9e77", "#7a5195", "#d9a404")
_DPI = 80


def growth(found: Mapping[str, Mapping[str, Any]], path: Path) -> Path | None:
    """Draw time against tokens, phrases and megapixels, those that were measured, into a PNG."""
    there = [panel for panel in PANELS if panel[0] in found]
    if not there:
        return None
    figure, axes = _figure(len(there))
    for axis, (topic, key, title, floor) in zip(axes, there, strict=True):
        rows = found[topic]["rows"]
        rows = [r for r in rows if r.get("model") == rows[0].get("model") and r.get("seconds")]
        colours = iter(_COLOURS)
        for way, own in _by_way(rows).items():
            points = sorted((r[key], r["seconds"]) for r in own)
            if way == floor:
                axis.plot(*_columns(points), "k--", label="floor")
                continue
            computed = any(r.get("computed") for r in own)
            _line(axis, points, way, next(colours), hollow=computed, wide=way == "sdpa")
        _logarithmic(axis, key, title, rows)
        axis.set_ylim(top=30 * axis.get_ylim()[1])  # room for the legend
        axis.legend(frameon=False, fontsize=6.5, loc="upper left")
    return _save(figure, path)


def _figure(columns: int) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6 * columns if columns > 1 else 6.4, 3.7), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False)[0]
    return figure, axes


def _save(figure: Any, path: Path) -> Path:
    # Without the date and version that matplotlib writes, the same numbers give the same file.
    figure.savefig(path, dpi=_DPI, metadata={"Software": None})
    return path


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _line(
    axis: Any,
    points: Sequence[tuple[float, float]],
    label: str | None,
    colour: str,
    *,
    hollow: bool = False,
    wide: bool = False,
) -> None:
    if points:
        axis.plot(
            *_columns(points),
            marker="o",
            ms=4,
            color=colour,
            label=label,
            lw=6 if wide else 1.5,
            alpha=0.5 if wide else 1,
            ls=":" if hollow else "-",
            mfc="white" if hollow else colour,
        )


def _by_way(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    return {
        way: [r for r in rows if r["way"] == way] for way in dict.fromkeys(r["way"] for r in rows)
    }


def _logarithmic(axis: Any, below: str, beside: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Both scales; a tick at every value of the rows."""
    from matplotlib.ticker import NullLocator

    ticks = sorted({row[below] for row in rows})
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xlabel(below)
    axis.set_ylabel(beside)
    axis.grid(alpha=0.25, which="both")
