"""Image and words -> where it is: attention rows -> heads -> map -> box -> mask.

Names load on first use, so that `import grounding` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

# module -> public names
_EXPORTS: dict[str, tuple[str, ...]] = {
    "backends": ("BACKENDS", "Backend", "backend_class"),
    "boxes": ("BoxSettings", "map_boxes"),
    "criteria": ("phrase_contrast",),
    "errors": ("GroundingError",),
    "ground": ("Grounder", "GroundingSettings", "View"),
    "heads": (
        "HeadMeasurements",
        "HeadRanking",
        "LocalizationHeads",
        "RankedHead",
        "attention_sums",
        "bottom_row_focus",
        "elbow",
        "greedy_heads",
        "measure_heads",
        "rank_heads",
        "spatial_entropy",
    ),
    "maps": (
        "cells_to_pixels",
        "combine_maps",
        "component_boxes",
        "largest_component",
        "largest_component_box",
        "normalise_map",
        "peaks",
        "points_to_pixels",
        "pseudo_mask",
        "token_map_to_image",
    ),
    "metrics": (
        "accuracy_at",
        "average_recall",
        "bootstrap_interval",
        "boundary_f",
        "box_iou",
        "box_iou_pairwise",
        "cumulative_iou",
        "generalized_iou_mean",
        "mask_iou",
        "mask_overlap",
        "pointing_hit",
    ),
    "families": ("FAMILIES", "Presence"),
    "lvlm": ("LVLM", "load_lvlm"),
    "proposals": ("Proposal", "ProposalSettings", "propose_masks"),
    "result": ("Candidate", "Grounding"),
    "segment": ("ImageEmbedding", "Masks", "Segmenter", "load_segmenter"),
}
_HOME = {name: module for module, names in _EXPORTS.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
