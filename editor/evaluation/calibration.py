"""Calibrate a preset: find its heads on pictures with phrases, and write preset and report."""

from __future__ import annotations

import dataclasses
import datetime
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...grounding.attention.model import LVLM
from ...grounding.errors import GroundingError
from ...grounding.families import FAMILIES
from ...grounding.heads.discovery import DiscoverySettings, DrawnPair, draw_pairs, measure_pairs
from ...grounding.heads.figures import all_figures, head_grid
from ...grounding.heads.measured_pairs import (
    HEADER,
    RECORDS,
    MeasuredPairs,
    MeasurementStore,
    load_measured,
    measure_missing,
)
from ...grounding.heads.report import ranking_facts, report_page
from ...grounding.heads.trials import HeadDiscovery
from ..errors import GroundbrushError, one_line, translate
from ..files import atomic_write, safe_name
from ..machine import measured_on
from ..models.bundled import bundled_scenes
from ..models.models import Models
from ..models.presets import Preset, load_preset, preset_names, weights_stamp
from ..pictures.picture import open_picture
from ..workers.pool import LocalPool, Pool, Unit, Work
from .ablations import ablation_arms
from .arms import Arm
from .items import Item
from .readers import benchmark, read_items

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LIKE = "llava-1.5-7b"
_NOT_ATTENTION = ("heads", "provenance", "presence", "full", "calibration", "device_map")
"""Parts of a preset's LVLM that do not change its attention."""


@dataclass(frozen=True, eq=False)
class Calibrated:
    """The discovery and the files it wrote."""

    found: HeadDiscovery
    files: dict[str, Path]


def run_calibration(
    preset: Preset,
    out: Path,
    settings: DiscoverySettings,
    *,
    data: Path | None = None,
    fresh: bool = False,
    figures: bool = True,
    on_pair: Callable[[int, int], None] | None = None,
    pool: Pool | None = None,
    **options: Any,
) -> Calibrated:
    """Find a preset's heads and write its report; an interrupted run resumes.

    Parameters
    ----------
    preset : Describes the LVLM; its present heads are not used.
    out : Directory for measurements, preset, ranking, figures and page.
    data : Pictures with phrases (see `read_data`); None = the bundled scenes.
    fresh : Measure again what an earlier run has measured.
    figures : Draw them.
    on_pair : Called with (pairs measured, pairs in all).
    pool : Workers that measure (such as a `RayPool`); None = this process, which loads
        the LVLM anyway.
    options : As for :class:`editor.models.models.Models`.

    Raises GroundbrushError for data that cannot be read, other measurements in the directory, or a
    model that fails.
    """
    source = data or bundled_scenes(on_compose=options.get("on_load"))
    pairs = draw_pairs(read_data(source), settings)
    changes = {k: v for k in ("query", "padding") if (v := getattr(settings, k)) is not None}
    changed = dataclasses.replace(preset, lvlm={**preset.lvlm, **changes})

    def load() -> LVLM:
        return Models(changed, **options).lvlm()

    lvlm = load()
    for name in (RECORDS, HEADER) if fresh else ():
        (out / name).unlink(missing_ok=True)
    header = {
        "what": "groundbrush calibration",
        "data": str(source.resolve()),
        "lvlm": {k: v for k, v in changed.lvlm.items() if k not in _NOT_ATTENTION},
        **settings.measuring,
        "weights": weights_stamp(preset.path("lvlm")),
    }
    with translate(GroundingError):
        store = MeasurementStore(out, header, lvlm.n_layers, lvlm.n_heads)
        loader = load if pool else lambda: lvlm
        measured = measure(loader, pairs, settings, store, on_pair=on_pair, pool=pool)
        found = HeadDiscovery(measured, settings)
        drawn = _figures(found, lvlm, pairs) if figures else {}
        where = "the bundled composed scenes" if data is None else source.name
        return Calibrated(found, write_report(found, preset, where, out, drawn))


def discovery_settings(preset: Preset, **given: Any) -> DiscoverySettings:
    """The paper's settings, a preset's own and the given ones, the last ones winning."""
    with translate(GroundingError):
        return DiscoverySettings.from_dict({**preset.lvlm.get("calibration", {}), **given})


