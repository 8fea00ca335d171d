"""SCORES.md from the records: every score beside chance, the oracle and the ceiling it has."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch

from ...editor.evaluation.report import markdown
from ...grounding import bootstrap_interval
from ..heads import LOWEST
from .journal import Record


@dataclass(frozen=True)
class Measured:
    """All records of one run, by subject."""

    finding: list[Record]
    segmenting: list[Record]
    painting: list[Record]
    judging: list[Record]
    reconstruction: list[Record]
    discovery: list[Record]
    probe: list[Record]
    minutes: float  # that all of it took, over as many runs as it took

    @property
    def present(self) -> list[Record]:
        """Phrases of things that are there, in ordinary scenes."""
        return [r for r in self.finding if "iou" in r and not r["crowded"]]

    @property
    def absent(self) -> list[Record]:
        """Phrases of things that are not."""
        return [r for r in self.finding if "iou" not in r]


def values(records: Iterable[Record], name: str) -> np.ndarray:
    """One field of all records that have it, as floats."""
    return np.array([r[name] for r in records if name in r], float)


def rate(numbers: np.ndarray, count: bool = True) -> str:
    """Mean, 95% bootstrap interval and how many, as text."""
    if not numbers.size:
        return "–"
    low, high = bootstrap_interval(numbers, seed=0)
    many = f" (n = {numbers.size})" if count else ""
    return f"{numbers.mean():.2f} [{low:.2f}, {high:.2f}]{many}"


def page(measured: Measured) -> str:
    """The whole page."""
    parts: list[Callable[[Measured], list[str]]] = [
        _finding,
        _absent,
        _heads,
        _segmenting,
        _painting,
    ]
    lines = [
        "# Scores of the miniature models",
        "",
        f"Written by `python -m groundbrush.miniature.scores` on {datetime.date.today()}, "
        f"{platform.machine()}, {torch.get_num_threads()} thread(s), torch {torch.__version__}, "
        f"{measured.minutes:.0f} min. Held-out scenes, with seeds and backgrounds that were never "
        "trained on; 95% bootstrap intervals in brackets.",
    ]
    for part in parts:
        lines += ["", *part(measured)]
    return "\n".join(lines) + "\n"


def _finding(measured: Measured) -> list[str]:
    present = measured.present
    kinds = sorted({r["kind"] for r in measured.finding if "iou" in r})
    # The rare kinds need alike things; crowded scenes, queried for these alone, add to them.
    groups = {"all, ordinary scenes": present} | {
        kind: [r for r in measured.finding if r["kind"] == kind and "iou" in r] for kind in kinds
    }
    names = ("iou", "ideal", "paper_iou", "paper_ideal", "chance")
    rows = [
        [name, *(rate(values(group, n) > 0.5, n == "iou") for n in names)]
        for name, group in groups.items()
    ]
    shared, union = values(present, "shared"), values(present, "union")
    return [
        "## Finding: share of phrases with a mask IoU > 0.5",
        "",
        markdown(
            [
                "phrases",
                "ours",
                "ceiling: ideal map, ours",
                "paper's single box",
                "ceiling: ideal map, paper's box",
                "chance: a random object's true mask",
            ],
            rows,
        ),
        "",
        f"Over ordinary scenes: box Acc@0.5 {(values(present, 'box_iou') > 0.5).mean():.2f} (the "
        f"paper's box {(values(present, 'paper_box_iou') > 0.5).mean():.2f}), "
        f"cIoU {shared.sum() / union.sum():.2f}, gIoU {values(present, 'iou').mean():.2f}. The "
        "ideal map is the true mask averaged over the cells of the token grid: what is lost with "
        "it is not the heads' fault. The oracle, SAM from the true box, is under Segmenting.",
        "",
        "Successes, then failures (true outline green, found one pink):",
        "",
        "![successes](sheets/found.webp)",
        "![failures](sheets/missed.webp)",
    ]


def _absent(measured: Measured) -> list[str]:
    absent = values(measured.absent, "presence")
    present = values((r for r in measured.finding if "iou" in r), "presence")
    caught = np.array([not r["found"] for r in measured.absent], float)
    alarms = np.array([not r["found"] for r in measured.finding if "iou" in r], float)
    at_five = np.quantile(present, 0.05)
    area = (present[:, None] > absent).mean() + 0.5 * (present[:, None] == absent).mean()
    return [
        "## Things that are not there",
        "",
        f"Reported absent: {rate(caught)}. Present ones wrongly called absent: {rate(alarms)}. "
        f"At a threshold with 5% false alarms: {(absent < at_five).mean():.2f} caught. AUC of the "
        f"answer {area:.3f}; chance 0.5.",
        "",
        markdown(
            ["absent phrases", "caught"],
            [
                [
                    kind,
                    rate(
                        np.array(
                            [not r["found"] for r in measured.absent if r["kind"] == kind], float
                        )
                    ),
                ]
                for kind in sorted({r["kind"] for r in measured.absent})
            ],
        ),
    ]


def _head_rows(measured: Measured) -> list[list[str]]:
    labels = measured.discovery[-1]

    def named(pairs: list[list[int]]) -> str:
        return ", ".join(f"L{a}H{b}" for a, b in pairs)

    def figures(iou: float, hits: float) -> list[str]:
        return [f"{iou:.2f}", f"{hits:.2f}"]

    rows = [
        [
            f"{r['criterion']}: {named(r['heads'])}",
            f"{r['threshold']:.2f}",
            *figures(np.mean(r["iou"]), np.mean(r["hits"])),
            f"{r['rho']:.2f}",
            f"{r['same']} of {r['trials']}",
        ]
        for r in measured.discovery[:-1]
    ]
    best = figures(np.mean(labels["iou"]), np.mean(labels["hits"]))
    median = figures(labels["median_iou"], labels["median_hits"])
    return [
        *rows,
        [f"chosen with labels: {named(labels['heads'])}", "", *best, "", ""],
        ["median head (chance)", "", *median, "", ""],
    ]


def _heads(measured: Measured) -> list[str]:
    probe = measured.probe[0]
    sums = measured.discovery[0]["sums"]
    tenths = ", ".join(f"{v:.2f}" for v in sums[:: max(1, len(sums) // 10)])
    return [
        "## Heads",
        "",
        f"Label-free discovery on {measured.discovery[0]['scenes']} validation scenes. *sum* is "
        "the paper's first criterion, *contrast* ours (`grounding.phrase_contrast`); entropy "
        f"follows in both. In each scene the {LOWEST} heads of lowest entropy are counted, "
        f"{LOWEST / len(sums):.1%} of {len(sums)}; the paper counts 10 of 1,024, 1.0%. "
        "A trial is a random half of the scenes.",
        "",
        markdown(
            [
                "heads",
                "τ",
                "IoU of the pseudo-mask, on the grid",
                "peak on the named object",
                "Spearman ρ of frequency and IoU",
                "same three in trials",
            ],
            _head_rows(measured),
        ),
        "",
        f"Mean attention sums of the heads, every tenth of the sorted curve: {tenths}.",
        "",
        f"Position read linearly from the projected patches: R² {probe['row']:.2f} of the row, "
        f"{probe['column']:.2f} of the column (a model that lost position: 0).",
    ]


def _segmenting(measured: Measured) -> list[str]:
    records = [r for r in measured.segmenting if "box" in r]
    said = {
        "box": "true box (the oracle of finding)",
        "box20": "box shaken by 20%",
        "refined": "the same, border refined by GrabCut",
        "point": "one point",
        "box_point": "true box and point",
        "mask": "rough mask",
    }
    empty = values(measured.segmenting, "empty")
    off = np.abs(values(records, "said") - values(records, "box20"))
    return [
        "## Segmenting: mean IoU",
        "",
        markdown(["prompt", "mean IoU"], [[t, rate(values(records, n))] for n, t in said.items()]),
        "",
        f"Boundary F {values(records, 'edge').mean():.2f}, refined "
        f"{values(records, 'edge_refined').mean():.2f}. Predicted IoU is off by "
        f"{off.mean():.2f} on average; boxes of bare background are given {empty.mean():.2f}.",
    ]


def _painting(measured: Measured) -> list[str]:
    edits, judge = measured.painting, measured.judging
    rows = [
        [
            "new phrase grounded in the hole",
            rate(values(edits, "new_in_hole")),
            rate(values(judge, "judge_finds"), False),
        ],
        [
            "old phrase no longer found",
            rate(values(edits, "old_gone")),
            rate(values(judge, "judge_denies"), False),
        ],
        [
            "colour named = colour painted",
            rate(values(edits, "colour_right")),
            rate(values(judge, "judge_colour"), False),
        ],
        [
            "removal leaves nothing grounded",
            rate(values(edits, "removed")),
            rate(values(judge, "judge_denies"), False),
        ],
        ["every pixel outside the support equal", rate(values(edits, "preserved")), ""],
    ]
    crop, scene = values(measured.reconstruction, "crop"), values(measured.reconstruction, "scene")
    return [
        "## Painting (true mask given; judged by the miniature LVLM)",
        "",
        markdown(["what", "share of edits", "the judge's own ceiling, on drawn scenes"], rows),
        "",
        f"Autoencoder: {scene.mean():.1f} dB PSNR on {scene.size} held-out scenes, "
        f"{crop.mean():.1f} dB on their middle 128 pixels. One painting takes "
        f"{np.median(values(edits, 'seconds')):.1f} s here.",
        "",
        "What passes, then what does not (before with the hole outlined, after):",
        "",
        "![passes](sheets/painted.webp)",
        "![faults](sheets/failed.webp)",
    ]
