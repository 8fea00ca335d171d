"""Score the segmenter: true and jittered boxes, a point, a rough mask, and border refinement."""

from __future__ import annotations

import cv2
import numpy as np

from ...editor.api import Editor
from ...grounding import boundary_f, mask_iou
from ...grounding.localize.edges import refine_edges
from ...grounding.sam.segmenter import ImageEmbedding, Masks, Segmenter
from ..scenes import SceneObject, compose
from .journal import Record


def shaken(rng: np.random.Generator, item: SceneObject, share: float, side: int) -> np.ndarray:
    """The object's box with every edge moved by up to `share` of the box's side, xyxy pixels."""
    box = np.array(item.box, float)
    width, height = box[2] - box[0], box[3] - box[1]
    moved = box + rng.uniform(-share, share, 4) * [width, height, width, height]
    return np.clip(moved, 0, side)


def inner_point(mask: np.ndarray) -> np.ndarray:
    """The pixel farthest from the mask's border, xy: what a person would click."""
    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    y, x = np.unravel_index(depth.argmax(), depth.shape)
    return np.array([[x + 0.5, y + 0.5]])


def rough_mask(rng: np.random.Generator, mask: np.ndarray) -> np.ndarray:
    """The mask grown by a tenth of its side and moved as much: a brush stroke, not an outline."""
    reach = max(2, int(0.1 * np.sqrt(mask.sum())))
    grown = cv2.dilate(mask.astype(np.uint8), np.ones((2 * reach + 1,) * 2, np.uint8))
    shift = rng.integers(-reach, reach + 1, 2)
    return np.roll(grown, shift, (0, 1)) > 0


def segmenting(editor: Editor, seed: int) -> list[Record]:
    """Every prompt for every object of one held-out scene, the best of three masks by score."""
    scene, rng = compose("heldout", 20_000 + seed), np.random.default_rng([43, seed])
    segmenter, side = editor.models.grounder().segmenter, scene.image.shape[0]
    seen, out = segmenter.embed(scene.image), []
    for number, item in enumerate(scene.objects):
        truth = scene.mask(number)
        box = np.array(item.box, float)
        point = inner_point(truth)
        answers = {
            "box": segmenter.predict(seen, box=box),
            "box20": segmenter.predict(seen, box=shaken(rng, item, 0.2, side)),
            "point": segmenter.predict(seen, points=point),
            "box_point": segmenter.predict(seen, box=box, points=point),
            "mask": segmenter.predict(seen, mask=rough_mask(rng, truth)),
        }
        record: Record = {name: _iou(found, truth) for name, found in answers.items()}
        mask = answers["box20"].masks[answers["box20"].best]
        refined = refine_edges(scene.image, mask) if mask.any() else mask
        record |= {
            "seed": seed,
            "refined": mask_iou(refined, truth),
            "edge": boundary_f(mask, truth),
            "edge_refined": boundary_f(refined, truth),
            "said": float(answers["box20"].scores.max()),
        }
        out.append(record)
    return out + _empty_box(segmenter, seen, scene.instances, rng)


def _iou(found: Masks, truth: np.ndarray) -> float:
    return mask_iou(found.masks[found.best], truth)


def _empty_box(
    segmenter: Segmenter, seen: ImageEmbedding, instances: np.ndarray, rng: np.random.Generator
) -> list[Record]:
    """What score a box of bare background gets, where the scene has room for one."""
    for _ in range(40):
        x, y = rng.integers(0, instances.shape[0] - 64, 2)
        if not instances[y : y + 64, x : x + 64].any():
            found = segmenter.predict(seen, box=(x, y, x + 64, y + 64))
            return [{"empty": float(found.scores.max())}]
    return []
