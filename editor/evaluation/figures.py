"""Draw a figure of the paper with some presets, from what `calibrate` and `evaluate` measure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...grounding.attention.model import LVLM
from ...grounding.errors import GroundingError
from ...grounding.heads.criteria import attention_sums, spatial_entropy
from ...grounding.heads.figures import discovery_figure, picture_grid
from ...grounding.heads.measured_pairs import load_measured
from ...grounding.heads.report import ranking_facts
from ...grounding.heads.trials import HeadDiscovery
from ...grounding.localize.maps import combine_maps
from ...grounding.pipeline import Grounder
from ..errors import GroundbrushError, translate
from ..files import atomic_write
from ..machine import measured_on
from ..models.models import Models
from ..models.presets import Preset
from ..pictures.overlay import draw_mask
from ..pictures.picture import open_picture
from .calibration import discovery_settings, run_calibration, true_mask
from .items import Item
from .job import EvaluationJob, OnProgress, run_evaluation
from .paper import PNG
from .png import read_narratives
from .report import page
from .sheet import failures
from .tables import TableJob

Panels = list[list[tuple[str, NDArray]]]
_EXAMPLES = 3


@dataclass(eq=False)
class FigureSource:
    """What the figures of one preset are drawn from; each part is measured when first used.

    Parameters
    ----------
    benchmark : Name in `job.data` of the pictures with phrases.
    split : Of the benchmark; None = all.
    """

    preset: Preset
    job: TableJob
    benchmark: str
    split: str | None = None
    on_progress: OnProgress | None = None

    @cached_property
    def discovery(self) -> HeadDiscovery:
        """The ranking of heads: of `job.calibration`, or made now."""
        settings = discovery_settings(self.preset)
        if self.job.calibration is not None:
            with translate(GroundingError):
                return HeadDiscovery(load_measured(self.job.calibration), settings)
        options = self.job.calibrated(self.preset, self.benchmark)
        options |= {"settings": settings, "figures": False, "on_pair": self.on_progress}
        return run_calibration(self.preset, **options).found

    @cached_property
    def models(self) -> Models:
        """The preset's models."""
        return Models(self.preset, **self.job.run)

    @property
    def grounder(self) -> Grounder:
        """The preset's grounder; refused where it has no heads."""
        if self.preset.find:
            raise GroundbrushError(
                f"preset {self.preset.name!r} has no attention heads to draw; use one with an lvlm"
            )
        return self.models.grounder()

    @cached_property
    def evaluation(self) -> EvaluationJob:
        """The evaluation of the preset as it is."""
        options = self.job.of(self.preset, self.benchmark)
        return EvaluationJob(benchmark=self.benchmark, split=self.split, **options)

    @cached_property
    def items(self) -> list[Item]:
        """Phrases that name something there."""
        return [item for item in self.evaluation.items() if item.kind != "absent"]

    @cached_property
    def lvlm(self) -> LVLM:
        """The LVLM with all layers."""
        return self.models.lvlm()

    def rows(self, item: Item) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """A picture and the attention rows (L, H, P, Q) of its phrase."""
        pixels = open_picture(item.image).pixels
        with translate(GroundingError):
            encoded = self.lvlm.encode(pixels, all_layers=True)
            return pixels, self.lvlm.head_rows(encoded, [item.phrase])[0]

    @property
    def heads(self) -> list[tuple[int, int]]:
        """The preset's heads, or those that are found."""
        given = self.preset.lvlm.get("heads")
        return [(layer, head) for layer, head in given] if given else list(self.discovery.heads)


@dataclass(frozen=True)
class PaperFigure:
    """One figure: parts of a discovery, or pictures."""

    title: str
    parts: tuple[str, ...] = ()
    pictures: Callable[[FigureSource], Panels] | None = None


