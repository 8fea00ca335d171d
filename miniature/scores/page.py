"""SCORES.md from the records: every score beside chance, the oracle and the ceiling it has."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Iterable
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
    parts = (_finding, _absent, _heads, _segmenting, _painting)
    return f"""# Scores of the miniature models

Written by `python -m groundbrush.miniature.scores` on {datetime.date.today()}, \
{platform.machine()}, {torch.get_num_threads()} thread(s), torch {torch.__version__}, \
{measured.minutes:.0f} min. Held-out scenes, with seeds and backgrounds that were never \
trained on; 95% bootstrap intervals in brackets.

{chr(10).join(part(measured) for part in parts)}"""


def _finding(measured: Measured) -> str:
    present, every = measured.present, [r for r in measured.finding if "iou" in r]
    # The rare kinds need alike things; crowded scenes, queried for these alone, add to them.
    groups = {"all, ordinary scenes": present} | {
        kind: [r for r in every if r["kind"] == kind] for kind in sorted({r["kind"] for r in every})
    }
    columns = {
        "iou": "ours",
        "ideal": "ceiling: ideal map, ours",
        "paper_iou": "paper's single box",
        "paper_ideal": "ceiling: ideal map, paper's box",
        "chance": "chance: a random object's true mask",
    }
    rows = [
        [name, *(rate(values(group, n) > 0.5, n == "iou") for n in columns)]
        for name, group in groups.items()
    ]
    shared, union = values(present, "shared"), values(present, "union")
    return f"""## Finding: share of phrases with a mask IoU > 0.5

{markdown(["phrases", *columns.values()], rows)}

Over ordinary scenes: box Acc@0.5 {(values(present, "box_iou") > 0.5).mean():.2f} (the \
paper's box {(values(present, "paper_box_iou") > 0.5).mean():.2f}), \
cIoU {shared.sum() / union.sum():.2f}, gIoU {values(present, "iou").mean():.2f}. The \
ideal map is the true mask averaged over the cells of the token grid: what is lost with \
it is not the heads' fault. The oracle, SAM from the true box, is under Segmenting.

Successes, then failures (true outline green, found one pink):

![successes](sheets/found.webp)
![failures](sheets/missed.webp)
"""


def _absent(measured: Measured) -> str:
    there = [r for r in measured.finding if "iou" in r]
    absent, present = values(measured.absent, "presence"), values(there, "presence")
    at_five = np.quantile(present, 0.05)
    area = (present[:, None] > absent).mean() + 0.5 * (present[:, None] == absent).mean()
    kinds = [
        [kind, _refused(r for r in measured.absent if r["kind"] == kind)]
        for kind in sorted({r["kind"] for r in measured.absent})
    ]
    return f"""## Things that are not there

Reported absent: {_refused(measured.absent)}. Present ones wrongly called absent: \
{_refused(there)}. At a threshold with 5% false alarms: {(absent < at_five).mean():.2f} caught. \
AUC of the answer {area:.3f}; chance 0.5.

{markdown(["absent phrases", "caught"], kinds)}
"""


def _refused(records: Iterable[Record]) -> str:
    return rate(np.array([not r["found"] for r in records], float))


def _heads(measured: Measured) -> str:
    *found, labels = measured.discovery
    probe, sums = measured.probe[0], found[0]["sums"]
    tenths = ", ".join(f"{v:.2f}" for v in sums[:: max(1, len(sums) // 10)])

    def named(record: Record) -> str:
        return ", ".join(f"L{a}H{b}" for a, b in record["heads"])

    def figures(iou: float, hits: float) -> list[str]:
        return [f"{np.mean(iou):.2f}", f"{np.mean(hits):.2f}"]

    rows = [
        [
            f"{r['criterion']}: {named(r)}",
            f"{r['threshold']:.2f}",
            *figures(r["iou"], r["hits"]),
            f"{r['rho']:.2f}",
            f"{r['same']} of {r['trials']}",
        ]
        for r in found
    ]
    chosen = figures(labels["iou"], labels["hits"])
    rows.append([f"chosen with labels: {named(labels)}", "", *chosen, "", ""])
    median = figures(labels["median_iou"], labels["median_hits"])
    rows.append(["median head (chance)", "", *median, "", ""])
    heads = "heads|τ|IoU of the pseudo-mask, on the grid|peak on the named object"
    heads += "|Spearman ρ of frequency and IoU|same three in trials"
    return f"""## Heads

Label-free discovery on {found[0]["scenes"]} validation scenes. *sum* is \
the paper's first criterion, *contrast* ours (`grounding.phrase_contrast`); entropy \
follows in both. In each scene the {LOWEST} heads of lowest entropy are counted, \
{LOWEST / len(sums):.1%} of {len(sums)}; the paper counts 10 of 1,024, 1.0%. \
A trial is a random half of the scenes.

{markdown(heads.split("|"), rows)}

Mean attention sums of the heads, every tenth of the sorted curve: {tenths}.

Position read linearly from the projected patches: R² {probe["row"]:.2f} of the row, \
{probe["column"]:.2f} of the column (a model that lost position: 0).
"""


def _segmenting(measured: Measured) -> str:
    records = [r for r in measured.segmenting if "box" in r]
    said = {
        "box": "true box (the oracle of finding)",
        "box20": "box shaken by 20%",
        "refined": "the same, border refined by GrabCut",
        "point": "one point",
        "box_point": "true box and point",
        "mask": "rough mask",
    }
    off = np.abs(values(records, "said") - values(records, "box20"))
    rows = [[words, rate(values(records, name))] for name, words in said.items()]
    return f"""## Segmenting: mean IoU

{markdown(["prompt", "mean IoU"], rows)}

Boundary F {values(records, "edge").mean():.2f}, refined \
{values(records, "edge_refined").mean():.2f}. Predicted IoU is off by \
{off.mean():.2f} on average; boxes of bare background are given \
{values(measured.segmenting, "empty").mean():.2f}.
"""


def _painting(measured: Measured) -> str:
    edits, judge = measured.painting, measured.judging
    said = {
        "new_in_hole": ("new phrase grounded in the hole", "judge_finds"),
        "old_gone": ("old phrase no longer found", "judge_denies"),
        "colour_right": ("colour named = colour painted", "judge_colour"),
        "removed": ("removal leaves nothing grounded", "judge_denies"),
    }
    rows = [
        [words, rate(values(edits, name)), rate(values(judge, ceiling), False)]
        for name, (words, ceiling) in said.items()
    ]
    same = "every pixel outside the support equal"
    rows.append([same, rate(values(edits, "preserved")), ""])
    crop, scene = values(measured.reconstruction, "crop"), values(measured.reconstruction, "scene")
    heads = ["what", "share of edits", "the judge's own ceiling, on drawn scenes"]
    return f"""## Painting (true mask given; judged by the miniature LVLM)

{markdown(heads, rows)}

Autoencoder: {scene.mean():.1f} dB PSNR on {scene.size} held-out scenes, \
{crop.mean():.1f} dB on their middle 128 pixels.

What passes, then what does not (before with the hole outlined, after):

![passes](sheets/painted.webp)
![faults](sheets/failed.webp)
"""
