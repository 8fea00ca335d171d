"""What calibration leaves behind: the preset with its heads, the ranking, a page with figures."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import atomic_write
from ..machine import measured_on
from ..models.presets import Preset
from .result import Calibration

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CAPTIONS = {
    "attention-sums": "Mean attention sums in ascending order, with τ (the paper's Fig. 3)",
    "frequencies": "Selection frequency, mean and deviation over the trials (Fig. 6a)",
    "frequency-and-iou": "IoU against frequency rank; truth was not used to choose (Fig. 6b)",
    "robustness-tau": "The choice under other thresholds (Fig. 13)",
    "robustness-samples": "The choice with fewer pairs (Fig. 14)",
    "head-grid": "Every head over one picture, the chosen ones framed (Fig. 1)",
}


def provenance(found: Calibration, data: str) -> str:
    """Where the heads come from, in a sentence for the preset."""
    settings, ranking = found.settings, found.ranking
    return (
        f"label-free discovery by `groundbrush calibrate` on {data}: {len(found.measured)} pairs, "
        f"{settings.trials} trials of {ranking.samples}, criterion {settings.criterion}, "
        f"tau {ranking.threshold:.3f}, {datetime.date.today().isoformat()}"
    )


def preset_with_heads(preset: Preset, found: Calibration, data: str) -> dict[str, Any]:
    """The preset as JSON-able values, with the heads and the query and padding they belong to."""
    settings = found.settings
    lvlm = {
        **preset.lvlm,
        "heads": [list(pair) for pair in found.heads],
        "provenance": provenance(found, data),
    }
    lvlm.pop("full", None)
    for name in ("query", "padding"):
        value = getattr(settings, name)
        if value is not None:
            lvlm[name] = value
    raw: dict[str, Any] = {"name": preset.name, "about": preset.about, "licence": preset.licence}
    raw |= {"size_gb": preset.size_gb, "vocabulary": preset.vocabulary}
    raw |= {
        "lvlm": lvlm,
        "segmenter": dict(preset.segmenter),
        "inpainter": dict(preset.inpainter),
        "grounding": dict(preset.grounding),
    }
    return {name: value for name, value in raw.items() if value is not None}


def write_report(
    found: Calibration, preset: Preset, data: str, out: Path, figures: Mapping[str, Figure]
) -> dict[str, Path]:
    """Write the preset, the ranking, the figures and the page; return the files by name.

    Raises
    ------
    GroundbrushError
        When the folder cannot be written.
    """
    files = {
        "preset": out / f"{preset.name}.json",
        "ranking": out / "ranking.json",
        "page": out / "report.md",
    }
    text = json.dumps(preset_with_heads(preset, found, data), indent=2, ensure_ascii=False)
    text = re.sub(r"\[\s+(\d+),\s+(\d+)\s+\]", r"[\1, \2]", text)  # one head, one line
    atomic_write(files["preset"], (text + "\n").encode())
    atomic_write(files["ranking"], json.dumps(ranking_facts(found), indent=1).encode())
    for name, figure in figures.items():
        path = out / f"{name}.png"

        def draw(file: Any, figure: Figure = figure) -> None:
            figure.savefig(file, format="png", dpi=130)

        atomic_write(path, draw)
        files[name] = path
    atomic_write(files["page"], _page(found, preset, data, figures).encode())
    return files


def ranking_facts(found: Calibration) -> dict[str, Any]:
    """The numbers behind the figures, JSON-able: every head with frequency, deviation and IoU."""
    ious = found.measured.mean_ious
    rho = found.agreement
    return {
        "heads": [list(pair) for pair in found.heads],
        "tau": found.ranking.threshold,
        "pairs": len(found.measured),
        "same heads in trials": f"{found.same_in_trials} of {len(found.trials)}",
        "spearman rho of frequency and IoU": None if rho is None or rho != rho else rho,
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


def summary_lines(found: Calibration) -> list[str]:
    """What a reader wants to know first."""
    heads = ", ".join(f"L{layer}H{head}" for layer, head in found.heads)
    lines = [
        f"localization heads: {heads} (layer and head counted from 0)",
        f"threshold of attention: {found.ranking.threshold:.3f}",
        f"the same heads come first in {found.same_in_trials} of {len(found.trials)} trials",
    ]
    rho = found.agreement
    if rho is not None:
        told = "too few heads were selected to tell" if rho != rho else f"{rho:.2f}"
        lines.append(f"Spearman rho of frequency and IoU: {told} (the paper has above 0.7)")
    if found.measured.skipped:
        lines.append(f"left out: {'; '.join(found.measured.skipped[:3])}")
    return lines


def _page(found: Calibration, preset: Preset, data: str, figures: Mapping[str, Figure]) -> str:
    told = "\n".join(f"- {line}" for line in summary_lines(found))
    choices = "\n".join(f"- {name}: {value}" for name, value in vars(found.settings).items())
    shown = "\n\n".join(f"{_CAPTIONS[name]}\n\n![{name}]({name}.png)" for name in figures)
    return (
        f"# Localization heads of {preset.name}\n\n{provenance(found, data)}.\n"
        f"Ranked {measured_on()}.\n\n{told}\n\n"
        f"{found.table(15)}\n\n## Figures\n\n{shown}\n\n## Settings\n\n{choices}\n"
    )
