"""Attention rows: ours beside eager attention with `output_attentions=True`, and plain SDPA.

    python -m benchmarks.rows [--device cuda]

The same prompt through the same random weights, of 600 to 3,000 tokens. "eager" is what the
paper's public code does: every layer's whole attention kept, until the last token's row is taken
out of it. "sdpa" keeps nothing. "ours, every head" gives the same rows as eager, as calibration
needs them; "ours, three heads" stops in the deepest of three heads' layers, at 45% of the depth, as
finding does. The floor is of a whole forward: the larger of its operations over the measured rate
of matrix products and its weights over the measured bandwidth. Memory is the most beyond the model:
on a CPU of a process for each way, on a GPU as torch counts it. Times are taken in turn, and freed
memory stays with the process: fresh gigabytes would count against eager alone.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import common, stand_ins
from benchmarks.floor import forward, measure_rates

TOKENS = (600, 1500, 3000)
EAGER, SDPA, EVERY, THREE = "eager", "sdpa", "ours, every head", "ours, three heads"
FLOOR = "floor of a forward"
WAYS = (EAGER, SDPA, EVERY, THREE)
ON_GPU = (stand_ins.LLAVA_7B.name, stand_ins.LLAVA_13B.name, stand_ins.QWEN_7B)
KEYS = 576
_WARM_UP_TO = 1000


def attend(model: Any, way: str) -> None:
    """Give the language model the attention function of a way."""
    from groundbrush.grounding.attention.capture import attach

    if way in (EVERY, THREE):
        attach(model)
    else:
        model.set_attn_implementation({"text_config": way})


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


def needed(shape: stand_ins.Shape, tokens: int) -> int:
    """Bytes that eager attention takes in float32: what it keeps, and four of a layer at work."""
    return (shape.layers + 4) * shape.heads * tokens**2 * 4


def case(given: dict[str, Any]) -> dict[str, Any]:
    """Memory and CPU time of one way in this process, by number of tokens (as JSON's keys)."""
    common.one_thread()
    model = stand_ins.model_of(given["model"], "cpu", vision=False)
    attend(model, given["way"])
    way_of(model, given["way"], 16)()
    found = {}
    for count in given["tokens"]:
        with common.Peak() as peak:
            taken = common.seconds(way_of(model, given["way"], count))
        found[str(count)] = {"bytes": peak.bytes, "seconds": taken}
    return found


def alone(model: str, way: str, tokens: Sequence[int]) -> dict[int, dict[str, Any]]:
    """`case` in a new process, of the lengths that there is memory for; by number of tokens."""
    shape, free = stand_ins.SHAPES[model], common.free_memory()
    fits = [n for n in tokens if way != EAGER or needed(shape, n) <= free * 2 / 3]
    given = {"model": model, "way": way, "tokens": fits}
    found = common.fresh("benchmarks.rows", given, environment=common.EXACT_MEMORY)
    too_much = {"failed": "more than two thirds of the free memory"}
    failed = found if "failed" in found else None
    return {n: (failed or found[str(n)]) if n in fits else too_much for n in tokens}


def beside(model: Any, way: str, tokens: int) -> dict[str, Any]:
    """Memory of one way on the GPU; torch counts it exactly, so no process of its own is needed."""
    import torch

    run = way_of(model, way, tokens)
    attend(model, way)
    common.let_go("cuda")
    try:
        run()
        with common.Peak("cuda") as peak:
            run()
    except torch.OutOfMemoryError:
        return {"failed": "out of memory"}
    return {"bytes": peak.bytes}


def rows_of(name: str, tokens: Sequence[int], rounds: int, device: str) -> common.Rows:
    """A row for each number of tokens and way."""
    rows: common.Rows = []
    loaded = stand_ins.model_of(name, device, vision=False)
    least = floors(loaded, tokens, device)
    apart = {way: alone(name, way, tokens) for way in WAYS} if device == "cpu" else {}
    for count in tokens:
        own = {}
        for way in WAYS:
            found = apart[way][count] if apart else beside(loaded, way, count)
            print(f"{name}, {count} tokens, {way}: {found}")
            own[way] = {"model": name, "tokens": count, "way": way, **found}
        floor = {"model": name, "tokens": count, "way": FLOOR, "seconds": least[count]}
        rows += [*own.values(), floor]
        ways = {w: way_of(loaded, w, count) for w, r in own.items() if "failed" not in r}
        timed = common.in_turn(
            ways,
            rounds,
            device,
            warm=device != "cpu" or count < _WARM_UP_TO,
            before=lambda way: attend(loaded, way),
        )
        for way, times in timed.items():
            own[way] |= {"seconds": times["least"], "times": times}
    return rows


def floors(model: Any, tokens: Sequence[int], device: str) -> dict[int, float]:
    """Least seconds of a whole forward, by tokens."""
    text = model.model.language_model
    weights, width = sum(p.numel() for p in text.layers.parameters()), text.config.hidden_size
    rates = measure_rates(width, text.config.intermediate_size, device)
    return {
        n: rates.least(*forward(weights, len(text.layers), width, n, rates.width))["seconds"]
        for n in tokens
    }


def ratios(rows: common.Rows) -> common.Rows:
    """For each model and length: eager over ours, and ours over SDPA."""
    pairs = {
        "eager/every": (EAGER, EVERY),
        "eager/three": (EAGER, THREE),
        "every/sdpa": (EVERY, SDPA),
    }
    found = []
    for model, count in dict.fromkeys((r["model"], r["tokens"]) for r in rows):
        own: dict[str, Any] = {"model": model, "tokens": count}
        for what, name in (("time", "seconds"), ("memory", "bytes")):
            by = {
                r["way"]: r[name]
                for r in rows
                if (r["model"], r["tokens"]) == (model, count) and r.get(name)
            }
            for pair, (top, bottom) in pairs.items():
                value = common.over(by, top, bottom)
                own[f"{pair} {what}"] = None if value is None else round(value, 3)
        found.append(own)
    return found


def targets(found: common.Rows) -> list[dict[str, Any]]:
    """At 3,000 tokens of each model."""
    goals = []
    for one in (r for r in found if r["tokens"] == 3000):
        at = f"rows at 3,000 tokens, {one['model']}:"
        # Not the time of every head: ours is a plain forward's, the least there is.
        for ours, words, what, limit in (
            ("every", "every head", "memory", 20),
            ("three", "three heads", "time", 3),
        ):
            name = f"{at} eager over ours ({words}), {what}"
            goals.append(common.target(name, one[f"eager/{ours} {what}"], limit, most=False))
        name = f"{at} every head's row over plain SDPA, time"
        goals.append(common.target(name, one["every/sdpa time"], 1.05))
    return goals


def measure(args: Namespace) -> dict[str, Any]:
    """Every model; rows.json is written anew after each."""
    if args.device == "cpu":
        common.keep_freed()
    models = args.models if args.device == "cuda" else (stand_ins.SCALED_ROWS.name,)
    tokens: Sequence[int] = args.tokens
    if args.tiny:
        models, tokens = (stand_ins.TINY.name,), (40,)
    rows: common.Rows = []
    found: dict[str, Any] = {}
    for number, model in enumerate(models, 1):
        rows += rows_of(model, tokens, args.rounds, args.device)
        common.let_go(args.device)
        made = ratios(rows)
        found = {
            "device": args.device,
            "rows": rows,
            "ratios": made,
            "not yet": models[number:],
            "targets": targets(made),
        }
        common.write(common.topic("rows", args.device), found, args.out)
    common.show(rows, "tokens d, seconds .4f, bytes ,d, way s")
    return found


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--tokens", type=int, nargs="+", default=TOKENS)
    parser.add_argument("--models", nargs="+", choices=ON_GPU, default=ON_GPU, help="on a GPU")


main = common.script("rows", __doc__, measure, rounds=2, case=case, add_options=_add_options)

if __name__ == "__main__":
    sys.exit(main())