def ablations_of(
    preset: Preset,
    calibration: Path | None,
    *,
    out: Path,
    contrast: bool = False,
    data: Path | None = None,
    **run: Any,
) -> list[Arm]:
    """Every ablation's arm, with heads from an earlier calibration or from one made now in `out`.

    Parameters
    ----------
    calibration : The directory of an earlier one, or None.
    contrast : Calibrate by contrast, too; an earlier calibration's is in its folder ``contrast``.
    data : Pictures to calibrate on now; None = the bundled scenes.
    run : ``device``, ``offline`` and ``on_load`` of `run_calibration`.
    """
    settings = discovery_settings(preset)

    def measured(folder: Path, how: DiscoverySettings) -> MeasuredPairs:
        options = {"data": data, "figures": False, **run}
        return run_calibration(preset, folder, how, **options).found.measured

    with translate(GroundingError):
        contrasts = None
        if calibration is not None:
            found, other = load_measured(calibration), calibration / "contrast"
            contrasts = load_measured(other).heads if other.is_dir() else None
        else:
            found = measured(out, settings)
            if contrast:
                how = dataclasses.replace(settings, criterion="contrast")
                contrasts = measured(out / "contrast", how).heads
        return ablation_arms(
            preset.lvlm,
            found.heads,
            ious=found.mean_ious,
            contrasts=contrasts,
            lowest=settings.lowest,
            skip_layers=settings.skip_layers,
            threshold=settings.threshold,
        )


def preset_for(given: str, *, family: str | None = None, like: str = LIKE) -> Preset:
    """A preset by name or file; or one made for a model: a folder or a repository.

    Parameters
    ----------
    given : A preset's name, a ``.json`` file, a folder or a repository's name (``owner/name``).
    family : Of a model; None reads it from the folder's config.
    like : Preset that lends a model its segmenter and inpainter.

    Raises GroundbrushError for an unknown preset, or a folder with an unknown family.
    """
    folder = Path(given).expanduser()
    named = given in preset_names() or given.endswith(".json")
    if named or not (folder.is_dir() or given.count("/") == 1):
        return load_preset(given)  # which suggests a close name
    base = load_preset(like)
    path = str(folder.resolve()) if folder.is_dir() else given
    lvlm = {"path": path, "family": family or _family_of(folder)}
    return Preset(
        name=safe_name(path.rstrip("/").split("/")[-1]),
        about=f"{given} with the segmenter and inpainter of {like}",
        lvlm={**lvlm, "dtype": base.lvlm.get("dtype", "float32")},
        segmenter=base.segmenter,
        inpainter=base.inpainter,
        grounding=base.grounding,
    )


def _family_of(folder: Path) -> str:
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        if folder.is_dir():
            raise GroundbrushError(
                f"{str(folder)!r} has no config.json that names a model type; expected a folder "
                "written by save_pretrained"
            ) from None
        return "llava"
    for name, family in FAMILIES.items():
        if kind in family.model_types:
            return name
    raise GroundbrushError(
        f"{str(folder)!r} holds a {kind!r} model; expected one of the families "
        f"{', '.join(FAMILIES)}: name the nearest with --family"
    )


def read_data(data: Path) -> list[Item]:
    """Items of a JSONL file, of a folder with ``examples.jsonl``, or of RefCOCO's train split.

    Raises GroundbrushError where there is none of these.
    """
    if data.is_file() or (data / "examples.jsonl").is_file():
        found = read_items(benchmark("scenes"), data)
    elif (data / "refcoco").is_dir():
        found = read_items(benchmark("refcoco"), data, "train")
    else:
        raise GroundbrushError(
            f"{str(data)!r} holds no calibration data; expected a .jsonl file, a folder with "
            "examples.jsonl, or the folder that holds refcoco/"
        )
    return [item for item in found if item.kind != "absent"]


def measure(
    load: Callable[[], LVLM],
    pairs: Sequence[DrawnPair],
    settings: DiscoverySettings,
    store: MeasurementStore,
    *,
    on_pair: Callable[[int, int], None] | None = None,
    pool: Pool | None = None,
) -> MeasuredPairs:
    """Measure the pairs that the store does not hold yet, picture by picture.

    Parameters
    ----------
    load : Loads the LVLM with all layers where the work is done.
    pairs : From `draw_pairs`, one picture's side by side.
    settings, store : What is measured, and where the numbers are kept.
    on_pair, pool : As for `run_calibration`.

    Raises GroundbrushError when no pair could be measured.
    """

    def answers(groups: list[list[DrawnPair]]) -> Iterator[tuple[list[DrawnPair], list]]:
        units = [[Unit(f"the picture {same[0].item.image}", same)] for same in groups]
        for answer in (pool or LocalPool()).map(partial(_work, load, settings), units):
            same = answer.unit.value
            yield same, answer.value or [str(answer.gave_up)] * len(same)

    found = measure_missing(store, pairs, answers, on_pair)
    if not len(found):
        why = f": {found.skipped[1]}" if found.skipped[1:] else ""
        raise GroundbrushError(f"none of the {len(pairs)} pairs could be measured{why}")
    return found


