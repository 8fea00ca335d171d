"""Attention rows: ours beside eager attention with `output_attentions=True`, and plain SDPA.

    python -m benchmarks.rows [--device cuda]

The same prompt through the same random weights, of 600 to 3,000 tokens. "eager" is what the
paper's public code does: every layer's whole attention kept, until the last token's row is taken
out of it. "sdpa" keeps nothing. "ours, every head" gives the same rows as eager, as calibration
needs them; "ours, three heads" stops in the deepest of three heads' layers, at 45% of the depth, as
finding does. The floor is a whole forward's operations at the measured rate of matrix products.
Bytes are the most beyond the model. Times are taken in turn, and freed memory stays with the
process: fresh gigabytes would count against eager alone.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import common, stand_ins

TOKENS = (600, 1500, 3000)
EAGER, SDPA, EVERY, THREE = "eager", "sdpa", "ours, every head", "ours, three heads"
FLOOR = "floor of a forward"
WAYS = (EAGER, SDPA, EVERY, THREE)
ON_GPU = (stand_ins.LLAVA_7B, stand_ins.LLAVA_13B)
KEYS = 576


def attend(model: Any, way: str) -> None:
    """Give the language model the attention function of a way."""
    from groundbrush.grounding.attention.capture import attach

    if way in (EAGER, SDPA):
        model.set_attn_implementation({"text_config": way})
    else:
        attach(model)


def way_of(model: Any, way: str, tokens: int) -> Callable[[], Any]:
    """One forward of `tokens` tokens of a model that attends so; call it to run it."""
    import torch
    from groundbrush.grounding.attention.capture import RowRequest, capture

    text = model.model.language_model
    ids = torch.arange(tokens, device=model.device)[None] % 1000 + 10
    layers, heads = text.config.num_hidden_layers, text.config.num_attention_heads
    deepest = max(0, round(0.45 * layers) - 1)
    keys = slice(1, 1 + min(KEYS, tokens - 2))
    chosen = {
        EVERY: RowRequest(dict.fromkeys(range(layers)), keys, stop=False),
        THREE: RowRequest({max(0, deepest - 1): [1], deepest: [0, heads - 1]}, keys),
    }

    def run() -> Any:
        with torch.inference_mode():
            if way in chosen:
                with capture(chosen[way]) as rows:
                    text(input_ids=ids, use_cache=False)
                return {layer: row.cpu() for layer, row in rows.items()}
            found = text(input_ids=ids, use_cache=False, output_attentions=way == EAGER)
            if way == SDPA:
                return found.last_hidden_state
            return [a[:, :, -1, keys].float().cpu() for a in found.attentions]

    return run


def held_by(model: Any, way: str, tokens: int, device: str) -> dict[str, Any]:
    """Most bytes beyond the model, or that there is not enough memory."""
    import torch

    run = way_of(model, way, tokens)
    attend(model, way)
    common.let_go()
    try:
        run()
        with common.Peak(device) as peak:
            run()
    except torch.OutOfMemoryError:
        return {"failed": "out of memory"}
    return {"bytes": peak.bytes}


def rows_of(shape: stand_ins.Shape, tokens: Sequence[int], rounds: int, device: str) -> common.Rows:
    """A row for each number of tokens and way: memory first, then times with memory kept."""
    model = stand_ins.llava(shape, device, vision=False)
    cases = [(count, way) for count in tokens for way in (*WAYS, FLOOR)]
    rows = {
        (count, way): {"model": shape.name, "tokens": count, "way": way} for count, way in cases
    }
    common.return_large()
    for (count, way), row in rows.items():
        if way != FLOOR:
            row |= held_by(model, way, count, device)
            print(row, flush=True)
    common.keep_freed()
    for count in tokens:
        ways = {w: way_of(model, w, count) for w in WAYS if "failed" not in rows[count, w]}
        timed = common.in_turn(ways, rounds, device, before=lambda way: attend(model, way))
        for way, times in timed.items():
            rows[count, way] |= {"seconds": times["least"], "times": times}
        attend(model, SDPA)
        floor = common.floor_seconds(way_of(model, SDPA, count), model.dtype, device)
        rows[count, FLOOR]["seconds"] = floor
    return list(rows.values())


def targets(rows: common.Rows) -> list[dict[str, Any]]:
    """At 3,000 tokens of each model; not the time of every head, which is a plain forward's."""
    goals = []
    for model in dict.fromkeys(row["model"] for row in rows):
        own = [row for row in rows if (row["model"], row["tokens"]) == (model, 3000)]
        for top, bottom, what, key, limit in (
            (EAGER, EVERY, "eager over ours (every head), memory", "bytes", 20),
            (EAGER, THREE, "eager over ours (three heads), time", "seconds", 3),
            (EVERY, SDPA, "every head's row over plain SDPA, time", "seconds", 1.05),
        ):
            ratio = common.over({r["way"]: r[key] for r in own if r.get(key)}, top, bottom)
            name = f"rows at 3,000 tokens, {model}: {what}"
            goals.append(common.target(name, ratio, limit, most=bottom == SDPA))
    return goals


def measure(args: Namespace) -> dict[str, Any]:
    """Every model; the JSON is written anew after each."""
    models = ON_GPU if args.device == "cuda" else (stand_ins.SCALED_ROWS,)
    models, tokens = ((stand_ins.TINY,), (40,)) if args.tiny else (models, TOKENS)
    rows: common.Rows = []
    found: dict[str, Any] = {}
    for model in models:
        rows += rows_of(model, tokens, args.rounds, args.device)
        found = {"rows": rows, "targets": targets(rows)}
        common.write(common.topic("rows", args.device), found, args.out)
    return found


main = common.script("rows", __doc__, measure, rounds=2)

if __name__ == "__main__":
    sys.exit(main())
