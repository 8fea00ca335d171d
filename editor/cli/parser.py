"""A parser of commands that says what was probably meant."""

from __future__ import annotations

import argparse
import re
from difflib import get_close_matches
from typing import Any, NoReturn

_CHOICE = re.compile(r"invalid choice: '(.+?)' \(choose from (.+)\)")
_NO_VALUE = re.compile(r"argument (?:-\w/)?(--[\w-]+).*: expected (?:one|at least one) argument")


class Parser(argparse.ArgumentParser):
    """argparse's, whose errors name the closest option, choice or form."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """As argparse's, but unknown options are told by the command that does not know them."""
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(f"unrecognized arguments: {' '.join(rest)}{self._meant(rest)}")
        return found, rest

    def error(self, message: str) -> NoReturn:
        """Print the usage and what is wrong, with a suggestion, and leave with status 2."""
        if choice := _CHOICE.search(message):
            message += _suggestion(choice[1], re.findall(r"[\w.-]+", choice[2]))
        if option := _NO_VALUE.search(message):
            message += f"; write {option[1]}=VALUE where the value begins with a minus"
        super().error(message)

    def _meant(self, rest: list[str]) -> str:
        options = [name for action in self._actions for name in action.option_strings]
        unknown = next((one for one in rest if one.startswith("--")), "")
        return _suggestion(unknown.partition("=")[0], options) if unknown else ""


def _suggestion(word: str, known: list[str]) -> str:
    close = get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""
