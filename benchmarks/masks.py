"""Masks from boxes: one picture embedding for all of them, and a whole call for each.

    python -m benchmarks.masks

With the miniature's segmenter. "call each" embeds the picture for every box; "one plain call"
passes all boxes to the library's own call; "decode each" embeds once and decodes box after box;
"together" is ours: it embeds once and decodes all boxes in few passes.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import common, stand_ins

COUNTS = (1, 4, 16, 64)
_EACH_UP_TO = 16
SIDE = 512
WEIGHTS = common.ROOT / "miniature" / "weights" / "segmenter"
EACH, PLAIN, DECODE, TOGETHER = "call each", "one plain call", "decode each", "together"


def boxes(count: int) -> np.ndarray:
    """Boxes all over the picture, (n, 4) xyxy."""
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 0.6 * SIDE, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(40, 0.4 * SIDE, (count, 2))], axis=1)


def ways_for(model: Any, image: np.ndarray, count: int) -> dict[str, Callable[[], Any]]:
    """What is timed for so many boxes; logits only, as choosing among masks needs them."""
    places = boxes(count)

    def decode() -> list:
        seen = model.embed(image)
        return [model.prompt_logits(seen, boxes=[box]) for box in places]

    def each() -> list:
        return [model.prompt_logits(model.embed(image), boxes=[box]) for box in places]

    ways: dict[str, Callable[[], Any]] = {
        TOGETHER: lambda: model.prompt_logits(model.embed(image), boxes=places),
        DECODE: decode,
        PLAIN: lambda: plain_call(model, image, places),
    }
    return {**ways, EACH: each} if count <= _EACH_UP_TO else ways


def plain_call(model: Any, image: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Logits (n, 3, m, m) of the library's own call with all boxes."""
    import torch
    from PIL import Image

    inputs = model._processor(Image.fromarray(image), return_tensors="pt")
    scale = model.input_side / max(image.shape[:2])
    given = torch.from_numpy(places * scale)[None].to(model.device, model.dtype)
    pixels = inputs["pixel_values"].to(model.device, model.dtype)
    with torch.inference_mode():
        out = model._model(pixel_values=pixels, input_boxes=given)
    return np.asarray(out.pred_masks[0].float().cpu())


def drift(model: Any, image: np.ndarray, count: int) -> float:
    """The largest difference of logits decoded together and alone."""
    seen, places = model.embed(image), boxes(count)
    together, _ = model.prompt_logits(seen, boxes=places)
    alone = [model.prompt_logits(seen, boxes=[box])[0][0] for box in places]
    return float(np.abs(together - np.stack(alone)).max())


def measure(args: Namespace) -> dict[str, Any]:
    """A row for each number of boxes and way, and the drift."""
    from groundbrush.grounding import load_segmenter

    counts = (1, 2) if args.tiny else COUNTS
    model = load_segmenter(WEIGHTS, offline=True)
    image = np.resize(stand_ins.picture(), (SIDE, SIDE, 3))
    rows: common.Rows = []
    for count in counts:
        timed = common.in_turn(ways_for(model, image, count), args.rounds)
        about = {"boxes": count}
        rows += [
            {**about, "way": way, "seconds": t["least"], "times": t} for way, t in timed.items()
        ]
        if EACH not in timed:
            one = next(r["seconds"] for r in rows if r["way"] == EACH)
            total = round(one * count, 6)
            rows.append({**about, "way": EACH, "computed": True, "seconds": total})
    apart = drift(model, image, min(4, max(counts)))
    by = {(r["boxes"], r["way"]): r["seconds"] for r in rows}
    ratio = common.over(by, (16, EACH), (16, TOGETHER))
    goals = [common.target("16 boxes: a whole call for each over ours", ratio, 5, most=False)]
    return {"rows": rows, "largest difference": apart, "targets": goals}


main = common.script("masks", __doc__, measure, rounds=2)

if __name__ == "__main__":
    sys.exit(main())