def paper_figure(number: int) -> PaperFigure:
    """A figure by its number; raises GroundbrushError for one that is not drawn."""
    if number not in FIGURES:
        raise GroundbrushError(
            f"figure {number} given; expected one of {', '.join(map(str, FIGURES))}"
        )
    return FIGURES[number]


def write_figure(number: int, sources: Sequence[FigureSource]) -> dict[str, Path]:
    """Draw a figure and write it with its numbers and a page; the files by name.

    Raises GroundbrushError for a figure that is not drawn, or data and models that cannot be read.
    """
    spec, job = paper_figure(number), sources[0].job
    with translate(GroundingError):
        if spec.pictures is None:
            found = {source.preset.name: source.discovery for source in sources}
            figure = discovery_figure(spec.parts, found)
            numbers: dict[str, Any] = {name: ranking_facts(one) for name, one in found.items()}
        else:
            rows = {source.preset.name: spec.pictures(source) for source in sources}
            figure = picture_grid([row for own in rows.values() for row in own])
            numbers = {n: [[title for title, _ in row] for row in own] for n, own in rows.items()}
    files = {s: job.out / f"figure-{number}.{s}" for s in ("png", "json", "md")}
    atomic_write(files["png"], partial(figure.savefig, format="png", dpi=130))
    atomic_write(files["json"], json.dumps(numbers, indent=1).encode())
    facts = {
        "drawn": measured_on(job.run.get("device", "auto")),
        "presets": ", ".join(source.preset.name for source in sources),
    }
    title = f"Figure {number}: {spec.title}"
    picture = f"![{title}]({files['png'].name})"
    atomic_write(files["md"], page(title, facts, [("Figure", picture)]).encode())
    return files


def _attention(source: FigureSource) -> Panels:
    """The thing, the mean of all heads, the chosen heads, and their pseudo-mask (Fig. 1)."""
    panels: Panels = []
    for item in source.items[:_EXAMPLES]:
        pixels, rows = source.rows(item)
        chosen = [rows[head] for head in source.heads]
        combined = combine_maps(np.stack(chosen), 1.0, 7)
        panels.append(
            [
                (item.phrase, _with_truth(pixels, item)),
                ("mean of all heads", rows.mean((0, 1))),
                *((_name(head), one) for head, one in zip(source.heads, chosen, strict=True)),
                ("pseudo-mask", (combined > combined.mean()).astype(float)),
            ]
        )
    return panels


def _entropy(source: FigureSource) -> Panels:
    """A map of low and one of high spatial entropy, and the components that make it (Fig. 4)."""
    import cv2

    item = source.items[0]
    pixels, rows = source.rows(item)
    entropies = np.where(attention_sums(rows) > 0.1, spatial_entropy(rows), np.nan)
    entropies[~np.isfinite(entropies)] = np.nan
    panels: Panels = []
    for words, at in (("low", np.nanargmin(entropies)), ("high", np.nanargmax(entropies))):
        head = tuple(int(v) for v in np.unravel_index(at, entropies.shape))
        above = (rows[head] > rows[head].mean()).astype(np.uint8)
        count, parts = cv2.connectedComponents(above, connectivity=8)
        panels.append(
            [
                (item.phrase, pixels),
                (f"{_name(head)}, {words} entropy", rows[head]),
                ("above its mean", above.astype(float)),
                (f"{count - 1} components, H = {entropies[head]:.2f}", parts.astype(float)),
            ]
        )
    return panels


def _overview(source: FigureSource) -> Panels:
    """The heads of lowest entropy on one pair, and how often each is among them (Fig. 5)."""
    item, found = source.items[0], source.discovery
    pixels, rows = source.rows(item)
    admitted = found.ranking.mean_sums >= found.ranking.threshold
    admitted[: found.settings.skip_layers] = False
    entropies = np.where(admitted, spatial_entropy(rows), np.inf)
    order = np.lexsort((-attention_sums(rows).ravel(), entropies.ravel()))
    lowest = order[: max(found.settings.lowest, len(found.heads))].tolist()
    panels = [(item.phrase, pixels)]
    for at in (one for one in lowest if np.isfinite(entropies.flat[one])):
        head = divmod(at, rows.shape[1])
        often = f"in {found.ranking.frequency[head]:.0%} of the pairs"
        panels.append((f"{_name(head)}, H = {entropies[head]:.2f}, {often}", rows[head]))
    return [panels[at : at + 6] for at in range(0, len(panels), 6)]


