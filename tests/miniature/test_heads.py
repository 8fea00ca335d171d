"""Discovery on the miniature: padding decides nothing."""

from __future__ import annotations

import numpy as np
from groundbrush.grounding.heads.criteria import spatial_entropy
from groundbrush.miniature import heads


def test_cells_on_the_padding_decide_nothing(monkeypatch):
    # Two rows of a picture between two rows of padding, which the first head attends to as well.
    rows = np.zeros((1, 2, 4, 4), np.float32)
    rows[0, :, 1, 1] = 0.5
    rows[0, 0, 0], rows[0, 0, 3] = 0.1, 0.1
    truth = np.zeros((4, 4), bool)
    truth[1, 1] = True
    seen = (..., slice(1, 3), slice(0, 4))
    sample = heads.Sample(rows, rows, truth, seen)
    monkeypatch.setattr(heads, "read_samples", lambda *_: iter([sample]))
    found = heads.discover(None, 1)
    assert (found.sums.entropies == 0).all() and (found.ious == 1).all() and found.hits.all()
    assert np.allclose(found.sums.sums, [[[1.3, 0.5]]]), "the attention sum is over all tokens"
    assert spatial_entropy(rows)[0, 0] > 0


def test_a_wide_scenes_cells_lie_on_its_picture():
    lvlm = heads.load_miniature()
    sample = next(s for s in heads.read_samples(lvlm, "validation", 40) if s.seen[1] != s.seen[2])
    whole, own = sample.rows.shape[-2:], sample.rows[sample.seen].shape[-2:]
    assert own != whole and sample.truth[sample.seen].sum() == sample.truth.sum() > 0
