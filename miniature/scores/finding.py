"""Finding: every kind of expression, and phrases of things that are not there."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from ...editor.api import Editor
from ...grounding import Grounding, ProposalSettings, box_iou, mask_iou
from ...grounding.pipeline import Grounder
from ...grounding.view import View
from ..heads import cover
from ..phrases import Expression, absent_expressions, expressions
from ..scenes import CROWDED, Scene, compose
from .journal import Record

RARE = ("size", "ordinal", "relation", "negated")
CROWDED_FROM = 200_000  # seeds from here on are crowded scenes, queried only for the rare kinds


def scene_of(seed: int) -> Scene:
    """The held-out scene of a seed."""
    return compose("heldout", seed, CROWDED if seed >= CROWDED_FROM else None)


def asked_of(scene: Scene, seed: int) -> list[Expression]:
    """Four expressions and two absent phrases; of a crowded scene, one of each rare kind."""
    rng = np.random.default_rng([31, seed])
    every = [
        e for i in range(len(scene.objects)) for e in expressions(scene, i) if e.kind != "redundant"
    ]
    if seed >= CROWDED_FROM:
        groups = [[e for e in every if e.kind == kind] for kind in RARE]
        return [group[rng.integers(len(group))] for group in groups if group]
    picks = [every[i] for i in rng.choice(len(every), min(4, len(every)), replace=False)]
    return picks + absent_expressions(scene, rng, 2)


def paper_grounder(grounder: Grounder) -> Grounder:
    """The same models as the paper joins them: one box of the pseudo-mask, SAM's single mask."""
    settings = dataclasses.replace(
        grounder.settings, proposals=ProposalSettings(mode="paper"), refine=False
    )
    return Grounder(grounder.lvlm, grounder.segmenter, settings)


def answers(
    grounder: Grounder, view: View, asked: Sequence[Expression]
) -> Iterator[tuple[Expression, Grounding, Grounding, Record]]:
    """Every query, our answer and the paper's, and a record of ours."""
    words = [e.text for e in asked]
    ours = grounder.ground_many(view, words)
    theirs = paper_grounder(grounder).ground_many(view, words)
    for expression, found, single in zip(asked, ours, theirs, strict=True):
        record = {"phrase": expression.text, "kind": expression.kind}
        yield expression, found, single, record | {"presence": found.presence, "found": found.found}


def finding(editor: Editor, seed: int) -> list[Record]:
    """Ground every query of one held-out scene: ours, the paper's box, ideal maps, chance."""
    scene, grounder = scene_of(seed), editor.models.grounder()
    view, rng, out = grounder.look(scene.image), np.random.default_rng([41, seed]), []
    for expression, found, single, record in answers(grounder, view, asked_of(scene, seed)):
        record |= {"seed": seed, "crowded": seed >= CROWDED_FROM, "status": found.status}
        if expression.target is not None:
            other = int(rng.integers(len(scene.objects)))
            record |= _against_truth(scene, expression.target, other, found, single)
            record |= _with_ideal_map(grounder, view, scene, expression)
        out.append(record)
    return out


def _against_truth(
    scene: Scene, target: int, other: int, found: Grounding, single: Grounding
) -> Record:
    truth = scene.mask(target)
    shared, union = int((found.mask & truth).sum()), int((found.mask | truth).sum())
    return {
        "target": target,
        "iou": mask_iou(found.mask, truth),
        "shared": shared,
        "union": union,
        "box_iou": box_score(found, scene, target),
        "paper_iou": mask_iou(single.mask, truth),
        "paper_box_iou": box_score(single, scene, target),
        "chance": mask_iou(scene.mask(other), truth),
    }


def box_score(found: Grounding, scene: Scene, target: int) -> float:
    """IoU of the answer's box and the thing's."""
    return float(box_iou(found.box, scene.objects[target].box)) if found.box else 0.0


def _with_ideal_map(grounder: Grounder, view: View, scene: Scene, expression: Expression) -> Record:
    """What the rest of the chain makes of a map that is the object itself, on the same grid."""
    truth = scene.mask(expression.target or 0)
    rows = cover(truth, grounder.lvlm.grid_hw)[None].astype(np.float32)
    ours = grounder.place(view, expression.text, rows)
    single = paper_grounder(grounder).place(view, expression.text, rows)
    return {"ideal": mask_iou(ours.mask, truth), "paper_ideal": mask_iou(single.mask, truth)}
