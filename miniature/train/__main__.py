"""``python -m miniature.train all|lvlm|segmenter|inpainter [options of that script]``."""

from __future__ import annotations

import sys
from importlib import import_module

MODELS = ("segmenter", "lvlm", "inpainter")


def main(argv: list[str]) -> int:
    """Train one model with its script's own options, or all three with their defaults."""
    chosen, options = (argv[0], argv[1:]) if argv else ("", [])
    if chosen not in (*MODELS, "all") or (chosen == "all" and options):
        print(f"usage: python -m miniature.train all | {' | '.join(MODELS)} [options]; each "
              "script's --help lists its options", file=sys.stderr)  # fmt: skip
        return 2
    for model in MODELS if chosen == "all" else (chosen,):
        import_module(f"miniature.train.{model}").main(options)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
