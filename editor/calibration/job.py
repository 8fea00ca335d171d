"""A whole calibration: data, pairs, measurements, ranking, report; the sentence."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...grounding.errors import GroundingError
from ...grounding.families import FAMILIES
from ..errors import GroundbrushError, translate
from ..evaluation.arms import Arm, ablation_arms
from ..files import safe_name
from ..models.models import Models
from ..models.presets import Preset, load_preset, preset_names
from ..models.weights import weights_stamp
from ..pictures.picture import open_picture
from ..workers.pool import Pool
from .bundled import bundled_scenes
from .figures import all_figures, head_grid
from .measure import Measured, Store, measure_pairs
from .report import write_report
from .result import Calibration
from .samples import Pair, draw_pairs, read_data
from .settings import CalibrationSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ...grounding.attention.model import LVLM

LIKE = "llava-1.5-7b"


@dataclass(frozen=True, eq=False)
class Calibrated:
    """The calibration and the files it wrote."""

    found: Calibration
    files: dict[str, Path]


def preset_for(given: str, *, family: str | None = None, like: str = LIKE) -> Preset:
    """A preset by name or file; or one made for a model: a folder or a repository.

    Parameters
    ----------
    given
        A preset's name, a ``.json`` file, a folder or a repository's name (``owner/name``).
    family
        Of a model; None reads it from the folder's config.
    like
        Preset that lends a model its segmenter and inpainter.

    Raises
    ------
    GroundbrushError
        For an unknown preset, or a folder whose family is not known.
    """
    if given in preset_names() or given.endswith(".json"):
        return load_preset(given)
    folder = Path(given).expanduser()
    if not folder.is_dir() and given.count("/") != 1:
        return load_preset(given)  # which says what is near
    base = load_preset(like)
    chosen = family or _family_of(folder)
    path = str(folder.resolve()) if folder.is_dir() else given
    return Preset(
        name=safe_name(path.rstrip("/").split("/")[-1]),
        about=f"{given} with the segmenter and inpainter of {like}",
        lvlm={"path": path, "family": chosen, "dtype": base.lvlm.get("dtype", "float32")},
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


def run_calibration(
    preset: Preset,
    out: Path,
    settings: CalibrationSettings,
    *,
    data: Path | None = None,
    device: str = "auto",
    offline: bool = False,
    fresh: bool = False,
    figures: bool = True,
    on_load: Callable[[str], None] | None = None,
    on_pair: Callable[[int, int], None] | None = None,
    pool: Pool | None = None,
) -> Calibrated:
    """Find a preset's heads and write its report; an interrupted run goes on where it was.

    Parameters
    ----------
    preset
        Whose LVLM; its present heads play no part.
    out
        Folder for measurements, preset, ranking, figures and page.
    settings
        See :class:`CalibrationSettings`.
    data
        Pictures with phrases (see `read_data`); None = the bundled scenes.
    device, offline, on_load
        As for :class:`editor.models.models.Models`.
    fresh
        Measure again what an earlier run has measured.
    figures
        Draw them.
    on_pair
        Called with (pairs measured, pairs in all).
    pool
        Who measures (`open_pool`); None: this process, which has the LVLM anyway.

    Raises
    ------
    GroundbrushError
        For data that cannot be read, other measurements in the folder, or a model that fails.
    """
    source = data or bundled_scenes(on_compose=on_load)
    told = "the bundled composed scenes" if data is None else source.name
    pairs = draw_pairs(read_data(source), settings)
    changes = {k: v for k in ("query", "padding") if (v := getattr(settings, k)) is not None}
    changed = dataclasses.replace(preset, lvlm={**preset.lvlm, **changes})

    def load() -> LVLM:
        return Models(changed, device=device, offline=offline, on_load=on_load).lvlm()

    lvlm = load()
    if fresh:
        for name in ("measurements.bin", "measurements.json"):
            (out / name).unlink(missing_ok=True)
    header = {
        "what": "groundbrush calibration",
        "data": str(source.resolve()),
        "lvlm": _spec(changed),
        **settings.measuring,
        "weights": weights_stamp(preset.path("lvlm")),
    }
    store = Store(out, header, lvlm.n_layers, lvlm.n_heads)
    measured = measure_pairs(
        lvlm,
        pairs,
        settings,
        store,
        on_pair=on_pair,
        pool=pool,
        load=None if pool is None else load,
    )
    found = Calibration(measured, settings)
    drawn = _figures(found, lvlm, pairs) if figures else {}
    return Calibrated(found, write_report(found, preset, told, out, drawn))


def _spec(preset: Preset) -> dict[str, Any]:
    """What of the LVLM's description decides its attention."""
    unused = ("heads", "provenance", "presence", "full", "calibration")
    return {k: v for k, v in preset.lvlm.items() if k not in unused}


def _figures(found: Calibration, lvlm: LVLM, pairs: list[Pair]) -> dict[str, Figure]:
    made = all_figures(found)
    item = min(pairs, key=lambda pair: pair.number).item
    try:
        with translate(GroundingError):
            pixels = open_picture(item.image).pixels
            rows = lvlm.head_rows(lvlm.encode(pixels, all_layers=True), [item.phrase])[0]
    except GroundbrushError:  # the first pair may be one of those that were left out
        return made
    return {**made, "head-grid": head_grid(pixels, rows, item.phrase, found.heads)}


def load_measured(folder: Path) -> Measured:
    """What an earlier calibration measured, from its folder.

    Raises
    ------
    GroundbrushError
        Where the folder holds no measurements.
    """
    said = folder / "measurements.json"
    try:
        header = json.loads(said.read_text(encoding="utf-8"))
        store = Store(
            folder,
            {k: v for k, v in header.items() if k not in ("layers", "heads")},
            int(header["layers"]),
            int(header["heads"]),
        )
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
        MemoryError,
        RecursionError,
    ) as error:
        raise GroundbrushError(
            f"{str(folder)!r} holds no measurements; expected the --out folder of `groundbrush "
            "calibrate`"
        ) from error
    found = store.measured()
    if not len(found):
        raise GroundbrushError(f"{str(folder)!r} holds no finished measurement; calibrate first")
    return found


def ablations_of(
    preset: Preset,
    calibration: Path | None,
    *,
    out: Path,
    data: Path | None = None,
    device: str = "auto",
    offline: bool = False,
    on_load: Callable[[str], None] | None = None,
) -> list[Arm]:
    """Every ablation's arm, with heads from an earlier calibration or from one made now in `out`.

    Parameters
    ----------
    calibration
        The folder of an earlier one, or None.
    data
        What to calibrate on now; None = the bundled scenes.
    """
    settings = CalibrationSettings.from_dict(preset.lvlm.get("calibration", {}))
    if calibration is not None:
        measured = load_measured(calibration)
    else:
        measured = run_calibration(
            preset,
            out,
            settings,
            data=data,
            device=device,
            offline=offline,
            figures=False,
            on_load=on_load,
        ).found.measured
    with translate(GroundingError):
        return ablation_arms(
            preset.lvlm,
            measured.heads,
            lowest=settings.lowest,
            skip_layers=settings.skip_layers,
            threshold=settings.threshold,
        )
