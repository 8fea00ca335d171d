"""``python -m groundbrush.miniature.train all|lvlm|segmenter|inpainter [options]``."""

from __future__ import annotations

import sys
from importlib import import_module

MODELS = ("segmenter", "lvlm", "inpainter")
USAGE = (
    f"usage: python -m groundbrush.miniature.train all [--device D] [--threads N] | "
    f"{' | '.join(MODELS)} "
    "[options]; each model's --help lists its options"
)


def main(argv: list[str]) -> int:
    """Train one model with its script's own options, or all three with options they share."""
    chosen, options = (argv[0], argv[1:]) if argv else ("", [])
    shared = all(o.split("=")[0] in ("--device", "--threads") for o in options if o[:1] == "-")
    if chosen not in (*MODELS, "all") or (chosen == "all" and not shared):
        print(USAGE, file=sys.stderr)
        return 2
    for model in MODELS if chosen == "all" else (chosen,):
        import_module(f".{model}", __package__).main(options)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
