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
from ...grounding import mask_iou
from ...grounding.pipeline import Grounder
from ...grounding.view import View
from ..composer import compose_wide
from ..foreign import compose_foreign
from ..phrases import Expression
from ..scenes import Scene, compose
from ..wide_phrases import wide_absent, wide_expressions
from .finding import answers, box_score
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


def asked_of(scene: Scene, seed: int) -> list[Expression]:
    """Four expressions, kinds alike likely, and two phrases of things that are not there."""
    rng = np.random.default_rng([61, seed])
    every = [
        e
        for i in range(len(scene.objects))
        for e in wide_expressions(scene, i)
        if e.kind != "redundant"
    ]
    out: list[Expression] = []
    kinds = sorted({e.kind for e in every})
    for _ in range(4 * bool(every)):
        kind = kinds[rng.integers(len(kinds))]
        same = [e for e in every if e.kind == kind and e not in out]
        if same:
            out.append(same[rng.integers(len(same))])
    return out + wide_absent(scene, rng, 2)


def measure(grounder: Grounder, composer: str, seed: int) -> list[Record]:
    """Every query of one scene, answered as the preset is set and as the paper does."""
    scene = COMPOSERS[composer](FIRST + seed)
    view, out = grounder.look(scene.image), []
    for expression, found, single, record in answers(grounder, view, asked_of(scene, seed)):
        record |= {"composer": composer, "seed": seed, "shape": _shape(scene)}
        if expression.target is not None:
            truth, item = scene.mask(expression.target), scene.objects[expression.target]
            x, y = _peak(found.token_map, found.region)
            record |= {
                "iou": mask_iou(found.mask, truth) * found.found,
                "paper_box": box_score(single, scene, expression.target),
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
    tests: dict[str, Callable[[Record], bool]] = {
        "all": lambda r: True,
        "relations, sides, sizes, ordinals": lambda r: r["kind"] in HARD,
    }
    for kind in sorted({r["kind"] for r in there}):
        tests[kind] = lambda r, kind=kind: r["kind"] == kind
    for low, high in pairwise(SIZES):
        tests[f"size {low}–{high}"] = lambda r, low=low, high=high: low <= r["size"] < high
    tests["size below 0.15"] = lambda r: r["size"] < 0.15
    for shape in ("square", "landscape", "portrait"):
        tests[shape] = lambda r, shape=shape: r["shape"] == shape
    tests["not square"] = lambda r: r["shape"] != "square"
    tests["visible below 0.75"] = lambda r: r["visible"] < 0.75
    tests["visible above 0.95"] = lambda r: r["visible"] > 0.95
    for style in ("fluent", "noto"):
        tests[f"style {style}"] = lambda r, style=style: r["style"] == style
    return {name: list(filter(test, there)) for name, test in tests.items()}


def report(records: list[Record]) -> str:
    """Markdown tables: found and right by group and composer; the chain's parts; absence."""
    names = [c for c in COMPOSERS if any(r["composer"] == c for r in records)]
    own = {c: [r for r in records if r["composer"] == c] for c in names}
    by = {c: groups_of(own[c]) for c in names}

    def shares(group: str, test: Callable[[Record], bool], count: bool = False) -> list[str]:
        groups = (by[c].get(group, []) for c in names)
        return [rate(np.array([test(r) for r in found], float), count) for found in groups]

    parts: dict[str, Callable[[Record], bool]] = {
        "peak of the map on the thing": lambda r: r["peak"],
        "called present": lambda r: r["found"],
        "the paper's box right (IoU > 0.5)": lambda r: r["paper_box"] > 0.5,
        "SAM from the true box": lambda r: r["from_box"] > 0.5,
        "SAM from a true click": lambda r: r["from_point"] > 0.5,
    }
    found = [
        [group, *shares(group, lambda r: r["iou"] > 0.5, True)]
        for group in dict.fromkeys(g for c in names for g in by[c])
    ]
    chain = [
        [name, *shares("all", test), *shares("not square", test)] for name, test in parts.items()
    ]
    absent = zip(
        ("recognised as absent", "the same at 5% false alarms", "level of 5% false alarms"),
        *(_absence(own[c]) for c in names),
        strict=True,
    )
    return f"""The narrow composer is that of the first weights, the wide one is trained on, and \
nothing is trained on the foreign one. Sizes are the square root of a thing's visible \
area over the picture's longer side. Found and right (IoU > 0.5):

{markdown(["phrases", *names], found)}

{markdown(["parts", *names, *(f"{c}, not square" for c in names)], chain)}

{markdown(["things that are not there", *names], list(absent))}
"""


def _absence(records: list[Record]) -> list[str]:
    there = np.array([r["presence"] for r in records if "iou" in r])
    missing = [r for r in records if "iou" not in r]
    level = float(np.quantile(there, 0.05))
    refused = np.array([not r["found"] for r in missing], float)
    below = np.array([r["presence"] < level for r in missing], float)
    return [rate(refused), rate(below, False), f"{level:.2f}"]
