"""How a map becomes a box, masks and a status: the settings of each stage. No logic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .checks import check_choice, check_kinds, check_names, check_range
from .errors import GroundingError

PROMPTS = ("box", "peak", "box+peak", "box+map", "component")
"""The first box; each peak; the first box with a peak inside it; with the map as mask; the rest."""
AGREEMENTS = ("cosine", "contrast")


@dataclass(frozen=True)
class BoxSettings:
    """How boxes are cut out of a map.

    Parameters
    ----------
    threshold : Where the map is compared with its mean: on the token ``"grid"``, or on the
        ``"picture"`` after bilinear upsampling.
    cells : Which cells take part: those on the ``"picture"``, or ``"all"``, its padding too.
    component : ``"largest"``: the 8-connected component with most cells comes first; ``"hull"``:
        the one with the largest convex hull; ``"all"``: one box around everything.
    undo_padding : False lays the padded square directly onto the picture, as the public code does.
        That is wrong; it is kept to measure the effect.
    """

    threshold: str = "grid"
    cells: str = "picture"
    component: str = "largest"
    undo_padding: bool = True

    def __post_init__(self) -> None:
        check_kinds(self)
        check_choice("boxes.threshold", self.threshold, ("grid", "picture"))
        check_choice("boxes.cells", self.cells, ("picture", "all"))
        check_choice("boxes.component", self.component, ("largest", "hull", "all"))


@dataclass(frozen=True)
class ProposalSettings:
    """How masks are proposed and ranked.

    Parameters
    ----------
    mode : ``"map"``: all `prompts`, ranked by agreement and score; ``"paper"``: the first box alone
        and SAM's single mask.
    prompts : Some of :data:`PROMPTS`. ``"box+map"`` is not a default: where a map covers a part of
        the object, the mask that it prompts covers that part and agrees with it too well.
    peaks : How many peaks of the map serve as points.
    agreement : ``"cosine"`` between mask and map, or ``"contrast"``, mean inside minus mean
        outside.
    score_power : Masks are ranked by agreement times score to this power. At 1, maps that cover a
        third of the object favour parts of objects (mean IoU .66 on drawn maps, .80 at 2).
    box_weight : Masks that a box prompted count this much in the ranking. Below 1, SAM's answer to
        a point, which finds the extent itself, goes before a box that fits the map a little better.
    duplicate_iou : Of two masks with a larger IoU only the better ranked one stays.
    keep : How many proposals to return at most.
    surer : The best mask gives way to a larger one that holds it if SAM's score times the mask's
        stability is larger by this much: it was a part of a thing. 1 = never.
    proxy : Longest side, in pixels, of the returned masks; smaller pictures keep their size.
    """

    mode: str = "map"
    prompts: tuple[str, ...] = ("box", "peak", "box+peak", "component")
    peaks: int = 3
    agreement: str = "cosine"
    score_power: float = 2.0
    box_weight: float = 1.0
    duplicate_iou: float = 0.85
    keep: int = 6
    surer: float = 0.12
    proxy: int = 1024

    def __post_init__(self) -> None:
        check_kinds(self)
        check_choice("mode", self.mode, ("map", "paper"))
        unknown = [name for name in self.prompts if name not in PROMPTS]
        if unknown or not self.prompts:
            raise GroundingError(
                f"prompts are {self.prompts!r}; expected some of {', '.join(PROMPTS)}"
            )
        check_choice("agreement", self.agreement, AGREEMENTS)
        if not 0 <= self.score_power < 100:
            raise GroundingError(f"score_power is {self.score_power}; expected 0 or more")
        if not 0 < self.duplicate_iou <= 1:
            raise GroundingError(f"duplicate_iou is {self.duplicate_iou}; expected above 0, to 1")
        check_range(self, "peaks keep proxy", 1)
        check_range(self, "surer box_weight", 0, 1)


@dataclass(frozen=True)
class GroundingSettings:
    """How head maps become a mask and a status.

    Parameters
    ----------
    sigma, kernel : Gaussian smoothing of each head's map, in cells (Kang et al., Sec. 5: 1.0 and
        7).
    boxes, proposals : How boxes are cut out of the map, and how SAM is prompted with them.
    refine : Refine the mask's border with GrabCut.
    absent_below : A presence answer below this means absent.
    ambiguous_above : A rival with a rank value above this share of the best one's makes the result
        ambiguous, unless covered matches were searched for.
    looks : How often at most the picture is read again with the matches covered, to see whether the
        phrase also matches another object; 0 = never. Each costs a reading of the picture, and the
        first that finds nothing is the last. See :mod:`grounding.localize.ambiguity`.
    again_above : A presence answer above this, with the matches covered, means that there is
        another one.
    uncertain_below : A score below this is uncertain.
    reword : Normalise phrases before querying the model ("a dog" -> "the dog") and subtract the map
        of any excluded term ("the apple that is not green"); see
        :mod:`grounding.attention.normalize`.
    proxy : Longest side, in pixels, of the copy that the models read; larger pictures are shrunk.
    """

    sigma: float = 1.0
    kernel: int = 7
    boxes: BoxSettings = field(default_factory=BoxSettings)
    proposals: ProposalSettings = field(default_factory=ProposalSettings)
    refine: bool = True
    absent_below: float = 0.5
    ambiguous_above: float = 0.85
    looks: int = 0
    again_above: float = 0.95
    uncertain_below: float = 0.35
    reword: bool = True
    proxy: int = 1536

    def __post_init__(self) -> None:
        check_kinds(self)
        check_range(self, "absent_below ambiguous_above again_above uncertain_below", 0, 1)
        if not 0 <= self.looks <= 9:
            raise GroundingError(f"looks is {self.looks}; expected 0 (never) to 9")
        if self.proxy < 64:
            raise GroundingError(f"proxy is {self.proxy}; expected at least 64 pixels")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> GroundingSettings:
        """Build from a mapping such as a preset's; absent fields keep their defaults."""
        check_names(cls, values, "grounding settings hold")
        given = dict(values)
        for name, kind in (("proposals", ProposalSettings), ("boxes", BoxSettings)):
            if isinstance(part := given.get(name), Mapping):
                check_names(kind, part, f"grounding.{name} holds")
                plain: Any = {k: tuple(v) if isinstance(v, list) else v for k, v in part.items()}
                given[name] = kind(**plain)
        return cls(**given)
