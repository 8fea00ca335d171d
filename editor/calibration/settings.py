"""How heads are found: every choice of the paper's Sec. 4 and this project's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ...grounding.heads.criteria import Binarise
from ...grounding.heads.ranking import Threshold
from ..errors import GroundbrushError

CRITERIA = ("sum", "contrast")
BINARISE = ("mean", "public-code")


@dataclass(frozen=True)
class CalibrationSettings:
    """How a model's heads are measured, ranked and chosen (Kang et al., CVPR 2025, Sec. 4).

    Parameters
    ----------
    samples, trials
        Image-phrase pairs a trial, and trials; the paper has 1,000 and 5. Where the data have
        fewer pairs than all trials together need, trials share pairs; where fewer than one needs,
        each trial is a bootstrap resample of all.
    threshold
        tau: the attention sum a head's mean must reach. None takes the elbow of the mean curve,
        ``"per-sample"`` each sample's own elbow, 0 switches the criterion off.
    lowest
        How many heads of lowest spatial entropy count as selected in a sample.
    skip_layers
        First layers left out, before the curve is drawn.
    heads
        How many heads to choose: the paper's k = 3.
    criterion
        ``"sum"``, the paper's, or ``"contrast"``: how differently a head looks for two phrases
        about one picture, for models so small that every head looks at the picture.
    binarise
        Cells that count for the entropy: above the ``"mean"``, or as the ``"public-code"`` has it.
    query, padding
        The query token and the treatment of the picture's shape; None = the preset's.
    seed
        Same seed, same pairs.
    """

    samples: int = 1000
    trials: int = 5
    threshold: Threshold = None
    lowest: int = 10
    skip_layers: int = 2
    heads: int = 3
    criterion: Literal["sum", "contrast"] = "sum"
    binarise: Binarise = "mean"
    query: str | None = None
    padding: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (
            ("samples", 1),
            ("trials", 1),
            ("lowest", 1),
            ("heads", 1),
            ("skip_layers", 0),
            ("seed", 0),
        ):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise GroundbrushError(
                    f"calibration's {name} is {value!r}; expected a whole number from {least}"
                )
        for name, known in (("criterion", CRITERIA), ("binarise", BINARISE)):
            if getattr(self, name) not in known:
                raise GroundbrushError(
                    f"calibration's {name} is {getattr(self, name)!r}; expected one of "
                    f"{', '.join(known)}"
                )
        number = isinstance(self.threshold, (int, float)) and not isinstance(self.threshold, bool)
        if self.threshold not in (None, "per-sample") and not (
            number and 0 <= float(self.threshold) <= 1
        ):
            raise GroundbrushError(
                f"calibration's threshold is {self.threshold!r}; expected an attention sum in "
                "[0, 1], 'per-sample', or None for the elbow"
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CalibrationSettings:
        """Build from a mapping such as a preset's ``lvlm.calibration``.

        Raises
        ------
        GroundbrushError
            For an unknown name or a value out of range.
        """
        known = {f.name for f in dataclasses.fields(cls)}
        for name in values:
            if name not in known:
                raise GroundbrushError(
                    f"calibration settings hold the unknown name {name!r}; expected some of "
                    f"{', '.join(sorted(known))}"
                )
        return cls(**values)

    @property
    def measuring(self) -> dict[str, Any]:
        """The part that decides what is measured; the rest only ranks and costs nothing."""
        return {
            "binarise": self.binarise,
            "criterion": self.criterion,
            "query": self.query,
            "padding": self.padding,
            "seed": self.seed,
        }
