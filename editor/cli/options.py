"""The options that commands share, and how commands report progress and results.

It knows argparse and the terminal, and nothing of models or pictures.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import GroundbrushError, printable
from ..files import check_writable

if TYPE_CHECKING:
    from ..api import Editor
    from ..models.downloads import Download
    from ..models.presets import Preset
    from ..pictures.picture import Picture
    from ..workers.pool import Pool

DONE, UNMET, STOPPED = 0, 1, 130


def _device(given: str) -> str:
    """A device's name as torch writes it."""
    if re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", given):
        return given
    known = ("auto", "cpu", "cuda", "cuda:1", "mps")
    raise argparse.ArgumentTypeError(f"invalid choice: {given!r} (choose from {', '.join(known)})")


MODELS = "preset device offline yes"
RESULTS = "out quiet json"
SHARED: Mapping[str, dict[str, Any]] = {
    "preset": {
        "default": "miniature",
        "metavar": "NAME|FILE",
        "help": "models to use; auto: the largest of the photograph presets that suits this "
        "machine (default: %(default)s)",
    },
    "device": {
        "default": "auto",
        "type": _device,
        "metavar": "DEVICE",
        "help": "auto, cpu, cuda, cuda:1 or mps (default: %(default)s)",
    },
    "yes": {"action": "store_true", "help": "download without confirmation"},
    "offline": {"action": "store_true", "help": "never use the network"},
    "memory": {
        "metavar": "MODE",
        "help": "where models are kept: resident, swap, offload, sequential or auto "
        "(default: the preset's)",
    },
    "engine": {
        "default": "local",
        "choices": ("local", "ray"),
        "help": "run in this process, or in Ray workers on this machine or on the cluster that "
        "RAY_ADDRESS names (default: %(default)s)",
    },
    "workers": {
        "type": int,
        "metavar": "N",
        "help": "number of Ray workers (default: one per GPU, or one per 4 CPUs)",
    },
    "out": {
        "default": "out",
        "metavar": "DIR",
        "help": "directory for results (default: %(default)s)",
    },
    "quiet": {"action": "store_true", "help": "no progress, only the result"},
    "json": {"action": "store_true", "help": "print the result as JSON"},
    "show": {"action": "store_true", "help": "open the resulting picture"},
    "seed": {"type": int, "default": 0, "help": "same seed, same picture"},
    "variants": {"type": int, "default": 1, "metavar": "N", "help": "paint N pictures"},
    "retries": {
        "type": int,
        "default": 0,
        "metavar": "N",
        "help": "try up to N more seeds while the check fails (default: %(default)s)",
    },
    "draft": {"action": "store_true", "help": "few steps: a quick preview"},
    "steps": {"type": int, "help": "denoising steps (default: the preset's)"},
    "guidance": {"type": float, "help": "how strictly to follow the prompt"},
    "format": {
        "default": "png",
        "choices": ("png", "webp", "jpg"),
        "help": "file format of painted pictures (default: %(default)s; jpg is lossy)",
    },
    "fresh": {"action": "store_true", "help": "measure again; do not resume"},
}
"""Options by name, as `argparse.ArgumentParser.add_argument` takes them."""

_CHOICE = re.compile(r"invalid choice: '(.+?)' \(choose from (.+)\)")
_NO_VALUE = re.compile(r"argument (?:-\w/)?(--[\w-]+).*: expected (?:one|at least one) argument")


