# The public names of this package and their homes; `lazy_loader` reads this file.

from .attention.load import load_lvlm
from .attention.model import LVLM
from .attention.reading import Presence
from .detectors import BACKENDS, Backend, backend_class
from .errors import GroundingError
from .families import FAMILIES
from .heads.criteria import (
    attention_sums,
    bottom_row_focus,
    elbow,
    phrase_contrast,
    spatial_entropy,
)
from .heads.ranking import (
    HeadMeasurements,
    HeadRanking,
    LocalizationHeads,
    RankedHead,
    greedy_heads,
    measure_heads,
    rank_heads,
)
from .localize.boxes import map_boxes
from .localize.maps import (
    cells_to_pixels,
    combine_maps,
    component_boxes,
    largest_component,
    largest_component_box,
    normalise_map,
    peaks,
    pseudo_mask,
    token_map_to_image,
)
from .localize.proposals import Proposal, propose_masks
from .metrics import (
    accuracy_at,
    average_recall,
    bootstrap_interval,
    boundary_f,
    box_iou,
    box_iou_pairwise,
    cumulative_iou,
    generalized_iou_mean,
    mask_iou,
    mask_overlap,
    pointing_hit,
)
from .pipeline import Grounder
from .result import Candidate, Grounding
from .sam.load import load_segmenter
from .sam.segmenter import ImageEmbedding, Masks, Segmenter
from .settings import BoxSettings, GroundingSettings, ProposalSettings
from .view import View

__all__ = [
    "BACKENDS",
    "FAMILIES",
    "LVLM",
    "Backend",
    "BoxSettings",
    "Candidate",
    "Grounder",
    "Grounding",
    "GroundingError",
    "GroundingSettings",
    "HeadMeasurements",
    "HeadRanking",
    "ImageEmbedding",
    "LocalizationHeads",
    "Masks",
    "Presence",
    "Proposal",
    "ProposalSettings",
    "RankedHead",
    "Segmenter",
    "View",
    "accuracy_at",
    "attention_sums",
    "average_recall",
    "backend_class",
    "bootstrap_interval",
    "bottom_row_focus",
    "boundary_f",
    "box_iou",
    "box_iou_pairwise",
    "cells_to_pixels",
    "combine_maps",
    "component_boxes",
    "cumulative_iou",
    "elbow",
    "generalized_iou_mean",
    "greedy_heads",
    "largest_component",
    "largest_component_box",
    "load_lvlm",
    "load_segmenter",
    "map_boxes",
    "mask_iou",
    "mask_overlap",
    "measure_heads",
    "normalise_map",
    "peaks",
    "phrase_contrast",
    "pointing_hit",
    "propose_masks",
    "pseudo_mask",
    "rank_heads",
    "spatial_entropy",
    "token_map_to_image",
]
