"""Verify what was painted: is the new thing in the hole, is the old one gone, is a seam visible?

The vision-language model that found the region reads the result. It changes nothing.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ...grounding.errors import GroundingError
from ...grounding.localize.ambiguity import names_only
from ...grounding.metrics import mask_iou
from ...inpaint.prefill import prefill
from ...inpaint.quality import ring_colour_error, seam_error
from ...inpaint.support import dilate, dilation_radius, mask_box
from ..errors import translate
from .region import Region, chosen_mask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...grounding.result import Grounding
    from ...grounding.view import View
    from ...inpaint.crop import Crop
    from ..finder import Finder
    from ..pictures.picture import Picture
    from ..request import EditRequest

GROUNDS = (
    "grass",
    "sky",
    "water",
    "sand",
    "snow",
    "trees",
    "rocks",
    "a road",
    "a wall",
    "a floor",
    "a table",
    "a carpet",
    "a curtain",
    "bare ground",
)
"""What may lie behind a thing, where a preset does not say."""
MOST_GROUNDS = 2
_SURE, _AROUND = 0.5, 1.5
INSIDE_MASK, INSIDE_BOX = 0.5, 0.8
"""Least shares of a found thing's mask and box that must lie in the hole."""
TOUCHING, TOUCHES = 0.012, 0.02
"""A remnant touches the hole: so much of it, as a share, lies within this distance of the hole, as
a share of the picture's longer side (3 of 256 pixels)."""
COVERS, TWIN = 0.5, 0.5
"""What covers this share of the old mask is the old thing; what has this IoU with another candidate
is another thing."""
FITS_WORSE = 0.05
"""What scores so much less than the removed thing was not meant by its name."""
_VISIBLE = 64.0  # grey levels of seam and colour error that weigh as much as a sure grounding


