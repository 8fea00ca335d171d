"""Attention rows: ours beside eager attention with `output_attentions=True`, and plain SDPA.

    python -m benchmarks.rows [--device cuda]

The same prompt through the same random weights, of 600 to 6,000 tokens. "eager" is what the
paper's public code does: every layer's whole attention kept, until the last token's row is taken
out of it. "sdpa" keeps nothing. "ours, every head" gives the same rows as eager, as calibration
needs them; "ours, three heads" stops in the deepest of three heads' layers, at 45% of the depth, as
finding does. The floor is of a whole forward: the larger of its operations over the measured rate
of matrix products and its weights over the measured bandwidth. Memory is the most beyond the model:
on a CPU of a process for each way, on a GPU as torch counts it. Times are taken in turn, and freed
memory stays with the process: fresh gigabytes would count against eager alone. On a CPU those of
more than 3,000 tokens are taken once, where memory is measured, eager's beside the others': they
have it fresh and cannot be compared.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks import common, stand_ins
from benchmarks.floor import forward, measure_rates

TOKENS = (600, 1500, 3000, 6000)
EAGER, SDPA, EVERY, THREE = "eager", "sdpa", "ours, every head", "ours, three heads"
FLOOR = "floor of a forward"
WAYS = (EAGER, SDPA, EVERY, THREE)
ON_GPU = (stand_ins.LLAVA_7B.name, stand_ins.LLAVA_13B.name, stand_ins.QWEN_7B)
KEYS = 576
_IN_TURN_UP_TO = 3000  # on a CPU eager takes a minute and ten gigabytes for the longest
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
    """Memory and time of one way in this process, which does nothing else, on the CPU.

    By number of tokens, as words: JSON has no other keys.
    """
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
    told = {"model": model, "way": way, "tokens": fits}
    found = common.fresh("benchmarks.rows", told, environment=common.EXACT_MEMORY)
    too_much = {"failed": "more than two thirds of the free memory"}
    failed = found if "failed" in found else None
    return {n: (failed or found[str(n)]) if n in fits else too_much for n in tokens}


def all_alone(model: str, tokens: Sequence[int]) -> dict[str, dict[int, dict[str, Any]]]:
    """`alone` of every way; memory does not depend on who else computes, so eager has company."""
    with ThreadPoolExecutor(1) as beside_it:
        eager = beside_it.submit(alone, model, EAGER, tokens)
        found = {way: alone(model, way, tokens) for way in WAYS if way != EAGER}
    return {EAGER: eager.result(), **found}


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


def measure(
    name: str, tokens: Sequence[int], rounds: int, device: str, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """A row for each number of tokens and way."""
    rows: list[dict[str, Any]] = []
    loaded = stand_ins.model_of(name, device, vision=False)
    least = floors(loaded, tokens, device)
    apart = all_alone(name, tokens) if device == "cpu" else {}
    for count in tokens:
        own = {}
        for way in WAYS:
            found = apart[way][count] if apart else beside(loaded, way, count)
            say(f"{name}, {count} tokens, {way}: {found}")
            own[way] = {"model": name, "tokens": count, "way": way, **found}
        floor = {"model": name, "tokens": count, "way": FLOOR, "seconds": least[count]}
        rows += [*own.values(), floor]
        if device == "cpu" and count > _IN_TURN_UP_TO:
            continue
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


def ratios(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each model and length: eager over ours, and ours over SDPA."""
    found = []
    for model, count in dict.fromkeys((r["model"], r["tokens"]) for r in rows):
        by = {r["way"]: r for r in rows if (r["model"], r["tokens"]) == (model, count)}

        def over(top: str, bottom: str, name: str, by: dict = by) -> float | None:
            if not by[top].get(name) or not by[bottom].get(name):
                return None
            return round(by[top][name] / by[bottom][name], 3)

        found.append(
            {
                "model": model,
                "tokens": count,
                "eager/every time": over(EAGER, EVERY, "seconds"),
                "eager/three time": over(EAGER, THREE, "seconds"),
                "eager/every memory": over(EAGER, EVERY, "bytes"),
                "eager/three memory": over(EAGER, THREE, "bytes"),
                "every/sdpa time": over(EVERY, SDPA, "seconds"),
                "every/sdpa memory": over(EVERY, SDPA, "bytes"),
            }
        )
    return found


def targets(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The issue's, at 3,000 tokens of each model."""
    goals = []
    for one in (r for r in found if r["tokens"] == 3000):
        told = f"rows at 3,000 tokens, {one['model']}: "
        for ours, words in (("every", "every head"), ("three", "three heads")):
            for what, limit in (("time", 3), ("memory", 20)):
                goals.append(
                    common.target(
                        f"{told}eager over ours ({words}), {what}",
                        one[f"eager/{ours} {what}"],
                        limit,
                        most=False,
                    )
                )
        goals.append(
            common.target(
                told + "every head's row over plain SDPA, time", one["every/sdpa time"], 1.05
            )
        )
    return goals


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write rows.json, anew after each model."""
    parser = common.parser(__doc__)
    parser.set_defaults(rounds=None)
    parser.add_argument("--tokens", type=int, nargs="+", default=TOKENS)
    parser.add_argument("--models", nargs="+", choices=ON_GPU, default=ON_GPU, help="on a GPU")
    args = parser.parse_args(argv)
    if args.case:
        common.one_thread()
        print(json.dumps(case(args.case)))
        return 0
    common.begin(args, rounds=2)
    if args.device == "cpu":
        common.keep_freed()
    models = args.models if args.device == "cuda" else (stand_ins.SCALED_ROWS.name,)
    tokens: Sequence[int] = args.tokens
    if args.tiny:
        models, tokens = (stand_ins.TINY.name,), (40,)
    rows: list[dict[str, Any]] = []
    for number, model in enumerate(models, 1):
        rows += measure(model, tokens, args.rounds, args.device, print)
        common.let_go(args.device)
        found = ratios(rows)
        common.write(
            common.topic("rows", args.device),
            {
                "device": args.device,
                "rows": rows,
                "ratios": found,
                "not yet": models[number:],
                "targets": targets(found),
            },
            args.out,
        )
    common.show(rows, {"tokens": "d", "seconds": ".4f", "bytes": ",d", "way": "s"})
    return 0


if __name__ == "__main__":
    sys.exit(main())
