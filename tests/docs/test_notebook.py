"""The notebook on the paper runs from its first cell to its last, on a few pairs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs/notebooks/paper.ipynb"


def test_the_notebook_runs(monkeypatch, capsys):
    monkeypatch.setenv("PAIRS", "8")
    cells = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert len(code) == 10
    names: dict = {}
    for number, cell in enumerate(code):
        exec(compile(cell, f"cell {number}", "exec"), names)
    assert len(names["heads"]) == 3 and min(layer for layer, _ in names["heads"]) >= names["SKIP"]
    assert names["tau"] in np.float64(names["sums"][names["SKIP"] :])
    assert names["mask"].shape == names["pair"].mask.shape
    assert names["mask_iou"](names["mask"], names["pair"].mask) > 0.5
    assert capsys.readouterr().out.splitlines()[-1].startswith("found IoU 0.")
