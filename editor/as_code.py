"""Write an edit as Python and as a command, ready to be pasted. It runs nothing."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .request import REMOVAL, EditRequest
from .values import as_lists

_UNCHECKED = {"check": False, "retries": 0}
_CHECKED = {"remove": REMOVAL, "edit": _UNCHECKED, "extend": _UNCHECKED}
_FLAGS = {"steps": "--steps", "guidance": "--guidance", "negative_prompt": "--negative"}
_MARKUP = re.compile(r"([\\\[\]<`*_$~#])")
OUT = "out"
"""Where commands write results by default."""
_FLAG_ORDER = ("level", "shadow", "dilate", "erode", "invert")


def literal(words: str) -> str:
    """Words that a page's Markdown shows as they are.

    They may come from a session that a stranger saved: a picture or a link among them would make
    the browser fetch it.

    >>> literal("![x](https://example.org)")
    '!\\\\[x\\\\](https://example.org)'
    """
    return _MARKUP.sub(r"\\\1", words)


def python_of(requests: Sequence[EditRequest], image: str, preset: str) -> str:
    """The same edits as a Python program, each of the last one's file.

    Parameters
    ----------
    requests
        Recipes of edits that follow one another.
    image
        The picture's file. Where a mask was drawn, the program reads the recipe's file beside it.
    preset
        The models' name.
    """
    lines = ["from groundbrush import Editor\n", f"editor = Editor.load({preset!r})"]
    for request in requests:
        lines += [_call(request, image), f"edit.save({_result(image)!r})"]
        image = _result(image)
    return "\n".join(lines) + "\n"


def command_of(requests: Sequence[EditRequest], image: str, preset: str) -> str:
    """As `as_command`, for edits that follow one another: each starts from the last one's file."""
    lines = []
    for request in requests:
        lines.append(as_command(request, image, preset))
        image = f"{OUT}/{_result(image)}"
    return " &&\n".join(lines)


def recipe_files(requests: Sequence[EditRequest], image: str) -> dict[str, str]:
    """Name and text of each edit's recipe file, as `python_of` and `command_of` read them."""
    files = {}
    for request in requests:
        files[recipe_name(image)] = json.dumps(request.as_dict(), indent=1)
        image = _result(image)
    return files


def _call(request: EditRequest, image: str) -> str:
    """One edit as a statement."""
    if request.mask is not None or any(o.op == "spare" for o in request.operations):
        return f"edit = editor.run({recipe_name(image)!r}, {image!r})"
    action = request.action
    sides = request.extend.model_dump() if request.extend else {}
    words = [repr(image), *([] if sides else [repr(request.find)])]
    words += [repr(request.paint)] if request.paint is not None else []
    given = {
        **sides,
        "box": as_lists(request.boxes),
        "snap": request.snap,
        "candidate": request.candidate,
        "operations": [o.as_dict() for o in request.operations],
        "check": request.check,
        "retries": request.retries,
        "draft": request.draft,
        "seed": request.seed,
        "variants": request.variants,
        "settings": dict(request.settings),
    }
    usual = {
        **dict.fromkeys(sides, 0),
        "box": None,
        "snap": False,
        "candidate": None,
        "operations": [],
        "draft": False,
        "variants": 1,
        "settings": {},
        **_CHECKED[action],
    }
    words += [f"{k}={v!r}" for k, v in given.items() if k not in usual or v != usual[k]]
    lines = ",\n    ".join(words)
    return f"edit = editor.{action}(\n    {lines},\n)"


def as_command(request: EditRequest, image: str, preset: str) -> str:
    """The same edit as a command; with ``--recipe FILE`` where options cannot say it all."""
    words = ["groundbrush", request.action, image]
    operations = _operation_flags([o.as_dict() for o in request.operations])
    check = _check_flags(request)
    if request.mask is not None or operations is None or check is None:
        words = ["groundbrush", "edit", image, "--recipe", recipe_name(image)]
        return shlex.join([*words, "--preset", preset])
    if request.find is not None:
        words += ["--find", request.find]
    if request.paint is not None:
        words += ["--paint", request.paint]
    for box in request.boxes or ():
        words += ["--box", ",".join(f"{v:g}" for v in box)]
    words += ["--snap"] if request.snap else []
    for side, pixels in request.extend or ():
        words += [f"--{side}", str(pixels)] if pixels else []
    if request.candidate is not None:
        words += ["--candidate", str(request.candidate)]
    words += [*operations, *check, "--seed", str(request.seed)]
    words += ["--variants", str(request.variants)] if request.variants != 1 else []
    words += ["--draft"] if request.draft else []
    for name, value in request.settings.items():
        plain = value if isinstance(value, str) else json.dumps(value)
        words += [_FLAGS[name], plain] if name in _FLAGS else ["--set", f"{name}={plain}"]
    return shlex.join([*words, "--preset", preset])


def recipe_name(image: str) -> str:
    """What the recipe's file is called, beside the picture."""
    return f"{Path(image).stem}.recipe.json"


def _result(image: str) -> str:
    return f"{Path(image).stem}.edited.png"


def _operation_flags(operations: list[dict[str, Any]]) -> list[str] | None:
    """Options for operations, or None where their kind or order has none."""
    flags: list[str] = []
    ranks = [_FLAG_ORDER.index(o["op"]) if o["op"] in _FLAG_ORDER else -1 for o in operations]
    grows = sum(rank in (2, 3) for rank in ranks)
    if -1 in ranks or ranks != sorted(set(ranks)) or grows > 1:
        return None
    for operation in operations:
        kind = operation["op"]
        if kind == "level":
            flags += ["--level", operation["level"]]
        elif kind in ("dilate", "erode"):
            if operation["pixels"] == 0:
                return None
            sign = "" if kind == "dilate" else "-"
            flags += [f"--grow={sign}{operation['pixels']}"]
        elif kind == "shadow" and operation.get("reach", 0.6) != 0.6:
            return None
        else:
            flags.append(f"--{kind}")
    return flags


def _check_flags(request: EditRequest) -> list[str] | None:
    """Options for checking, or None where the command has none."""
    check, retries = request.check, request.retries
    usual = _CHECKED[request.action]
    flags = [] if retries == usual["retries"] or not check else ["--retries", str(retries)]
    if request.action == "remove":
        if isinstance(check, str):
            return None
        return flags if check else ["--no-check"]
    if check is False:
        return flags if retries == 0 else None
    return [*flags, *(["--check-for", check] if isinstance(check, str) else ["--check"])]
