"""Choose the miniature preset's settings on validation scenes; ``miniature.tune``.

One setting at a time, in the order of the pipeline: the query token and its heads (label-free),
how many heads, smoothing, the prompts to SAM and how masks are ranked, the border, and the presence
below which a phrase counts as absent. Each is chosen by mean mask IoU with the earlier ones as
chosen. ``miniature/TUNING.md`` shows what each option was worth; ``--write`` puts the choice into
the preset. Held-out scenes are not looked at.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..editor.api import Editor
from ..editor.evaluation.report import markdown
from ..editor.models.presets import FOLDER
from ..grounding import Grounder, GroundingSettings, ProposalSettings, View, mask_iou
from ..grounding.attention.model import LVLM
from .composer import compose_wide
from .heads import LOWEST, SKIP_LAYERS, discover, load_miniature
from .scenes import CROWDED, Scene, compose
from .scores.journal import Record, ScoreJournal, fingerprint
from .scores.painting import painting
from .wide_phrases import wide_absent, wide_expressions

PAGE = Path(__file__).parent / "TUNING.md"
PRESET = FOLDER / "miniature.json"
NEAR, NEAR_PROMPTS = 0.01, 0.02
"""How much better than an earlier option (the paper's, the simplest) another must be; boxes join
things that touch, which costs a user more than a rough border."""
Heads = list[tuple[int, int]]
PROMPT_SETS = (
    ("peak",),
    ("box",),
    ("peak", "box"),
    ("box+peak",),
    ("peak", "box+peak"),
    ("peak", "box", "box+peak", "component"),
)


@dataclass(frozen=True, eq=False)
class Case:
    """A phrase about a validation scene: rows ``(L, H, P, Q)`` of all heads, and what is true."""

    view: View
    phrase: str
    rows: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True)
class Choice:
    """What has been settled so far."""

    query: str
    heads: tuple[tuple[int, int], ...]
    settings: GroundingSettings


@dataclass(frozen=True)
class Option:
    """One option of one setting and what it was worth on the cases."""

    setting: str
    option: str
    mean_iou: float
    share: float


def validation_scene(seed: int) -> Scene:
    """A wide scene or, one in three, a crowded one of the narrow composer."""
    wide = seed % 3 != 0
    return compose_wide("validation", seed) if wide else compose("validation", seed, CROWDED)


def asked_of(scene: Scene, seed: int, count: int = 3) -> list[tuple[str, int]]:
    """A few expressions of a scene, one of each kind at most, with their targets."""
    rng = np.random.default_rng([53, seed])
    every = [
        e
        for i in range(len(scene.objects))
        for e in wide_expressions(scene, i)
        if e.kind != "redundant"
    ]
    kinds = rng.permutation(sorted({e.kind for e in every}))[:count]
    picks = [[e for e in every if e.kind == kind] for kind in kinds]
    chosen = [group[rng.integers(len(group))] for group in picks]
    return [(e.text, e.target) for e in chosen if e.target is not None]


def read_cases(grounder: Grounder, lvlm: LVLM, scenes: int) -> list[Case]:
    """Cases of so many validation scenes."""
    out = []
    for seed in range(10_000, 10_000 + scenes):
        scene = validation_scene(seed)
        asked = asked_of(scene, seed)
        if not asked:
            continue
        view = grounder.look(scene.image)
        rows = lvlm.head_rows(lvlm.encode(scene.image), [text for text, _ in asked])
        out += [
            Case(view, text, row, scene.mask(target))
            for (text, target), row in zip(asked, rows, strict=True)
        ]
    return out


def ious(grounder: Grounder, cases: Iterable[Case], choice: Choice) -> np.ndarray:
    """Mask IoU of every case under a choice."""
    one = Grounder(grounder.lvlm, grounder.segmenter, choice.settings)
    layers, heads = np.array(choice.heads).T
    return np.array(
        [
            mask_iou(one.place(case.view, case.phrase, case.rows[layers, heads]).mask, case.truth)
            for case in cases
        ]
    )


def options_of(choice: Choice, ranked: Heads) -> dict[str, dict[str, Choice]]:
    """Settings still open, by name, with the choices each option leads to."""

    def having(**changes: Any) -> Choice:
        return dataclasses.replace(choice, settings=dataclasses.replace(choice.settings, **changes))

    def proposing(**changes: Any) -> Choice:
        return having(proposals=dataclasses.replace(choice.settings.proposals, **changes))

    return {
        "heads": {
            f"k = {k}": dataclasses.replace(choice, heads=tuple(ranked[:k]))
            for k in (3, 1, 2, 4, 5)
        },
        "smoothing": {f"sigma = {s}": having(sigma=s) for s in (1.0, 0.5, 0.75, 1.5)},
        "prompts to SAM": {
            **{" + ".join(p): proposing(prompts=p) for p in PROMPT_SETS},
            "the paper's single box": having(proposals=ProposalSettings(mode="paper")),
        },
        "peaks": {str(n): proposing(peaks=n) for n in (3, 1, 2, 5)},
        "ranking": {
            f"{a}, score to the power {p}": proposing(agreement=a, score_power=p)
            for a in ("cosine", "contrast")
            for p in (2.0, 0.5, 1.0, 4.0)
        },
        "border": {"GrabCut": having(refine=True), "as SAM says": having(refine=False)},
    }


def choose(
    grounder: Grounder, cases: list[Case], start: Choice, ranked: Heads
) -> tuple[Choice, list[Option]]:
    """Settle one setting after the other by mean IoU; also everything that was tried."""
    choice, tried = start, []
    for setting in options_of(choice, ranked):
        best, near = -1.0, NEAR_PROMPTS if setting == "prompts to SAM" else NEAR
        for option, candidate in options_of(choice, ranked)[setting].items():
            found = ious(grounder, cases, candidate)
            tried.append(Option(setting, option, float(found.mean()), float((found > 0.5).mean())))
            print(tried[-1], flush=True)
            if found.mean() > best + near:
                best, settled = float(found.mean()), candidate
        choice = settled
    return choice, tried


def absent_threshold(lvlm: LVLM, scenes: int) -> tuple[float, float, float]:
    """The presence below which a phrase is absent, with the shares caught and falsely called.

    Missing a thing that is there costs twice what searching for one that is not does; of equally
    good levels the middle one is taken.
    """
    present, absent = [], []
    for seed in range(20_000, 20_000 + scenes):
        scene, rng = validation_scene(seed), np.random.default_rng([59, seed])
        there = [text for text, _ in asked_of(scene, seed)]
        missing = [e.text for e in wide_absent(scene, rng, 2)]
        said = lvlm.presence(lvlm.encode(scene.image), there + missing)
        present += said[: len(there)]
        absent += said[len(there) :]
    levels = np.linspace(0.05, 0.95, 19)
    caught = (np.array(absent)[:, None] < levels).mean(0)
    alarms = (np.array(present)[:, None] < levels).mean(0)
    worth = caught - 2 * alarms
    good = np.flatnonzero(worth > worth.max() - 1e-9)
    best = int(good[len(good) // 2])
    return round(float(levels[best]), 2), float(caught[best]), float(alarms[best])


def tune(scenes: int, head_scenes: int) -> tuple[Choice, list[Option], str]:
    """Everything that is chosen, everything that was tried, and how absence was settled."""
    grounder = Editor.load("miniature", device="cpu", offline=True).models.grounder()
    best: tuple[float, Choice, Heads, list[Case]] | None = None
    tried: list[Option] = []
    for query in ("prompt", "expression"):
        lvlm = load_miniature(query)
        order = discover(lvlm, head_scenes).rank("sum", LOWEST, SKIP_LAYERS).order()
        ranked = [(head.layer, head.head) for head in order[:5]]
        start = Choice(query, tuple(ranked[:3]), GroundingSettings())
        cases = read_cases(grounder, lvlm, scenes)
        found = ious(grounder, cases, start)
        name = f"last token of the {query}: " + ", ".join(f"L{a}H{b}" for a, b in ranked[:3])
        tried.append(Option("query token", name, float(found.mean()), float((found > 0.5).mean())))
        print(tried[-1], flush=True)
        if best is None or found.mean() > best[0] + NEAR:
            best = float(found.mean()), start, ranked, cases
    assert best is not None  # two queries were tried
    choice, more = choose(grounder, best[3], best[1], best[2])
    level, caught, alarms = absent_threshold(grounder.lvlm, scenes)
    settings = dataclasses.replace(choice.settings, absent_below=level)
    note = (
        f"Absent below a presence of {level}: {caught:.2f} of absent phrases caught, "
        f"{alarms:.2f} of present ones wrongly called absent."
    )
    return dataclasses.replace(choice, settings=settings), tried + more, note


PAINTING: dict[str, tuple[float, ...]] = {
    "guidance": (3.0, 2.0, 4.0),
    "dilate": (0.12, 0.08, 0.16),
    "context": (1.5, 1.25, 2.0),
}


@dataclass(frozen=True)
class Painted:
    """One value of one painting setting: share of judgements passed, and removal's error."""

    setting: str
    value: float
    passed: float
    ground_error: float


def tune_painting(editor: Editor, edits: int) -> tuple[dict[str, float], list[Painted]]:
    """Settle the painting settings one after the other on validation scenes.

    Of values with shares that differ by less than 0.03 the one with the truer background is taken.
    """
    chosen: dict[str, float] = {}
    tried: list[Painted] = []
    for setting, options in PAINTING.items():
        found = []
        for value in options:
            records = [
                r
                for seed in range(edits)
                for r in painting(editor, seed, "validation", {**chosen, setting: value})
            ]
            judged = [
                float(r[k])
                for r in records
                for k in ("new_in_hole", "old_gone", "colour_right", "removed")
                if k in r
            ]
            found.append(
                Painted(
                    setting,
                    value,
                    float(np.mean(judged)),
                    float(np.mean([r["ground_error"] for r in records])),
                )
            )
            print(found[-1], flush=True)
        best = max(p.passed for p in found)
        near = [p for p in found if p.passed > best - 0.03]
        chosen[setting] = min(near, key=lambda p: p.ground_error).value
        tried += found
    return chosen, tried


def write_page(
    path: Path, tried: list[Option], note: str, scenes: int, painted: list[Painted], edits: int
) -> None:
    """What each option was worth, as Markdown."""
    lines = [
        "# How the miniature preset was chosen",
        "",
        f"Written by `miniature.tune` on {datetime.date.today()}: {scenes} "
        "validation scenes, none of them held out. One setting at a time, in this order, by "
        f"mean mask IoU; the first of near-equals ({NEAR}, prompts {NEAR_PROMPTS}) "
        "stays.",
        "",
        markdown(
            ("setting", "option", "mean IoU", "IoU > 0.5"),
            [(o.setting, o.option, f"{o.mean_iou:.3f}", f"{o.share:.2f}") for o in tried],
        ),
        "",
        note,
        "",
        f"Painting: {edits} validation edits and removals with the true mask, "
        "judged by the miniature LVLM. Of values that pass within 0.03 of the best, the one "
        "with removals nearest to the empty background is taken.",
        "",
        markdown(
            ("setting", "value", "judgements passed", "removal's error, 0–255"),
            [(p.setting, p.value, f"{p.passed:.3f}", f"{p.ground_error:.1f}") for p in painted],
        ),
    ]
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")


def write_preset(
    path: Path, head_scenes: int, found: Record, painting_settings: dict[str, float]
) -> None:
    """Put what was found into a preset file: only what differs from the defaults."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    raw["lvlm"] |= {
        "query": found["query"],
        "heads": found["heads"],
        "provenance": (
            f"label-free discovery on {head_scenes} validation scenes by `miniature.tune`, "
            f"{datetime.date.today()}"
        ),
    }
    raw["grounding"] = found["settings"]
    raw["inpainter"]["settings"] |= painting_settings
    # one head, one line
    text = re.sub(r"\[\s+(\d+),\s+(\d+)\s+\]", r"[\1, \2]", json.dumps(raw, indent=2))
    path.write_text(text + "\n", encoding="utf-8")


def changed(settings: Any, default: Any) -> dict[str, Any]:
    """Fields of a settings dataclass that differ from its default, nested ones likewise."""
    out: dict[str, Any] = {}
    for item in dataclasses.fields(settings):
        value, usual = getattr(settings, item.name), getattr(default, item.name)
        if value != usual:
            out[item.name] = changed(value, usual) if dataclasses.is_dataclass(value) else value
    return out


def finding_record(head_scenes: int, scenes: int) -> list[Record]:
    """What :func:`tune` chose and tried, as one plain record."""
    choice, tried, note = tune(scenes, head_scenes)
    return [
        {
            "query": choice.query,
            "heads": [list(h) for h in choice.heads],
            "note": note,
            "settings": changed(choice.settings, GroundingSettings()),
            "tried": [dataclasses.astuple(o) for o in tried],
        }
    ]


def painting_record(edits: int) -> list[Record]:
    """What :func:`tune_painting` chose and tried, as one plain record."""
    chosen, painted = tune_painting(Editor.load("miniature", device="cpu", offline=True), edits)
    return [{"chosen": chosen, "tried": [dataclasses.astuple(p) for p in painted]}]


def main(argv: list[str] | None = None) -> None:
    """Command line; see ``--help``. Either half is kept in ``runs/tune`` and not measured twice."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scenes", type=int, default=60)
    parser.add_argument("--head-scenes", type=int, default=300)
    parser.add_argument("--edits", type=int, default=24, help="0: leave painting as it is")
    parser.add_argument("--write", action="store_true", help="put the choice into the preset")
    parser.add_argument("--runs", type=Path, default=Path("runs/tune"))
    args = parser.parse_args(argv)
    weights = [*PAGE.parent.glob("weights/[ls]*/*.safetensors")]
    journal = ScoreJournal(args.runs / f"finding-{fingerprint(weights)}.jsonl")
    found = journal.fill([args.scenes], partial(finding_record, args.head_scenes))[0]
    print(found)
    if args.write:
        write_preset(PRESET, args.head_scenes, found, {})
    if not args.edits:
        return
    weights += [*PAGE.parent.glob("weights/inpainter/**/*.safetensors")]
    journal = ScoreJournal(args.runs / f"painting-{fingerprint(weights)}.jsonl")
    painted = journal.fill([args.edits], painting_record)[0]
    print(painted)
    if args.write:
        tried = [Option(*o) for o in found["tried"]]
        write_page(
            PAGE,
            tried,
            found["note"],
            args.scenes,
            [Painted(*p) for p in painted["tried"]],
            args.edits,
        )
        write_preset(PRESET, args.head_scenes, found, painted["chosen"])


if __name__ == "__main__":
    main()