def _failure(source: FigureSource) -> Panels:
    """The worst answer: the heads' maps, what was found and what is true (Fig. 9)."""
    options = {**source.job.run, "on_progress": source.on_progress}
    found = run_evaluation(source.evaluation, source.preset, **options)
    worst = failures(found.records, 1)
    if not worst:
        raise GroundbrushError(
            f"no answer of {len(found.records)} has an IoU below one half; give more with --limit"
        )
    item = next(item for item in source.items if item.id == worst[0]["item"])
    pixels, rows = source.rows(item)
    with translate(GroundingError):
        answer = source.grounder.ground(source.grounder.look(pixels), item.phrase)
    maps = [(_name(head), rows[head]) for head in source.heads]
    answered = (f"found: {answer.status}", draw_mask(pixels, answer.mask))
    return [[(item.phrase, pixels), *maps, answered, ("true", _with_truth(pixels, item))]]


def _caption(source: FigureSource) -> Panels:
    """A caption read once: each noun phrase's mean map and its mask (Fig. 10)."""
    from ...multiobject.find.ground_all import caption_rows
    from ...multiobject.narrative_benchmark import ground_narrative

    narrative = read_narratives(source.job.data[PNG], source.job.narratives)[0].narrative
    pixels, grounder = open_picture(narrative.image_file).pixels, source.grounder
    with translate(GroundingError):
        view = grounder.look(pixels)
        found = ground_narrative(grounder, view, narrative, mode="caption")
        spans = [segment.span for segment in found.segments]
        rows = caption_rows(grounder.lvlm, view.encoded, narrative.caption, spans)
    maps = [(s.phrase, row.mean(0)) for s, row in zip(found.segments, rows, strict=True)]
    masks = [(s.status, draw_mask(pixels, s.mask)) for s in found.segments]
    return [[(narrative.caption, pixels), *maps], [("masks", pixels), *masks]]


def _with_truth(pixels: NDArray[np.uint8], item: Item) -> NDArray[np.uint8]:
    """The picture with the true mask (or box) drawn, where it is known."""
    size = pixels.shape[1::-1]
    mask = true_mask(item, size)
    return draw_mask(pixels, np.zeros(size[::-1], bool) if mask is None else mask)


def _name(head: Sequence[int]) -> str:
    return f"L{head[0]}H{head[1]}"


_SUMS, _SELECTION = ("attention-sums",), ("frequencies", "frequency-and-iou")
FIGURES: Mapping[int, PaperFigure] = {
    1: PaperFigure("the localization heads' attention, and the mean of all", pictures=_attention),
    3: PaperFigure("attention sum of every head, and τ", _SUMS),
    4: PaperFigure("spatial entropy of a compact and of a scattered map", pictures=_entropy),
    5: PaperFigure("finding localization heads on one pair", pictures=_overview),
    6: PaperFigure("selection frequency, and IoU by frequency rank", _SELECTION),
    9: PaperFigure("where the heads attend when the answer is wrong", pictures=_failure),
    10: PaperFigure("several things of one caption", pictures=_caption),
    11: PaperFigure("attention sums of several models", _SUMS),
    12: PaperFigure("selection frequency and IoU of several models", _SELECTION),
    13: PaperFigure("selection frequency at other thresholds τ", ("robustness-tau",)),
    14: PaperFigure("selection frequency at other numbers N", ("robustness-lowest",)),
}
"""Figs. 2 and 7 are diagrams; 8 and 15 to 19 are galleries of results."""
