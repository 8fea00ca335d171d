"""Discovery finds planted heads without labels, resumes, and shows its work."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from groundbrush.editor.errors import GroundbrushError
from groundbrush.editor.evaluation.calibration import (
    measure,
    preset_with_heads,
    read_data,
    write_report,
)
from groundbrush.editor.models.presets import load_preset
from groundbrush.grounding.errors import GroundingError
from groundbrush.grounding.heads.discovery import DiscoverySettings, draw_pairs
from groundbrush.grounding.heads.figures import all_figures, discovery_figure, head_grid
from groundbrush.grounding.heads.measured_pairs import MeasuredPairs, MeasurementStore
from groundbrush.grounding.heads.report import ranking_facts
from groundbrush.grounding.heads.trials import HeadDiscovery

PLANTED = {(3, 1), (4, 2), (5, 0)}
FEW = DiscoverySettings(samples=8, trials=3, lowest=3)


def calibrate(lvlm, data: Path, out: Path, settings: DiscoverySettings = FEW) -> HeadDiscovery:
    pairs = draw_pairs(read_data(data), settings)
    store = MeasurementStore(out, {"seed": settings.seed}, lvlm.n_layers, lvlm.n_heads)
    return HeadDiscovery(measure(lambda: lvlm, pairs, settings, store), settings)


def test_planted_heads_are_found_and_decoys_are_not(
    planted, squares: Callable, tmp_path: Path
) -> None:
    found = calibrate(planted, squares(24), tmp_path / "out")
    assert set(found.heads) == PLANTED
    assert found.ranking.samples == 8
    assert len(found.trials) == 3
    assert found.same_in_trials == 3
    assert found.deviation.shape == (6, 5)
    # with the planted heads always first, there is nothing to deviate
    assert all(found.deviation[head] == 0 for head in PLANTED)


def test_labels_play_no_part_in_the_choice(planted, squares: Callable, tmp_path: Path) -> None:
    with_truth = calibrate(planted, squares(24), tmp_path / "a")
    without = calibrate(planted, squares(24, truth=False, name="bare"), tmp_path / "b")
    assert (with_truth.ranking.frequency == without.ranking.frequency).all()
    assert without.measured.mean_ious is None
    assert without.agreement is None
    ious = with_truth.measured.mean_ious
    assert all(ious[head] == 1 for head in PLANTED)
    assert with_truth.agreement is not None


def test_each_criterion_alone_takes_a_decoy(planted, squares: Callable, tmp_path: Path) -> None:
    data = squares(24)
    no_threshold = DiscoverySettings(samples=8, trials=3, lowest=4, heads=4, threshold=0.0)
    assert set(calibrate(planted, data, tmp_path / "a", no_threshold).heads) > PLANTED
    assert (4, 4) in calibrate(planted, data, tmp_path / "a", no_threshold).heads
    no_skipping = DiscoverySettings(samples=8, trials=3, lowest=4, heads=4, skip_layers=0)
    assert (1, 3) in calibrate(planted, data, tmp_path / "a", no_skipping).heads


def test_contrast_asks_a_second_phrase(planted, squares: Callable, tmp_path: Path) -> None:
    settings = DiscoverySettings(samples=8, trials=3, lowest=3, criterion="contrast")
    pairs = draw_pairs(read_data(squares(24)), settings)
    assert all(pair.other and pair.other != pair.item.phrase for pair in pairs)
    found = calibrate(planted, squares(24, name="more"), tmp_path / "out", settings)
    assert set(found.heads) == PLANTED


def test_an_interrupted_calibration_goes_on(planted, squares: Callable, tmp_path: Path) -> None:
    data, out = squares(24), tmp_path / "out"
    whole = calibrate(planted, data, out)
    file = out / "measurements.bin"
    record = file.stat().st_size // 24
    with file.open("r+b") as opened:
        opened.truncate(10 * record + 7)  # killed in the middle of the eleventh
    planted.encoded = 0
    again = calibrate(planted, data, out)
    assert planted.encoded == 7  # two pairs a picture
    assert (again.measured.sums == whole.measured.sums).all()
    assert (again.measured.entropies == whole.measured.entropies).all()
    planted.encoded = 0
    calibrate(planted, data, out)
    assert planted.encoded == 0


def test_more_pairs_build_on_those_there_are(planted, squares: Callable, tmp_path: Path) -> None:
    data, out = squares(24), tmp_path / "out"
    few = DiscoverySettings(samples=4, trials=2, lowest=3)
    assert len(calibrate(planted, data, out, few).measured) == 8
    planted.encoded = 0
    more = calibrate(planted, data, out)
    assert len(more.measured) == 24
    assert planted.encoded <= 12
    fewer = calibrate(planted, data, out, few)
    assert (fewer.measured.sums == more.measured.sums[:8]).all()


def test_pairs_that_fail_are_left_out_and_told(planted, squares: Callable, tmp_path: Path) -> None:
    data = squares(24)
    lines = (data / "examples.jsonl").read_text().splitlines()
    lines[0] = json.dumps({"image": "0.png", "phrase": "unknown word"})
    (data / "11.png").write_bytes(b"not a picture")
    (data / "examples.jsonl").write_text("\n".join(lines))
    found = calibrate(planted, data, tmp_path / "out")
    assert len(found.measured) == 21
    assert found.measured.skipped[0] == "3 pairs could not be measured"
    assert any("no word of 'unknown word'" in why for why in found.measured.skipped)
    assert set(found.heads) == PLANTED


def test_nothing_measurable_is_an_error(planted, squares: Callable, tmp_path: Path) -> None:
    data = squares(2)
    (data / "0.png").write_bytes(b"x")
    with pytest.raises(GroundbrushError, match="none of the 2 pairs could be measured"):
        calibrate(planted, data, tmp_path / "out")


def test_data_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(GroundbrushError, match="holds no calibration data"):
        read_data(tmp_path)


def test_too_many_heads_asked_for(planted, squares: Callable, tmp_path: Path) -> None:
    settings = DiscoverySettings(samples=8, trials=3, lowest=1, heads=20)
    with pytest.raises(GroundingError, match="k is 20, but"):
        _ = calibrate(planted, squares(24), tmp_path / "o", settings).heads


def test_robustness_curves(planted, squares: Callable, tmp_path: Path) -> None:
    found = calibrate(planted, squares(24), tmp_path / "out")
    (_, same), (_, none) = found.over_tau([found.ranking.threshold, 0.99])
    assert found.kept(same) == (3, 1.0)
    assert found.kept(none)[0] == 0  # no head looks that much at the picture
    by_lowest = dict(found.over_lowest([1, 3, 5]))
    assert found.kept(by_lowest[3]) == (3, 1.0) and found.kept(by_lowest[5])[0] == 3
    assert by_lowest[1].frequency.sum() == pytest.approx(1)  # one head in each pair
    by_count = found.over_samples([6, 24])
    assert by_count[-1] == (24, 3.0, 0.0)


def test_the_report_holds_a_preset_that_loads(planted, squares: Callable, tmp_path: Path) -> None:
    settings = DiscoverySettings(samples=8, trials=3, lowest=3, query="prompt")
    found = calibrate(planted, squares(24), tmp_path / "m", settings)
    figures = all_figures(found)
    files = write_report(found, load_preset("llava-1.5-7b"), "squares", tmp_path / "out", figures)
    made = load_preset(str(files["preset"]))
    assert {tuple(pair) for pair in made.lvlm["heads"]} == PLANTED
    assert "query prompt" in made.lvlm["provenance"]
    assert "24 pairs, 3 trials of 8" in made.lvlm["provenance"]
    assert made.lvlm["query"] == "prompt"
    assert made.lvlm["path"] == "llava-hf/llava-1.5-7b-hf"
    assert set(figures) == {
        "attention-sums",
        "frequencies",
        "frequency-and-iou",
        "robustness-tau",
        "robustness-lowest",
        "robustness-samples",
    }
    page = files["page"].read_text()
    for name in figures:
        assert files[name].read_bytes().startswith(b"\x89PNG")
        assert f"({name}.png)" in page
    assert "1.000 ± 0.000" in page
    assert "heads counted in a pair: 3 of 30 (10.0%" in page
    assert "the tie rule (the larger attention sum) decides" in page
    facts = json.loads(files["ranking"].read_text())
    assert facts == json.loads(json.dumps(ranking_facts(found)))
    assert facts["same heads in trials"] == "3 of 3"
    assert "full" not in preset_with_heads(made, found, "x")["lvlm"]


def test_figures_show_the_numbers(planted, squares: Callable, tmp_path: Path) -> None:
    found = calibrate(planted, squares(24), tmp_path / "m")
    figures = all_figures(found)
    curve = figures["attention-sums"].axes[0].lines[0].get_ydata()
    assert len(curve) == 4 * 5  # two layers are left out
    assert (np.diff(curve) >= 0).all()
    bars = figures["frequencies"].axes[0].patches
    assert [bar.get_height() for bar in bars[:3]] == [1, 1, 1]
    bare = MeasuredPairs(
        found.measured.sums, found.measured.entropies, np.full_like(found.measured.ious, np.nan)
    )
    without = HeadDiscovery(bare, FEW)
    assert "frequency-and-iou" not in all_figures(without)
    with pytest.raises(GroundingError, match="have no masks or boxes"):
        discovery_figure(["frequency-and-iou"], {"": without})
    lowest = figures["robustness-lowest"].axes[0]
    assert len(lowest.get_xticks()) == 14 and lowest.get_xticklabels()[2].get_text() == "3\n3"
    two = discovery_figure(["attention-sums", "frequencies"], {"one": found, "two": found})
    assert len(two.axes) == 4 and two.axes[2].get_title().startswith("two: ")
    grid = head_grid(
        np.zeros((8, 8, 3), np.uint8), planted._rows("the square 1 1"), "x", found.heads
    )
    assert len(grid.axes[1].patches) == 3
