"""Finding a model's localization heads: ours beside the public code's loop over heads.

    python -m benchmarks.discovery [--samples 600]

The criteria alone, on attention rows in LLaVA-1.5-7B's shape (1,024 heads of 24 by 24 cells): one
labelling call for all heads, and one for each. Then the whole of it, every pair from the picture's
file to two numbers a head, with one phrase a picture (few pairs drawn from many pictures) and with
four, against an eager forward keeping all attentions for each pair, then the loop: with the
miniature's language model, on eight pictures; and with random weights that have
LLaVA-1.5-7B's 1,024 heads and an eighth of its width, where the forward counts for less, as on a
GPU, on one picture, once. Last, memory while 600
pairs are measured with the miniature, in a process of its own.
"""

from __future__ import annotations

import sys
import tempfile
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import common, stand_ins
from benchmarks.common import ROOT

HEADS_SHAPE = (32, 32, 24, 24)
WEIGHTS = ROOT / "miniature" / "weights" / "lvlm"
MANY_HEADS = stand_ins.Shape("LLaVA-1.5-7B's heads, an eighth as wide", 32, 512, 1376, 32)
PHRASES = ("the red apple", "the dog", "the blue car on the left", "the penguin")
_EIGHT = np.ones((3, 3), int)


def rows_like(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Attention rows such as heads give: a few soft blobs over noise, in sum below one."""
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    soft = ndimage.gaussian_filter(rng.random(shape) ** 8, (0, 0, 1, 1))
    rows = soft + rng.random(shape) * soft.mean()
    return (
        rows / rows.sum((-2, -1), keepdims=True) * rng.random(shape[:2])[..., None, None]
    ).astype(np.float32)


def loop_criteria(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Attention sum and spatial entropy, head after head and component after component."""
    from scipy import ndimage

    sums, entropies = np.zeros(rows.shape[:2]), np.zeros(rows.shape[:2])
    for layer in range(rows.shape[0]):
        for head in range(rows.shape[1]):
            one = rows[layer, head]
            sums[layer, head] = one.sum()
            above = np.maximum(one - one.mean(), 0)
            labels, count = ndimage.label(above > 0, structure=_EIGHT)
            sizes = [(labels == k).sum() for k in range(1, count + 1)]
            shares = np.array(sizes) / max(1, sum(sizes))
            entropies[layer, head] = -np.sum(shares * np.log(shares)) if count else np.inf
    return sums, entropies


def criteria(shape: tuple[int, ...], rounds: int) -> dict[str, Any]:
    """Seconds of the criteria for one sample, and how far the two ways are apart."""
    from groundbrush.grounding import attention_sums, spatial_entropy

    rows = rows_like(shape)

    def our_criteria(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return attention_sums(rows), spatial_entropy(rows)

    timed = common.in_turn(
        {"ours": lambda: our_criteria(rows), "loop": lambda: loop_criteria(rows)}, rounds
    )
    apart = max(
        float(np.abs(a - b).max())
        for a, b in zip(our_criteria(rows), loop_criteria(rows), strict=True)
    )
    return {
        "shape": list(shape),
        **{k: v["least"] for k, v in timed.items()},
        "times": timed,
        "loop/ours": round(timed["loop"]["least"] / timed["ours"]["least"], 3),
        "largest difference": apart,
    }


def pairs_in(folder: Path, pictures: int, each: int) -> list[Any]:
    """Composed scenes as files, with so many phrases each."""
    from groundbrush.editor.evaluation.items import Item
    from groundbrush.grounding.heads.discovery import DrawnPair
    from groundbrush.miniature.scenes import compose
    from PIL import Image

    pairs: list[Any] = []
    for number in range(pictures):
        path = folder / f"{number:05}.png"
        if not path.exists():
            Image.fromarray(compose("validation", number).image).save(path, compress_level=1)
        for phrase in PHRASES[:each]:
            item = Item(f"{number}-{phrase}", path, phrase, "validation", "name")
            pairs.append(DrawnPair(len(pairs), item, None))
    return pairs


def our_way(lvlm: Any, pairs: Sequence[Any], on_pair: Any = None) -> Any:
    """The product's: everything to disk, rows let go."""
    from groundbrush.editor.evaluation.calibration import measure
    from groundbrush.grounding.heads.discovery import DiscoverySettings
    from groundbrush.grounding.heads.measured_pairs import MeasurementStore

    with tempfile.TemporaryDirectory() as folder:
        store = MeasurementStore(Path(folder), {}, lvlm.n_layers, lvlm.n_heads)
        settings = DiscoverySettings(samples=len(pairs), trials=1)
        return measure(lambda: lvlm, pairs, settings, store, on_pair=on_pair).heads


def loop_way(model: Any, family: Any, pairs: Sequence[Any]) -> list[Any]:
    """The public code's: every pair alone, all attentions of an eager forward, head after head."""
    import torch
    from PIL import Image

    found = []
    for pair in pairs:
        image = np.asarray(Image.open(pair.item.image).convert("RGB"))
        prepared, prompt = family.prepare(image), family.prompts.build(pair.item.phrase)
        pixels = torch.from_numpy(prepared.inputs["pixel_values"])
        with torch.inference_mode():
            out = model(
                input_ids=torch.tensor([prompt.ids]),
                pixel_values=pixels,
                output_attentions=True,
                use_cache=False,
            )
        rows = np.stack([a[0, :, prompt.query, prepared.tokens.span] for a in out.attentions])
        found.append(loop_criteria(rows.reshape(*rows.shape[:2], *prepared.tokens.grid_hw)))
    return found


def reader() -> Any:
    """The miniature's language model as the product reads it."""
    from groundbrush.grounding import load_lvlm

    return load_lvlm(WEIGHTS, prompt=stand_ins.TEMPLATE, query="prompt", offline=True)


def load(shape: stand_ins.Shape | None) -> tuple[Any, Any]:
    """The miniature, or a stand-in: the product's reader, and the model with eager attention."""
    if shape is None:
        from groundbrush.grounding.checkpoints.checkpoint import Checkpoint
        from groundbrush.grounding.checkpoints.loading import load_parts

        model, *_ = load_parts(Checkpoint.of(WEIGHTS, offline=True), "llava")
        lvlm = reader()
    else:
        lvlm, model = stand_ins.reader(shape, stand_ins.llava(shape)), stand_ins.llava(shape)
    model.set_attn_implementation({"text_config": "eager"})
    return lvlm, model.eval()


def whole(
    shape: stand_ins.Shape | None, pictures: int, each: int, rounds: int, folder: Path
) -> dict[str, Any]:
    """Seconds of discovery over some pictures, ours and the loop's, and how far they are apart."""
    pairs = pairs_in(folder, pictures, each)
    lvlm, model = load(shape)
    found: dict[str, Any] = {}
    ways: dict[str, Callable[[], Any]] = {
        "ours": lambda: found.update(ours=our_way(lvlm, pairs)),
        "loop": lambda: found.update(loop=loop_way(model, lvlm.family, pairs)),
    }
    timed = common.in_turn(ways, rounds, warm=rounds > 1)
    apart = float(np.abs(found["ours"].sums - np.stack([sums for sums, _ in found["loop"]])).max())
    return {
        "model": shape.name if shape else "the miniature",
        "heads": lvlm.n_layers * lvlm.n_heads,
        "pictures": pictures,
        "phrases a picture": each,
        "ours": round(pictures / timed["ours"]["least"], 3),
        "loop": round(pictures / timed["loop"]["least"], 3),
        "loop/ours": round(timed["loop"]["least"] / timed["ours"]["least"], 3),
        "largest difference": apart,
        "times": timed,
    }


def case(given: dict[str, Any]) -> dict[str, Any]:
    """Memory of this process while pairs are measured."""
    common.one_thread()
    lvlm = reader()
    seen: list[tuple[int, int]] = []

    def on_pair(count: int, total: int) -> None:
        if count % max(1, total // 20) == 0:
            seen.append((count, common.resident()))

    with tempfile.TemporaryDirectory() as folder:
        pairs = pairs_in(Path(folder), given["pictures"], given["each"])
        our_way(lvlm, pairs[: 2 * given["each"]])
        start = common.resident()
        taken = common.seconds(lambda: our_way(lvlm, pairs, on_pair))
    return {"pairs": len(pairs), "seconds": taken, "start": start, "memory": seen}


def growth(memory: Sequence[tuple[int, int]]) -> float | None:
    """Memory at the end over that after a quarter."""
    if len(memory) < 4:
        return None
    return memory[-1][1] / memory[len(memory) // 4][1]


def measure(args: Namespace) -> dict[str, Any]:
    """The criteria alone, the whole of it, and memory."""
    shape, pictures, samples = HEADS_SHAPE, 8, args.samples
    many = MANY_HEADS
    if args.tiny:
        shape, pictures, samples, many = (2, 3, 8, 8), 1, 16, stand_ins.TINY
    entropy = criteria(shape, args.rounds)
    with tempfile.TemporaryDirectory() as folder:
        runs = [whole(None, pictures, each, args.rounds, Path(folder)) for each in (1, 4)]
        runs += [whole(many, 1, each, 1, Path(folder)) for each in (1, 4)]
    memory = common.fresh("benchmarks.discovery", {"pictures": samples // 4, "each": 4})
    goals = {"criteria of every head: loop over ours": entropy["loop/ours"]}
    run = runs[-1]  # with one phrase a picture both ways read it once, and little is saved
    goals[f"whole discovery, {run['heads']:,} heads, 4 phrases a picture: loop over ours"] = run[
        "loop/ours"
    ]
    grown = growth(memory.get("memory", ()))
    targets = [common.target(what, value, 5, most=False) for what, value in goals.items()]
    targets.append(common.target("memory over the pairs: end over a quarter", grown, 1.05))
    return {"criteria": [entropy], "whole": runs, "memory": memory, "targets": targets}


main = common.script(
    "discovery",
    __doc__,
    measure,
    rounds=2,
    case=case,
    add_options=lambda parser: parser.add_argument(
        "--samples", type=int, default=600, help="pairs for the memory's curve"
    ),
)

if __name__ == "__main__":
    sys.exit(main())
