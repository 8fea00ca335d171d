"""``groundbrush evaluate png``: parses, calls `editor.evaluation.narratives`, prints."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from .options import Bar, teller

SCENES, USUAL = "heldout", "val2017"
COUNT = 200  # composed scenes
_NOT_HERE = ("ablate", "arm", "paper", "like_reference", "partition", "calibration", "files")


def run_png_command(args: argparse.Namespace) -> int:
    """Evaluate on Panoptic Narrative Grounding, or without --data on composed scenes."""
    from ..calibration.bundled import bundled_narratives
    from ..evaluation.narrative_measure import ARMS
    from ..evaluation.narratives import PngJob, run_png
    from ..models.presets import load_preset

    given = [name for name in _NOT_HERE if getattr(args, name, None)]
    if given:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        print(f"groundbrush evaluate png: {names} cannot be given here", file=sys.stderr)
        raise SystemExit(2)
    preset = load_preset(args.preset)
    if args.data is None:
        data = bundled_narratives(COUNT, split=SCENES, on_compose=teller(args))
        split = args.split or SCENES
    else:
        data, split = Path(args.data).expanduser(), args.split or USUAL
    job = PngJob(
        data=data,
        out=Path(args.out) / preset.name,
        split=split,
        arms=[arm for arm in ARMS if preset.lvlm or arm != "caption"],
        limit=args.limit,
        seed=args.seed,
        fresh=args.fresh,
        sheet=args.failures,
    )
    with Bar(args, "evaluating", "answer") as bar:
        found = run_png(
            job,
            preset,
            device=args.device,
            offline=args.offline,
            on_load=teller(args),
            on_progress=bar,
        )
    if args.json:
        scores = {
            arm: {group: asdict(score) for group, score in row.items()}
            for arm, row in found.by_arm.items()
        }
        print(
            json.dumps(
                {
                    "arms": scores,
                    "counts": dict(found.counts),
                    "files": {k: str(v) for k, v in found.files.items()},
                    "notes": list(found.notes),
                }
            )
        )
    else:
        print(found.table)
        print("\n".join([*found.notes, *(f"{name}: {path}" for name, path in found.files.items())]))
    return 0 if any(found.by_arm.values()) else 1
