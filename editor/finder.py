"""Finder: the models that find, and the picture they last read.

Every step of an edit that needs a model gets a finder. It paints nothing and reads no files.
"""

from __future__ import annotations

import dataclasses
import threading
from functools import cached_property, lru_cache, partial
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ..grounding.errors import GroundingError
from ..grounding.result import Candidate as Candidate  # offered to front ends, as the next
from ..grounding.result import Grounding as Grounding
from ..inpaint.prefill import prefill
from ..inpaint.support import dilate, dilation_radius
from ..multiobject.errors import MultiObjectError
from .errors import GroundbrushError, translate
from .values import check_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..grounding.pipeline import Grounder
    from ..grounding.sam.segmenter import Segmenter
    from ..grounding.view import View
    from ..multiobject import PanopticGrounding as PanopticGrounding
    from ..multiobject.find.phrase_query import PhraseQuery, UnknownWords
    from ..multiobject.phrases.noun_phrases import NounPhrase
    from .masks.operations import MaskScene
    from .models.models import Models
    from .pictures.picture import Picture


_FURTHER, _COVER, _COVERED = 2, 0.1, 0.7
"""Further searches for "all"; how far covers reach beyond a mask, as a share of its side; what lies
under the cover by this share was found before."""
_MARKS = " .,;:!?…"
_QUOTES = (('"', '"'), ("'", "'"), ("“", "”"), ("‘", "’"), ("«", "»"))


@lru_cache(maxsize=1024)
def read_several(phrase: str) -> NounPhrase | None:
    """Return the several things of a kind that a phrase names, None where it names one thing.

    Raises GroundbrushError if it names things of several kinds (a search finds only one), or does
    not say which of a kind are meant. Raises MultiObjectError if it cannot be read.
    """
    from ..multiobject.phrases.several import named_things

    things = named_things(phrase)
    if len(things) > 1:
        named = ", ".join(repr(thing.text) for thing in things[:6]) + ", …" * (len(things) > 6)
        raise GroundbrushError(
            f"find is {shorten(phrase, 200, placeholder=' …')!r}, which names {len(things)} "
            f"things: {named}; expected one. Give one of them, "
            "or a whole sentence to `groundbrush apply` (edits) or `groundbrush ground-all` (masks)"
        )
    if things[0].unclear:
        raise GroundbrushError(f"find is {phrase!r}: {things[0].unclear}")
    return things[0].several


def plain_phrase(phrase: str) -> str:
    """A phrase without the marks around it, which say nothing of what to find.

    Examples
    --------
    >>> plain_phrase("“THE RED APPLE!!!”"), plain_phrase('the word "STOP".')
    ('THE RED APPLE', 'the word "STOP"')
    """
    bare = phrase.rstrip(_MARKS).lstrip(_MARKS.replace(".", ""))
    for opening, closing in _QUOTES:
        inner = bare[1:-1]
        if bare[:1] == opening and bare[-1:] == closing and not {opening, closing} & {*inner}:
            bare = inner.strip(_MARKS)
    return bare or phrase


