"""Finding phrases in a picture: ours beside a full forward of the model for each phrase.

    python -m benchmarks.phrases [--device cuda]

A LLaVA with random weights, 576 image tokens, its heads at 45% of the depth; from the picture's
pixels to the heads' maps. "full forward" is the whole model under SDPA, with its language head,
once a phrase; "eager" the same keeping every attention. Ours stops at the deepest head, reads the
picture once and reads all phrases in one row; "picture read before" is what further phrases cost,
"picture resized before" leaves out resizing and normalising it, which a CPU does. The floor is the
larger of operations over the measured rate of matrix products and weights over the measured
bandwidth, for the layers that ours needs; resizing is not in it.
"""

from __future__ import annotations

import copy
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import common, stand_ins
from benchmarks.floor import Floor, measure_rates, needed

COUNTS = (1, 4, 16, 64)
_EACH_UP_TO = 4  # more phrases one by one take so many times one
PICTURES = (1, 4, 16)
FULL, EAGER = "full forward for each", "eager with attentions for each"
ANEW, TOGETHER, SEEN = "ours, anew for each", "ours, together", "ours, picture read before"
RESIZED = "ours, picture resized before"


def attend(model: Any, way: str) -> None:
    """Give the language model the attention function of a way."""
    from groundbrush.grounding.attention.capture import attach

    if way in (FULL, EAGER):
        model.set_attn_implementation({"text_config": "eager" if way == EAGER else "sdpa"})
    else:
        attach(model)


def whole(model: Any, family: Any, image: Any, phrases: Sequence[str], way: str) -> None:
    """One forward of the whole model for each phrase, with or without every attention kept."""
    import torch

    for phrase in phrases:
        prepared, prompt = family.prepare(image), family.prompts.build(phrase)
        ids = torch.tensor([prompt.ids], device=model.device)
        with torch.inference_mode():
            out = model(
                input_ids=ids,
                **_tensors(prepared.inputs, model),
                use_cache=False,
                output_attentions=way == EAGER,
            )
        if way == EAGER:
            span = prepared.tokens.span
            [a[0, :, prompt.query, span].float().cpu() for a in out.attentions]


def _tensors(inputs: Any, model: Any) -> dict[str, Any]:
    import torch

    made = {name: torch.from_numpy(a).to(model.device) for name, a in inputs.items()}
    return {k: v.to(model.dtype) if v.is_floating_point() else v for k, v in made.items()}


def ways_for(lvlm: Any, model: Any, image: Any, count: int) -> dict[str, Callable[[], Any]]:
    """What is timed for so many phrases."""
    texts = stand_ins.phrases(count)

    def anew() -> list:
        return [lvlm.read(lvlm.encode(image), [p], lvlm.heads) for p in texts]

    attend(model, SEEN)
    seen = lvlm.encode(image)
    ways: dict[str, Callable[[], Any]] = {
        TOGETHER: lambda: lvlm.read(lvlm.encode(image), texts, lvlm.heads),
        SEEN: lambda: lvlm.read(seen, texts, lvlm.heads),
    }
    if count <= _EACH_UP_TO:
        ways[FULL] = lambda: whole(model, lvlm.family, image, texts, FULL)
        ways[ANEW] = anew
    if count == 1:
        resized = already_resized(lvlm, image)
        ways[RESIZED] = lambda: resized.read(resized.encode(image), texts, lvlm.heads)
        ways[EAGER] = lambda: whole(model, lvlm.family, image, texts, EAGER)
    return ways


def memory(
    shape: stand_ins.Shape, model: Any, counts: Sequence[int], device: str
) -> list[dict[str, Any]]:
    """Most bytes beyond the model: of ours for so many phrases, and of eager for one."""
    lvlm, image = stand_ins.reader(shape, device, model), stand_ins.picture()
    rows = []
    for count, name in [*((n, TOGETHER) for n in counts), (1, EAGER)]:
        way = ways_for(lvlm, model, image, count)[name]
        attend(model, name)
        way()
        with common.Peak(device) as peak:
            way()
        rows.append({"phrases": count, "way": name, "bytes": peak.bytes})
    return rows


def case(given: dict[str, Any]) -> list[dict[str, Any]]:
    """`memory` in this process, on the CPU."""
    common.one_thread()
    shape = stand_ins.SHAPES[given["model"]]
    return memory(shape, stand_ins.llava(shape), given["counts"], "cpu")


def already_resized(lvlm: Any, image: Any) -> Any:
    """The same reader, with the picture prepared for the vision tower before."""
    made, prepared = copy.copy(lvlm), lvlm.family.prepare(image)
    made.family = copy.copy(lvlm.family)
    made.family.prepare = lambda image: prepared
    return made


