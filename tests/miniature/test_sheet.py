"""The contact sheet: a tile for each scene, with the outline of what is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from groundbrush.miniature.calibration import calibration_samples
from groundbrush.miniature.sheet import LINE, PAGE, draw_sheet, main
from PIL import Image


def test_every_tile_has_its_outline(tmp_path: Path, capsys) -> None:
    sheet = np.asarray(draw_sheet(2))
    for number, drawn in enumerate(calibration_samples(2, seed=2, side=384, wide=True)):
        tile = sheet[:, number * sheet.shape[1] // 2 : (number + 1) * sheet.shape[1] // 2]
        near = np.abs(tile.astype(int) - LINE).max(-1) < 40
        share = drawn.mask.mean()
        assert 0 < near.mean() < share
    main(["--count", "2", "--out", str(tmp_path / "sheet.webp")])
    assert Image.open(tmp_path / "sheet.webp").size == sheet.shape[1::-1]
    assert "sheet.webp" in capsys.readouterr().out


def test_the_page_in_the_docs_is_small_enough_to_load() -> None:
    assert PAGE.stat().st_size < 900_000
