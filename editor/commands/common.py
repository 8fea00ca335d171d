"""What the commands share: options that name models, and how they tell of progress."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from editor.api import Editor
    from grounding.result import Grounding


def add_model_options(parser: argparse.ArgumentParser, *, preset: bool = True) -> None:
    """``--preset``, ``--device`` and ``--offline``."""
    if preset:
        parser.add_argument(
            "--preset",
            default="miniature",
            metavar="NAME|FILE",
            help="which models (default: %(default)s)",
        )
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
    parser.add_argument("--offline", action="store_true", help="never ask the network")


def add_common_options(parser: argparse.ArgumentParser, shown: str = "what was found") -> None:
    """Those of every command that makes a picture: models, ``--out``, and how it tells."""
    add_model_options(parser)
    parser.add_argument("--out", default="out", metavar="DIR",
                        help="folder for results (default: %(default)s)")  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="no progress, only the result")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--show", action="store_true", help=f"open the picture of {shown}")


def load_editor(args: argparse.Namespace) -> Editor:
    """The editor that the options describe."""
    from editor.api import Editor

    return Editor.load(args.preset, device=args.device, offline=args.offline, on_load=teller(args))


def report(args: argparse.Namespace, facts: dict[str, Any], lines: list[str]) -> None:
    """Print the facts as JSON, or the lines."""
    print(json.dumps(facts) if args.json else "\n".join(lines))


def show(args: argparse.Namespace, path: Path) -> None:
    """Open a picture where the user asked for it."""
    if args.show:
        from PIL import Image

        Image.open(path).show()


def teller(args: argparse.Namespace) -> Callable[[str], None] | None:
    """Says a line on stderr, or None where the user asked for silence."""
    if args.quiet or args.json:
        return None
    return lambda words: print(words, file=sys.stderr)


def grounding_facts(found: Grounding) -> dict[str, Any]:
    """What ``--json`` prints of a grounding."""
    return {
        "phrase": found.phrase,
        "status": found.status,
        "reason": found.reason,
        "score": round(found.score, 3),
        "box": None if found.box is None else [round(v) for v in found.box],
        "candidates": [
            {"box": [round(v) for v in c.box], "score": round(c.score, 3)} for c in found.candidates
        ],
    }


class Bar:
    """A progress bar as a callback of (done, total); silent where the user asked for silence."""

    def __init__(self, args: argparse.Namespace, what: str, unit: str) -> None:
        self._silent, self._what, self._unit = args.quiet or args.json, what, unit
        self._bar: Any = None

    def __enter__(self) -> Bar:
        return self

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` are done."""
        if self._silent:
            return
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(total=total, desc=self._what, unit=self._unit, initial=done)
        self._bar.update(done - self._bar.n)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