class Parser(argparse.ArgumentParser):
    """argparse's parser; its errors suggest the closest option, choice or form."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """As argparse's, but the subcommand itself reports options that it does not have."""
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            unknown = next((one for one in rest if one.startswith("--")), "").partition("=")[0]
            options = [name for action in self._actions for name in action.option_strings]
            after = "; give words after --find, in quotation marks"
            words = after if "--find" in options else "; quote words that belong together"
            hint = _suggestion(unknown, options, 0.75) if unknown else words
            self.error(f"unrecognized arguments: {' '.join(rest)}{hint}")
        return found, rest

    def error(self, message: str) -> NoReturn:
        """Print the usage and the error with a suggestion; exit with status 2."""
        if choice := _CHOICE.search(message):
            message += _suggestion(choice[1], re.findall(r"[\w.-]+", choice[2]))
        if option := _NO_VALUE.search(message):
            message += f"; write {option[1]}=VALUE where the value begins with a minus"
        super().error(message)


def _suggestion(word: str, known: Sequence[str], cutoff: float = 0.6) -> str:
    close = get_close_matches(word, known, n=1, cutoff=cutoff)
    return f"; did you mean {close[0]}?" if close else ""


def add_command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], help: str, **more: Any
) -> Any:
    """Add a subcommand; `run` receives its arguments and returns the exit status."""
    parser = commands.add_parser(name, help=help, **more)
    parser.set_defaults(run=run, parser=parser)
    return parser


def add_options(parser: Any, names: str, **changes: Mapping[str, Any]) -> None:
    """Add options of `SHARED`, named in a row; `changes` override fields of single ones."""
    for name in names.split():
        parser.add_argument(f"--{name}", **{**SHARED[name], **changes.get(name, {})})


def wrong_usage(args: argparse.Namespace, message: str) -> NoReturn:
    """Report wrong usage of the command and exit with status 2."""
    args.parser.error(message)
    raise AssertionError("argparse exits")


def load_editor(args: argparse.Namespace) -> Editor:
    """Load the editor that the options describe."""
    from ..api import Editor

    return Editor.load(
        args.preset,
        device=args.device,
        offline=args.offline,
        memory=args.memory,
        on_load=progress_line(args),
        on_download=partial(allow_download, args),
    )