def _work(load: Callable[[], LVLM], settings: DiscoverySettings) -> Work:
    """Measures one picture's pairs: JSON-able numbers, or the reason why there are none."""
    lvlm = load()

    def measure_picture(pairs: Sequence[DrawnPair]) -> list[dict[str, Any] | str]:
        try:
            pixels = open_picture(pairs[0].item.image).pixels
            found = list(measure_pairs(lvlm, pixels, pairs, settings, true_mask))
        except (GroundbrushError, GroundingError) as error:
            return [one_line(error)] * len(pairs)
        return [
            one_line(one) if isinstance(one, Exception) else {k: v.tolist() for k, v in one.items()}
            for one in found
        ]

    return measure_picture


def true_mask(item: Item, size_wh: tuple[int, int]) -> NDArray[np.bool_] | None:
    """An item's mask, or its box as one; None where it has neither."""
    if item.truth is not None:
        try:
            return item.truth.draw(size_wh) == 1
        except GroundbrushError as error:
            raise GroundingError(str(error)) from error
    if item.box is None:
        return None
    mask = np.zeros(size_wh[::-1], bool)
    x0, y0, x1, y1 = (round(v) for v in item.box)
    mask[max(0, y0) : y1, max(0, x0) : x1] = True
    return mask


def write_report(
    found: HeadDiscovery, preset: Preset, data: str, out: Path, figures: Mapping[str, Figure]
) -> dict[str, Path]:
    """Write the preset, the ranking, the figures and the page; return the files by name."""
    files = {
        "preset": out / f"{preset.name}.json",
        "ranking": out / "ranking.json",
        "page": out / "report.md",
    }
    text = json.dumps(preset_with_heads(preset, found, data), indent=2, ensure_ascii=False)
    text = re.sub(r"\[\s+(\d+),\s+(\d+)\s+\]", r"[\1, \2]", text)  # one head, one line
    atomic_write(files["preset"], (text + "\n").encode())
    atomic_write(files["ranking"], json.dumps(ranking_facts(found), indent=1).encode())
    for name, figure in figures.items():
        files[name] = out / f"{name}.png"
        atomic_write(files[name], partial(figure.savefig, format="png", dpi=130))
    source = f"{provenance(preset, found, data)}.\nRanked {measured_on()}."
    page = report_page(found, f"Localization heads of {preset.name}", source, figures)
    atomic_write(files["page"], page.encode())
    return files


def preset_with_heads(preset: Preset, found: HeadDiscovery, data: str) -> dict[str, Any]:
    """The preset as JSON-able values, with the heads and the query and padding they belong to."""
    lvlm = {
        **preset.lvlm,
        "heads": [list(pair) for pair in found.heads],
        "provenance": provenance(preset, found, data),
    }
    lvlm.pop("full", None)
    for name in ("query", "padding"):
        if (value := getattr(found.settings, name)) is not None:
            lvlm[name] = value
    raw = {
        "name": preset.name,
        "about": preset.about,
        "licence": preset.licence,
        "size_gb": preset.size_gb,
        "vocabulary": preset.vocabulary,
        "lvlm": lvlm,
        "segmenter": dict(preset.segmenter),
        "inpainter": dict(preset.inpainter),
        "grounding": dict(preset.grounding),
    }
    return {name: value for name, value in raw.items() if value is not None}


def provenance(preset: Preset, found: HeadDiscovery, data: str) -> str:
    """The source of the heads in one sentence, for the preset."""
    settings, ranking = found.settings, found.ranking
    query = settings.query or preset.lvlm.get("query", "stop")
    return (
        f"label-free discovery by `groundbrush calibrate` on {data}: {len(found.measured)} pairs, "
        f"{settings.trials} trials of {ranking.samples}, criterion {settings.criterion}, "
        f"query {query}, "
        f"tau {ranking.threshold:.3f}, {datetime.date.today().isoformat()}"
    )


def _figures(found: HeadDiscovery, lvlm: LVLM, pairs: Iterable[DrawnPair]) -> dict[str, Figure]:
    figures = all_figures(found)
    item = min(pairs, key=lambda pair: pair.number).item
    try:
        pixels = open_picture(item.image).pixels
        rows = lvlm.head_rows(lvlm.encode(pixels, all_layers=True), [item.phrase])[0]
    except (GroundbrushError, GroundingError):  # the first pair may be one that was left out
        return figures
    return {**figures, "head-grid": head_grid(pixels, rows, item.phrase, found.heads)}
