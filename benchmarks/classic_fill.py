"""Filling holes in photographs without a model: which library the preset `classic` should use.

    pip install scikit-image pypatchmatch patchmatch-cython opencv-contrib-python
    python -m benchmarks.classic_fill [--sheet out/classic.png]

Holes are cut where the photograph shows background, so that what was there is the right answer.
Photographs are those that scikit-image ships; a method that is not installed is listed as such.
Each hole is filled on a window three times as large, at most `SIDE` pixels, as `inpaint.fill` does.

- error: mean absolute difference from what was there, grey levels. Smooth fillings do well in it.
- texture: high frequencies in the hole over those that were there, a ratio; 1 is best, 0 is blur.
- structure: structural similarity (SSIM) of the filled window in the hole; 1 is best.
- seam: see `groundbrush.inpaint.quality.seam_error`.
"""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from groundbrush.inpaint.prefill import prefill
from groundbrush.inpaint.quality import seam_error

from benchmarks import common

SIDE = 512
HOLES = {
    "astronaut": [(60, 60, 60), (420, 120, 70), (300, 420, 60)],
    "chelsea": [(60, 220, 50), (380, 60, 45), (250, 240, 45)],
    "coffee": [(80, 60, 55), (520, 340, 60), (90, 340, 55)],
    "rocket": [(80, 60, 60), (540, 150, 60), (560, 370, 50)],
    "stereo_motorcycle": [(80, 60, 60), (400, 60, 60), (650, 420, 60)],
    "grass": [(150, 150, 70), (370, 330, 70)],
    "gravel": [(150, 150, 70), (370, 330, 70)],
    "brick": [(150, 150, 70), (370, 330, 70)],
}
"""Name of a photograph -> middles and longer radius of its holes, in pixels."""
Fill = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _telea(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    return cv2.inpaint(image, hole.astype(np.uint8), 5, cv2.INPAINT_TELEA)


def _biharmonic(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    from skimage.restoration import inpaint_biharmonic

    return _bytes(inpaint_biharmonic(image / 255, hole, channel_axis=-1, split_into_regions=True))


def _xphoto(kind: str) -> Fill:
    def fill(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
        lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
        given, mask = (lab if kind == "SHIFTMAP" else image), np.where(hole, 0, 255)
        out = np.zeros_like(given)
        cv2.xphoto.inpaint(
            given, mask.astype(np.uint8), out, getattr(cv2.xphoto, f"INPAINT_{kind}")
        )
        return cv2.cvtColor(out, cv2.COLOR_LAB2RGB) if kind == "SHIFTMAP" else out

    return fill


def _patchmatch(radius: int) -> Fill:
    def fill(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
        import patchmatch

        patchmatch.set_random_seed(0)
        return patchmatch.inpaint(image, hole, patch_size=radius)

    return fill


def _cython(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    from patchmatch_cython import inpaint_pyramid

    return np.asarray(inpaint_pyramid(image, hole, seed=0))


def _resynthesizer(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    from PIL import Image
    from resynthesizer import resynthesize

    mask = Image.fromarray(hole.astype(np.uint8) * 255)
    return np.asarray(resynthesize(Image.fromarray(image), mask).convert("RGB"))


WAYS: dict[str, Fill] = {
    "prefill blur (ours)": lambda image, hole: prefill(image, hole, "blur"),
    "OpenCV Telea": _telea,
    "scikit-image biharmonic": _biharmonic,
    "OpenCV xphoto SHIFTMAP": _xphoto("SHIFTMAP"),
    "OpenCV xphoto FSR_FAST": _xphoto("FSR_FAST"),
    "pypatchmatch, radius 3": _patchmatch(3),
    "pypatchmatch, radius 5": _patchmatch(5),
    "pypatchmatch, radius 7": _patchmatch(7),
    "patchmatch-cython": _cython,
    "resynthesizer": _resynthesizer,
}


def _bytes(image: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)


def photographs() -> dict[str, np.ndarray]:
    """Photographs of `HOLES`, (H, W, 3) uint8."""
    try:
        from skimage import data
    except ImportError:
        raise SystemExit(
            "the photographs come with scikit-image: pip install scikit-image"
        ) from None
    found = {}
    for name in HOLES:
        image = getattr(data, name)()
        image = image[0] if isinstance(image, tuple) else image
        found[name] = np.ascontiguousarray(image if image.ndim == 3 else np.stack([image] * 3, -1))
    return found


def windows(photos: dict[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, window and hole of each: an ellipse, turned, in a window of at most `SIDE`."""
    for name, image in photos.items():
        for number, (x, y, radius) in enumerate(HOLES[name]):
            hole = np.zeros(image.shape[:2], np.uint8)
            axes = radius, round(0.6 * radius)
            cv2.ellipse(hole, (x, y), axes, 35 * number, 0, 360, 1, -1)
            half = min(SIDE // 2, 3 * radius)
            part = np.s_[max(0, y - half) : y + half, max(0, x - half) : x + half]
            yield f"{name} {number + 1}", image[part].copy(), hole[part] > 0


def quality(filled: np.ndarray, truth: np.ndarray, hole: np.ndarray) -> dict[str, float]:
    """The measures of this script's head."""
    from skimage.metrics import structural_similarity

    def fine(image: np.ndarray) -> float:
        return float(np.abs(cv2.Laplacian(image.astype(np.float32), cv2.CV_32F))[inner].mean())

    inner = cv2.erode(hole.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    _, similar = structural_similarity(filled, truth, channel_axis=-1, full=True)
    return {
        "error": float(np.abs(filled.astype(int) - truth)[hole].mean()),
        "texture": fine(filled) / max(fine(truth), 1e-6),
        "structure": float(similar[hole].mean()),
        "seam": seam_error(filled, hole),
    }


def filled_by(
    way: Fill, holes: list[tuple[str, np.ndarray, np.ndarray]]
) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Median and longest CPU seconds and mean measures of one method, and its fillings."""
    results, made, taken = [], [], []
    for _, image, hole in holes:
        start = time.process_time()
        filled = way(_cut(image, hole), hole)
        taken.append(time.process_time() - start)
        made.append(np.where(hole[..., None], filled, image))  # some change the rest, too
        results.append(quality(made[-1], image, hole))
    row: dict[str, Any] = {
        "holes": len(results),
        "seconds": round(float(np.median(taken)), 3),
        "slowest": round(max(taken), 3),
    }
    for key in results[0]:
        row[key] = round(float(np.mean([r[key] for r in results])), 3)
    return row, made


def measure(args: Namespace) -> dict[str, Any]:
    """Fill every hole by every method that is installed."""
    holes = list(windows(photographs()))[: 2 if args.tiny else None]
    rows, shown = [], [[image for _, image, _ in holes], [_cut(i, h) for _, i, h in holes]]
    for name, way in WAYS.items():
        if args.ways and not any(word in name for word in args.ways):
            continue
        try:
            row, made = filled_by(way, holes)
        except Exception as error:  # noqa: BLE001 - any library may fail in any way
            rows.append({"way": name, "failed": f"{type(error).__name__}: {error}"[:200]})
            print(f"{name}: {rows[-1]['failed']}")
            continue
        shown.append(made)
        rows.append({"way": name, **row})
        columns = "way s, seconds .2f, error .2f, texture .2f, structure .3f, seam .2f"
        common.show(rows[-1:], columns)
    if args.sheet:
        _sheet(shown, args.sheet)
    return {"photographs": list(HOLES), "rows": rows}


def _cut(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    given = image.copy()
    given[hole] = (255, 0, 255)  # a method that reads the hole shows it
    return given


def _sheet(rows: list[list[np.ndarray]], path: Path) -> None:
    """Columns: truth, hole, then each method; a row for each hole."""
    from PIL import Image

    side = 170
    cells = [[cv2.resize(c, (side, side), interpolation=cv2.INTER_AREA) for c in r] for r in rows]
    columns = [np.concatenate(column, 0) for column in cells]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(columns, 1)).save(path)


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--sheet", type=Path, help="write a sheet of all fillings here")
    parser.add_argument("--ways", nargs="+", help="only methods with one of these in their name")


main = common.script("classic_fill", __doc__, measure, rounds=1, add_options=_add_options)

if __name__ == "__main__":
    sys.exit(main())