def allow_download(args: argparse.Namespace, plan: Download) -> bool:
    """Describe a download on stderr; on a terminal, confirm a large one."""
    from ..models.downloads import ASK_ABOVE

    print("\n".join(plan.lines()), file=sys.stderr)
    sure = getattr(args, "yes", False) or plan.bytes_left <= ASK_ABOVE
    if sure or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    print("download? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def fetch_first(args: argparse.Namespace, preset: Preset, *, lvlm_only: bool = False) -> Preset:
    """Download what a preset lacks before a long run, after confirmation; return the preset."""
    from ..models.models import Models

    allow = partial(allow_download, args)
    models = Models(preset, device=args.device, offline=args.offline, on_download=allow)
    models.fetch(lvlm_only=lvlm_only)
    return preset


@contextmanager
def open_workers(args: argparse.Namespace) -> Iterator[Pool | None]:
    """The worker pool that the options name, or None for this process; print its notes."""
    check_engine(args)
    if args.engine == "local":
        yield None
        return
    from ..workers.ray_pool import RayPool

    pool = RayPool(workers=args.workers, device=args.device)
    try:
        yield pool
    finally:
        pool.close()
        for note in pool.notes:
            print(printable(note), file=sys.stderr)


def check_engine(args: argparse.Namespace) -> None:
    """Refuse --workers without --engine ray."""
    if args.engine == "local" and args.workers is not None:
        wrong_usage(args, "--workers is for --engine ray")


def check_directory(out: str) -> None:
    """Refuse a directory that cannot hold results before any model is loaded."""
    if out == "-":
        raise GroundbrushError("--out '-' given; expected a folder: --json prints the files' names")
    if os.path.exists(out) and not os.path.isdir(out):
        raise GroundbrushError(f"--out {out!r} is a file; expected a folder, which may be new")
    from ..pictures.saving import WRITABLE

    if not os.path.exists(out) and Path(out).suffix.lower() in WRITABLE:
        raise GroundbrushError(
            f"--out {out!r} is named like a picture; expected a folder, such as "
            f"{str(Path(out).with_suffix(''))!r}: results are named after their picture"
        )
    check_writable(out)


def check_format(args: argparse.Namespace, picture: Picture) -> None:
    """Refuse a --format that cannot hold the picture before anything is painted."""
    from ..pictures.saving import check_holds

    check_holds(f"result.{args.format}", picture.size, picture)


def print_result(
    args: argparse.Namespace,
    facts: Mapping[str, Any],
    lines: Sequence[str],
    files: Mapping[str, Path] | None = None,
    *,
    nested: bool = False,
    show: str = "",
) -> None:
    """Print the facts as JSON, or the lines; `files` follow in both, and one may be opened.

    In JSON the files are members of their own, or `nested` in one named "files".
    """
    files = files or {}
    named = {name: str(path) for name, path in files.items()}
    if args.json:
        print(json.dumps({**facts, **({"files": named} if nested else named)}))
    else:
        shown = [*lines, *(f"{name}: {path}" for name, path in named.items())]
        print("\n".join(map(printable, shown)))
    if show in files and args.show:
        from PIL import Image

        Image.open(files[show]).show()


def progress_line(args: argparse.Namespace) -> Callable[[str], None] | None:
    """A callback that prints one line on stderr; None with --quiet or --json."""
    if args.quiet or args.json:
        return None
    return lambda words: print(printable(words), file=sys.stderr)


class ProgressBar:
    """A progress bar as a callback of (done, total); silent with --quiet or --json.

    It is drawn on a terminal, and written to a log every 30 seconds and at its end.
    """

    def __init__(self, args: argparse.Namespace, what: str, unit: str, leave: bool = True) -> None:
        self._silent = args.quiet or args.json
        self._bar: Any = None
        self._what, self._style = what, {"unit": unit, "leave": leave}

    def __enter__(self) -> ProgressBar:
        return self

    def __call__(self, done: int, total: int, what: str = "", note: str = "") -> None:
        """Show that `done` of `total` are done, and a note.

        A lower number than before, or something else that is done, starts a new bar.
        """
        if self._silent:
            return
        what = what or self._what
        if self._bar is None or done < self._bar.n or what != self._bar.desc.rstrip(": "):
            from tqdm import tqdm

            self.__exit__()
            every = 0.1 if sys.stderr.isatty() else 30
            style = {"mininterval": every, "miniters": 1, **self._style}
            self._bar = tqdm(total=total, initial=done, desc=what, **style)
        self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(done - self._bar.n)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()


def read_settings(args: argparse.Namespace) -> dict[str, Any]:
    """The inpainting settings that differ from the preset's."""
    settings: dict[str, Any] = {}
    for given in args.set:
        name, equals, value = (part.strip() for part in given.partition("="))
        if not equals or not name:
            wrong_usage(args, f"--set {given!r} given; expected NAME=VALUE, e.g. feather=4")
        if name in settings:
            wrong_usage(args, f"--set {name} is given twice; leave one out")
        try:
            settings[name] = json.loads(value)
        except ValueError:
            settings[name] = value
    options = {"steps": args.steps, "guidance": args.guidance, "negative_prompt": args.negative}
    options = {name: value for name, value in options.items() if value is not None}
    if twice := sorted(settings.keys() & options.keys()):
        wrong_usage(args, f"{twice[0]} is given by --set and by an option; leave one out")
    return settings | options


def read_pixels(
    args: argparse.Namespace, option: str, given: Sequence[str] | None, example: str
) -> list[list[float]]:
    """The numbers of each value of an option, as many as the example has."""
    names = "x0,y0,x1,y1" if option == "--box" else "x,y"
    found = []
    for text in given or ():
        try:
            found.append([float(number) for number in text.split(",")])
        except ValueError:
            found.append([])
        if len(found[-1]) != len(example.split(",")):
            wrong_usage(
                args, f"{option} {text!r} given; expected {names} in pixels, e.g. {example}"
            )
    return found
