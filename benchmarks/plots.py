"""Plots of the benchmarks' results: each takes a result and returns a figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROW_WAYS = ("eager", "sdpa", "ours, every head", "ours, three heads")
ROW_FLOOR = "floor of a forward"
_COLOURS = ("#b3432b", "#8a8a8a", "#2f7fb8", "#1b9e77", "#7a5195", "#d9a404")
_PAINTING = ("#1b9e77", "#2f7fb8", "#7a5195", "#b3432b")
_DPI = 80


def rows(result: Mapping[str, Any]) -> Any:
    """Time and memory against tokens, and the floor, of the first model."""
    figure, axes = _figure(2)
    model = result["rows"][0]["model"]
    by_way = _by_way([r for r in result["rows"] if r["model"] == model])
    if ROW_FLOOR in by_way:
        least = [(r["tokens"], r["seconds"]) for r in by_way[ROW_FLOOR]]
        axes[0].plot(*_columns(least), "k--", label=ROW_FLOOR)
    for way, colour in zip(ROW_WAYS, _COLOURS, strict=False):
        own = by_way.get(way, [])
        for axis, name, scale in zip(axes, ("seconds", "bytes"), (1, 1e6), strict=True):
            points = [(r["tokens"], r[name] / scale) for r in own if r.get(name)]
            in_turn = len(points) if name == "bytes" else sum("times" in r for r in own)
            rest = points[max(0, in_turn - 1) :] if in_turn < len(points) else ()
            _line(axis, rest, None, colour, hollow=True)
            # SDPA's line lies under ours: it is drawn wide.
            _line(axis, points[:in_turn], way, colour, wide=way == "sdpa")
    for axis, title in zip(
        axes, ("seconds of a forward", "megabytes beyond the model"), strict=True
    ):
        _logarithmic(axis, "tokens", title, result["rows"])
    axes[0].legend(frameon=False)
    figure.suptitle(f"Attention rows: {model}", fontsize=11)
    return figure


def phrases(result: Mapping[str, Any]) -> Any:
    """Time against phrases, and the floor; memory beside it."""
    figure, (axis, *more) = _figure(2 if result.get("memory") else 1)
    by_way = _by_way(result["rows"])
    order = sorted(by_way, key=lambda w: (not w.startswith("eager"), not w.startswith("full")))
    colours = dict(zip(order, _COLOURS, strict=False))
    for way, own in by_way.items():
        measured = [(r["phrases"], r["seconds"]) for r in own if not r.get("computed")]
        guessed = [(r["phrases"], r["seconds"]) for r in own if r.get("computed")]
        if way == "floor":
            axis.plot(*_columns(measured), "k--", label='floor of "together"')
            continue
        _line(axis, measured, way, colours[way])
        if guessed:
            _line(axis, [measured[-1], *guessed], None, colours[way], hollow=True)
    _logarithmic(axis, "phrases", "seconds, picture to maps", result["rows"])
    axis.set_ylim(top=50 * axis.get_ylim()[1])  # room for the legend
    axis.legend(frameon=False, fontsize=7)
    for beside in more:
        for way, own in _by_way(result["memory"]).items():
            _line(beside, [(r["phrases"], r["bytes"] / 1e6) for r in own], way, colours[way])
        _logarithmic(beside, "phrases", "megabytes beyond the model", result["memory"])
    figure.suptitle(
        f"Finding phrases: {result['rows'][0]['model']} (hollow: so many times one)", fontsize=10
    )
    return figure


def megapixels(result: Mapping[str, Any]) -> Any:
    """Time of an edit against the picture's size, and memory where it was measured."""
    held = [r for r in result["rows"] if r.get("bytes") and r["megapixels"] >= 1]
    figure, (axis, *more) = _figure(2 if held else 1)
    for (way, own), colour in zip(_by_way(result["rows"]).items(), _PAINTING, strict=False):
        for beside in more:
            points = sorted((r["megapixels"], r["bytes"] / 1e6) for r in held if r["way"] == way)
            _line(beside, points, way, colour)
        points = sorted((r["megapixels"], r["seconds"]) for r in own)
        _line(axis, points, way, colour, hollow=any(r.get("computed") for r in own))
    _logarithmic(axis, "megapixels", "seconds of an edit", result["rows"])
    for beside in more:
        _logarithmic(beside, "megapixels", "megabytes of an edit", held)
    axis.legend(frameon=False, fontsize=8)
    computed = any(r.get("computed") for r in result["rows"])
    title = "Painting: the crop, and the whole picture (hollow: computed from few steps)"
    figure.suptitle(title if computed else "Painting: the crop", fontsize=10)
    return figure


def memory(found: Mapping[str, Mapping[str, Any]]) -> Any:
    """Memory over the rows of a batch and the pairs of a calibration."""
    figure, (axis,) = _figure(1)
    curves = {
        "batch of edits, rows": found.get("scaling", {}).get("memory", ()),
        "calibration, pairs": found.get("discovery", {}).get("memory", {}).get("memory", ()),
    }
    for (name, points), colour in zip(curves.items(), _COLOURS[2:], strict=False):
        _line(axis, [(n, b / 1e6) for n, b in points], name, colour)
    axis.set_xlabel("done")
    axis.set_ylabel("megabytes of the process")
    axis.set_ylim(0, 1.25 * max(axis.get_ylim()[1], 1))
    axis.grid(alpha=0.25)
    axis.legend(frameon=False)
    return figure


def draw_all(found: Mapping[str, Mapping[str, Any]], folder: Path) -> list[Path]:
    """Write every plot that has results; return the paths."""
    drawn: list[Path] = []
    kinds: dict[str, tuple[str, Callable[[Any], Any]]] = {
        "rows": ("performance_rows.png", rows),
        "rows_cuda": ("performance_rows_cuda.png", rows),
        "phrases": ("performance_phrases.png", phrases),
        "phrases_cuda": ("performance_phrases_cuda.png", phrases),
        "painting": ("performance_megapixels.png", megapixels),
        "sdxl_edits_cuda": ("performance_megapixels_cuda.png", megapixels),
    }
    for topic, (name, draw) in kinds.items():
        if topic in found:
            drawn.append(_save(draw(found[topic]), folder / name))
    if "scaling" in found or "discovery" in found:
        drawn.append(_save(memory(found), folder / "performance_memory.png"))
    return drawn


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
