"""Finding on three composers side by side.

``narrow`` is the composer of the first weights, ``wide`` the one trained on now, ``foreign`` one
that nothing is trained on. The same queries run on each; results are grouped by kind of
phrase, by size, by the picture's shape, by how much of a thing is visible and by drawing style.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np

from ...editor.evaluation.report import markdown
from ...grounding import box_iou, mask_iou
from ...grounding.pipeline import Grounder
from ...grounding.view import View
from ..composer import compose_wide
from ..foreign import compose_foreign
from ..phrases import Expression
from ..scenes import Scene, compose
from ..wide_phrases import wide_absent, wide_expressions
from .finding import paper_grounder
from .journal import Record
from .page import rate
from .segmenting import inner_point

COMPOSERS: dict[str, Callable[[int], Scene]] = {
    "narrow": partial(compose, "heldout"),
    "wide": partial(compose_wide, "heldout"),
    "foreign": compose_foreign,
}
FIRST = 500_000  # seeds that no other measurement uses
SIZES = (0.0, 0.1, 0.15, 0.2, 0.3, 1.0)  # square root of the thing's visible area / longer side
HARD = ("relation", "two-step", "side", "size", "ordinal")


def asked_of(scene: Scene, seed: int, count: int = 4) -> list[Expression]:
    """`count` expressions, kinds alike likely, and two phrases of things that are not there."""
    rng = np.random.default_rng([61, seed])
    every = [
        e
        for i in range(len(scene.objects))
        for e in wide_expressions(scene, i)
        if e.kind != "redundant"
    ]
    out: list[Expression] = []
    kinds = sorted({e.kind for e in every})
    for _ in range(count * bool(every)):
        kind = kinds[rng.integers(len(kinds))]
        same = [e for e in every if e.kind == kind and e not in out]
        if same:
            out.append(same[rng.integers(len(same))])
    return out + wide_absent(scene, rng, 2)


def measure(grounder: Grounder, composer: str, seed: int) -> list[Record]:
    """Every query of one scene, answered as the preset is set and as the paper does."""
    scene = COMPOSERS[composer](FIRST + seed)
    asked = asked_of(scene, seed)
    view = grounder.look(scene.image)
    words = [e.text for e in asked]
    ours = grounder.ground_many(view, words)
    theirs = paper_grounder(grounder).ground_many(view, words)
    out: list[Record] = []
    for expression, found, single in zip(asked, ours, theirs, strict=True):
        record: Record = {
            "composer": composer,
            "seed": seed,
            "phrase": expression.text,
            "kind": expression.kind,
            "presence": found.presence,
            "found": found.found,
            "shape": _shape(scene),
        }
        if expression.target is not None:
            truth, item = scene.mask(expression.target), scene.objects[expression.target]
            x, y = _peak(found.token_map, found.region)
            record |= {
                "iou": mask_iou(found.mask, truth) * found.found,
                "paper_box": float(box_iou(single.box, item.box)) if single.box else 0.0,
                "peak": bool(truth[min(y, len(truth) - 1), min(x, truth.shape[1] - 1)]),
                "size": float(np.sqrt(truth.sum()) / scene.side),
                "style": item.style,
                "visible": item.visible,
                **_oracle(grounder, view, truth, item.box),
            }
        out.append(record)
    return out


def _shape(scene: Scene) -> str:
    height, width = scene.image.shape[:2]
    return "square" if width == height else "landscape" if width > height else "portrait"


def _peak(token_map: np.ndarray, region: tuple[float, float, float, float]) -> tuple[int, int]:
    """The pixel at the middle of the map's highest cell inside the picture."""
    rows, columns = token_map.shape
    row, column = divmod(int(np.argmax(token_map)), columns)
    x = region[0] + (column + 0.5) * (region[2] - region[0]) / columns
    y = region[1] + (row + 0.5) * (region[3] - region[1]) / rows
    return max(0, int(x)), max(0, int(y))


