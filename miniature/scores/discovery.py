"""Heads: what label-free discovery finds beside what labels would choose; the tower's probe."""

from __future__ import annotations

import numpy as np
import torch
from transformers import LlavaForConditionalGeneration

from ...editor.api import Editor
from ...editor.models.presets import resolve
from ..composer import compose_wide
from ..heads import CRITERIA, TRIALS, discover, load_miniature
from ..train.lvlm_data import GRID, normalise, square_view
from ..train.lvlm_model import image_features
from .journal import Record


def discovery(editor: Editor, scenes: int) -> list[Record]:
    """Both criteria on so many validation scenes; one record each, and one of the heads by labels.

    A trial is a random half of the scenes: its trio is compared with that of all.
    """
    del editor  # all heads are needed; the editor's model has only its three
    found = discover(load_miniature(), scenes)
    ious, hits = found.ious.mean(0), found.hits.mean(0)
    out: list[Record] = []
    for criterion in CRITERIA:
        ranking = found.rank(criterion)
        top = ranking.top(3)
        out.append(
            {
                "criterion": criterion,
                "heads": [list(h) for h in top],
                "scenes": len(found.ious),
                "threshold": ranking.threshold,
                "rho": ranking.correlation(ious)[0],
                "iou": [float(ious[h]) for h in top],
                "hits": [float(hits[h]) for h in top],
                "same": found.same(criterion),
                "trials": TRIALS,
                "sums": np.sort(ranking.mean_sums, axis=None)[::-1].round(3).tolist(),
            }
        )
    best = np.argsort(ious, axis=None)[::-1][:3]
    out.append(
        {
            "criterion": "labels",
            "heads": [[int(i) // ious.shape[1], int(i) % ious.shape[1]] for i in best],
            "iou": [float(ious.ravel()[i]) for i in best],
            "hits": np.sort(hits, axis=None)[::-1][:3].tolist(),
            "median_iou": float(np.median(ious)),
            "median_hits": float(np.median(hits)),
        }
    )
    return out


def position_probe(editor: Editor, scenes: int) -> list[Record]:
    """R² of row and column read linearly (ridge) from what the language model gets of a patch.

    Fitted on validation scenes, judged on held-out ones: position must survive the tower.
    """
    folder = resolve(editor.models.preset.lvlm["path"], "miniature")
    model = LlavaForConditionalGeneration.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True
    ).eval()
    fitted = np.concatenate([_patches(model, "validation", s) for s in range(scenes)])
    judged = np.concatenate([_patches(model, "heldout", s) for s in range(scenes // 2)])
    middle, out = fitted.mean(0), Record()
    centred = fitted - middle
    gram = centred.T @ centred + 1e-3 * len(fitted) * np.eye(centred.shape[1])
    for name, place in zip(("row", "column"), np.indices((GRID, GRID)).reshape(2, -1), strict=True):
        truth = np.tile(place, scenes).astype(float)
        weights = np.linalg.solve(gram, centred.T @ (truth - truth.mean()))
        said = (judged - middle) @ weights + truth.mean()
        real = np.tile(place, scenes // 2)
        out[name] = 1 - float(((said - real) ** 2).mean() / real.var())
    return [out]


@torch.inference_mode()
def _patches(model: LlavaForConditionalGeneration, split: str, seed: int) -> np.ndarray:
    """Projected patches ``(GRID * GRID, width)`` of one scene."""
    image, _ = square_view(compose_wide(split, seed))
    return image_features(model, normalise(image[None]))[0].numpy()
