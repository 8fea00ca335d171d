"""Attention rows: ours beside eager attention with `output_attentions=True`, and plain SDPA.

    python -m benchmarks.rows [--device cuda]

The same prompt through the same random weights, of 600 to 6,000 tokens. "eager" is what the
paper's public code does: every layer's whole attention kept. "sdpa" keeps nothing. "ours, every
head" reads one row of every head and runs to the end, as calibration does; "ours, three heads"
stops in the deepest of three heads' layers, as finding does. Memory: each in a process of its own,
the most beyond the model. Time: the ways in turn in one process, but on a CPU eager from 3,000
tokens on, and everything beyond them, once in the process of its own.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import common, stand_ins

TOKENS = (600, 1500, 3000, 6000)
WAYS = ("eager", "sdpa", "ours, every head", "ours, three heads")
ON_GPU = ("LLaVA-1.5-7B", "LLaVA-1.5-13B", stand_ins.QWEN_7B)
KEYS = 576
_IN_TURN_UP_TO = 3000  # on a CPU eager takes half a minute and ten gigabytes for the longest
_EAGER_UP_TO = 1500


def way_of(model: Any, name: str, tokens: int) -> Callable[[], Any]:
    """One forward of `tokens` tokens; call it to run it."""
    import torch

    from grounding.capture import RowRequest, attach, capture

    text = model.model.language_model
    ids = torch.arange(tokens, device=model.device)[None] % 1000 + 10
    layers, heads = text.config.num_hidden_layers, text.config.num_attention_heads
    deepest = max(0, round(0.45 * layers) - 1)
    keys = slice(1, 1 + min(KEYS, tokens - 2))
    chosen = {
        "ours, every head": RowRequest(dict.fromkeys(range(layers)), keys, stop=False),
        "ours, three heads": RowRequest({max(0, deepest - 1): [1], deepest: [0, heads - 1]}, keys),
    }

    def run() -> Any:
        if name in chosen:
            attach(model)
            with torch.inference_mode(), capture(chosen[name]) as rows:
                text(input_ids=ids, use_cache=False)
            return rows
        model.set_attn_implementation({"text_config": name})
        with torch.inference_mode():
            found = text(input_ids=ids, use_cache=False, output_attentions=name == "eager")
        if name == "sdpa":
            return found.last_hidden_state
        return [a[:, :, -1, keys].float().cpu() for a in found.attentions]

    return run


def needed(shape: stand_ins.Shape, tokens: int) -> int:
    """Bytes that eager attention takes in float32: what it keeps, and four of a layer at work."""
    return (shape.layers + 4) * shape.heads * tokens**2 * 4


def case(given: dict[str, Any]) -> dict[str, Any]:
    """Memory and time of one way in this process, which does nothing else."""
    import torch

    device = given["device"]
    common.one_thread()
    model = stand_ins.model_of(given["model"], device, vision=False)
    run = way_of(model, given["way"], given["tokens"])
    way_of(model, given["way"], 16)()
    try:
        with common.Peak(device) as peak:
            taken = common.seconds(run, device)
    except torch.OutOfMemoryError:
        return {"failed": "out of memory"}
    return {"bytes": peak.bytes, "seconds": taken}


def measure(
    model: str, tokens: Sequence[int], rounds: int, device: str, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """A row for each number of tokens and way."""
    rows: list[dict[str, Any]] = []
    for count in tokens:
        for way in WAYS:
            if way == "eager" and _too_large(model, count, device):
                rows.append({"model": model, "tokens": count, "way": way,
                             "failed": "more than two thirds of the free memory"})  # fmt: skip
                continue
            told = {"model": model, "way": way, "tokens": count, "device": device}
            found = common.fresh("benchmarks.rows", told)
            rows.append({"model": model, "tokens": count, "way": way, **found})
            say(f"{count} tokens, {way}: {found}")
    longest = _IN_TURN_UP_TO if device == "cpu" else 1 << 30
    loaded = stand_ins.model_of(model, device, vision=False)
    for count in (n for n in tokens if n <= longest):
        long = device == "cpu" and count > _EAGER_UP_TO
        own = {r["way"]: r for r in rows if r["tokens"] == count and "failed" not in r
               and not (long and r["way"] == "eager")}  # fmt: skip
        timed = common.in_turn({w: way_of(loaded, w, count) for w in own}, rounds, device,
                               warm=device != "cpu" or count < 1000)  # fmt: skip
        for way, row in own.items():
            row["seconds"], row["times"] = timed[way]["least"], timed[way]
    del loaded
    common.let_go(device)
    return rows


def _too_large(model: str, tokens: int, device: str) -> bool:
    shape = stand_ins.SHAPES.get(model)
    if device != "cpu" or shape is None:
        return False  # a GPU says so itself
    return needed(shape, tokens) > common.free_memory() * 2 / 3


def ratios(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each model and length: eager and SDPA over ours."""
    found = []
    for model, count in dict.fromkeys((r["model"], r["tokens"]) for r in rows):
        by = {r["way"]: r for r in rows if (r["model"], r["tokens"]) == (model, count)}
        ours = by["ours, every head"], by["ours, three heads"]

        def over(top: str, bottom: dict[str, Any], name: str, by: dict = by) -> float | None:
            if not by[top].get(name) or not bottom.get(name):
                return None
            return round(by[top][name] / bottom[name], 3)

        found.append({
            "model": model, "tokens": count,
            "eager/every time": over("eager", ours[0], "seconds"),
            "eager/three time": over("eager", ours[1], "seconds"),
            "eager/every memory": over("eager", ours[0], "bytes"),
            "eager/three memory": over("eager", ours[1], "bytes"),
            "every/sdpa time": _inverse(over("sdpa", ours[0], "seconds")),
            "every/sdpa memory": _inverse(over("sdpa", ours[0], "bytes")),
        })  # fmt: skip
    return found


def _inverse(value: float | None) -> float | None:
    return round(1 / value, 3) if value else None


def targets(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The issue's, at 3,000 tokens of the first model."""
    at = next((r for r in found if r["tokens"] == 3000), {})
    told = "rows at 3,000 tokens: "
    return [
        common.target(told + "eager over ours (three heads), time", at.get("eager/three time"), 3,
                      most=False),
        common.target(told + "eager over ours (three heads), memory",
                      at.get("eager/three memory"), 20, most=False),
        common.target(told + "every head's row over plain SDPA, time", at.get("every/sdpa time"),
                      1.05),
    ]  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write rows.json."""
    parser = common.parser(__doc__)
    parser.set_defaults(rounds=2)
    parser.add_argument("--tokens", type=int, nargs="+", default=TOKENS)
    args = parser.parse_args(argv)
    common.one_thread()
    if args.case:
        print(json.dumps(case(args.case)))
        return 0
    models = ON_GPU if args.device == "cuda" else (stand_ins.SCALED_ROWS.name,)
    tokens: Sequence[int] = args.tokens
    if args.tiny:
        models, tokens = (stand_ins.TINY.name,), (40,)
    rows = [r for m in models for r in measure(m, tokens, args.rounds, args.device, print)]
    found = ratios(rows)
    common.show(rows, {"tokens": "d", "way": "s", "seconds": ".4f", "bytes": ",d"})
    common.show(found, dict.fromkeys(found[0], ""))
    name = "rows" if args.device == "cpu" else "rows_cuda"
    common.write(name, {"device": args.device, "rows": rows, "ratios": found,
                        "targets": targets(found)}, args.out)  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
