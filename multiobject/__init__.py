"""Find everything that a caption names: one mask for each thing, one id map.

The package does not know painting, files or users. Names load on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "errors": ["MultiObjectError"],
        "find.ground_all": ["ground_all"],
        "id_map": ["resolve_overlaps"],
        "panoptic": ["Instance", "PanopticGrounding", "Segment"],
        "phrases.noun_phrases": ["NounPhrase", "noun_phrases"],
    },
)
