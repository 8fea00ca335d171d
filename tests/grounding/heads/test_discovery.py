"""Discovery without presets and files of users: settings, trials, stored measurements, truth."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from groundbrush.grounding.errors import GroundingError
from groundbrush.grounding.families import ImageTokens
from groundbrush.grounding.heads.discovery import (
    DiscoverySettings,
    DrawnPair,
    measure_pairs,
    true_cells,
)
from groundbrush.grounding.heads.measured_pairs import MeasurementStore
from groundbrush.grounding.heads.trials import trial_indices
from hypothesis import given
from hypothesis import strategies as st


def test_measurements_of_something_else_are_refused(tmp_path: Path) -> None:
    MeasurementStore(tmp_path, {"seed": 1}, 6, 5)
    with pytest.raises(GroundingError, match="measurements with another seed; give another --out"):
        MeasurementStore(tmp_path, {"seed": 2}, 6, 5)
    (tmp_path / "measurements.json").write_text("{")
    with pytest.raises(GroundingError, match="cannot be read"):
        MeasurementStore(tmp_path, {"seed": 1}, 6, 5)


@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 5))
def test_trials_take_what_there_is(count: int, samples: int, trials: int) -> None:
    settings = DiscoverySettings(samples=samples, trials=trials)
    indices = trial_indices(count, settings)
    assert len(indices) == trials
    assert all(len(index) == min(samples, count) for index in indices)
    assert all(index.min() >= 0 and index.max() < count for index in indices)
    if count >= samples * trials:
        assert len(np.unique(np.concatenate(indices))) == samples * trials
    elif samples < count:
        assert all(len(np.unique(index)) == samples for index in indices)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"samples": 0}, "samples is 0; expected a whole number from 1"),
        ({"trials": 1.5}, "trials is 1.5"),
        ({"criterion": "labels"}, "criterion is 'labels'; expected one of sum, contrast"),
        ({"threshold": 2.0}, r"threshold is 2.0; expected an attention sum in \[0, 1\]"),
        ({"threshold": "auto"}, "threshold is 'auto'"),
        ({"binarise": "max"}, "binarise is 'max'"),
        ({"tau": 1}, "the unknown name 'tau'"),
    ],
)
def test_bad_settings_are_named(values: dict, words: str) -> None:
    with pytest.raises(GroundingError, match=words):
        DiscoverySettings.from_dict(values)


def test_entropy_and_iou_are_of_the_cells_on_the_picture() -> None:
    # A 4 by 2 picture in a 4 by 4 square; a sink on the padding would be a component of its own.
    rows = np.zeros((1, 1, 4, 4))
    rows[..., 1, 1], rows[..., 3, 3] = 0.5, 0.4

    class OneHead:
        def encode(self, image, all_layers):
            tokens = ImageTokens(0, (4, 4), (0.0, -1.0, 4.0, 3.0))
            return SimpleNamespace(size_wh=(4, 2), tokens=tokens)

        def head_rows(self, encoded, phrases):
            return [rows for _ in phrases]

    def mask(item, size):
        truth = np.zeros((2, 4), bool)
        truth[0, 1] = True
        return truth

    pair = DrawnPair(0, SimpleNamespace(phrase="dog"), None)

    def measure(cells: str):
        settings = DiscoverySettings(cells=cells)
        return next(measure_pairs(OneHead(), np.zeros((2, 4, 3), np.uint8), [pair], settings, mask))

    own, literal = measure("picture"), measure("all")
    assert own["entropies"][0, 0] == 0 and own["ious"][0, 0] == 1
    assert literal["entropies"][0, 0] == pytest.approx(np.log(2)) and literal["ious"][0, 0] == 0.5
    assert own["sums"][0, 0] == literal["sums"][0, 0] == pytest.approx(0.9)


def test_true_cells_of_a_padded_picture() -> None:
    # a 4 by 2 picture in a 4 by 4 square seen by 4 by 4 cells: rows 0 and 3 are padding
    mask = np.zeros((2, 4), bool)
    mask[:, :2] = True
    cells = true_cells(mask, (0, -1, 4, 3), (4, 4))
    assert cells.astype(int).tolist() == [[0] * 4, [1, 1, 0, 0], [1, 1, 0, 0], [0] * 4]
    speck = np.zeros((40, 40), bool)
    speck[3, 3] = True
    assert true_cells(speck, (0, 0, 40, 40), (4, 4)).sum() == 1
    assert not true_cells(np.zeros((4, 4), bool), (0, 0, 4, 4), (2, 2)).any()
