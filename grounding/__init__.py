"""Find what a phrase names in a picture: attention rows, heads, map, box, mask.

It knows nothing of painting, sentences, files or users. Names load on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "attention.model": ["LVLM", "load_lvlm"],
        "detectors": ["BACKENDS", "Backend", "backend_class"],
        "errors": ["GroundingError"],
        "families": ["FAMILIES"],
        "families.base": ["Presence"],
        "heads.criteria": [
            "attention_sums",
            "bottom_row_focus",
            "elbow",
            "phrase_contrast",
            "spatial_entropy",
        ],
        "heads.ranking": [
            "HeadMeasurements",
            "HeadRanking",
            "LocalizationHeads",
            "RankedHead",
            "greedy_heads",
            "measure_heads",
            "rank_heads",
        ],
        "localize.boxes": ["BoxSettings", "map_boxes"],
        "localize.maps": [
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
        ],
        "localize.proposals": ["Proposal", "ProposalSettings", "propose_masks"],
        "metrics": [
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
        ],
        "pipeline": ["Grounder", "GroundingSettings", "View"],
        "result": ["Candidate", "Grounding"],
        "sam.segmenter": ["ImageEmbedding", "Masks", "Segmenter", "load_segmenter"],
    },
)
