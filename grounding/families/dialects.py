"""How each family writes a box in words: the question that it was taught, and how to read it.

For the baseline of Kang et al. (CVPR 2025), Tab. 6, in which the model itself writes coordinates.
Sources: the model cards and papers of the families; where none describes a box, the question and
the form of LLaVA-1.5 are used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .geometry import Region

_NUMBER = r"(\d+(?:\.\d+)?)"
_COMMAS = r"\s*,\s*"
_BRACKETS = r"\[\s*" + _COMMAS.join([_NUMBER] * 4) + r"\s*\]"
_REGION = "Please provide the bounding box coordinate of the region this sentence describes: "


@dataclass(frozen=True)
class BoxDialect:
    """One way to write a box.

    Parameters
    ----------
    question : What the model is given in place of a phrase, with ``{phrase}`` once.
    pattern : A regular expression with the four coordinates as groups.
    scale : What a coordinate is a fraction of; None: pixels of the picture as it was prepared.
    rows_first : Whether y comes before x.

    Examples
    --------
    >>> box = BoxDialect().read("[0.25, 0, 0.5, 1.0]", (0, -50, 200, 150))
    >>> box
    (50.0, -50.0, 100.0, 150.0)
    >>> BoxDialect().read("I cannot see a dog.", (0, 0, 1, 1)) is None
    True
    """

    question: str = _REGION + "{phrase}"
    pattern: str = _BRACKETS
    scale: float | None = 1.0
    rows_first: bool = False

    def read(
        self, text: str, region: Region, prepared_wh: tuple[int, int] | None = None
    ) -> Region | None:
        """The first box in a text, xyxy in the region's pixels; None where there is none.

        A box of another scale, or without area, is none.

        `region` is the rectangle of the picture that the model was shown, and `prepared_wh` its
        size in pixels as it was shown, for a `scale` of None.
        """
        found = re.search(self.pattern, text)
        if found is None:
            return None
        a, b, c, d = map(float, found.groups())
        x0, y0, x1, y1 = (b, a, d, c) if self.rows_first else (a, b, c, d)
        width, height = prepared_wh or (1, 1)
        across, down = (width, height) if self.scale is None else (self.scale, self.scale)
        if not (0 <= x0 < x1 <= across and 0 <= y0 < y1 <= down):
            return None
        left, top, right, bottom = region
        wide, high = (right - left) / across, (bottom - top) / down
        return left + x0 * wide, top + y0 * high, left + x1 * wide, top + y1 * high


_LOCATIONS = BoxDialect("{phrase}", r"<loc(\d{4})>" * 4, 1024, rows_first=True)
_QWEN = (
    "Locate {phrase}, output its bbox coordinates using JSON format",
    r'"bbox(?:_2d)?"\s*:\s*' + _BRACKETS,
)
DIALECTS: dict[str, BoxDialect] = {
    "paligemma": _LOCATIONS,
    "gemma3": BoxDialect(
        'Detect {phrase} and output it as JSON with "box_2d"',
        r'"box_2d"\s*:\s*' + _BRACKETS,
        1000,
        rows_first=True,
    ),
    "qwen2_vl": BoxDialect(
        "<|object_ref_start|>{phrase}<|object_ref_end|>",
        rf"\({_NUMBER},\s*{_NUMBER}\),?\s*\({_NUMBER},\s*{_NUMBER}\)",
        1000,
    ),
    "qwen2_5_vl": BoxDialect(*_QWEN, scale=None),
    "qwen3_vl": BoxDialect(*_QWEN, scale=1000),
    "internvl": BoxDialect(_REGION + "<ref>{phrase}</ref>", _BRACKETS, 1000),
}
"""Family -> its dialect, where it is not LLaVA-1.5's."""


def box_dialect(family: str) -> BoxDialect:
    """The dialect of a family, by its name in `grounding.families.FAMILIES`."""
    return DIALECTS.get(family, BoxDialect())
