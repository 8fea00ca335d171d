"""The notebooks run from the first cell to the last, at a small scale."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a notebook's cells in a directory with the examples; give its names."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PAIRS", "8")

    def notebook(name: str) -> dict:
        path = ROOT / "docs" / "notebooks" / f"{name}.ipynb"
        names: dict = {}
        for number, cell in enumerate(json.loads(path.read_text("utf-8"))["cells"]):
            if cell["cell_type"] == "code":
                exec(compile("".join(cell["source"]), f"{name} {number}", "exec"), names)
        return names

    return notebook


def test_calibrate(run):
    names = run("calibrate")
    assert len(names["spot"].heads) == 3
    assert {tuple(h) for h in names["spot"].heads} == {tuple(h) for h in names["done"].found.heads}


def test_inpaint(run):
    names = run("inpaint")
    result = names["result"]
    assert (result.image == names["picture"])[~result.support].all()
    assert names["changed"].sum() > names["mask"].sum() / 2
    assert len(names["variants"]) == 3 and names["previews"]


def test_panoptic(run):
    names = run("panoptic")
    assert {s.status for r in names["found"].values() for s in r.segments} == {"found"}
    coded, areas = names["coded"], names["areas"]
    assert areas and all((coded == i).sum() == area for i, area in areas.items())
    assert len(names["joined"]["images"]) == 2


def test_paper(run, capsys):
    names = run("paper")
    assert len(names["heads"]) == 3 and min(layer for layer, _ in names["heads"]) >= names["SKIP"]
    assert names["tau"] in np.float64(names["sums"][names["SKIP"] :])
    assert names["mask"].shape == names["pair"].mask.shape
    assert names["mask_iou"](names["mask"], names["pair"].mask) > 0.5
    assert capsys.readouterr().out.splitlines()[-1].startswith("found IoU 0.")
