"""Trace one edit: which of our files and functions it enters, and how often it returns to a file.

    python -m benchmarks.trace [--files]

A warm `Editor.edit` of the miniature models by words. A return is a change, by a call or by its
end, to a file that the edit has left before.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from benchmarks import common

ROOMS = ("editor", "grounding", "inpaint", "multiobject", "miniature", "app")


class Trace(NamedTuple):
    """Functions entered by file, and the number of returns to a file left before."""

    functions: dict[str, set[str]]
    returns: int

    def __str__(self) -> str:
        count = sum(map(len, self.functions.values()))
        return f"{len(self.functions)} files, {count} functions, {self.returns} returns"


def trace(work: Callable[[], Any]) -> Trace:
    """Run something and record the functions of ours that it enters."""
    functions: dict[str, set[str]] = {}
    visits: Counter[str] = Counter()
    current = ""

    def enter(frame: FrameType | None) -> None:
        nonlocal current
        file = _ours(frame)
        if file and file != current:
            visits[file] += 1
            current = file

    def on_event(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and (file := _ours(frame)):
            functions.setdefault(file, set()).add(frame.f_code.co_qualname)
            enter(frame)
        elif event == "return" and _ours(frame):
            enter(frame.f_back)

    before = sys.getprofile()
    sys.setprofile(on_event)
    try:
        work()
    finally:
        sys.setprofile(before)
    return Trace(functions, visits.total() - len(visits))


def _ours(frame: FrameType | None) -> str:
    """The frame's file below the root; empty if it is not in one of our rooms."""
    if frame is None or not frame.f_code.co_filename.startswith(f"{common.ROOT}/"):
        return ""
    file = frame.f_code.co_filename.removeprefix(f"{common.ROOT}/")
    return file if file.startswith(ROOMS) else ""


def trace_edit() -> Trace:
    """Trace the second edit of a loaded editor."""
    from groundbrush import Editor

    editor = Editor.load("miniature", device="cpu", offline=True)
    examples = Path(common.ROOT) / "examples"
    editor.edit(examples / "fruit.png", "the red apple on the left", "a green pear", seed=7)
    return trace(lambda: editor.edit(examples / "demo.png", "the red apple", "a frog", seed=7))


def main(argv: Sequence[str] | None = None) -> int:
    """Print the trace."""
    parser = common.parser(__doc__)
    parser.add_argument("--files", action="store_true", help="list files, and their functions")
    args = parser.parse_args(argv)
    found = trace_edit()
    if args.files:
        for file, names in sorted(found.functions.items()):
            print(f"{file}: {', '.join(sorted(names))}")
    print(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