def _oracle(grounder: Grounder, view: View, truth: np.ndarray, box: tuple[int, ...]) -> Record:
    """What SAM makes of the true box and of a click on the true thing."""
    boxed = grounder.segmenter.predict(view.embedding, box=np.array(box, float))
    clicked = grounder.segmenter.predict(view.embedding, points=inner_point(truth))
    return {
        "from_box": mask_iou(boxed.masks[boxed.best], truth),
        "from_point": mask_iou(clicked.masks[clicked.best], truth),
    }


def groups_of(records: list[Record]) -> dict[str, list[Record]]:
    """Records of phrases with a target by group, in order."""
    there = [r for r in records if "iou" in r]
    out = {
        "all": there,
        "relations, sides, sizes, ordinals": [r for r in there if r["kind"] in HARD],
    }
    out |= {
        kind: [r for r in there if r["kind"] == kind] for kind in sorted({r["kind"] for r in there})
    }
    for low, high in pairwise(SIZES):
        out[f"size {low}–{high}"] = [r for r in there if low <= r["size"] < high]
    out["size below 0.15"] = [r for r in there if r["size"] < 0.15]
    for shape in ("square", "landscape", "portrait"):
        out[shape] = [r for r in there if r["shape"] == shape]
    out["not square"] = [r for r in there if r["shape"] != "square"]
    out["visible below 0.75"] = [r for r in there if r["visible"] < 0.75]
    out["visible above 0.95"] = [r for r in there if r["visible"] > 0.95]
    out |= {
        f"style {style}": [r for r in there if r["style"] == style] for style in ("fluent", "noto")
    }
    return out


def report(records: list[Record]) -> str:
    """Markdown tables: found and right by group and composer; the chain's parts; absence."""
    names = [c for c in COMPOSERS if any(r["composer"] == c for r in records)]
    by = {c: groups_of([r for r in records if r["composer"] == c]) for c in names}
    lines = [
        "The narrow composer is that of the first weights, the wide one is trained on, and "
        "nothing is trained on the foreign one. Sizes are the square root of a thing's visible "
        "area over the picture's longer side. Found and right (IoU > 0.5):",
        "",
        _found_table(by, names),
        "",
    ]
    parts = {
        "peak of the map on the thing": lambda r: r["peak"],
        "called present": lambda r: r["found"],
        "the paper's box right (IoU > 0.5)": lambda r: r["paper_box"] > 0.5,
        "SAM from the true box": lambda r: r["from_box"] > 0.5,
        "SAM from a true click": lambda r: r["from_point"] > 0.5,
    }
    lines.append(
        markdown(
            ["parts", *names, *(f"{c}, not square" for c in names)],
            [
                [
                    name,
                    *(
                        rate(np.array([test(r) for r in by[c][g]], float), False)
                        for g in ("all", "not square")
                        for c in names
                    ),
                ]
                for name, test in parts.items()
            ],
        )
    )
    lines += ["", markdown(["things that are not there", *names], _absence(records, names))]
    return "\n".join(lines) + "\n"


def _found_table(by: dict[str, dict[str, list[Record]]], names: list[str]) -> str:
    groups = dict.fromkeys(g for c in names for g in by[c])
    right = {
        (c, g): rate(np.array([r["iou"] > 0.5 for r in by[c][g]], float))
        for c in names
        for g in groups
        if by[c].get(g)
    }
    rows = [[group, *(right.get((c, group), "–") for c in names)] for group in groups]
    return markdown(["phrases", *names], rows)


def _absence(records: list[Record], names: list[str]) -> list[list[str]]:
    rows: list[list[str]] = [
        ["recognised as absent"],
        ["the same at 5% false alarms"],
        ["level of 5% false alarms"],
    ]
    for name in names:
        mine = [r for r in records if r["composer"] == name]
        there = np.array([r["presence"] for r in mine if "iou" in r])
        missing = np.array([r["presence"] for r in mine if "iou" not in r])
        level = float(np.quantile(there, 0.05))
        found = np.array([not r["found"] for r in mine if "iou" not in r], float)
        rows[0].append(rate(found))
        rows[1].append(rate((missing < level).astype(float), False))
        rows[2].append(f"{level:.2f}")
    return rows
