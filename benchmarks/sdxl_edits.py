"""Painting with SDXL at full size: pictures of 1 to 48 megapixels, variants and few steps.

    python -m benchmarks.sdxl_edits --device cuda

Random weights in half precision, the mask given: `phrases` and `masks` measure what finding costs.
From an open picture to the repainted one, thirty steps at 1024 by 1024. "a box" is 240 by 240
pixels of every picture, "a share" a sixth of its sides.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks import common, stand_ins
from benchmarks.full_size import random_pipe
from benchmarks.painting import MEGAPIXELS, per_minute, sized_rows, targets

BOX, SHARE = "a box", "a share"
_BOX_SIDE = 240
VARIANTS = 4


def picture(megapixels: float) -> np.ndarray:
    """A square of soft colours."""
    side = round((megapixels * 1e6) ** 0.5)
    return stand_ins.picture(side, side)


def mask_of(way: str, side: int) -> np.ndarray:
    """The middle of a picture, (side, side) bool."""
    mask, half = np.zeros((side, side), bool), (_BOX_SIDE if way == BOX else side // 6) // 2
    middle = slice(max(0, side // 2 - half), side // 2 + half)
    mask[middle, middle] = True
    return mask


def sizes(
    inpainter: Any, megapixels: Sequence[float], rounds: int, device: str, settings: Any
) -> common.Rows:
    """Seconds of a painting by way and size, and its memory beyond the weights."""
    from groundbrush.inpaint import fill

    pictures = {size: picture(size) for size in megapixels}

    def paint(way: str, size: float) -> Callable[[], Any]:
        image = pictures[size]
        mask = mask_of(way, len(image))
        return lambda: fill(inpainter, image, mask, "a frog", seed=1, settings=settings)

    ways = {(way, size): paint(way, size) for way in (BOX, SHARE) for size in megapixels}
    held = {}
    for key, way in ways.items():
        with common.Peak(device) as peak:
            way()
        held[key] = {"bytes": peak.bytes}
    return sized_rows(common.in_turn(ways, rounds, device, warm=False), held)


def modes(inpainter: Any, rounds: int, device: str, settings: Mapping[str, Any]) -> common.Rows:
    """Pictures a minute: one by one, variants in a batch, and few steps."""
    from groundbrush.inpaint import InpaintSettings, fill, fill_many

    image = picture(1)
    mask, usual = mask_of(SHARE, len(image)), InpaintSettings(**settings)
    lcm = InpaintSettings(**{**settings, "scheduler": "lcm", "steps": 4, "strength": 1.0})

    def one(settings: InpaintSettings) -> Callable[[], Any]:
        return lambda: fill(inpainter, image, mask, "a frog", seed=1, settings=settings)

    def batch() -> Any:
        return fill_many(inpainter, image, mask, "a frog", seeds=range(VARIANTS), settings=usual)

    ways: dict[str, tuple[int, Callable[[], Any]]] = {
        "one by one": (1, one(usual)),
        f"{VARIANTS} variants at once": (VARIANTS, batch),
        "lcm, 4 steps": (1, one(lcm)),
    }
    return per_minute(ways, rounds, device)


def measure(args: Namespace) -> dict[str, Any]:
    """Every size and mode."""
    from groundbrush.inpaint import InpaintSettings
    from groundbrush.inpaint.painter.unet import UNetInpainter

    common.needs_gpu(args)
    pipe, side = random_pipe(args.device)
    settings: dict[str, Any] = {"size": side}
    if args.tiny:
        settings |= {"steps": 1, "strength": 1.0, "buckets": "square"}
    inpainter = UNetInpainter(pipe)
    megapixels = (0.1, 0.2) if args.tiny else MEGAPIXELS
    rows = sizes(inpainter, megapixels, args.rounds, args.device, InpaintSettings(**settings))
    many = modes(inpainter, args.rounds, args.device, settings)
    common.show(rows, "megapixels g, seconds .3f, bytes ,d, way s")
    common.show(many, "pictures a minute .1f, way s")
    goals = targets(rows, "SDXL, 48 megapixels over 1", (BOX, SHARE))
    return {"rows": rows, "ways": many, "targets": goals}


main = common.script("sdxl_edits", __doc__, measure)

if __name__ == "__main__":
    sys.exit(main())
