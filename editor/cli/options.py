"""What the commands share: options that name models, and how they tell of progress."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import GroundbrushError

if TYPE_CHECKING:
    from ...grounding.result import Grounding
    from ..api import Editor
    from ..pictures.picture import Picture
    from ..workers.pool import Pool


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


def add_memory_option(parser: argparse.ArgumentParser) -> None:
    """``--memory``, of the commands that paint or find."""
    parser.add_argument(
        "--memory",
        metavar="MODE",
        help="where the models stay: resident, swap, offload, sequential, or auto "
        "(default: as the preset says)",
    )


def add_engine_options(parser: Any) -> None:
    """``--engine`` and ``--workers``."""
    parser.add_argument(
        "--engine",
        default="local",
        choices=("local", "ray"),
        help="who works: this process, or workers of Ray, on this machine or on "
        "the cluster RAY_ADDRESS names (default: %(default)s)",
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", help="of Ray (default: one a GPU, or one for 4 CPUs)"
    )


def wrong_usage(args: argparse.Namespace, message: str) -> NoReturn:
    """Say what is wrong with a command's options and leave with status 2."""
    print(f"groundbrush {args.command}: {message}", file=sys.stderr)
    raise SystemExit(2)


def check_engine_options(args: argparse.Namespace) -> None:
    """Refuse workers that nobody would start."""
    if args.engine == "local" and args.workers is not None:
        wrong_usage(args, "--workers is for --engine ray")


@contextmanager
def engine_pool(args: argparse.Namespace, out: Path) -> Iterator[Pool | None]:
    """Who the engine options say works; None: this process. What befell workers is told."""
    check_engine_options(args)
    if args.engine == "local":
        yield None
        return
    from ..workers.pool import open_pool

    pool = open_pool(args.engine, out / ".ray", workers=args.workers, device=args.device)
    try:
        yield pool
    finally:
        pool.close()
        for note in pool.notes:
            print(note, file=sys.stderr)


def add_common_options(parser: argparse.ArgumentParser, shown: str = "what was found") -> None:
    """Those of every command that makes a picture: models, ``--out``, and how it tells."""
    add_model_options(parser)
    add_memory_option(parser)
    parser.add_argument(
        "--out", default="out", metavar="DIR", help="folder for results (default: %(default)s)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress, only the result")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--show", action="store_true", help=f"open the picture of {shown}")


def load_editor(args: argparse.Namespace) -> Editor:
    """The editor that the options describe."""
    from ..api import Editor

    return Editor.load(
        args.preset,
        device=args.device,
        offline=args.offline,
        memory=args.memory,
        on_load=teller(args),
    )


def check_folder(out: str) -> None:
    """Refuse a file as the folder for results, before any model is loaded."""
    if Path(out).exists() and not Path(out).is_dir():
        raise GroundbrushError(f"--out {out!r} is a file; expected a folder, which may be new")


def check_format(args: argparse.Namespace, picture: Picture) -> None:
    """Refuse a --format that cannot hold the picture, not after minutes of painting."""
    from ..pictures.saving import check_holds

    check_holds(f"result.{args.format}", picture.size, picture)


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


def candidate_lines(facts: dict[str, Any]) -> list[str]:
    """The other places that `grounding_facts` tells of, a line each."""
    return [
        f"candidate {k}: box {c['box']}, score {c['score']}"
        for k, c in enumerate(facts["candidates"])
    ]


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
