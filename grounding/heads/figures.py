"""Draw the paper's figures from a discovery. Each function takes results, returns a figure.

Kang et al., CVPR 2025: Figs. 1, 3, 6a, 6b, 13 and 14. Nothing is shown, loaded or changed, and
matplotlib's global state is not touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import GroundingError
from .trials import HeadDiscovery

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CHOSEN, OTHER, LINE = "#d81b60", "#90a4ae", "#37474f"


def attention_sum_curve(found: HeadDiscovery) -> Figure:
    """Mean attention sums in ascending order with tau (Fig. 3); the chosen heads are marked."""
    figure, axes = _blank("Mean attention sum of each head, ascending")
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
    return figure


def frequencies(found: HeadDiscovery, limit: int = 20) -> Figure:
    """Selection frequency of the most frequent heads, mean and deviation over trials (Fig. 6a)."""
    figure, axes = _blank("How often each head is among the lowest in spatial entropy")
    rows = [row for row in found.ranking.order()[:limit] if row.frequency > 0]
    names = [_name(row.layer, row.head) for row in rows]
    spread = [found.deviation[row.layer, row.head] for row in rows]
    colours = [CHOSEN if (row.layer, row.head) in found.heads else OTHER for row in rows]
    axes.bar(names, [row.frequency for row in rows], yerr=spread, color=colours, capsize=2)
    axes.tick_params(axis="x", rotation=60)
    axes.set(ylabel="selection frequency", ylim=(0, None))
    return figure


def frequency_and_iou(found: HeadDiscovery, min_frequency: float = 0.01) -> Figure:
    """IoU of each head's pseudo-mask against its frequency rank, with Spearman's rho (Fig. 6b).

    Raises GroundingError where the data have no masks.
    """
    ious = found.measured.mean_ious
    if ious is None:
        raise GroundingError(
            "the calibration data have no masks or boxes; expected truth for this figure: it needs "
            '"mask" in the JSONL, or RefCOCO'
        )
    figure, axes = _blank("Does frequency tell how well a head localises?")
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
    return figure


def robustness_to_tau(found: HeadDiscovery, points: int = 15) -> Figure:
    """How many of the chosen heads other thresholds choose (Fig. 13)."""
    figure, axes = _blank("The choice under other thresholds")
    top = float(found.ranking.mean_sums[found.settings.skip_layers :].max())
    rows = found.over_tau(np.linspace(0, 0.98 * top, points).tolist())
    axes.plot([r[0] for r in rows], [r[1] for r in rows], "o-", color=LINE)
    axes.axvline(found.ranking.threshold, color=OTHER, linestyle="--")
    _count_axis(axes, len(found.heads), "τ")
    _second_axis(axes, [(r[0], r[2]) for r in rows])
    return figure


def robustness_to_lowest(found: HeadDiscovery, most: int = 14) -> Figure:
    """How many of the chosen heads are chosen with another N of lowest entropy (Fig. 14)."""
    figure, axes = _blank("The choice with N heads of lowest entropy counted in a pair")
    rows = found.over_lowest(range(1, max(most, found.settings.lowest) + 1))
    axes.plot([r[0] for r in rows], [r[1] for r in rows], "o-", color=LINE)
    axes.axvline(found.settings.lowest, color=OTHER, linestyle="--")
    _count_axis(axes, len(found.heads), "N")
    _second_axis(axes, [(r[0], r[2]) for r in rows])
    return figure


def robustness_to_samples(found: HeadDiscovery, points: int = 8) -> Figure:
    """How many of the chosen heads fewer pairs choose, mean and deviation."""
    figure, axes = _blank("The choice with fewer image-phrase pairs")
    most = len(found.measured)
    counts = sorted({int(n) for n in np.geomspace(min(5, most), most, points)})
    rows = found.over_samples(counts)
    pairs, kept, spread = zip(*rows, strict=True)
    axes.errorbar(pairs, kept, yerr=spread, fmt="o-", color=LINE, capsize=2)
    _count_axis(axes, len(found.heads), "pairs")
    return figure


def head_grid(
    image: NDArray[np.uint8],
    rows: NDArray[np.floating],
    phrase: str,
    heads: Sequence[tuple[int, int]] = (),
) -> Figure:
    """Every head's map for one phrase, the chosen ones framed, beside the picture (Fig. 1).

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB.
    rows : (L, H, P, Q) attention rows of the phrase; each map is stretched to its own range.
    heads : Chosen (layer, head) pairs.
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


def all_figures(found: HeadDiscovery) -> dict[str, Figure]:
    """Every figure that the data allow, by file name without suffix."""
    made = {
        "attention-sums": attention_sum_curve(found),
        "frequencies": frequencies(found),
        "robustness-tau": robustness_to_tau(found),
        "robustness-lowest": robustness_to_lowest(found),
        "robustness-samples": robustness_to_samples(found),
    }
    if found.measured.mean_ious is not None:
        made["frequency-and-iou"] = frequency_and_iou(found)
    return made


def _label(axes: Any, text: str, at: tuple[float, float], colour: str) -> None:
    axes.annotate(text, at, xytext=(4, 4), textcoords="offset points", color=colour)


def _count_axis(axes: Any, heads: int, xlabel: str) -> None:
    axes.set(xlabel=xlabel, ylabel=f"of the {heads} heads, still chosen")
    axes.set(ylim=(-0.1, heads + 0.3), yticks=range(heads + 1))


def _second_axis(axes: Any, points: Sequence[tuple[float, float | None]]) -> None:
    known = [(x, y) for x, y in points if y is not None]
    if known:
        other = axes.twinx()
        other.plot(*zip(*known, strict=True), "s:", color=CHOSEN, markersize=3)
        other.set_ylim(0, None)
        other.set_ylabel("mean IoU of the heads chosen so", color=CHOSEN)


def _blank(title: str) -> tuple[Figure, Any]:
    figure = _figure((6.4, 4))
    axes = figure.subplots()
    axes.set_title(title, fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


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
