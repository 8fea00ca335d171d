"""Find the heads of presets that name none: once, on the bundled scenes, kept in the cache."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...grounding.errors import GroundingError
from ...grounding.heads.discovery import DiscoverySettings, DrawnPair, draw_pairs, measure_pairs
from ...grounding.heads.measured_pairs import MeasurementStore, measure_missing
from ...grounding.heads.ranking import LocalizationHeads
from ...grounding.heads.trials import HeadDiscovery
from ..errors import GroundbrushError, translate
from ..files import atomic_write, safe_name
from ..pictures.picture import open_picture
from .bundled import bundled_scenes, cache_folder
from .presets import Preset, weights_stamp

if TYPE_CHECKING:
    from ...grounding.attention.model import LVLM

FIRST_USE = {"samples": 200, "trials": 5}
"""Fewer pairs than the paper's: enough to settle the heads, and minutes less to wait."""

SAY_EVERY_S = 10.0


@dataclass(frozen=True)
class _Example:
    """A line of ``examples.jsonl``."""

    image: Path
    phrase: str
    target: str


def first_use_heads(
    preset: Preset,
    load: Callable[[], LVLM],
    on_load: Callable[[str], None],
    *,
    data: Path | None = None,
) -> LocalizationHeads:
    """A preset's heads: from the cache, or found now and kept there.

    Parameters
    ----------
    preset : One without heads in its ``lvlm``; its ``calibration`` may hold settings.
    load : Loads the LVLM with all layers; called only when heads have to be found.
    on_load : Called with a line for each step.
    data : A folder with ``examples.jsonl``, instead of the bundled scenes.

    Raises GroundbrushError when the heads cannot be found.
    """
    with translate(GroundingError):
        values = {**FIRST_USE, **preset.lvlm.get("calibration", {})}
        settings = DiscoverySettings.from_dict(values)
        key = _key(preset, settings, data)
        folder = cache_folder() / "heads" / f"{safe_name(preset.name)}-{key}"
        kept = _kept(folder / "heads.json")
        if kept is not None:
            return kept
        on_load(f"preset {preset.name!r} names no heads: finding them once, without labels")
        source = data or bundled_scenes(settings.samples, on_compose=on_load)
        found = _discover(load(), source, settings, folder, preset.name, on_load)
        provenance = (
            f"found on first use on {len(found.measured)} "
            f"{'pairs of ' + source.name if data else 'composed scenes'}, without labels; "
            f"`groundbrush calibrate {preset.name}` finds them on other pictures"
        )
        heads = LocalizationHeads(found.heads, provenance)
    content = {"heads": [list(pair) for pair in heads.heads], "provenance": heads.provenance}
    atomic_write(folder / "heads.json", json.dumps(content).encode())
    on_load("heads found: " + ", ".join(f"L{layer}H{head}" for layer, head in heads))
    return heads


def _discover(
    lvlm: LVLM,
    source: Path,
    settings: DiscoverySettings,
    folder: Path,
    name: str,
    on_load: Callable[[str], None],
) -> HeadDiscovery:
    """Measure the drawn pairs that the folder does not hold yet, and rank the heads.

    `on_load` gets a line with the time left every few seconds.
    """
    store = MeasurementStore(folder, {"preset": name}, lvlm.n_layers, lvlm.n_heads)
    pairs = draw_pairs(_read_examples(source), settings)
    begun = said = time.monotonic()

    def measure(groups: list[list[DrawnPair]]) -> Iterator[tuple[list[DrawnPair], list]]:
        nonlocal said
        measured, left = 0, sum(map(len, groups))
        for same in groups:
            found = measure_pairs(lvlm, open_picture(same[0].item.image).pixels, same, settings)
            yield same, [str(one) if isinstance(one, GroundingError) else one for one in found]
            measured += len(same)
            now = time.monotonic()
            if now - said >= SAY_EVERY_S and measured < left:
                said, rest = now, (now - begun) / measured * (left - measured)
                on_load(f"finding heads: {measured} of {left} pairs, about {rest:.0f} s left")

    return HeadDiscovery(measure_missing(store, pairs, measure), settings)


def _read_examples(folder: Path) -> list[_Example]:
    """The bundled scenes' expressions of things that are there."""
    file = folder / "examples.jsonl"
    try:
        rows = [json.loads(line) for line in file.read_text("utf-8").splitlines() if line.strip()]
        return [
            _Example(folder / row["image"], row["phrase"], row.get("target", ""))
            for row in rows
            if not str(row.get("kind")).startswith("absent")
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GroundbrushError(
            f"{str(file)!r} cannot be read ({error}); delete its folder to compose it again"
        ) from error


def _kept(file: Path) -> LocalizationHeads | None:
    """Heads from the cache; None for a damaged file."""
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
        pairs = tuple((int(layer), int(head)) for layer, head in raw["heads"])
        return LocalizationHeads(pairs, raw["provenance"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _key(preset: Preset, settings: DiscoverySettings, data: Path | None) -> str:
    """A hash of everything that the heads depend on, in twelve letters."""
    other = ("heads", "provenance", "full", "device_map")
    spec = {k: v for k, v in preset.lvlm.items() if k not in other}
    facts: list[Any] = [
        spec,
        weights_stamp(preset.path("lvlm")),
        repr(settings),
        str(data.resolve()) if data else None,
    ]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
