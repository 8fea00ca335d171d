"""Finding phrases in a picture: ours beside a full forward of the model for each phrase.

    python -m benchmarks.phrases [--device cuda]

A LLaVA with random weights, 576 image tokens, its heads at 45% of the depth; from the picture's
pixels to the heads' maps. "full forward" is the whole model under SDPA, with its language head,
once a phrase; "eager" the same keeping every attention. Ours stops at the deepest head, reads the
picture once and asks all phrases in one row; "read before" is what further phrases cost. The floor
is the larger of operations over the measured rate of matrix products and weights over the measured
bandwidth, for the layers that ours needs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import common, stand_ins
from benchmarks.floor import Floor, measure_rates, needed

COUNTS = (1, 4, 16, 64)
_EACH_UP_TO = 4  # more phrases asked one by one take so many times one
PICTURES = (1, 4)
FULL, EAGER = "full forward for each", "eager with attentions for each"
ANEW, TOGETHER, SEEN = "ours, anew for each", "ours, together", "ours, picture read before"


def whole(model: Any, family: Any, image: Any, phrases: Sequence[str], way: str) -> None:
    """One forward of the whole model for each phrase, with or without every attention kept."""
    import torch

    eager = way == EAGER
    model.set_attn_implementation({"text_config": "eager" if eager else "sdpa"})
    for phrase in phrases:
        given = _tensors(family.prepare(image).inputs, model)
        prompt = family.prompt(phrase)
        ids = torch.tensor([prompt.ids], device=model.device)
        with torch.inference_mode():
            out = model(input_ids=ids, **given, use_cache=False, output_attentions=eager)
        if eager:
            span = slice(len(family.prefix_ids) - 1 - 576, len(family.prefix_ids) - 1)
            [a[0, :, prompt.query, span].float().cpu() for a in out.attentions]


def _tensors(inputs: Any, model: Any) -> dict[str, Any]:
    import torch

    made = {name: torch.from_numpy(a).to(model.device) for name, a in inputs.items()}
    return {k: v.to(model.dtype) if v.is_floating_point() else v for k, v in made.items()}


def ways_for(lvlm: Any, model: Any, image: Any, count: int) -> dict[str, Callable[[], Any]]:
    """What is timed for so many phrases."""
    from grounding.capture import attach

    asked = stand_ins.phrases(count)

    def ours(work: Callable[[], Any]) -> Callable[[], Any]:
        def run() -> Any:
            attach(model)
            return work()

        return run

    def anew() -> list:
        return [lvlm.read(lvlm.encode(image), [p], lvlm.heads) for p in asked]

    attach(model)
    seen = lvlm.encode(image)
    ways = {
        TOGETHER: ours(lambda: lvlm.read(lvlm.encode(image), asked, lvlm.heads)),
        SEEN: ours(lambda: lvlm.read(seen, asked, lvlm.heads)),
    }
    if count <= _EACH_UP_TO:
        ways[FULL] = lambda: whole(model, lvlm.family, image, asked, FULL)
        ways[ANEW] = ours(anew)
    if count == 1:
        ways[EAGER] = lambda: whole(model, lvlm.family, image, asked, EAGER)
    return ways


def measure(
    shape: stand_ins.Shape, counts: Sequence[int], rounds: int, device: str
) -> list[dict[str, Any]]:
    """A row for each number of phrases and way; more than four one by one are four times so."""
    model = stand_ins.llava(shape, device)
    lvlm = stand_ins.reader(shape, device, model)
    image = stand_ins.picture()
    rates = measure_rates(shape, device)
    rows: list[dict[str, Any]] = []
    timed: dict[int, dict[str, Any]] = {}
    # Every count in each round: what the machine does meanwhile falls on all of them.
    every = {(n, name): way for n in counts for name, way in
             ways_for(lvlm, model, image, n).items()}  # fmt: skip
    for (count, name), found in common.in_turn(every, rounds, device).items():
        timed.setdefault(count, {})[name] = found
        rows.append({"model": shape.name, "phrases": count, "way": name,
                     "seconds": found["least"], "times": found})  # fmt: skip
    for count in (n for n in counts if n > _EACH_UP_TO):
        for name in (FULL, ANEW):
            one = timed[counts[0]][name]["least"]
            rows.append({"model": shape.name, "phrases": count, "way": name,
                         "seconds": round(count * one, 6), "computed": True})  # fmt: skip
    for count in counts:
        rows.append({"model": shape.name, "phrases": count, "way": "floor",
                     **floor_of(lvlm, shape, count, rates)})  # fmt: skip
    return rows


def floor_of(lvlm: Any, shape: stand_ins.Shape, count: int, rates: Floor) -> dict[str, Any]:
    """Least seconds for so many phrases on this machine, and what bounds them."""
    prefix = len(lvlm.family.prefix_ids)
    asked = sum(len(lvlm.family.prompt(p).ids) - prefix for p in stand_ins.phrases(count))
    return rates.least(*needed(shape, prefix, asked, rates.width))


def measure_pictures(
    shape: stand_ins.Shape, counts: Sequence[int], rounds: int, device: str
) -> list[dict[str, Any]]:
    """Several pictures with one phrase each: in one batch, and one after the other."""
    import torch

    from grounding.capture import RowRequest, attach, capture

    model = stand_ins.llava(shape, device)
    lvlm = stand_ins.reader(shape, device, model)
    attach(model)
    prepared = lvlm.family.prepare(stand_ins.picture())
    prompt = lvlm.family.prompt(stand_ins.phrases(1)[0])
    heads: dict[int, list[int]] = {}
    for layer, head in lvlm.heads:
        heads.setdefault(layer, []).append(head)
    request = RowRequest(heads, prepared.tokens.span, query=prompt.query)

    def run(many: int) -> None:
        pixels = _tensors(prepared.inputs, model)["pixel_values"].expand(many, -1, -1, -1)
        ids = torch.tensor([prompt.ids], device=device).expand(many, -1)
        with torch.inference_mode(), capture(request):
            model.model(input_ids=ids, pixel_values=pixels, use_cache=False)

    def one_by_one(many: int) -> None:
        for _ in range(many):
            run(1)

    rows = []
    for many in counts:
        ways = {"batch": lambda m=many: run(m), "one by one": lambda m=many: one_by_one(m)}
        timed = common.in_turn(ways, rounds, device)
        rows.append({"pictures": many, **{k: t["least"] for k, t in timed.items()},
                     "one by one/batch": round(timed["one by one"]["least"]
                                               / timed["batch"]["least"], 3)})  # fmt: skip
    return rows


def targets(rows: list[dict[str, Any]], device: str) -> list[dict[str, Any]]:
    """The issue's."""
    by = {(r["phrases"], r["way"]): r["seconds"] for r in rows}
    one = by.get((1, TOGETHER))

    def over(top: Any, bottom: Any) -> float | None:
        return by[top] / by[bottom] if top in by and bottom in by else None

    found = [
        common.target("one phrase over a full forward, deepest head at 45% of the depth",
                      over((1, TOGETHER), (1, FULL)), 0.55),
        common.target("16 phrases over one", over((16, TOGETHER), (1, TOGETHER)), 1.7),
    ]  # fmt: skip
    if device == "cuda" and one:
        found.append(common.target("phrase to map over its floor",
                                   over((1, TOGETHER), (1, "floor")), 1.5))  # fmt: skip
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write phrases.json."""
    parser = common.parser(__doc__)
    parser.set_defaults(rounds=2)
    args = parser.parse_args(argv)
    common.one_thread()
    shapes = [stand_ins.SCALED] if args.device == "cpu" else [stand_ins.LLAVA_7B]
    counts: Sequence[int] = COUNTS
    pictures: Sequence[int] = PICTURES
    if args.tiny:
        shapes, counts, pictures = [stand_ins.TINY], (1, 2, 8), (1, 2)
    rows = [r for s in shapes for r in measure(s, counts, args.rounds, args.device)]
    batches = measure_pictures(shapes[0], pictures, max(1, args.rounds - 1), args.device)
    common.show(rows, {"phrases": "d", "seconds": ".4f", "way": "s"})
    common.show(batches, {"pictures": "d", "batch": ".4f", "one by one": ".4f",
                          "one by one/batch": ".2f"})  # fmt: skip
    name = "phrases" if args.device == "cpu" else "phrases_cuda"
    common.write(name, {"device": args.device, "shapes": [vars(s) for s in shapes], "rows": rows,
                        "pictures": batches, "targets": targets(rows, args.device)},
                 args.out)  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
