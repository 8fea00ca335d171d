"""Scores of the miniature models, resumable: ``python -m groundbrush.miniature.scores``."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable
from pathlib import Path

from ...editor.api import Editor
from . import composers, discovery, finding, painting, segmenting
from .journal import Record, ScoreJournal, fingerprint
from .page import Measured, page
from .sheets import finding_sheet, painting_sheet, verdict

MINIATURE = Path(__file__).parents[1]
ROOT = MINIATURE.parent


def versions(editor: Editor) -> dict[str, str]:
    """What records of finding and of painting depend on, code and all; finding judges painting."""
    preset = editor.preset
    words = (MINIATURE / "vocabulary.json").read_text(encoding="utf-8")
    finding = fingerprint(
        [*MINIATURE.glob("weights/[ls]*/*.safetensors"), *ROOT.glob("grounding/**/*.py")],
        repr((words, preset.lvlm["heads"], preset.lvlm["query"], preset.grounding)),
    )
    painting = fingerprint(
        [*MINIATURE.glob("weights/inpainter/**/*.safetensors"), *ROOT.glob("inpaint/*.py")],
        finding + repr(preset.inpainter),
    )
    return {"finding": finding, "painting": painting}


def measure(editor: Editor, runs: Path, share: float) -> Measured:
    """Every subject over its scenes; `share` of them for a quick look."""
    known, seconds = versions(editor), [0.0]

    def of(
        name: str, function: Callable[[Editor, int], list[Record]], seeds: list[int]
    ) -> list[Record]:
        print(f"{name}: {len(seeds)} seed(s)", flush=True)
        kind = "painting" if name in ("painting", "reconstruction") else "finding"
        journal = ScoreJournal(runs / known[kind] / f"{name}.jsonl")
        records = journal.fill(seeds, functools.partial(function, editor))
        seconds.append(sum(journal.seconds[seed] for seed in seeds))
        return records

    def first(count: int, start: int = 0) -> list[int]:
        return list(range(start, start + max(2, round(count * share))))

    crowded = first(60, finding.CROWDED_FROM)
    return Measured(
        finding=of("finding", finding.finding, first(100) + crowded),
        segmenting=of("segmenting", segmenting.segmenting, first(100)),
        judging=of("judging", painting.judging, first(120)),
        discovery=of("discovery", discovery.discovery, [max(20, round(300 * share))]),
        probe=of("probe", discovery.position_probe, [max(4, round(40 * share))]),
        painting=of("painting", painting.painting, first(240)),
        reconstruction=of("reconstruction", painting.reconstruction, first(50)),
        minutes=sum(seconds) / 60,
    )


def side_by_side(editor: Editor, runs: Path, share: float) -> list[Record]:
    """The same questions on the narrow, the wide and the foreign composer."""
    grounder, records = editor.models.grounder(), []
    for name in composers.COMPOSERS:
        print(f"composer {name}", flush=True)
        journal = ScoreJournal(runs / versions(editor)["finding"] / f"composer-{name}.jsonl")
        ask = functools.partial(composers.measure, grounder, name)
        records += journal.fill(range(max(2, round(150 * share))), ask)
    return records


def draw(editor: Editor, measured: Measured, folder: Path) -> None:
    """The four contact sheets: successes and failures of finding and of painting."""
    asked = [r for r in measured.finding if "iou" in r]
    hits = sorted((r for r in asked if r["iou"] > 0.5), key=lambda r: (r["kind"], r["seed"]))
    misses = [r for r in asked if r["iou"] <= 0.5] + [r for r in measured.absent if r["found"]]
    finding_sheet(editor, spread(hits, 12), folder / "found.webp")
    finding_sheet(editor, spread(misses, 12), folder / "missed.webp")
    passed = [r for r in measured.painting if verdict(r) == "passes"]
    painting_sheet(editor, spread(passed, 9), folder / "painted.webp")
    failed = [r for r in measured.painting if verdict(r) != "passes"]
    painting_sheet(editor, spread(failed, 9), folder / "failed.webp")


def spread(records: list[Record], count: int) -> list[Record]:
    """Up to `count` records at even distances: a sample without any choice."""
    step = max(1.0, len(records) / count)
    return [records[int(k * step)] for k in range(min(count, len(records)))]


def main(argv: list[str] | None = None) -> None:
    """Command line; see ``--help``."""
    parser = argparse.ArgumentParser(
        description=__doc__, prog="python -m groundbrush.miniature.scores"
    )
    parser.add_argument("--share", type=float, default=1.0, help="of the scenes, for a quick look")
    parser.add_argument("--out", type=Path, default=MINIATURE, help="for SCORES.md and sheets/")
    parser.add_argument("--runs", type=Path, default=MINIATURE.parent / "runs" / "scores")
    args = parser.parse_args(argv)
    editor = Editor.load("miniature", device="cpu", offline=True)
    measured = measure(editor, args.runs, args.share)
    draw(editor, measured, args.out / "sheets")
    text = (
        page(measured)
        + "\n## Three composers\n\n"
        + composers.report(side_by_side(editor, args.runs, args.share))
    )
    (args.out / "SCORES.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
