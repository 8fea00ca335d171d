"""``groundbrush presets``, ``fetch`` and ``doctor``: parse, call the API, print."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from functools import partial
from typing import Any

from .options import DONE, MODELS, UNMET, add_command, add_options, allow_download


def add_commands(commands: Any) -> None:
    """Add ``presets``, ``fetch`` and ``doctor``."""
    presets = add_command(commands, "presets", _presets, "list the presets, or show one")
    presets.add_argument("name", nargs="?", help="a preset's name or file")
    add_options(presets, "json")
    fetch = add_command(
        commands,
        "fetch",
        _fetch,
        "download a preset's models, or say what is missing",
        epilog="An interrupted download resumes. Files go to the hub's cache; "
        "HF_HOME names another folder.",
    )
    fetch.add_argument("preset", metavar="NAME|FILE", help="a preset's name or file, or auto")
    fetch.add_argument(
        "--dry-run", action="store_true", help="say what would be downloaded, and stop"
    )
    add_options(fetch, "device offline yes")
    doctor = add_command(
        commands, "doctor", _doctor, "check this installation and a preset's models"
    )
    doctor.add_argument(
        "--report", action="store_true", help="print the text of an issue, to be completed"
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


def _fetch(args: argparse.Namespace) -> int:
    from ..models.models import Models
    from ..models.presets import load_preset

    preset, allow = load_preset(args.preset, device=args.device), partial(allow_download, args)
    models = Models(preset, device=args.device, offline=args.offline, on_download=allow)
    plan = models.plan(refresh=True) if args.dry_run else models.fetch(refresh=True)
    if args.dry_run and plan.incomplete:
        print("\n".join(plan.lines()))
        return DONE
    if not plan.listings:
        print(f"preset {preset.name!r} needs no download")
        return DONE
    got = f"{plan.bytes_left / 1e9:.2f} GB downloaded; " if plan.incomplete else ""
    print(f"{got}preset {preset.name!r} is on this machine, in {plan.folder}")
    return DONE


def _doctor(args: argparse.Namespace) -> int:
    from ..doctor import examine, issue_text

    findings = examine(
        args.preset,
        device=args.device,
        offline=args.offline,
        on_download=partial(allow_download, args),
    )
    if args.report:
        print(issue_text(findings))
    elif args.json:
        print(json.dumps([asdict(f) for f in findings]))
    else:
        print("\n".join(f"{'ok ' if f.ok else 'BAD'}  {f.what}: {f.words}" for f in findings))
    return DONE if all(f.ok for f in findings) else UNMET