@dataclass(frozen=True)
class Verdict:
    """What was verified about one painting.

    Attributes
    ----------
    passed : The new phrase is in the hole, or the removed one no longer is; None if not checked.
    score : In [0, 1]: how surely the new thing is there, or is gone; 0.5 if not checked.
    seam, ring_colour : See `inpaint.quality`; grey levels.
    words : One sentence for the user.
    replaced : The old thing is no longer found in the hole; None if not checked.
    outside : It did not pass for what stands outside the support: painting it again changes
        nothing.
    """

    passed: bool | None
    score: float
    seam: float
    ring_colour: float
    words: str = ""
    replaced: bool | None = None
    outside: bool = False

    @property
    def rank(self) -> tuple[bool, bool, float]:
        """Larger is better: passed, without the old thing, then surer and less visible."""
        visible = (self.seam + self.ring_colour) / _VISIBLE
        return bool(self.passed), self.replaced is not False, self.score - visible

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for `Variant.checks`."""
        return {
            "passed": self.passed,
            "score": round(self.score, 4),
            "seam": round(self.seam, 2),
            "ring_colour": round(self.ring_colour, 2),
            "words": self.words,
        }


class Verifier:
    """Verifies the paintings of one region.

    Parameters
    ----------
    picture : Before painting.
    phrase : The new thing (`gone` False) or the removed one (`gone` True); None to measure only how
        visible the painting is.
    old : What was there before a new thing: of paintings that pass, one in which it is still found
        ranks lower. It only ranks, because "the apple" may well be found in "a rotten apple".
    region : What is painted over.
    chosen : It is known which of several matches is meant.

    Attributes
    ----------
    note : Why nothing is verified, or "".
    """

    def __init__(
        self,
        finder: Finder,
        picture: Picture,
        phrase: str | None,
        gone: bool,
        old: str | None = None,
        region: Region | None = None,
        chosen: bool = True,
    ) -> None:
        self._finder, self._picture, self._gone, self._old = finder, picture, gone, old
        self._region, self._chosen = region, chosen
        self.phrase, self.note = phrase, ""
        if phrase is not None and finder.models.words:
            with translate(GroundingError):
                unknown = finder.unknown_words(phrase)
            if unknown:
                named = ", ".join(map(repr, unknown))
                self.phrase, self.note = None, f"not checked: the model does not know {named}"

    @classmethod
    def of(
        cls, finder: Finder, region: Region, request: EditRequest, *, chosen: bool = False
    ) -> Verifier:
        """Make the verifier that a request's ``check`` describes; `chosen` as for the class."""
        gone = request.action == "remove"
        phrase = request.check if isinstance(request.check, str) else None
        if request.check and finder.models.preset.wordless:
            unchecked = cls(finder, region.picture, None, gone, region=region)
            unchecked.note = (
                f"not checked: preset {finder.models.preset.name!r} understands no words; look at "
                "the result"
            )
            return unchecked
        if request.check is True:
            phrase = request.find if gone else request.paint and spoken(request.paint)
        old, chosen = None if gone else request.find, chosen or request.candidate is not None
        return cls(finder, region.picture, phrase, gone, old, region, chosen)

    def check(self, image: np.ndarray, support: np.ndarray, crops: Sequence[Crop] = ()) -> Verdict:
        """Return the verdict on one painting, ``(H, W, 3)`` uint8, of the region `support`.

        Seam and colours are those of the worst of the windows `crops`.
        """
        parts = [crop.only(support) for crop in crops] if len(crops) > 1 else [support]
        seam = max(seam_error(image, part) for part in parts)
        ring = max(ring_colour_error(image, self._picture.pixels, part) for part in parts)
        if self.phrase is None:
            return Verdict(None, 0.5, seam, ring)
        # Not the finder's kept view: further phrases will be about the picture itself.
        view = self._finder.look_once(image)
        found = self._finder.ground_view(view, self.phrase)
        if self._gone:
            left = self._several_left if found.instances else self._left
            return dataclasses.replace(left(found, support), seam=seam, ring_colour=ring)
        share, score = _in_hole(found, support)
        replaced = None
        if self._old is not None:
            old = self._finder.ground_view(view, self._old)
            replaced = not any(_in_hole(one, support)[0] for one in _one_by_one(old))
        if len(self._places) > 1:
            score = self._filled(view, support) / len(self._places)
            words = f"{self.phrase!r} is found in {score:.0%} of {len(self._places)} places"
            return Verdict(score == 1, score, seam, ring, words, replaced)
        if not share and found.found and self._before.found:
            # Another one was in the picture already: the new one may be the second choice.
            share, score = _best_candidate(found, support)
        if share:
            words = f"{self.phrase!r} is found in the hole"
            return Verdict(True, share * score, seam, ring, words, replaced)
        where = "found elsewhere" if found.found else "not found"
        words = f"{self.phrase!r} is {where} ({found.reason})"
        return Verdict(False, 0.0, seam, ring, words, replaced)

    def _left(self, found: Grounding, support: np.ndarray) -> Verdict:
        """The verdict on a removal, but for its looks."""
        reason = f"({found.reason})"
        if self._is_there(found, support):
            words = f"{self.phrase!r} is still found there {reason}"
            return Verdict(False, 1 - found.score, 0, 0, words)
        gone = Verdict(True, 1.0, 0, 0, f"{self.phrase!r} is no longer found there")
        if not found.found or not found.mask.any() or self._region is None:
            return gone
        if self._is_remnant(found.mask, support, self._region.mask):
            words = f"a part of {self.phrase!r} is still found beside what was painted {reason}"
            return Verdict(False, 1 - found.score, 0, 0, words, outside=True)
        if not self._chosen and self._may_mean(found):
            words = f"{self.phrase!r} is found elsewhere, too, and may mean that"
            return dataclasses.replace(gone, passed=None, score=0.5, words=words)
        return gone

    def _may_mean(self, found: Grounding) -> bool:
        """Whether the phrase may have meant what is found elsewhere after a removal.

        What merely has the same name must fit it about as well as what was removed.
        """
        before = None if self._region is None else self._region.grounding
        if before is None:
            return False
        alike = names_only(found.phrase) and found.score >= before.score - FITS_WORSE
        return before.status == "ambiguous" or alike

    def _several_left(self, found: Grounding, support: np.ndarray) -> Verdict:
        """The verdict on the removal of several things, from those that are found again.

        All that the words mean must be gone; of "two cups" another one may stand elsewhere.
        """
        assert self.phrase is not None
        each = [(self._left(one, support), one) for one in _one_by_one(found)]
        several = self._finder.several(self.phrase)
        every = several is not None and several.number is None
        left = [(verdict, one) for verdict, one in each if every or verdict.passed is False]
        if not left:
            return each[0][0]
        words = f"{len(left)} of {self.phrase!r} still found"
        outside = all(verdict.passed or verdict.outside for verdict, _ in left)
        score = 1 - max(one.score for _, one in left)
        return Verdict(False, score, 0, 0, words, outside=outside)

    def _filled(self, view: View, support: np.ndarray) -> int:
        """In how many of several places the new thing is found."""
        assert self.phrase is not None
        wanted = [(self.phrase, len(self._places))]
        (found,) = self._finder.find_masks_in(view, wanted)
        inside = [m for m in found if (m & support).sum() >= INSIDE_MASK * m.sum()]
        shared = [[int((mask & place).sum()) for place in self._places] for mask in inside]
        return len({int(np.argmax(row)) for row in shared if any(row)})

    @property
    def _places(self) -> list[np.ndarray]:
        """The masks of several things that are repainted."""
        known = None if self._region is None else self._region.grounding
        return [] if known is None or self._chosen else [one.mask for one in known.instances]

    def _is_there(self, found: Grounding, support: np.ndarray) -> bool:
        """Whether what is found after a removal is in the hole, or covers most of the old mask."""
        if _in_hole(found, support)[0]:
            return True
        old = None if self._region is None else self._region.mask
        return old is not None and bool((found.mask & old).sum() >= COVERS * max(1, old.sum()))

    def _is_remnant(self, mask: np.ndarray, support: np.ndarray, old: np.ndarray) -> bool:
        """Whether it touches the hole and is no thing that was found beside the old one before."""
        if not touches(mask, support):
            return False
        old = dilate(old, _reach(mask))
        others = (chosen_mask(self._before, k) for k in range(len(self._before.candidates)))
        return not any(
            mask_iou(other, mask) >= TWIN and (other & old).sum() < TOUCHES * other.sum()
            for other in others
        )

    @cached_property
    def _before(self) -> Grounding:
        assert self.phrase is not None
        known = None if self._region is None else self._region.grounding
        if known is not None and known.phrase == self.phrase:
            return known
        return self._finder.ground_view(self._finder.look(self._picture), self.phrase)


