"""Heads of presets that name none: found once on the bundled scenes, kept in the user's cache."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...grounding import LocalizationHeads
from ...grounding.errors import GroundingError
from ..errors import translate
from ..files import atomic_write, safe_name
from ..models.presets import Preset
from .bundled import bundled_scenes, cache_folder
from .measure import Store, measure_pairs
from .result import Calibration, Head
from .samples import draw_pairs, read_data
from .settings import CalibrationSettings

if TYPE_CHECKING:
    from ...grounding.attention.model import LVLM

FIRST_USE = {"samples": 200, "trials": 5}
"""Fewer pairs than the paper's: enough to settle the heads, and minutes less to wait."""


def first_use_heads(
    preset: Preset,
    load: Callable[[], LVLM],
    tell: Callable[[str], None],
    *,
    data: Path | None = None,
) -> LocalizationHeads:
    """A preset's heads: from the cache, or found now and kept there.

    Parameters
    ----------
    preset
        One whose ``lvlm`` names no heads; its ``calibration`` may hold settings.
    load
        Gives the LVLM with all layers; called only when heads have to be found.
    tell
        Called with lines of words on what happens.
    data
        Pictures with phrases, instead of the bundled scenes.

    Raises
    ------
    GroundbrushError
        When the heads cannot be found.
    """
    settings = CalibrationSettings.from_dict({**FIRST_USE, **preset.lvlm.get("calibration", {})})
    folder = cache_folder() / "heads" / f"{safe_name(preset.name)}-{_key(preset, settings, data)}"
    kept = _kept(folder / "heads.json")
    if kept is not None:
        return kept
    tell(f"preset {preset.name!r} names no heads: finding them once, without labels")
    source = data or bundled_scenes(settings.samples, on_compose=tell)
    pairs = draw_pairs(read_data(source), settings)
    lvlm = load()
    store = Store(folder, {"preset": preset.name}, lvlm.n_layers, lvlm.n_heads)
    found = Calibration(measure_pairs(lvlm, pairs, settings, store), settings)
    provenance = (
        f"found on first use on {len(found.measured)} "
        f"{'pairs of ' + source.name if data else 'composed scenes'}, without labels; "
        f"`groundbrush calibrate {preset.name}` finds them on other pictures"
    )
    with translate(GroundingError):
        heads = LocalizationHeads(found.heads, provenance)
    content = {"heads": [list(pair) for pair in heads.heads], "provenance": heads.provenance}
    atomic_write(folder / "heads.json", json.dumps(content).encode())
    tell("heads found: " + ", ".join(f"L{layer}H{head}" for layer, head in heads))
    return heads


def _kept(file: Path) -> LocalizationHeads | None:
    """Heads from the cache; a damaged file counts as none."""
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
        pairs: tuple[Head, ...] = tuple((int(a), int(b)) for a, b in raw["heads"])
        return LocalizationHeads(pairs, raw["provenance"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _key(preset: Preset, settings: CalibrationSettings, data: Path | None) -> str:
    """What the heads depend on, in twelve letters."""
    from ..models.weights import weights_stamp

    spec = {k: v for k, v in preset.lvlm.items() if k not in ("heads", "provenance", "full")}
    facts: list[Any] = [
        spec,
        weights_stamp(preset.path("lvlm")),
        repr(settings),
        str(data.resolve()) if data else None,
    ]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