def rows_of(
    shape: stand_ins.Shape, model: Any, counts: Sequence[int], rounds: int, device: str
) -> common.Rows:
    """A row for each number of phrases and way; more than four one by one are so many times one."""
    lvlm = stand_ins.reader(shape, device, model)
    image = stand_ins.picture()
    rates = measure_rates(shape.hidden, shape.intermediate, device)
    # Every count in each round, so that other load affects all of them.
    every = {
        (n, name): way for n in counts for name, way in ways_for(lvlm, model, image, n).items()
    }
    long = {key: every.pop(key) for key in list(every) if key[0] > 1 and key[1] in (FULL, ANEW)}
    timings = common.in_turn(every, rounds, device, before=lambda key: attend(model, key[1]))
    # Several times what was timed before: once is enough, and it is warm.
    timings |= common.in_turn(long, 1, device, warm=False, before=lambda key: attend(model, key[1]))
    rows: common.Rows = []

    def add(count: int, way: str, **facts: Any) -> None:
        rows.append({"model": shape.name, "phrases": count, "way": way, **facts})

    for (count, name), found in timings.items():
        add(count, name, seconds=found["least"], times=found)
    for count in (n for n in counts if n > _EACH_UP_TO):
        for name in (FULL, ANEW):
            one = timings[counts[0], name]["least"]
            add(count, name, seconds=round(count * one, 6), computed=True)
    for count in counts:
        add(count, "floor", **floor_of(lvlm, shape, count, rates))
    return rows


def floor_of(lvlm: Any, shape: stand_ins.Shape, count: int, rates: Floor) -> dict[str, Any]:
    """Least seconds for so many phrases on this machine, and what bounds them."""
    prefix = len(lvlm.family.prefix_ids)
    phrase_tokens = sum(
        len(lvlm.family.prompts.build(p).ids) - prefix for p in stand_ins.phrases(count)
    )
    return rates.least(*needed(shape, prefix, phrase_tokens, rates.width))


def measure_pictures(
    shape: stand_ins.Shape, model: Any, counts: Sequence[int], rounds: int, device: str
) -> list[dict[str, Any]]:
    """Several pictures with one phrase each: in one batch, and one after the other."""
    import torch
    from groundbrush.grounding.attention.capture import RowRequest, capture

    lvlm = stand_ins.reader(shape, device, model)
    attend(model, TOGETHER)
    prepared = lvlm.family.prepare(stand_ins.picture())
    prompt = lvlm.family.prompts.build(stand_ins.phrases(1)[0])
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
        least = {name: t["least"] for name, t in timed.items()}
        gain = round(least["one by one"] / least["batch"], 3)
        rows.append({"pictures": many, **least, "one by one/batch": gain})
    return rows


def targets(rows: common.Rows, device: str) -> list[dict[str, Any]]:
    """That of the floor is for a GPU, where resizing is not the model's work."""
    by = {(r["phrases"], r["way"]): r["seconds"] for r in rows}
    goals = {
        "one phrase over a full forward, deepest head at 45% of the depth": (
            ((1, TOGETHER), (1, FULL)),
            0.55,
        ),
        "16 phrases over one": (((16, TOGETHER), (1, TOGETHER)), 1.7),
    }
    if device == "cuda":
        goals["phrase to map over its floor, the picture resized before"] = (
            ((1, RESIZED), (1, "floor")),
            1.5,
        )
    return [
        common.target(what, common.over(by, *pair), limit) for what, (pair, limit) in goals.items()
    ]


def measure(args: Namespace) -> dict[str, Any]:
    """Phrases, memory, and several pictures."""
    shape = stand_ins.SCALED if args.device == "cpu" else stand_ins.LLAVA_7B
    counts: Sequence[int] = COUNTS
    pictures: Sequence[int] = PICTURES[:2] if args.device == "cpu" else PICTURES
    if args.tiny:
        shape, counts, pictures = stand_ins.TINY, (1, 2, 8), (1, 2)
    model = stand_ins.llava(shape, args.device)
    rows = rows_of(shape, model, counts, args.rounds, args.device)
    batches = measure_pictures(shape, model, pictures, max(1, args.rounds - 2), args.device)
    common.show(rows, "phrases d, seconds .4f, way s")
    common.show(batches, "pictures d, batch .4f, one by one .4f, one by one/batch .2f")
    if args.device == "cpu":
        given = {"model": shape.name, "counts": list(counts)}
        held = common.whole(
            common.fresh("benchmarks.phrases", given, environment=common.EXACT_MEMORY)
        )
    else:
        held = memory(shape, model, counts, args.device)
    return {
        "device": args.device,
        "shape": vars(shape),
        "rows": rows,
        "memory": held,
        "pictures": batches,
        "targets": targets(rows, args.device),
    }


main = common.script("phrases", __doc__, measure, rounds=3, case=case)

if __name__ == "__main__":
    sys.exit(main())