def find_thing(
    finder: Finder, view: View, phrase: str | None, support: np.ndarray, *, touching: bool = False
) -> np.ndarray | None:
    """The mask of what a phrase names if it stands in a support; None if it does not.

    None, too, for a phrase that the models do not know. `touching`: or touches the support.
    """
    models = finder.models
    if phrase is None or (models.words and models.grounder().lvlm.unknown_words(phrase)):
        return None
    found = finder.ground_view(view, phrase)
    there = bool(_in_hole(found, support)[0]) or (touching and touches(found.mask, support))
    return found.mask if there else None


def touches(mask: np.ndarray, support: np.ndarray) -> bool:
    """Whether enough of a mask lies in a support or close to it."""
    near = (mask & dilate(support, _reach(mask))).sum()
    return bool(mask.any() and near >= TOUCHES * mask.sum())


def _reach(mask: np.ndarray) -> int:
    """`TOUCHING` in pixels."""
    return max(2, round(TOUCHING * max(mask.shape)))


def surroundings(finder: Finder, picture: Picture, mask: np.ndarray) -> tuple[str, ...]:
    """Query the vision-language model for what surrounds a mask; the surest answers first.

    The model reads a crop in which the thing itself is covered with its surroundings' colours, and
    is queried for each of the preset's ``removal.surroundings`` (default `GROUNDS`).

    Returns at most `MOST_GROUNDS`; none where the model knows few words or has no
    presence answers.
    """
    models = finder.models
    grounds = tuple(models.preset.inpainter.get("removal", {}).get("surroundings", GROUNDS))
    lvlm: Any = getattr(models.grounder(), "lvlm", None)
    if models.words or not grounds or getattr(lvlm, "presence_settings", None) is None:
        return ()
    left, top, right, bottom = mask_box(mask)
    reach = round(_AROUND * max(right - left, bottom - top) / 2)
    window = np.s_[max(0, top - reach) : bottom + reach, max(0, left - reach) : right + reach]
    crop, hole = picture.pixels[window], mask[window]
    if hole.all():
        return ()
    covered = prefill(crop, dilate(hole, dilation_radius(hole, 0.1)), "blur")
    with translate(GroundingError):
        answers = lvlm.presence(lvlm.encode(covered), grounds)
    ranked = sorted(zip(answers, grounds, strict=True), key=lambda pair: -pair[0])
    return tuple(words for answer, words in ranked[:MOST_GROUNDS] if answer >= _SURE)


def spoken(prompt: str) -> str:
    """A referring expression for what a prompt paints: its first clause, with "the".

    Examples
    --------
    >>> spoken("a green pear, studio light")
    'the green pear'
    >>> spoken("the last cupcake")
    'the last cupcake'
    """
    clause = re.split(r"[,.;:(]", prompt.strip(), maxsplit=1)[0].strip() or prompt.strip()
    bare = re.sub(r"^(an?|the)\s+", "", clause, flags=re.IGNORECASE)
    return f"the {bare}"


def _one_by_one(found: Grounding) -> list[Grounding]:
    """The groundings of the things that a phrase names."""
    return [
        dataclasses.replace(found, mask=one.mask, box=one.box, score=one.score, instances=())
        for one in found.instances
    ] or [found]


def _in_hole(found: Grounding, support: np.ndarray) -> tuple[float, float]:
    """The share of a found thing in the hole, 0 where that is too little, and its score."""
    if not found.found or found.box is None or not found.mask.any():
        return 0.0, 0.0
    share = float((found.mask & support).sum() / found.mask.sum())
    inside = share >= INSIDE_MASK and _box_share(found.box, support) >= INSIDE_BOX
    return (share, found.score) if inside else (0.0, 0.0)


def _best_candidate(found: Grounding, support: np.ndarray) -> tuple[float, float]:
    shares = [(_box_share(c.box, support), c.score) for c in found.candidates]
    return max((s for s in shares if s[0] >= INSIDE_BOX), key=lambda s: s[1], default=(0.0, 0.0))


def _box_share(box: tuple[float, float, float, float], support: np.ndarray) -> float:
    """Share of a box's area that lies in the support's box."""
    hole = mask_box(support)
    width = min(box[2], hole[2]) - max(box[0], hole[0])
    height = min(box[3], hole[3]) - max(box[1], hole[1])
    area = (box[2] - box[0]) * (box[3] - box[1])
    return max(0.0, width) * max(0.0, height) / max(area, 1e-9)
