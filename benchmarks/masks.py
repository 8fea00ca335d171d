"""Masks from boxes: one picture embedding for all of them, and a whole call for each.

    python -m benchmarks.masks [--device cuda]

With the miniature's segmenter, or on a GPU with SAM ViT-H in random weights. "call each" embeds
the picture for every box, as who calls the model box after box does; "one plain call" gives it all
boxes; "decode each" embeds once and asks box after box; "together" is ours: embeds once and decodes
all boxes in few passes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks import common, stand_ins

COUNTS = (1, 4, 16, 64)
_EACH_UP_TO = 16
SIDE = 512
WEIGHTS = common.ROOT / "miniature" / "weights" / "segmenter"
EACH, PLAIN, DECODE, TOGETHER = "call each", "one plain call", "decode each", "together"


def segmenter(device: str) -> tuple[str, Any]:
    """The model's name and a `Segmenter`."""
    from groundbrush.grounding import load_segmenter

    if device == "cpu":
        return "miniature", load_segmenter(WEIGHTS, offline=True)
    import torch
    from groundbrush.grounding.sam.segmenter import Segmenter
    from transformers import SamConfig, SamModel, SamVisionConfig
    from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

    huge = SamVisionConfig(
        hidden_size=1280,
        num_hidden_layers=32,
        num_attention_heads=16,
        mlp_dim=5120,
        global_attn_indexes=[7, 15, 23, 31],
    )
    with torch.device(device):
        model = SamModel(SamConfig(vision_config=huge.to_dict())).half()
    return "SAM ViT-H", Segmenter(model, SamImageProcessorPil())


def boxes(count: int) -> np.ndarray:
    """Boxes all over the picture, (n, 4) xyxy."""
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 0.6 * SIDE, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(40, 0.4 * SIDE, (count, 2))], axis=1)


def ways_for(model: Any, image: np.ndarray, count: int) -> dict[str, Callable[[], Any]]:
    """What is timed for so many boxes; logits only, as choosing among masks needs them."""
    places = boxes(count)

    def each() -> list:
        return [model.prompt_logits(model.embed(image), boxes=[box]) for box in places]

    def decode() -> list:
        seen = model.embed(image)
        return [model.prompt_logits(seen, boxes=[box]) for box in places]

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

    sam = model._model
    inputs = model._processor(Image.fromarray(image), return_tensors="pt")
    scale = model.input_side / max(image.shape[:2])
    given = torch.from_numpy(places * scale)[None].to(model.device, model.dtype)
    with torch.inference_mode():
        out = sam(
            pixel_values=inputs["pixel_values"].to(model.device, model.dtype), input_boxes=given
        )
    return np.asarray(out.pred_masks[0].float().cpu())


def drift(model: Any, image: np.ndarray, count: int) -> float:
    """How far logits decoded together are from those decoded alone, at most."""
    seen, places = model.embed(image), boxes(count)
    together, _ = model.prompt_logits(seen, boxes=places)
    alone = [model.prompt_logits(seen, boxes=[box])[0][0] for box in places]
    return float(np.abs(together - np.stack(alone)).max())


def measure(counts: Sequence[int], rounds: int, device: str) -> tuple[list[dict[str, Any]], float]:
    """A row for each number of boxes and way, and the drift."""
    name, model = segmenter(device)
    image = stand_ins.picture(SIDE, SIDE)
    rows: list[dict[str, Any]] = []
    for count in counts:
        timed = common.in_turn(ways_for(model, image, count), rounds, device)
        rows += [
            {"model": name, "boxes": count, "way": way, "seconds": t["least"], "times": t}
            for way, t in timed.items()
        ]
        if EACH not in timed:
            one = next(r["seconds"] for r in rows if r["way"] == EACH)
            rows.append(
                {
                    "model": name,
                    "boxes": count,
                    "way": EACH,
                    "computed": True,
                    "seconds": round(one * count, 6),
                }
            )
    return rows, drift(model, image, min(4, max(counts)))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write masks.json."""
    parser = common.parser(__doc__)
    parser.set_defaults(rounds=None)
    args = parser.parse_args(argv)
    common.begin(args, rounds=2)
    counts = (1, 2) if args.tiny else COUNTS
    rows, apart = measure(counts, args.rounds, args.device)
    common.show(rows, {"boxes": "d", "seconds": ".4f", "way": "s"})
    print(f"largest difference of a logit: {apart:.1e}")
    by = {(r["boxes"], r["way"]): r["seconds"] for r in rows}
    ratio = by[16, EACH] / by[16, TOGETHER] if 16 in counts else None
    goals = [common.target("16 boxes: a whole call for each over ours", ratio, 5, most=False)]
    common.write(
        common.topic("masks", args.device),
        {"device": args.device, "rows": rows, "largest difference": apart, "targets": goals},
        args.out,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
