"""Carry an unfinished LVLM from one machine to another: weights without the optimiser's state.

``python -m groundbrush.miniature.train.carry runs/lvlm OUT.safetensors`` packs a run's checkpoint
as half-precision safetensors, with a JSON file of its step beside it. Training continues with
``python -m groundbrush.miniature.train lvlm --start OUT.safetensors``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from .loop import load_checkpoint
from .lvlm_data import GRID, SIDE
from .lvlm_model import HEADS, LAYERS, WIDTH

TIED = "model.lm_head.weight"  # the word embeddings again


def pack(run: Path, out: Path) -> dict[str, object]:
    """Write a run's weights to `out` and return what is written beside them.

    Raises
    ------
    FileNotFoundError
        If the run has no checkpoint.
    """
    state = load_checkpoint(run / "state.pt", torch.device("cpu"))
    if state is None:
        raise FileNotFoundError(f"no checkpoint at {run / 'state.pt'}; expected a run's folder")
    weights = {
        name: value.half().contiguous() if value.is_floating_point() else value
        for name, value in state["model"].items()
        if name != TIED
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, out)
    about: dict[str, object] = {
        "stage": state["stage"],
        "step": state["step"],
        "minutes": round(state["elapsed"] / 60, 1),
        "side": SIDE,
        "grid": GRID,
        "layers": LAYERS,
        "heads": HEADS,
        "width": WIDTH,
    }
    out.with_suffix(".json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return about


def unpack(file: Path) -> dict[str, Tensor]:
    """The state of model and probe that :func:`pack` wrote, in single precision."""
    state = {k: v.float() if v.is_floating_point() else v for k, v in load_file(file).items()}
    state[TIED] = state["model.model.language_model.embed_tokens.weight"]
    return state


def main(argv: list[str] | None = None) -> None:
    """Command line; see ``--help``."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="folder of the run, e.g. runs/lvlm")
    parser.add_argument("out", type=Path, help="the .safetensors file to write")
    args = parser.parse_args(argv)
    print(pack(args.run, args.out))


if __name__ == "__main__":
    main()
