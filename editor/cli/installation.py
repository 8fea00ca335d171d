"""``groundbrush presets`` and ``doctor``: parse, call the API, print."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from .options import DONE, MODELS, UNMET, add_command, add_options


def add_commands(commands: Any) -> None:
    """Add ``presets`` and ``doctor``."""
    presets = add_command(commands, "presets", _presets, "list the presets, or show one")
    presets.add_argument("name", nargs="?", help="a preset's name or file")
    add_options(presets, "json")
    doctor = add_command(
        commands, "doctor", _doctor, "check this installation and a preset's models"
    )
    add_options(doctor, f"{MODELS} json")


def _presets(args: argparse.Namespace) -> int:
    from ..models.presets import load_preset, preset_names

    if args.name is not None:
        print(json.dumps(_preset_facts(args.name), indent=None if args.json else 1))
        return DONE
    presets = [load_preset(name) for name in preset_names()]
    if args.json:
        print(json.dumps([{"name": p.name, "about": p.about} for p in presets]))
    else:
        print("\n".join(f"{p.name:16} {p.about}" for p in presets))
    return DONE


def _preset_facts(name: str) -> dict[str, Any]:
    from ..models.presets import load_preset, resolve
    from ..models.vocabulary import load_words

    preset, known = load_preset(name), None
    if preset.vocabulary:
        words = load_words(resolve(preset.vocabulary, f"preset {preset.name!r}"))
        known = {"nouns": words.nouns, "colours": words.colours}
    return {
        "name": preset.name,
        "about": preset.about,
        "licence": preset.licence,
        preset.finder: dict(preset.find or preset.lvlm),
        "segmenter": dict(preset.segmenter),
        "inpainter": dict(preset.inpainter),
        "grounding": dict(preset.grounding),
        "knows": known,
    }


def _doctor(args: argparse.Namespace) -> int:
    from ..doctor import examine

    findings = examine(args.preset, device=args.device, offline=args.offline)
    if args.json:
        print(json.dumps([asdict(f) for f in findings]))
    else:
        print("\n".join(f"{'ok ' if f.ok else 'BAD'}  {f.what}: {f.words}" for f in findings))
    return DONE if all(f.ok for f in findings) else UNMET
