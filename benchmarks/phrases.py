"""Finding phrases in a picture: ours beside a full forward of the model for a phrase.

    python -m benchmarks.phrases [--device cuda]

A LLaVA with random weights, 576 image tokens, its heads at 45% of the depth; from the picture's
pixels to the heads' maps. "full forward" is the whole model under SDPA, with its language head,
once a phrase; "eager" the same keeping every attention. Ours stops at the deepest head, reads the
picture once and reads all phrases in one row; "picture read before" is what further phrases cost,
"picture resized before" leaves out resizing and normalising it, which a CPU does. The floor is the
operations of ours at the measured rate of matrix products.
"""

from __future__ import annotations

import copy
import sys
from argparse import Namespace
from collections.abc import Callable
from typing import Any

from benchmarks import common, stand_ins
from benchmarks.rows import EAGER, SDPA, attend

COUNTS = (1, 4, 16, 64)
FULL, KEPT = "full forward", "eager with attentions"
TOGETHER, SEEN, RESIZED = "ours", "ours, picture read before", "ours, picture resized before"
FLOOR = "floor"
ATTENTION = {FULL: SDPA, KEPT: EAGER}


def whole(model: Any, family: Any, image: Any, phrase: str, way: str) -> None:
    """One forward of the whole model, with or without every attention kept."""
    import torch

    prepared, prompt = family.prepare(image), family.prompts.build(phrase)
    inputs = {name: torch.from_numpy(a).to(model.device) for name, a in prepared.inputs.items()}
    inputs = {k: v.to(model.dtype) if v.is_floating_point() else v for k, v in inputs.items()}
    ids = torch.tensor([prompt.ids], device=model.device)
    with torch.inference_mode():
        out = model(input_ids=ids, **inputs, use_cache=False, output_attentions=way == KEPT)
    if way == KEPT:
        [a[0, :, prompt.query, prepared.tokens.span].float().cpu() for a in out.attentions]


def ways_for(lvlm: Any, model: Any, image: Any, count: int) -> dict[str, Callable[[], Any]]:
    """What is timed for so many phrases."""
    texts = stand_ins.phrases(count)
    attend(model, SEEN)
    seen = lvlm.encode(image)
    ways: dict[str, Callable[[], Any]] = {
        TOGETHER: lambda: lvlm.read(lvlm.encode(image), texts, lvlm.heads),
        SEEN: lambda: lvlm.read(seen, texts, lvlm.heads),
    }
    if count == 1:
        resized = already_resized(lvlm, image)
        ways[RESIZED] = lambda: resized.read(resized.encode(image), texts, lvlm.heads)
        for way in ATTENTION:
            ways[way] = lambda way=way: whole(model, lvlm.family, image, texts[0], way)
    return ways


def already_resized(lvlm: Any, image: Any) -> Any:
    """The same reader, with the picture prepared for the vision tower before."""
    made, prepared = copy.copy(lvlm), lvlm.family.prepare(image)
    made.family = copy.copy(lvlm.family)
    made.family.prepare = lambda image: prepared
    return made


def measure(args: Namespace) -> dict[str, Any]:
    """A row for each number of phrases and way; every count in each round."""
    shape = stand_ins.SCALED if args.device == "cpu" else stand_ins.LLAVA_7B
    shape, counts = (stand_ins.TINY, (1, 8)) if args.tiny else (shape, COUNTS)
    model = stand_ins.llava(shape, args.device)
    lvlm, image = stand_ins.reader(shape, model), stand_ins.picture()
    every = {
        (n, name): way for n in counts for name, way in ways_for(lvlm, model, image, n).items()
    }

    def before(key: tuple[int, str]) -> None:
        attend(model, ATTENTION.get(key[1], key[1]))

    rows = [
        {"model": shape.name, "phrases": n, "way": way, "seconds": times["least"], "times": times}
        for (n, way), times in common.in_turn(
            every, args.rounds, args.device, before=before
        ).items()
    ]
    attend(model, TOGETHER)
    for n in counts:
        floor = common.floor_seconds(every[n, TOGETHER], model.dtype, args.device)
        rows.append({"model": shape.name, "phrases": n, "way": FLOOR, "seconds": floor})
    return {"rows": rows, "targets": targets(rows, args.device)}


def targets(rows: common.Rows, device: str) -> list[dict[str, Any]]:
    """That of the floor is for a GPU, where resizing is not the model's work."""
    by = {(r["phrases"], r["way"]): r["seconds"] for r in rows}
    one = "one phrase over a full forward, deepest head at 45% of the depth"
    goals = [
        common.target(one, common.over(by, (1, TOGETHER), (1, FULL)), 0.55),
        common.target("16 phrases over one", common.over(by, (16, TOGETHER), (1, TOGETHER)), 1.7),
    ]
    if device == "cuda":
        name = "phrase to map over its floor, the picture resized before"
        goals.append(common.target(name, common.over(by, (1, RESIZED), (1, FLOOR)), 1.5))
    return goals


main = common.script("phrases", __doc__, measure, rounds=3)

if __name__ == "__main__":
    sys.exit(main())
