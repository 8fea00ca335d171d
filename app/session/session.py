"""What one person does to one picture: a place, a mask, and the edits kept so far.

Nothing changes in place: every method gives a new session, so that a page can keep any of them.
It draws nothing and loads nothing; `app.session.session_file` writes it into one file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from ...editor.editing.region import chosen_mask
from ...editor.editing.result import Edit
from ...editor.errors import GroundbrushError
from ...editor.finder import Grounding
from ...editor.masks.history import MaskHistory
from ...editor.masks.operations import Feather, Invert, MaskScene, Operation
from ...editor.masks.source import encode_mask
from ...editor.pictures.overlay import shrink
from ...editor.pictures.picture import MAX_PIXELS, Picture
from ...editor.request import REMOVAL, EditRequest, Sides, make_request

MAX_CHANGES = 100
MAX_MASK_BYTES = 256_000_000
"""Most that one session's mask states may take; older ones can then no longer be undone."""
GREY = 128
"""What new sides are before they are painted."""
Window = tuple[int, int, int, int]
_PICTURES: WeakValueDictionary[tuple[Picture, tuple[Change, ...]], Picture] = WeakValueDictionary()
"""Edited pictures in use: a session that differs in its mask alone has the same one."""


@dataclass(frozen=True, eq=False)
class Change:
    """One kept edit: only the pixels it may have changed, so that a history stays small.

    Attributes
    ----------
    window : xyxy, half-open pixels, of `patch` in the picture.
    patch : ``(h, w, 3)`` uint8.
    request : The edit's recipe, with the seed of the variant that was kept.
    """

    window: Window
    patch: np.ndarray
    request: EditRequest

    def __post_init__(self) -> None:
        x0, y0, x1, y1 = self.window
        patch = self.patch
        if not (0 <= x0 < x1 and 0 <= y0 < y1) or patch.shape != (y1 - y0, x1 - x0, 3):
            raise GroundbrushError(
                f"a change of shape {patch.shape} given for the window {list(self.window)}; "
                "expected (y1 - y0, x1 - x0, 3)"
            )
        if patch.dtype != np.uint8:
            raise GroundbrushError(f"a change of {patch.dtype} given; expected uint8")

    @classmethod
    def of(cls, edit: Edit, variant: int = 0) -> Change:
        """What a finished edit changed, in one of its variants."""
        if not edit.done or not 0 <= variant < len(edit.variants):
            raise GroundbrushError(
                f"variant {variant} of {len(edit.variants)} requested; expected one that was "
                "painted, counted from 0"
            )
        ys, xs = np.flatnonzero(edit.support.any(1)), np.flatnonzero(edit.support.any(0))
        x0, y0, x1, y1 = int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1
        patch = edit.variants[variant].image[y0:y1, x0:x1].copy()
        return cls((x0, y0, x1, y1), patch, edit.request_for(variant))

    @property
    def words(self) -> str:
        """What was done, for people."""
        find, paint = self.request.find or "the marked place", self.request.paint
        if self.request.extend is not None:
            return f"new sides: {paint or 'background'}"
        return f"{find}: removed" if paint is None else f"{find}: {paint}"

    def size_after(self, size: tuple[int, int]) -> tuple[int, int]:
        """Width and height of a picture of such a size with the change in it."""
        width, height = size
        if (sides := self.request.extend) is not None:
            width += sides.left + sides.right
            height += sides.top + sides.bottom
        if self.window[2] > width or self.window[3] > height or width * height > MAX_PIXELS:
            raise GroundbrushError(
                f"a change at {list(self.window)} lies outside the picture of {width}x{height}, or "
                f"that has more than {MAX_PIXELS:,} pixels; expected a place in it"
            )
        return width, height

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """A copy of a picture's pixels with the change in it."""
        self.size_after(pixels.shape[1::-1])
        x0, y0, x1, y1 = self.window
        changed = with_sides(pixels, self.request.extend)
        changed[y0:y1, x0:x1] = self.patch
        return changed


