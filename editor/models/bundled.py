"""The composed scenes that come with the program, written once to the user's cache.

The ``miniature`` package makes them. Nothing may import it, so it runs as a program of its own:
``python -m groundbrush.miniature.calibration OUT --count N``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from ..errors import GroundbrushError, one_line

MODULE, NARRATIVES = "groundbrush.miniature.calibration", "groundbrush.miniature.narratives"
ROOT = Path(__file__).resolve().parents[2]
COUNT = 400


def cache_folder() -> Path:
    """The user's cache folder for this program; ``GROUNDBRUSH_CACHE`` names another."""
    given = os.environ.get("GROUNDBRUSH_CACHE")
    if given:
        return Path(given).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(base) if base else Path.home() / ".cache") / "groundbrush"


def bundled_scenes(
    count: int = COUNT,
    *,
    split: str = "validation",
    on_compose: Callable[[str], None] | None = None,
) -> Path:
    """A folder of composed scenes with ``examples.jsonl``; composed on first use, then kept.

    `split` is ``validation``, or ``heldout`` for scores; `on_compose` gets a line before scenes are
    composed.

    Raises GroundbrushError where the scenes are not installed or cannot be written.
    """
    folder = cache_folder() / f"scenes-of-all-shapes-{split}-{count}"
    return _composed(
        folder, MODULE, "examples.jsonl", count, split, on_compose, "--wide", "--side", "384"
    )


def bundled_narratives(
    count: int, *, split: str = "heldout", on_compose: Callable[[str], None] | None = None
) -> Path:
    """Composed scenes with captions in the layout of Panoptic Narrative Grounding, kept likewise.

    Parameters and errors as for `bundled_scenes`.
    """
    folder = cache_folder() / f"narratives-{split}-{count}"
    page = f"annotations/png_coco_{split}.json"
    return _composed(folder, NARRATIVES, page, count, split, on_compose)


def _composed(
    folder: Path,
    module: str,
    page: str,
    count: int,
    split: str,
    on_compose: Callable[[str], None] | None,
    *options: str,
) -> Path:
    """The folder, written by one of miniature's programs on first use."""
    if (folder / "complete").is_file():
        return folder
    if on_compose:
        on_compose(f"composing {count} scenes in {folder} (once)")
    command = [sys.executable, "-m", module, str(folder), "--count", str(count), "--split", split]
    command += options
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    except OSError as error:
        raise GroundbrushError(
            f"the scenes cannot be written to {folder} ({one_line(error)}); name a writable "
            "folder in GROUNDBRUSH_CACHE"
        ) from error
    if done.returncode or not (folder / page).is_file():
        last = (done.stderr.strip().splitlines() or [f"no {page} was written"])[-1]
        own = "FILE.jsonl" if module == MODULE else "ROOT"
        raise GroundbrushError(
            f"the bundled scenes could not be composed ({last}); give pictures of your own with "
            f"--data {own}"
        )
    (folder / "complete").touch()
    return folder
