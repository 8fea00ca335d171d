"""Panoptic Narrative Grounding as items: narratives, each with an item for every phrase."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...multiobject.errors import MultiObjectError
from ...multiobject.narratives import Narrative, read_png, truth
from ..errors import GroundbrushError, translate
from .items import Item
from .kinds import query_kind
from .true_masks import Labels


@dataclass(frozen=True)
class SegmentUnion:
    """A true mask: the union of a phrase's segments in its picture's panoptic PNG."""

    narrative: Narrative
    phrase: int

    def draw(self, size_wh: tuple[int, int]) -> Labels:
        """See `editor.evaluation.true_masks.Truth`."""
        with translate(MultiObjectError):
            ids = self.narrative.ids()
        if ids.shape != size_wh[::-1]:
            raise GroundbrushError(
                f"{str(self.narrative.mask_file)!r} is {ids.shape[1]} by {ids.shape[0]} and the "
                f"picture {size_wh[0]} by {size_wh[1]}; expected one size"
            )
        return truth(ids, self.narrative.phrases[self.phrase]).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class Told:
    """A narrative with the items of its phrases."""

    narrative: Narrative
    items: tuple[Item, ...]


def read_told(root: Path, split: str, limit: int | None = None, seed: int = 0) -> list[Told]:
    """The narratives of a split that have phrases, in the file's order.

    Parameters
    ----------
    root, split
        As for `multiobject.narratives.read_png`.
    limit
        Only this many, drawn with `seed`; None = all.

    Raises
    ------
    GroundbrushError
        When a file is missing or has another form.
    """
    if not root.exists():
        raise GroundbrushError(
            f"{str(root)!r} does not exist; expected the folder that holds images/{split} and "
            "annotations"
        )
    with translate(MultiObjectError):
        narratives = list(read_png(root, split))
    chosen = [k for k, narrative in enumerate(narratives) if narrative.phrases]
    if not chosen:
        raise GroundbrushError(f"{str(root)!r} holds no narrative of split {split!r} with phrases")
    if limit is not None and limit < len(chosen):
        drawn = np.random.default_rng(seed).choice(len(chosen), limit, replace=False)
        chosen = [chosen[i] for i in sorted(drawn.tolist())]
    return [_told(narratives[k], k, split) for k in chosen]


def _told(narrative: Narrative, number: int, split: str) -> Told:
    return Told(
        narrative,
        tuple(
            Item(
                id=f"{split}-{number}-{k}",
                image=narrative.image_file,
                phrase=phrase.text,
                split=split,
                kind=query_kind(phrase.text),
                truth=SegmentUnion(narrative, k),
            )
            for k, phrase in enumerate(narrative.phrases)
        ),
    )
