"""Ground phrases in a picture: the steps of the paper as calls in a row.

It knows nothing of files, presets or painting, and loads nothing.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .attention.reading import Reading
from .errors import GroundingError
from .localize.ambiguity import find_other_matches
from .localize.locate import answer, locate, read_phrases
from .result import Grounding
from .settings import GroundingSettings
from .view import View, shrink_image

if TYPE_CHECKING:
    from .attention.model import LVLM
    from .sam.segmenter import Segmenter


class Grounder:
    """Finds phrases in pictures with a loaded LVLM and a loaded segmenter.

    Raises GroundingError when the LVLM has no heads.
    """

    def __init__(
        self, lvlm: LVLM, segmenter: Segmenter, settings: GroundingSettings | None = None
    ) -> None:
        if not lvlm.heads:
            raise GroundingError(
                "the LVLM has no localization heads; name them in the preset or calibrate it"
            )
        self.lvlm, self.segmenter = lvlm, segmenter
        self.settings = settings or GroundingSettings()

    def look(self, image: np.ndarray) -> View:
        """Let both models read a picture, (H, W, 3) uint8 RGB, once for all its phrases."""
        start = time.perf_counter()
        proxy, scale = shrink_image(image, self.settings.proxy)
        encoded = self.lvlm.encode(proxy)
        between = time.perf_counter()
        embedding = self.segmenter.embed(proxy)
        timings = {"read": between - start, "embed": time.perf_counter() - between}
        return View(image, proxy, scale, encoded, embedding, timings)

    def read(
        self, view: View, phrases: Sequence[str], heads: Sequence[tuple[int, int]] | None
    ) -> list[Reading]:
        """Attention rows and presence of each phrase; `heads` None = all heads.

        As :meth:`LVLM.read`, with phrases normalised first if `reword` is set.
        """
        return read_phrases(self.lvlm, view.encoded, phrases, heads, self.settings)

    def ground(self, view: View, phrase: str) -> Grounding:
        """Find one phrase; see :meth:`ground_many`."""
        return self.ground_many(view, [phrase])[0]

    def ground_many(self, view: View, phrases: Sequence[str]) -> list[Grounding]:
        """Find phrases in a picture that :meth:`look` has read.

        Raises GroundingError for an empty or overlong phrase.
        """
        start = time.perf_counter()
        readings = self.read(view, phrases, self.lvlm.heads)
        each = (time.perf_counter() - start) / max(1, len(phrases))
        return [
            self._ground(view, phrase, reading, each)
            for phrase, reading in zip(phrases, readings, strict=True)
        ]

    def _ground(self, view: View, phrase: str, reading: Reading, seconds: float) -> Grounding:
        """Maps to masks, the search for other matches, and the answer, each with its time."""
        times = [time.perf_counter()]
        located = locate(self.segmenter, view, reading, self.settings)
        times.append(time.perf_counter())
        others = find_other_matches(self.lvlm, self.segmenter, view, phrase, located, self.settings)
        times.append(time.perf_counter())
        result = answer(self.segmenter, view, phrase, located, self.settings, others)
        times.append(time.perf_counter())
        mask, again, rest = np.diff(times).tolist()
        timings = {**view.timings, "phrase": seconds, "again": again, "mask": mask + rest}
        return dataclasses.replace(
            result, heads=self.lvlm.heads or (), query=self.lvlm.family.query, timings=timings
        )

    def place(
        self, view: View, phrase: str, rows: np.ndarray, presence: float | None = None
    ) -> Grounding:
        """The grounding of given head maps (k, P, Q) and presence, without a search for others.

        :meth:`ground_many` reads both from the LVLM; measurements pass maps of their own.
        """
        located = locate(self.segmenter, view, Reading(rows, presence), self.settings)
        result = answer(self.segmenter, view, phrase, located, self.settings)
        return dataclasses.replace(result, heads=self.lvlm.heads or ())
