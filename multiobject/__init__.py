"""Find everything that a sentence names: one mask for each thing, one map of ids.

It knows nothing of painting, files or users. Names load on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "errors": ["MultiObjectError"],
        "find.everything": ["ground_all"],
        "id_map": ["resolve_overlaps"],
        "panoptic": ["Instance", "PanopticGrounding", "Segment"],
        "phrases.noun_phrases": ["NounPhrase", "noun_phrases"],
    },
)
