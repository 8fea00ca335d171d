"""Measure the miniature models on held-out scenes; ``python -m miniature.scores``.

Writes ``miniature/SCORES.md``. Every score stands beside chance and the oracle where there is one.
Scenes, backgrounds and seeds were never trained on.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from editor import Editor
from grounding import (
    accuracy_at,
    bootstrap_interval,
    box_iou,
    cumulative_iou,
    generalized_iou_mean,
    mask_iou,
)
from miniature.heads import discover, load_miniature, stability
from miniature.phrases import absent_expressions, expressions
from miniature.scenes import Scene, compose
from miniature.vocabulary import load_vocabulary

PAGE = Path(__file__).parent / "SCORES.md"


@dataclass
class Grounded:
    """What grounding the expressions of held-out scenes gave."""

    ious: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    box_ious: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    oracle: list[float] = field(default_factory=list)
    chance: list[float] = field(default_factory=list)
    pairs: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    called_absent: dict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))


def score_grounding(editor: Editor, scenes: int) -> Grounded:
    """Ground up to four expressions and two absent phrases of each scene."""
    out = Grounded()
    grounder = editor.models.grounder()
    for seed in range(scenes):
        scene, rng = compose("heldout", seed), np.random.default_rng([31, seed])
        view = grounder.look(scene.image)
        for number in range(len(scene.objects)):
            truth = scene.mask(number)
            masks = grounder.segmenter.predict(view.embedding, box=scene.objects[number].box)
            out.oracle.append(mask_iou(masks.masks[masks.best], truth))
        asked = [e for i in range(len(scene.objects)) for e in expressions(scene, i)
                 if e.kind != "redundant"]  # fmt: skip
        picks = [asked[i] for i in rng.choice(len(asked), min(4, len(asked)), replace=False)]
        picks += absent_expressions(scene, rng, 2)
        for expression, found in zip(
            picks, grounder.ground_many(view, [e.text for e in picks]), strict=True
        ):
            kind = "absent" if expression.target is None else "present"
            out.called_absent[kind].append(not found.found)
            if expression.target is None:
                continue
            truth = scene.mask(expression.target)
            other = scene.mask(int(rng.integers(len(scene.objects))))
            out.ious[expression.kind].append(mask_iou(found.mask, truth))
            out.chance.append(mask_iou(other, truth))
            out.pairs.append((found.mask, truth))
            box = found.box or (0.0, 0.0, 1.0, 1.0)
            out.box_ious[expression.kind].append(
                float(box_iou(box, scene.objects[expression.target].box))
            )
    return out


@dataclass
class Painted:
    """What edits of held-out scenes gave, one entry an edit."""

    new_in_hole: list[bool] = field(default_factory=list)
    colour_right: list[bool] = field(default_factory=list)
    old_gone: list[bool] = field(default_factory=list)
    removed: list[bool] = field(default_factory=list)
    preserved: list[bool] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def score_edits(editor: Editor, edits: int) -> Painted:
    """Replace one object of each scene by another noun, and remove it, with the true mask.

    The place is given, so that this measures painting; the miniature LVLM is the judge: it grounds
    the new phrase in the hole, and answers that the old one is not there.
    """
    from inpaint import fill

    out, words = Painted(), load_vocabulary()
    grounder, inpainter = editor.models.grounder(), editor.models.inpainter()
    for seed in range(edits):
        scene, rng = compose("heldout", 50_000 + seed), np.random.default_rng([37, seed])
        target = int(rng.integers(len(scene.objects)))
        old = scene.objects[target].noun
        if sum(o.noun == old for o in scene.objects) > 1:
            continue
        used = {o.noun for o in scene.objects}
        kinds = [k for k in words.objects if k.noun not in used]
        kind = kinds[rng.integers(len(kinds))]
        colour = words.paint_colours[rng.integers(len(words.paint_colours))]
        said = f"{colour} {kind.noun}" if kind.paintable else kind.noun
        settings = editor.models.inpaint_settings(removing=False, changes={})
        start = time.perf_counter()
        painted = fill(inpainter, scene.image, scene.mask(target), said, seed=seed,
                       settings=settings)  # fmt: skip
        out.seconds.append(time.perf_counter() - start)
        new, before = grounder.ground_many(
            grounder.look(painted.image), [f"the {kind.noun}", f"the {old}"]
        )
        inside = (new.mask & painted.support).sum() > 0.5 * max(1, new.mask.sum())
        out.new_in_hole.append(bool(new.found and inside))
        out.old_gone.append(not before.found)
        out.preserved.append(bool((painted.image == scene.image)[~painted.support].all()))
        if kind.paintable:
            out.colour_right.append(dominant_colour(painted.image, scene.mask(target)) == colour)
        out.removed.append(_removed(editor, scene, target, old, seed))
    return out


def _removed(editor: Editor, scene: Scene, target: int, noun: str, seed: int) -> bool:
    """Whether nothing is grounded for the noun once the object is painted over."""
    from inpaint import fill

    models = editor.models
    gone = fill(models.inpainter(), scene.image, scene.mask(target), models.removal_prompt,
                seed=seed, settings=models.inpaint_settings(removing=True, changes={}))  # fmt: skip
    grounder = models.grounder()
    return not grounder.ground(grounder.look(gone.image), f"the {noun}").found


def dominant_colour(image: np.ndarray, mask: np.ndarray) -> str:
    """The paint colour nearest to most of the vivid pixels under a mask; "" where none is vivid."""
    import cv2

    from miniature.scenes import PAINTS

    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)[mask].astype(float)
    vivid = hsv[hsv[:, 1] > 60]
    if not len(vivid):
        return ""
    names = list(PAINTS)
    hues = np.array([PAINTS[n][0] for n in names], float)
    distance = np.abs((vivid[:, :1] - hues + 90) % 180 - 90)
    # Pink is red's and purple's neighbour in hue; it differs by being paler and brighter.
    pale = (vivid[:, 1] < 150) & (vivid[:, 2] > 190)
    distance[:, names.index("pink")] += np.where(pale, 0, 12)
    distance[:, names.index("red")] += np.where(pale, 8, 0)
    return names[int(np.bincount(distance.argmin(1), minlength=len(names)).argmax())]


def autoencoder_psnr(editor: Editor, scenes: int) -> list[float]:
    """PSNR in dB of encoding and decoding the middle 128 pixels of held-out scenes."""
    vae, out = editor.models.inpainter().pipe.vae, []
    for seed in range(scenes):
        crop = compose("heldout", 90_000 + seed).image[64:192, 64:192]
        pixels = torch.from_numpy(crop.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
        with torch.inference_mode():
            back = vae.decode(vae.encode(pixels).latent_dist.mode()).sample.clamp(-1, 1)
        error = float(((back - pixels) / 2).square().mean())
        out.append(10 * float(np.log10(1 / max(error, 1e-12))))
    return out


def _rate(values: list[bool] | list[float]) -> str:
    """Mean with its 95% bootstrap interval and count, as text."""
    if not values:
        return "– (n = 0)"
    numbers = np.array(values, float)
    low, high = bootstrap_interval(numbers, seed=0)
    return f"{numbers.mean():.2f} [{low:.2f}, {high:.2f}] (n = {len(numbers)})"


def _grounding_table(found: Grounded) -> list[str]:
    every = [v for values in found.ious.values() for v in values]
    boxes = [v for values in found.box_ious.values() for v in values]
    rows = ["| phrases | mask IoU > 0.5 | box Acc@0.5 |", "|---|---|---|"]
    for kind, values in [("all", every), *sorted(found.ious.items())]:
        hits = [v > 0.5 for v in values]
        own = boxes if kind == "all" else found.box_ious[kind]
        rows.append(f"| {kind} | {_rate(hits)} | {accuracy_at(np.array(own)):.2f} |")
    rows.append(
        f"| chance: a random object's true mask | {_rate([v > 0.5 for v in found.chance])} | |"
    )
    rows.append(f"| oracle: SAM from the true box | {_rate([v > 0.5 for v in found.oracle])} | |")
    return rows


def write_page(
    path: Path,
    found: Grounded,
    painted: Painted,
    psnr: list[float],
    heads: list[str],
    minutes: float,
) -> None:
    """The scores as a Markdown page."""
    every = [v for values in found.ious.values() for v in values]
    called = found.called_absent
    masks, truths = [p for p, _ in found.pairs], [t for _, t in found.pairs]
    lines = [
        "# Scores of the miniature models",
        "",
        f"Written by `python -m miniature.scores` on {datetime.date.today()}, "
        f"{platform.machine()}, {torch.get_num_threads()} thread(s), torch {torch.__version__}, "
        f"{minutes:.0f} min. Held-out scenes; 95% bootstrap intervals in brackets.",
        "",
        "## Finding",
        "",
        *_grounding_table(found),
        "",
        f"cIoU {cumulative_iou(masks, truths):.2f}, "
        f"gIoU {generalized_iou_mean(masks, truths):.2f}, "
        f"mean mask IoU {np.mean(every):.2f}; SAM from true boxes {np.mean(found.oracle):.2f}.",
        "",
        f"Absent phrases reported absent: {_rate(called['absent'])}. Present phrases wrongly "
        f"called absent: {_rate(called['present'])}. Chance is the same number in both.",
        "",
        "## Heads",
        "",
        *heads,
        "",
        "## Painting (true mask given; judged by the miniature LVLM)",
        "",
        "| what | share of edits |",
        "|---|---|",
        f"| new phrase grounded in the hole | {_rate(painted.new_in_hole)} |",
        f"| old phrase no longer found | {_rate(painted.old_gone)} |",
        f"| colour named = colour painted | {_rate(painted.colour_right)} |",
        f"| removal leaves nothing grounded | {_rate(painted.removed)} |",
        f"| every pixel outside the support equal | {_rate(painted.preserved)} |",
        "",
        f"Autoencoder: {np.mean(psnr):.1f} dB PSNR on {len(psnr)} held-out crops. One painting "
        f"takes {np.median(painted.seconds):.1f} s here.",
        "",
    ]
    path.write_text("\n".join(lines), encoding="utf-8")


def head_lines(scenes: int) -> list[str]:
    """Discovery on validation scenes: both criteria, and what labels would have chosen."""
    found = discover(load_miniature(), scenes)
    ious, hits = found.ious.mean(0), found.hits.mean(0)
    best = np.sort(ious, axis=None)[::-1]
    peaks = np.sort(hits, axis=None)[::-1]
    rows = [
        f"Label-free discovery on {len(found.ious)} validation scenes. *sum* is the paper's first "
        "criterion, *contrast* ours (`grounding.phrase_contrast`); entropy follows in both.",
        "",
        "| heads | threshold | IoU of the pseudo-mask, on the grid | peak on the named object "
        "| Spearman ρ of frequency and IoU | same three in random halves |",
        "|---|---|---|---|---|---|",
    ]
    for criterion in ("sum", "contrast"):
        ranking = found.rank(criterion, 10, 1)
        top = ranking.top(3)
        names = ", ".join(f"L{a}H{b}" for a, b in top)
        rows.append(
            f"| {criterion}: {names} | {ranking.threshold:.2f} "
            f"| {np.mean([ious[h] for h in top]):.2f} | {np.mean([hits[h] for h in top]):.2f} "
            f"| {ranking.agreement(ious):.2f} | {stability(found, criterion, 10, 1, 5)} of 5 |"
        )
    rows.append(f"| best three by labels | | {best[:3].mean():.2f} | {peaks[:3].mean():.2f} | | |")
    rows.append(f"| median head | | {np.median(ious):.2f} | {np.median(hits):.2f} | | |")
    return rows


def main(argv: list[str] | None = None) -> None:
    """Command line; see ``--help``."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scenes", type=int, default=100, help="held-out scenes for finding")
    parser.add_argument("--edits", type=int, default=60, help="held-out scenes for painting")
    parser.add_argument("--head-scenes", type=int, default=150)
    parser.add_argument("--out", type=Path, default=PAGE)
    args = parser.parse_args(argv)
    start = time.perf_counter()
    editor = Editor.load("miniature", device="cpu", offline=True)
    found = score_grounding(editor, args.scenes)
    painted = score_edits(editor, args.edits)
    psnr = autoencoder_psnr(editor, 50)
    minutes = (time.perf_counter() - start) / 60
    write_page(args.out, found, painted, psnr, head_lines(args.head_scenes), minutes)
    print(args.out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