class Finder:
    """Finds things in pictures; keeps the last picture's encoding, so further phrases are cheap.

    Safe to use from several threads. `models` are loaded when first needed.
    """

    def __init__(self, models: Models) -> None:
        self.models = models
        self._kept: tuple[np.ndarray, View] | None = None
        self._lock = threading.Lock()

    @cached_property
    def grounder(self) -> Grounder:
        """The preset's grounder, loaded when first needed."""
        return self.models.grounder()

    @property
    def segmenter(self) -> Segmenter:
        """The preset's segmenter."""
        return self.grounder.segmenter

    def look(self, picture: Picture) -> View:
        """Return the picture as the models read it; kept until another picture comes."""
        pixels = picture.visible
        with self._lock:
            kept = self._kept
            if kept is None or not (
                kept[0] is pixels
                or (kept[0].shape == pixels.shape and not cv2.norm(kept[0], pixels, cv2.NORM_INF))
            ):
                self._kept = kept = (pixels, self.look_once(pixels))
            return kept[1]

    def look_once(self, pixels: np.ndarray) -> View:
        """Return ``(H, W, 3)`` uint8 pixels as the models read them; the kept picture stays."""
        return self.models.with_room(partial(self.grounder.look, pixels))

    def check_phrase(self, phrase: str, *, load: bool = True) -> str:
        """Return a phrase with its white space tidied.

        Raises GroundbrushError for words that the models do not know. `load` False uses the
        tokenizer alone.
        """
        phrase = plain_phrase(check_words("find", phrase))
        self.models.preset.check_words("find", phrase)
        with translate(GroundingError, MultiObjectError):
            read_several(phrase)
            unknown = self.unknown_words(phrase, load=load)
        if unknown and self.models.words:
            raise GroundbrushError(self.models.words.refusal(unknown, "find"))
        return phrase

    def check_sentence(self, sentence: str) -> None:
        """Raise `GroundbrushError` for a sentence that cannot be read or names too much."""
        from ..multiobject.phrases.noun_phrases import phrases_to_find

        with translate(MultiObjectError):
            phrases_to_find(sentence)

    def unknown_words(self, phrase: str, *, load: bool = True) -> Sequence[str]:
        """Return the words of a phrase that the models do not know; `load` as in `check_phrase`."""
        reader = self.grounder.lvlm if load else self.models.reader()
        several = self.several(phrase, reader.unknown_words)
        if several is None:
            return reader.unknown_words(phrase)
        return several.unknown or several.unknown_relation(reader.unknown_words)

    def several(self, phrase: str, unknown_words: UnknownWords | None = None) -> PhraseQuery | None:
        """Return the query of a phrase for several things of a kind; None for any other."""
        from ..multiobject.find.phrase_query import phrase_query

        try:
            named = read_several(phrase)
        except (GroundbrushError, MultiObjectError):  # a painting prompt may name anything
            return None
        if named is None:
            return None
        return phrase_query(named, unknown_words or self.grounder.lvlm.unknown_words)

    def ground(self, picture: Picture, phrase: str) -> Grounding:
        """Find what a phrase names; see `Editor.ground`.

        Of "all cups" the found ones are covered and others looked for, until none is found.
        """
        from ..multiobject.find.ground_all import with_instances

        phrase = self.check_phrase(phrase)
        found = self.ground_view(self.look(picture), phrase)
        several = self.several(phrase) if found.instances else None
        if several is None or several.number is not None:
            return found
        for _ in range(_FURTHER):
            cover = dilate(found.mask, dilation_radius(found.mask, _COVER))
            view = self.look_once(prefill(picture.pixels, cover, "blur"))
            more = self.ground_view(view, phrase).instances
            more = tuple(m for m in more if (m.mask & cover).sum() < _COVERED * m.mask.sum())
            if not more:
                break
            found = with_instances(found, (*found.instances, *more), several)
        return found

    def ground_view(self, view: View, phrase: str) -> Grounding:
        """Find a phrase in a view from `look` or `look_once`; all things that it names."""
        from ..multiobject.find.ground_all import ground_several

        several = self.several(phrase)
        if several is None or several.unknown:
            return self.models.with_room(partial(self.grounder.ground, view, phrase))
        found = self.models.with_room(partial(ground_several, self.grounder, view, several))
        return dataclasses.replace(found, phrase=phrase)

    def ground_all(
        self, picture: Picture, sentence: str, mode: str = "phrases"
    ) -> PanopticGrounding:
        """Find everything that a sentence names; see `Editor.ground_all`."""
        from ..multiobject import ground_all

        self.models.preset.check_words("find", sentence)
        words = self.models.words
        refusal = partial(words.refusal, verb="find") if words else None
        grounder, view = self.grounder, self.look(picture)
        with translate(MultiObjectError):
            return self.models.with_room(
                partial(ground_all, grounder, view, sentence, mode=mode, refusal=refusal)
            )

    def find_masks(
        self, picture: Picture, wanted: Sequence[tuple[str, int | None]]
    ) -> list[list[np.ndarray]]:
        """Find several phrases, each with a count (None: all), over one encoding.

        Returns the things of each phrase, ``(H, W)`` bool, the best first.
        """
        return self.find_masks_in(self.look(picture), wanted)

    def find_masks_in(
        self, view: View, wanted: Sequence[tuple[str, int | None]]
    ) -> list[list[np.ndarray]]:
        """The same in a view from `look` or `look_once`."""
        from ..multiobject.find.ground_all import find_instances

        for phrase, _ in wanted:
            self.models.preset.check_words("find", phrase)
        grounder = self.grounder
        with translate(MultiObjectError):
            found = self.models.with_room(partial(find_instances, grounder, view, wanted))
        return [[one.mask for one in instances] for instances in found]

    def is_sure(self, picture: Picture, phrase: str) -> bool:
        """Whether the model says as surely that a phrase is there as of another match.

        Always, where the models have no presence answers. See `GroundingSettings.again_above`.
        """
        grounder: Any = self.grounder
        lvlm: Any = getattr(grounder, "lvlm", None)
        if getattr(lvlm, "presence_settings", None) is None:
            return True
        with translate(GroundingError):
            (presence,) = lvlm.presence(self.look(picture).encoded, [phrase])
        return bool(presence > grounder.settings.again_above)

    def segment(self, picture: Picture, **prompt: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return masks ``(n, H, W)`` bool and scores ``(n,)`` of a box or points in pixels."""
        view = self.look(picture)
        scales = {"box": np.tile(view.scale_xy, 2), "points": np.array(view.scale_xy)}
        scaled: dict[str, Any] = {
            name: np.asarray(value, float) / scales[name] if name in scales else value
            for name, value in prompt.items()
        }
        with translate(GroundingError):
            found = self.segmenter.predict(view.embedding, size_wh=picture.size, **scaled)
        return found.masks, found.scores

    def whole(self, picture: Picture, mask: np.ndarray) -> np.ndarray:
        """Return a found thing's mask ``(H, W)`` bool, grown where it is only a part of it."""
        from ..grounding.localize.whole import steady_whole
        from ..grounding.view import resize_mask

        view = self.look(picture)
        small = resize_mask(mask, (view.proxy.shape[1], view.proxy.shape[0]))
        with translate(GroundingError):
            whole = steady_whole(self.segmenter, view.embedding, small)
        return mask if whole is None else mask | resize_mask(whole, picture.size)

    def scene(self, picture: Picture) -> MaskScene:
        """Return what mask operations on a picture may use; loads nothing until it is used."""
        from .masks.operations import MaskScene

        return MaskScene(picture.pixels, partial(self.segment, picture))
