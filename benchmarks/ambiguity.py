"""Phrases that fit several things: does the answer say so, and name the others?

    python -m benchmarks.ambiguity

On held-out composed scenes: "the car" and "the red car" where two or three are there, and phrases
that fit exactly one thing, of every kind; with the search for other matches and without. All
places: the share of phrases with all true things among the match and the candidates (IoU of at
least 0.5). One whole: the mask is one true thing; join: it holds more than 40% of two things.
A run of all scenes also writes docs/measured/several.md.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from argparse import Namespace
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks import common

COUNT, FIRST = 150, 900_000
HOLDS, SAME = 0.4, 0.5
SEVERAL = ("several: name", "several: colour")
PAGE = common.ROOT / "docs" / "measured" / "several.md"
Query = tuple[str, str, list[int]]
"""A phrase, its kind and the numbers of the things it fits."""


def scenes(count: int) -> Iterator[tuple[Any, list[Query]]]:
    """Scenes with their queries: all that fit several things, one of each other kind."""
    import numpy as np
    from groundbrush.miniature.phrases import expressions
    from groundbrush.miniature.scenes import CROWDED, compose

    for seed in range(FIRST, FIRST + count):
        scene = compose("heldout", seed, CROWDED if seed % 3 else None)
        rng = np.random.default_rng([61, seed])
        kinds: dict[str, list[Query]] = defaultdict(list)
        for index in range(len(scene.objects)):
            for one in expressions(scene, index):
                kinds[one.kind].append((one.text, one.kind, [index]))
        unique = [group[rng.integers(len(group))] for group in kinds.values()]
        yield scene, [*several(scene), *unique]


def several(scene: Any) -> list[Query]:
    """Phrases that fit two things or more: a noun, or a colour with it."""
    fits: dict[tuple[str, str], list[int]] = defaultdict(list)
    for k, thing in enumerate(scene.objects):
        fits[f"the {thing.noun}", SEVERAL[0]].append(k)
        if thing.colour:
            fits[f"the {thing.colour} {thing.noun}", SEVERAL[1]].append(k)
    found = [(phrase, kind, things) for (phrase, kind), things in fits.items() if len(things) > 1]
    return sorted(found, key=lambda query: SEVERAL.index(query[1]))


def facts_of(scene: Any, query: Query, found: Any) -> dict[str, Any]:
    """What one answer came to."""
    from groundbrush.grounding.metrics import mask_iou
    from groundbrush.multiobject.instances import full_size_mask

    _, kind, fits = query
    masks = [scene.mask(k) for k in range(len(scene.objects))]
    places = [found.mask, *(full_size_mask(c.mask, found.size_wh) for c in found.candidates)]
    joined = sum((found.mask & mask).sum() > HOLDS * mask.sum() for mask in masks) > 1
    return {
        "kind": kind,
        "told": found.status == "ambiguous",
        "all places": all(any(mask_iou(p, masks[k]) >= SAME for p in places) for k in fits),
        "one whole": not joined and any(mask_iou(found.mask, masks[k]) >= SAME for k in fits),
        "join": joined,
    }


def answers_of(count: int) -> dict[str, common.Rows]:
    """Every answer, by the way it came about."""
    from groundbrush import Editor
    from groundbrush.grounding.pipeline import Grounder

    ours = Editor.load("miniature", device="cpu", offline=True).models.grounder()
    once = Grounder(ours.lvlm, ours.segmenter, dataclasses.replace(ours.settings, looks=0))
    found: dict[str, common.Rows] = {"map only": [], "with the search": []}
    for scene, queries in scenes(count):
        view = ours.look(scene.image)
        for rows, grounder in zip(found.values(), (once, ours), strict=True):
            for one in queries:
                start = time.process_time()
                answer = grounder.ground(view, one[0])
                taken = time.process_time() - start
                rows.append({**facts_of(scene, one, answer), "seconds": taken})
    return found


def summary(answers: Mapping[str, common.Rows]) -> common.Rows:
    """Means by way: of all phrases that fit several things, of those that fit one, by kind."""
    rows = []
    for way, every in answers.items():
        groups: dict[str, common.Rows] = defaultdict(list)
        for one in every:
            groups["several things" if one["kind"] in SEVERAL else "one thing"].append(one)
            groups[one["kind"]].append(one)
        for fits, group in groups.items():
            means = {
                name: round(sum(one[name] for one in group) / len(group), 3)
                for name in group[0]
                if name != "kind"
            }
            rows.append({"way": way, "fits": fits, "phrases": len(group), **means})
    return rows


def page(rows: Sequence[Mapping[str, Any]], machine: Mapping[str, Any]) -> str:
    """docs/measured/several.md."""
    from groundbrush.editor.evaluation.report import markdown

    ways = {way: {} for way in dict.fromkeys(row["way"] for row in rows)}
    for row in rows:
        ways[row["way"]][row["fits"]] = row
    cells = [
        (
            way,
            f"{many['told']:.0%}",
            f"{many['all places']:.0%}",
            f"{single['told']:.1%}",
            f"{single['seconds']:.2f}",
        )
        for way, by in ways.items()
        for many, single in [(by["several things"], by["one thing"])]
    ]
    last = list(ways.values())[-1]
    many, single = last.pop("several things"), last.pop("one thing")
    heads = f"{many['phrases']} phrases fit several, {single['phrases']} one"
    names = ("reported as ambiguous", "all of them listed", "false alarms", "seconds")
    kinds = sorted((r for r in last.values() if r["fits"] not in SEVERAL), key=lambda r: -r["told"])
    wrong = ", ".join(f"{row['fits']} {row['told']:.0%}" for row in kinds)
    return f"""# One of several alike: measured

Written by `python -m benchmarks.ambiguity`: nouns, alone and with a colour, that fit two or three
things, and phrases of every kind that fit one, on held-out composed scenes.

{markdown((heads, *names), cells)}

False alarms by kind of phrase: {wrong}. The mask of a phrase that fits several is one whole thing
in {many["one whole"]:.0%}, and covers two in {many["join"]:.0%}. CPU seconds of a phrase that fits
one thing, on one thread; {machine["date"]}, {machine["cpu"]}.
"""


def measure(args: Namespace) -> dict[str, Any]:
    """Shares of answers; the aims are 90% reported where several fit, and 3% false alarms."""
    rows = summary(answers_of(3 if args.tiny else COUNT))
    if not args.tiny:
        PAGE.write_text(page(rows, common.machine()), encoding="utf-8")
    return {"rows": rows, "targets": []}


main = common.script("ambiguity", __doc__, measure)

if __name__ == "__main__":
    sys.exit(main())
