"""The paper's tables and figures, and what came after it, on composed scenes.

``python -m benchmarks.paper`` writes into docs/measured: calibration/ (the ranking of heads),
foreign.md (other maps and other heads, on the composer that nothing was trained on), scenes.md (the
preset), paper.md (every table) and the figures, and ablations.md (every arm). It resumes.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from groundbrush.editor.cli.main import main as command
from groundbrush.editor.evaluation.figures import FIGURES as SHOWN
from groundbrush.miniature.calibration import write_calibration
from groundbrush.miniature.foreign import compose_foreign
from groundbrush.miniature.narratives import write_narratives
from groundbrush.miniature.scores.composers import FIRST, asked_of
from groundbrush.multiobject.export.rle import encode_rle
from PIL import Image

MEASURED = Path(__file__).parents[1] / "docs/measured"
ARMS = (
    *("rollout", "minus neutral", "relative to neutral"),
    *("contrastive heads", "contrastive heads minus neutral"),
)
FIGURES = (1, 4, 5, 6, 9, 10, 13, 14)
PER_SCENE = 3


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, then copy the pages and figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", type=Path, default=Path("out/paper"), help="scenes and journals")
    parser.add_argument("--out", type=Path, default=MEASURED, help="pages and figures")
    parser.add_argument("--count", type=int, default=150, help="foreign phrases, and pairs")
    parser.add_argument("--scenes", type=int, default=50, help="of the tables (default: 50)")
    parser.add_argument("--tables", nargs="+", type=int, default=list(range(1, 10)), metavar="N")
    parser.add_argument("--only", nargs="+", choices=STEPS, default=list(STEPS))
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    _heads(args)
    for name in args.only:
        STEPS[name](args)


def _heads(args: argparse.Namespace) -> None:
    """Rank the heads by both criteria on the composer that the models were trained on."""
    write_calibration(args.work / "train", args.count, "validation", wide=True, side=384)
    train, samples = ["--data", str(args.work / "train")], ["--samples", str(args.count)]
    heads = args.work / "heads"
    _run("calibrate", "miniature", *train, *samples, "--out", str(heads))
    (args.out / "calibration").mkdir(exist_ok=True)
    for file in (heads / "report.md", *heads.glob("*.png")):
        shutil.copy(file, args.out / "calibration" / file.name)
    contrast = ["--criterion", "contrast", "--no-figures", "--out", str(heads / "contrast")]
    _run("calibrate", "miniature", *train, *samples, *contrast)


def _measure_foreign(args: argparse.Namespace) -> None:
    foreign, out = args.work / "foreign", args.work / "foreign-out"
    _write_foreign(foreign, args.count)
    arms = [part for arm in ARMS for part in ("--arm", arm)]
    shared = ["--calibration", str(args.work / "heads"), "--out", str(out)]
    _run("evaluate", "scenes", "--data", str(foreign), *arms, *shared, "--failures", "0")
    text = (out / "miniature/scenes-ablations.md").read_text(encoding="utf-8")
    title = "# Other maps and other heads, on the foreign composer\n"
    (args.out / "foreign.md").write_text(title + text.partition("\n")[2], encoding="utf-8")


def _measure_scenes(args: argparse.Namespace) -> None:
    out = ["--out", str(args.work / "out"), "--failures", "0"]
    _run("evaluate", "scenes", "--data", str(_scenes(args)), *out)
    shutil.copy(args.work / "out/miniature/scenes.md", args.out / "scenes.md")


def _measure_ablations(args: argparse.Namespace) -> None:
    out = ["--out", str(args.work / "out"), "--calibration", str(args.work / "heads")]
    out += ["--failures", "0"]
    _run("evaluate", "scenes", "--data", str(_scenes(args)), "--ablate", *out)
    shutil.copy(args.work / "out/miniature/scenes-ablations.md", args.out / "ablations.md")


def _scenes(args: argparse.Namespace) -> Path:
    folder = args.work / "scenes"
    write_calibration(folder, args.scenes, "heldout", wide=True, side=384)
    return folder


def _measure_tables(args: argparse.Namespace) -> None:
    scenes, captions = _scenes(args), args.work / "captions"
    write_narratives(captions, max(1, args.scenes // 5))
    shared = ["--calibration", str(args.work / "heads"), "--out", str(args.work / "out")]
    pages = []
    for number in args.tables:
        source = ["scenes", "--data", str(scenes)]
        source = ["--data", str(captions), "--split", "heldout"] if number == 9 else source
        _run("evaluate", *source, "--table", str(number), *shared)
        pages.append((args.work / f"out/table-{number}.md").read_text(encoding="utf-8"))
    title = "# The paper's tables, on composed scenes\n\n"
    body = "\n".join(one.replace("\n## ", "\n### ").replace("# T", "## T", 1) for one in pages)
    body += "\n## Figures\n\n"
    body += "\n".join(f"![Fig. {n}: {SHOWN[n].title}](figure-{n}.png)\n" for n in FIGURES)
    (args.out / "paper.md").write_text(title + body, encoding="utf-8")
    for number in FIGURES:
        source = ["scenes", "--data", str(scenes)]
        source = ["--data", str(captions), "--split", "heldout"] if number == 10 else source
        _run("evaluate", *source, "--figure", str(number), *shared)
        picture = Image.open(args.work / f"out/figure-{number}.png").convert("P", colors=128)
        picture.save(args.out / f"figure-{number}.png", optimize=True)


def _run(*words: str) -> None:
    if command([*words, "--offline", "--device", "cpu", "--quiet"]):
        raise SystemExit(f"groundbrush {' '.join(words)} measured nothing")


def _write_foreign(folder: Path, count: int) -> None:
    """Phrases about foreign scenes, as ``examples.jsonl`` has them."""
    if (folder / "examples.jsonl").is_file():
        return
    (folder / "images").mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    seed = 0
    while len(lines) < count:
        scene = compose_foreign(FIRST + seed)
        image = f"images/{seed}.png"
        Image.fromarray(scene.image).save(folder / image)
        named = [e for e in asked_of(scene, seed) if e.target is not None][:PER_SCENE]
        for one in named[: count - len(lines)]:
            mask = encode_rle(scene.mask(one.target or 0))
            box = list(scene.objects[one.target or 0].box)
            row = {"image": image, "phrase": one.text, "box": box, "mask": mask}
            lines.append(json.dumps(row))
        seed += 1
    (folder / "examples.jsonl").write_text("\n".join(lines), encoding="utf-8")


STEPS = {
    "foreign": _measure_foreign,
    "scenes": _measure_scenes,
    "tables": _measure_tables,
    "ablations": _measure_ablations,
}

if __name__ == "__main__":
    main()
