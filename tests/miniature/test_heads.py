"""Discovery on the miniature: padding decides nothing."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
from groundbrush.grounding.heads.criteria import spatial_entropy
from groundbrush.miniature import heads
from groundbrush.miniature.composer import compose_wide


def test_cells_on_the_padding_decide_nothing(monkeypatch):
    # Two rows of a picture between two rows of padding, which the first head attends to as well.
    rows = np.zeros((1, 2, 4, 4), np.float32)
    rows[0, :, 1, 1] = 0.5
    rows[0, 0, 0], rows[0, 0, 3] = 0.1, 0.1
    truth = np.zeros((4, 4), bool)
    truth[1, 1] = True
    encoded = SimpleNamespace(tokens=SimpleNamespace(region_xyxy=None), size_wh=None)
    lvlm = SimpleNamespace(encode=lambda _: encoded, head_rows=lambda *_: (rows, rows))
    monkeypatch.setattr(heads, "picture_cells", lambda *_: (..., slice(1, 3), slice(0, 4)))
    monkeypatch.setattr(heads, "true_cells", lambda *_: truth)
    found = heads.discover(lvlm, 3)
    sums = found.measured["sum"]
    assert (sums.entropies == 0).all() and (found.ious == 1).all() and found.hits.all()
    assert np.allclose(sums.sums, [[1.3, 0.5]]), "the attention sum is over all tokens"
    assert spatial_entropy(rows)[0, 0] > 0


def test_a_wide_scenes_cells_lie_on_its_picture():
    lvlm = heads.load_miniature()
    scene = next(
        s
        for s in map(compose_wide, ["validation"] * 40, range(40))
        if len(s.objects) > 1 and s.image.shape[0] != s.image.shape[1]
    )
    encoded = lvlm.encode(scene.image)
    grid = lvlm.grid_hw
    seen = heads.picture_cells(grid, encoded.tokens.region_xyxy, encoded.size_wh)
    truth = heads.true_cells(scene.mask(0), encoded.tokens.region_xyxy, grid)
    assert truth[seen].shape != truth.shape and truth[seen].sum() == truth.sum() > 0
