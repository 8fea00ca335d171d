"""Report a discovery: the facts behind the figures, a summary, and a Markdown page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .trials import HeadDiscovery

_CAPTIONS = {
    "attention-sums": "Mean attention sums in ascending order, with τ (the paper's Fig. 3)",
    "frequencies": "Selection frequency, mean and deviation over the trials (Fig. 6a)",
    "frequency-and-iou": "IoU against frequency rank; truth was not used to choose (Fig. 6b)",
    "robustness-tau": "Selection frequency under other thresholds (Fig. 13)",
    "robustness-lowest": "Selection frequency with N heads counted in a pair (Fig. 14)",
    "robustness-samples": "The choice with fewer pairs",
    "head-grid": "Every head over one picture, the chosen ones framed (Fig. 1)",
}


def ranking_facts(found: HeadDiscovery) -> dict[str, Any]:
    """The numbers behind the figures, JSON-able: every head with frequency, deviation and IoU."""
    ious = found.measured.mean_ious
    rho, p = found.agreement or (None, None)
    zero, decided = found.ties
    return {
        "heads": [list(pair) for pair in found.heads],
        "tau": found.ranking.threshold,
        "lowest": found.settings.lowest,
        "lowest as a share of the heads": round(found.lowest_share, 5),
        "admitted heads with entropy 0": round(zero, 5),
        "pairs that the tie rule decides": round(decided, 5),
        "pairs": len(found.measured),
        "same heads in trials": f"{found.same_in_trials} of {len(found.trials)}",
        "spearman rho of frequency and IoU": None if rho is None or rho != rho else rho,
        "p of rho": None if p is None or p != p else p,
        "ranking": [
            {
                "head": [row.layer, row.head],
                "frequency": round(row.frequency, 5),
                "deviation": round(float(found.deviation[row.layer, row.head]), 5),
                "sum": round(row.mean_sum, 5),
                "iou": None if ious is None else round(float(ious[row.layer, row.head]), 5),
            }
            for row in found.ranking.order()
        ],
        "skipped": list(found.measured.skipped),
    }


def summary_lines(found: HeadDiscovery) -> list[str]:
    """The main findings, one per line."""
    heads = ", ".join(f"L{layer}H{head}" for layer, head in found.heads)
    lines = [
        f"localization heads: {heads} (layer and head counted from 0)",
        f"threshold of attention: {found.ranking.threshold:.3f}",
        f"the same heads come first in {found.same_in_trials} of {len(found.trials)} trials",
    ]
    heads_in_all, (zero, decided) = found.ranking.frequency.size, found.ties
    lines.append(
        f"heads counted in a pair: {found.settings.lowest} of {heads_in_all} "
        f"({found.lowest_share:.1%}; the paper's 10 of 1,024 are 1.0%)"
    )
    lines.append(
        f"ties: {zero:.0%} of the admitted heads have entropy 0, and in {decided:.0%} of the pairs "
        "the tie rule (the larger attention sum) decides which are counted"
    )
    if found.agreement is not None:
        rho, p = found.agreement
        value = (
            "too few heads were selected to measure it"
            if rho != rho
            else f"{rho:.2f} (p = {p:.2g})"
        )
        lines.append(f"Spearman rho of frequency and IoU: {value} (the paper has above 0.7)")
    if found.measured.skipped:
        lines.append(f"left out: {'; '.join(found.measured.skipped[:3])}")
    return lines


def report_page(found: HeadDiscovery, title: str, source: str, figures: Iterable[str]) -> str:
    """The report in Markdown, with figures by file name without suffix.

    `source` says in words where the heads come from and on what machine they were ranked.
    """
    summary = "\n".join(f"- {line}" for line in summary_lines(found))
    choices = "\n".join(f"- {name}: {value}" for name, value in vars(found.settings).items())
    images = "\n\n".join(f"{_CAPTIONS[name]}\n\n![{name}]({name}.png)" for name in figures)
    return (
        f"# {title}\n\n{source}\n\n{summary}\n\n"
        f"{found.table(15)}\n\n## Figures\n\n{images}\n\n## Settings\n\n{choices}\n"
    )
