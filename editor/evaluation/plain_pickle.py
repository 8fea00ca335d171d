"""Read pickles of plain data without running any code.

RefCOCO's expressions are published as Python 2 pickles. A pickle is a program that may name
functions to call; every name is refused.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from ..errors import GroundbrushError, one_line
from ..files import open_regular

PLAIN = (str, bytes, int, float, bool, type(None))
LARGEST = 2**30
"""Largest file in bytes that is read; RefCOCO's have about 50 million."""


class _PlainUnpickler(pickle._Unpickler):
    """Pure Python: C's unpickler allocates as many objects as a pickle claims to have."""

    dispatch: ClassVar[dict[int, Callable[..., None]]] = dict(pickle._Unpickler.dispatch)
    stack: list[Any]

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"it names {module}.{name}")

    def persistent_load(self, pid: object) -> NoReturn:
        raise pickle.UnpicklingError("it refers to an outside object")

    def _check_keys(self, keys: Iterable[Any]) -> None:
        """Refuse tuples and the like: hashing nested ones may take forever."""
        if not all(isinstance(key, PLAIN) for key in keys):
            raise pickle.UnpicklingError("a name in it is no plain text or number")

    def load_setitem(self) -> None:
        self._check_keys(self.stack[-2:-1])
        pickle._Unpickler.load_setitem(self)  # type: ignore[attr-defined]

    def load_setitems(self) -> None:
        self._check_keys(self.stack[::2])
        pickle._Unpickler.load_setitems(self)  # type: ignore[attr-defined]

    def load_dict(self) -> None:
        self._check_keys(self.stack[::2])
        pickle._Unpickler.load_dict(self)  # type: ignore[attr-defined]

    def refuse_sets(self) -> NoReturn:
        raise pickle.UnpicklingError("it holds a set")

    dispatch |= {
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
        pickle.DICT[0]: load_dict,
        pickle.ADDITEMS[0]: refuse_sets,
        pickle.FROZENSET[0]: refuse_sets,
    }


def load_plain_pickle(path: Path) -> Any:
    """Lists, tuples, dicts, numbers and strings from a pickle of any protocol.

    Strings of Python 2 are read as Latin-1, which loses nothing. Raises GroundbrushError for a
    missing file, one that is not a pickle, and one that holds anything else.
    """
    with open_regular(path, "pickle") as file:
        if path.stat().st_size > LARGEST:
            raise GroundbrushError(
                f"{str(path)!r} has {path.stat().st_size:,} bytes; expected at most {LARGEST:,}; "
                "this is not a benchmark's file of expressions"
            )
        try:
            value = _PlainUnpickler(file, encoding="latin1").load()
        # a damaged or hostile pickle raises whatever its bytes happen to mean
        except Exception as error:
            raise GroundbrushError(
                f"{str(path)!r} was refused as a pickle ({one_line(error)}); expected plain lists, "
                "dicts, numbers and strings; get the file from its publisher again"
            ) from error
    _check_plain(value, path)
    return value


def _check_plain(value: Any, path: Path) -> None:
    """Refuse other types that opcodes alone can make; not recursive, for deep nesting."""
    waiting, seen = [value], set()
    while waiting:
        one = waiting.pop()
        if isinstance(one, PLAIN) or id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, dict):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, (list, tuple)):
            waiting += one
        else:
            raise GroundbrushError(
                f"{str(path)!r} holds a {type(one).__name__}; expected plain lists, dicts, numbers "
                "and strings; get the file from its publisher again"
            )