@dataclass(frozen=True, eq=False)
class Session:
    """A picture on the way.

    Attributes
    ----------
    original : As opened.
    changes : Edits kept, in order; the present picture has all of them.
    undone : What `forward` would bring back, the next first.
    branches : Edits from the original on that were left for others: a new one after `back`, or a
        branch.
    find : The words that were looked for; empty where the place was drawn.
    candidate : Which other place was taken; None for the first choice.
    mask : The place and how it was corrected; None before there is one.
    drawn : The mask did not begin from what the words found: it is painted as it stands.
    found : What the words led to; None before, and where the place was drawn alone.
    paint : The words to paint that are typed so far.
    lost : Words that went with the last of what they marked, and after how many operations; `undo`
        brings them back.
    """

    original: Picture
    changes: tuple[Change, ...] = ()
    undone: tuple[Change, ...] = ()
    branches: tuple[tuple[Change, ...], ...] = ()
    find: str = ""
    candidate: int | None = None
    mask: MaskHistory | None = None
    drawn: bool = False
    found: Grounding | None = None
    paint: str = ""
    lost: tuple[int, dict[str, Any]] | None = None

    def __post_init__(self) -> None:
        if len(self.every_change) > MAX_CHANGES:
            raise GroundbrushError(
                f"the session has {MAX_CHANGES} edits, which is the most; download the picture "
                "and open it again"
            )
        if self.mask is not None and self.mask.mask.shape != self.size[::-1]:
            raise GroundbrushError(
                f"a mask of shape {self.mask.mask.shape} given for a picture of "
                f"{self.size[0]}x{self.size[1]}; expected the same size"
            )

    @cached_property
    def picture(self) -> Picture:
        """The picture as it now is, with what its file carried."""
        known = _PICTURES.get((self.original, self.changes))
        if known is None:
            pixels, alpha = self.original.pixels, self.original.alpha
            for change in self.changes:
                pixels = change.apply(pixels)
                if alpha is not None:
                    alpha = with_sides(alpha, change.request.extend, 255)
            known = dataclasses.replace(self.original, pixels=pixels, alpha=alpha)
            _PICTURES[self.original, self.changes] = known
        return known

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height of the present picture."""
        size = self.original.size
        for change in self.changes:
            size = change.size_after(size)
        return size

    @property
    def opened(self) -> np.ndarray:
        """The original's pixels where they now lie; sides that it did not have are grey."""
        pixels = self.original.pixels
        for change in self.changes:
            pixels = pixels if (e := change.request.extend) is None else with_sides(pixels, e)
        return pixels

    @property
    def every_change(self) -> tuple[Change, ...]:
        """Every kept edit once: in the picture, taken back, or on a branch."""
        chains = ((*self.changes, *self.undone), *self.branches)
        return tuple(dict.fromkeys(change for chain in chains for change in chain))

    def looked(
        self, found: Grounding, scene: MaskScene | None = None, candidate: int | None = None
    ) -> Session:
        """With the place a phrase names, or one of its candidates, and a mask to correct.

        A mask that was drawn stays where the phrase is absent.
        """
        if not found.found and candidate is None and self.mask is not None:
            return dataclasses.replace(self, found=found)
        mask = chosen_mask(found, candidate)
        return dataclasses.replace(
            self,
            find=found.phrase,
            found=found,
            candidate=candidate,
            drawn=not mask.any(),
            lost=None,
            mask=MaskHistory.start(mask, scene or MaskScene(self.picture.pixels)),
        )

    def with_mask(self, find: str, mask: np.ndarray, scene: MaskScene | None = None) -> Session:
        """With the mask of a thing that was found among several, painted as it stands."""
        start = MaskHistory.start(mask, scene or MaskScene(self.picture.pixels))
        return dataclasses.replace(self.cleared(), find=find, mask=start, drawn=True)

    def mark(
        self, operation: Operation | Mapping[str, Any], scene: MaskScene | None = None
    ) -> Session:
        """With one more operation on the mask; on an empty one where nothing was found yet.

        Words go with the last of what they marked: what is left, or marked next, is another thing.
        """
        if self.mask is None:
            empty = np.zeros(self.size[::-1], bool)
            start = MaskHistory.start(empty, scene or MaskScene(self.picture.pixels))
            return dataclasses.replace(self, mask=start, drawn=True).mark(operation)
        marked = self._with_state(self.mask.do(operation))
        mask = marked.mask
        most = max(3, MAX_MASK_BYTES // mask.mask.size)
        if len(mask.states) > most:  # the recipe then carries the mask and not how it came about
            mask = dataclasses.replace(
                mask, states=mask.states[-most:], operations=mask.operations[1 - most :]
            )
            return dataclasses.replace(marked, mask=mask, drawn=True, lost=None)
        return marked

    def undo(self) -> Session:
        """Without the last operation on the mask."""
        if self.mask is None:
            return self
        undone = dataclasses.replace(self, mask=self.mask.undo())
        if self.lost is None or len(undone.mask.operations) >= self.lost[0]:
            return undone
        return dataclasses.replace(undone, lost=None, **self.lost[1])

    def redo(self) -> Session:
        """With the operation that was undone last."""
        if self.mask is None or not self.mask.undone:
            return self
        return self._with_state(self.mask.redo())

    def _with_state(self, mask: MaskHistory) -> Session:
        """With the next state of the mask, and with the words if they still name it."""
        first = mask.states[0]
        same = (mask.mask & first).any() if first.any() else mask.mask.any()
        if not self.find or (same and not isinstance(mask.operations[-1], Invert)):
            return dataclasses.replace(self, mask=mask)
        names = ("find", "found", "candidate", "drawn")
        lost = len(mask.operations), {name: getattr(self, name) for name in names}
        nameless = {"find": "", "found": None, "candidate": None, "drawn": True}
        return dataclasses.replace(self, mask=mask, lost=lost, **nameless)

    def cleared(self) -> Session:
        """Without a place and without words."""
        empty = {"find": "", "candidate": None, "mask": None, "drawn": False, "found": None}
        return dataclasses.replace(self, paint="", lost=None, **empty)

    @property
    def arrays(self) -> list[np.ndarray]:
        """What takes memory: pictures, kept edits and the states of the mask."""
        patches = [change.patch for change in self.every_change]
        states = [] if self.mask is None else [*self.mask.states]
        return [self.original.pixels, self.picture.pixels, *patches, *states]

    def request(self, paint: str | None, **options: Any) -> EditRequest:
        """The recipe of painting here; None or blanks to paint remove what is there.

        `options` are ``seed``, ``variants``, ``settings``, ``draft``, ``check`` and ``retries`` of
        `Editor.edit`. Raises GroundbrushError when there is no place yet, or a value is wrong.
        """
        if self.mask is None or not self.mask.mask.any():
            raise GroundbrushError(
                "nothing is marked; name a thing that is in the picture, or mark it with a click, "
                "a box or the brush"
            )
        paint = paint if paint and paint.strip() else None
        if paint is None and self.find:
            options = {**REMOVAL, **options}
        place: dict[str, Any]
        if self.drawn:
            feather = [] if self.mask.feather is None else [Feather(self.mask.feather)]
            place = {"mask": encode_mask(self.mask.mask), "operations": feather}
        else:
            place = {"candidate": self.candidate, "operations": self.mask.operations}
        action = "remove" if paint is None else "edit"
        return make_request(action, find=self.find or None, paint=paint, **place, **options)

    def keep(self, edits: Sequence[Edit], variant: int = 0) -> Session:
        """With finished edits in it, the last one in the variant chosen; the place is cleared.

        Several edits must follow one from the other, as `Editor.apply` gives them.
        """
        done = [edit for edit in edits if edit.done]
        new = [Change.of(e, variant if e is done[-1] else 0) for e in done]
        if not new:
            return self
        left = self.branches
        if self.undone:  # what was taken back stays as a branch
            left = (*left, (*self.changes, *self.undone))
        changes = (*self.changes, *new)
        return dataclasses.replace(self.cleared(), changes=changes, undone=(), branches=left)

    def at(self, count: int) -> Session:
        """With the first so many kept edits; the others can be brought back."""
        every = (*self.changes, *self.undone)
        count = max(0, min(count, len(every)))
        return dataclasses.replace(self.cleared(), changes=every[:count], undone=every[count:])

    def branch(self, number: int, count: int) -> Session:
        """With the first so many edits of a branch; what it leaves becomes one in its place."""
        chain, own = self.branches[number], (*self.changes, *self.undone)
        left = tuple(own if b is chain else b for b in self.branches)
        changed = dataclasses.replace(self.cleared(), changes=chain, undone=(), branches=left)
        return changed.at(count)

    def thumbnails(
        self, longest: int = 160, chain: tuple[Change, ...] | None = None
    ) -> list[np.ndarray]:
        """Small pictures: the original, then after each edit of a chain, by default the own."""
        pixels = self.original.pixels
        small = [shrink(pixels, longest)]
        for change in (*self.changes, *self.undone) if chain is None else chain:
            pixels = change.apply(pixels)
            small.append(shrink(pixels, longest))
        return small


def with_sides(pixels: np.ndarray, sides: Sides | None, fill: int = GREY) -> np.ndarray:
    """A copy of a picture's pixels, or of its alpha, with new sides of one value."""
    if sides is None:
        return pixels.copy()
    around = ((sides.top, sides.bottom), (sides.left, sides.right), (0, 0))[: pixels.ndim]
    return np.pad(pixels, around, constant_values=fill)
