"""Draw the paper's figures from a discovery. Each function takes results, returns a figure.

Kang et al., CVPR 2025: Figs. 1, 3, 6a, 6b, 13 and 14. Nothing is shown, loaded or changed, and
matplotlib's global state is not touched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import GroundingError
from .ranking import HeadRanking
from .trials import HeadDiscovery

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CHOSEN, OTHER, LINE = "#d81b60", "#90a4ae", "#37474f"


def discovery_figure(parts: Sequence[str], found: Mapping[str, HeadDiscovery]) -> Figure:
    """Some parts of a discovery side by side, the models below each other.

    `parts` are names in :data:`PARTS`; of several models each one's name is shown.

    Raises GroundingError where a part needs masks and the data have none.
    """
    figure = _figure((6.4 * len(parts), 4 * len(found)))
    grid = figure.subplots(len(found), len(parts), squeeze=False)
    for (name, one), row in zip(found.items(), grid, strict=True):
        for part, axes in zip(parts, row, strict=True):
            axes.spines[["top", "right"]].set_visible(False)
            PARTS[part](axes, one)
            if len(found) > 1:
                axes.set_title(f"{name}: {axes.get_title()}", fontsize=10)
    return figure


def all_figures(found: HeadDiscovery) -> dict[str, Figure]:
    """Every part that the data allow as a figure of its own, by file name without suffix."""
    masks = found.measured.mean_ious is not None
    names = [name for name in PARTS if masks or name != "frequency-and-iou"]
    return {name: discovery_figure([name], {"": found}) for name in names}


def _sums(axes: Any, found: HeadDiscovery) -> None:
    """Mean attention sums in ascending order with tau; the chosen heads are marked."""
    _title(axes, "Mean attention sum of each head, ascending")
    sums, skip = found.ranking.mean_sums, found.settings.skip_layers
    order = np.argsort(sums[skip:], axis=None)
    curve = sums[skip:].ravel()[order]
    axes.plot(curve, color=LINE)
    axes.axhline(found.ranking.threshold, color=OTHER, linestyle="--")
    _label(axes, f"τ = {found.ranking.threshold:.3f}", (0, found.ranking.threshold), "black")
    place = {int(flat): at for at, flat in enumerate(order)}
    chosen = [place[(layer - skip) * sums.shape[1] + head] for layer, head in found.heads]
    # names beside the points would overlap: the chosen heads are neighbours on the curve
    names = ", ".join(_name(layer, head) for layer, head in found.heads)
    axes.plot(chosen, curve[chosen], "o", color=CHOSEN, label=f"chosen: {names}")
    axes.legend(loc="upper left", frameon=False)
    axes.set(xlabel="heads, by attention sum", ylabel="attention sum")


def _frequencies(axes: Any, found: HeadDiscovery, limit: int = 20) -> None:
    """Selection frequency of the most frequent heads, mean and deviation over the trials."""
    _title(axes, "How often each head is among the lowest in spatial entropy")
    rows = [row for row in found.ranking.order()[:limit] if row.frequency > 0]
    names = [_name(row.layer, row.head) for row in rows]
    spread = [found.deviation[row.layer, row.head] for row in rows]
    colours = [CHOSEN if (row.layer, row.head) in found.heads else OTHER for row in rows]
    axes.bar(names, [row.frequency for row in rows], yerr=spread, color=colours, capsize=2)
    axes.tick_params(axis="x", rotation=60)
    axes.set(ylabel="selection frequency", ylim=(0, None))


def _frequency_and_iou(axes: Any, found: HeadDiscovery, min_frequency: float = 0.01) -> None:
    """IoU of each head's pseudo-mask against its frequency rank, with Spearman's rho."""
    ious = found.measured.mean_ious
    if ious is None:
        raise GroundingError(
            "the calibration data have no masks or boxes; expected truth for this figure: it needs "
            '"mask" in the JSONL, or RefCOCO'
        )
    _title(axes, "Does frequency predict how well a head localises?")
    rows = [row for row in found.ranking.order() if row.frequency >= min_frequency]
    for rank, row in enumerate(rows, start=1):
        chosen = (row.layer, row.head) in found.heads
        value = ious[row.layer, row.head]
        axes.plot(rank, value, "o", color=CHOSEN if chosen else OTHER)
        if chosen:
            _label(axes, _name(row.layer, row.head), (rank, value), CHOSEN)
    rho, p = found.ranking.correlation(ious, min_frequency)
    label = "too few heads for ρ" if np.isnan(rho) else f"Spearman ρ = {rho:.2f}, p = {p:.2g}"
    axes.text(0.98, 0.95, label, transform=axes.transAxes, ha="right", va="top")
    axes.set(xlabel="rank by frequency", ylabel="mean IoU of the pseudo-mask")


def _over_tau(axes: Any, found: HeadDiscovery, points: int = 9) -> None:
    """Selection frequency of the heads under other thresholds."""
    _title(axes, "Selection frequency at other thresholds τ")
    top = float(found.ranking.mean_sums[found.settings.skip_layers :].max())
    taus = [*np.linspace(0, 0.98 * top, points).tolist(), found.ranking.threshold]
    _selections(axes, found, found.over_tau(sorted(taus)), "τ, and how many of the chosen lead")


def _over_lowest(axes: Any, found: HeadDiscovery, most: int = 14) -> None:
    """Selection frequency of the heads with another N of lowest entropy counted in a pair."""
    _title(axes, "Selection frequency with N heads counted in a pair")
    rows = found.over_lowest(range(1, max(most, found.settings.lowest) + 1))
    _selections(axes, found, rows, "N, and how many of the chosen lead")


def _over_samples(axes: Any, found: HeadDiscovery, points: int = 8) -> None:
    """How many of the chosen heads fewer pairs choose, mean and deviation."""
    _title(axes, "The choice with fewer image-phrase pairs")
    most, heads = len(found.measured), len(found.heads)
    counts = sorted({int(n) for n in np.geomspace(min(5, most), most, points)})
    pairs, kept, spread = zip(*found.over_samples(counts), strict=True)
    axes.errorbar(pairs, kept, yerr=spread, fmt="o-", color=LINE, capsize=2)
    axes.set(xlabel="pairs", ylabel=f"of the {heads} heads, still chosen")
    axes.set(ylim=(-0.1, heads + 0.3), yticks=range(heads + 1))


def _selections(
    axes: Any, found: HeadDiscovery, rows: Sequence[tuple[float, HeadRanking]], xlabel: str
) -> None:
    """The leading heads down, values across, the frequency as grey; the three first are dotted."""
    shown = [(r.layer, r.head) for r in found.ranking.order()[:12] if r.frequency > 0]
    grey = [[ranking.frequency[head] for _, ranking in rows] for head in shown]
    axes.imshow(grey, cmap="Greys", vmin=0, vmax=1, aspect="auto")
    for x, (_, ranking) in enumerate(rows):
        for y in (y for y, head in enumerate(shown) if head in found.first_of(ranking)):
            axes.plot(x, y, "o", color=CHOSEN, markersize=4)
    marks = [f"{value:.3g}\n{found.kept(ranking)[0]}" for value, ranking in rows]
    axes.set_xticks(range(len(rows)), marks, fontsize=7)
    axes.set_yticks(range(len(shown)), [_name(*head) for head in shown], fontsize=8)
    axes.set(xlabel=xlabel, ylabel="head")


PARTS: Mapping[str, Callable[[Any, HeadDiscovery], None]] = {
    "attention-sums": _sums,
    "frequencies": _frequencies,
    "robustness-tau": _over_tau,
    "robustness-lowest": _over_lowest,
    "robustness-samples": _over_samples,
    "frequency-and-iou": _frequency_and_iou,
}
"""What can be drawn of a discovery: Figs. 3, 6a, 13, 14, the number of pairs, and Fig. 6b."""


def picture_grid(rows: Sequence[Sequence[tuple[str, NDArray]]]) -> Figure:
    """Titled pictures (H, W, 3) uint8 and maps (P, Q) in rows; shorter rows end early."""
    columns = max(len(row) for row in rows)
    figure = _figure((2.4 * columns, 2.6 * len(rows)))
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for row, places in zip(rows, grid, strict=True):
        for axes in places:
            axes.axis("off")
        for (title, picture), axes in zip(row, places, strict=False):
            axes.set_title(title, fontsize=8, wrap=True)
            axes.imshow(picture, **({} if picture.ndim == 3 else {"cmap": "inferno"}))
    return figure


def head_grid(
    image: NDArray[np.uint8],
    rows: NDArray[np.floating],
    phrase: str,
    heads: Sequence[tuple[int, int]] = (),
) -> Figure:
    """Every head's map for one phrase, the chosen ones framed, beside the picture (Fig. 1).

    `rows` are (L, H, P, Q); each map is stretched to its own range. `heads` are the chosen pairs.
    """
    from matplotlib.patches import Rectangle

    layers, columns, high, wide = rows.shape
    low = rows.min((-2, -1), keepdims=True)
    span = np.maximum(rows.max((-2, -1), keepdims=True) - low, 1e-12)
    tiles = np.full((layers, columns, high + 1, wide + 1), np.nan, np.float32)  # white lines
    tiles[:, :, :high, :wide] = (rows - low) / span
    mosaic = tiles.transpose(0, 2, 1, 3).reshape(layers * (high + 1), columns * (wide + 1))
    figure = _figure((11, 1.2 + 6.0 * mosaic.shape[0] / mosaic.shape[1]))
    left, right = figure.subplots(1, 2, width_ratios=[1, 2])
    left.imshow(image)
    left.set_title(f"“{phrase}”", fontsize=10)
    left.axis("off")
    right.imshow(mosaic, cmap="inferno", interpolation="nearest")
    for layer, head in heads:
        corner = head * (wide + 1) - 0.5, layer * (high + 1) - 0.5
        right.add_patch(Rectangle(corner, wide, high, fill=False, edgecolor="#00e5ff", lw=1.5))
    right.set_xticks([(h + 0.5) * (wide + 1) for h in range(columns)], range(columns), fontsize=6)
    right.set_yticks([(n + 0.5) * (high + 1) for n in range(layers)], range(layers), fontsize=6)
    right.set(xlabel="head", ylabel="layer")
    return figure


def _title(axes: Any, text: str) -> None:
    axes.set_title(text, fontsize=11)


def _label(axes: Any, text: str, at: tuple[float, float], colour: str) -> None:
    axes.annotate(text, at, xytext=(4, 4), textcoords="offset points", color=colour)


def _figure(size: tuple[float, float]) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise GroundingError(
            "the figures need matplotlib, which is not installed: pip install matplotlib"
        ) from error
    return Figure(figsize=size, layout="constrained")


def _name(layer: int, head: int) -> str:
    return f"L{layer}H{head}"
