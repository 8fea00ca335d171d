"""Judge what was painted: is the new thing in the hole, is the old one gone, does it show?

The same vision-language model that found the place looks at the result. It changes nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ...grounding.errors import GroundingError
from ...inpaint.crop import mask_box
from ...inpaint.prefill import prefill
from ...inpaint.quality import ring_colour_error, seam_error
from ...inpaint.support import dilate, dilation_radius
from ..errors import translate

if TYPE_CHECKING:
    from ...grounding.result import Grounding
    from ...grounding.view import View
    from ..api import Editor
    from ..pictures.picture import Picture
    from .region import Place

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
"""What may lie behind a thing, asked for where a preset does not say."""
MOST_GROUNDS = 2
_SURE, _AROUND = 0.5, 1.5
INSIDE_MASK, INSIDE_BOX = 0.5, 0.8
"""Least shares of a found thing's mask and box that must lie in the hole."""
_VISIBLE = 64.0  # grey levels of seam and colour error that weigh as much as a sure grounding


@dataclass(frozen=True)
class Verdict:
    """What was found out about one painting.

    Attributes
    ----------
    passed
        The new phrase is in the hole, or the removed one no longer is; None where nobody asked.
    score
        In [0, 1]: how surely the new thing is there, or is gone; 0.5 where nobody asked.
    seam, ring_colour
        See `inpaint.quality`; grey levels.
    words
        One sentence.
    replaced
        The old thing is no longer found in the hole; None where nobody asked.
    """

    passed: bool | None
    score: float
    seam: float
    ring_colour: float
    words: str = ""
    replaced: bool | None = None

    @property
    def rank(self) -> tuple[bool, bool, float]:
        """Larger is better: what passed, what shows no old thing, the surer and less visible."""
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


class Judge:
    """Judges the paintings of one place.

    Parameters
    ----------
    editor
        Whose models look.
    picture
        Before painting.
    phrase
        The new thing (`gone` False) or the removed one (`gone` True); None to look only at how
        visible the painting is.
    old
        What was there before a new thing: of paintings that pass, one that still looks like it is
        a worse one. "the apple" may well be found in "a rotten apple", so it only ranks.

    Attributes
    ----------
    note
        Why nothing is checked, or "".
    around
        What `surroundings` found, where it was asked.
    """

    def __init__(
        self,
        editor: Editor,
        picture: Picture,
        phrase: str | None,
        gone: bool,
        old: str | None = None,
    ) -> None:
        self._editor, self._picture, self._gone = editor, picture, gone
        self._old = old
        self.phrase, self.note = phrase, ""
        self.around: tuple[str, ...] = ()
        if phrase is not None and editor.models.words:
            unknown = editor.models.grounder().lvlm.unknown_words(phrase)
            if unknown:
                named = ", ".join(map(repr, unknown))
                self.phrase, self.note = None, f"not checked: the model does not know {named}"

    def look(self, image: np.ndarray, support: np.ndarray) -> Verdict:
        """The verdict on one painting, ``(H, W, 3)`` uint8, of the place `support`."""
        seam = seam_error(image, support)
        ring = ring_colour_error(image, self._picture.pixels, support)
        if self.phrase is None:
            return Verdict(None, 0.5, seam, ring)
        view = self._view(image)
        found = self._ground(view, self.phrase)
        share, score = _in_hole(found, support)
        if self._gone:
            if not share:
                return Verdict(True, 1.0, seam, ring, f"{self.phrase!r} is no longer found there")
            words = f"{self.phrase!r} is still found there ({found.reason})"
            return Verdict(False, 1 - score, seam, ring, words)
        replaced = None
        if self._old is not None:
            replaced = not _in_hole(self._ground(view, self._old), support)[0]
        if not share and found.found and self._before.found:
            # Another one was in the picture already: the new one may be the second choice.
            share, score = _best_candidate(found, support)
        if share:
            words = f"{self.phrase!r} is found in the hole"
            return Verdict(True, share * score, seam, ring, words, replaced)
        where = "found elsewhere" if found.found else "not found"
        words = f"{self.phrase!r} is {where} ({found.reason})"
        return Verdict(False, 0.0, seam, ring, words, replaced)

    def _view(self, pixels: np.ndarray) -> View:
        # Not through the editor's kept view: the picture itself is asked about again later.
        grounder = self._editor.models.grounder()
        return self._editor.models.looking(lambda: grounder.look(pixels))

    def _ground(self, view: View, phrase: str) -> Grounding:
        grounder = self._editor.models.grounder()
        return self._editor.models.looking(lambda: grounder.ground(view, phrase))

    @cached_property
    def _before(self) -> Grounding:
        assert self.phrase is not None
        return self._ground(self._editor.look(self._picture), self.phrase)


def surroundings(editor: Editor, place: Place) -> tuple[str, ...]:
    """What lies around a place, the surest first, as the vision-language model answers.

    It is shown a crop in which the thing itself is covered with its surroundings' colours, and
    asked for each of the preset's ``removal.surroundings`` (`GROUNDS` where there are none).

    Returns
    -------
    tuple of str
        At most `MOST_GROUNDS`; none where the model knows few words, or answers no such questions.
    """
    asked = tuple(editor.models.preset.inpainter.get("removal", {}).get("surroundings", GROUNDS))
    lvlm: Any = getattr(editor.models.grounder(), "lvlm", None)
    if editor.models.words or not asked or getattr(lvlm, "presence_settings", None) is None:
        return ()
    mask = place.history.mask
    left, top, right, bottom = mask_box(mask)
    reach = round(_AROUND * max(right - left, bottom - top) / 2)
    window = np.s_[max(0, top - reach) : bottom + reach, max(0, left - reach) : right + reach]
    crop, hole = place.picture.pixels[window], mask[window]
    if hole.all():
        return ()
    covered = prefill(crop, dilate(hole, dilation_radius(hole, 0.1)), "blur")
    with translate(GroundingError):
        answers = lvlm.presence(lvlm.encode(covered), asked)
    ranked = sorted(zip(answers, asked, strict=True), key=lambda pair: -pair[0])
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
