"""The paper's tables: its numbers as printed, and every table measured on the miniature."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from groundbrush.editor.cli.main import main
from groundbrush.editor.errors import GroundbrushError
from groundbrush.editor.evaluation.ablations import ablation_arms
from groundbrush.editor.evaluation.arms import COORDINATES
from groundbrush.editor.evaluation.paper import beside, paper_table
from groundbrush.editor.evaluation.png import ARMS
from groundbrush.editor.evaluation.scores import Scores
from groundbrush.editor.models.presets import load_preset
from groundbrush.grounding.heads.ranking import HeadMeasurements

TABLES = range(1, 10)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two composed scenes, two captions, and what all tables measure of them."""
    from groundbrush.miniature.calibration import write_calibration
    from groundbrush.miniature.narratives import write_narratives

    folder = tmp_path_factory.mktemp("tables")
    write_calibration(folder / "scenes", 2, "heldout", wide=True, side=256)
    write_narratives(folder / "captions", 1)
    calibrate = ["calibrate", "miniature", "--data", str(folder / "scenes"), "--samples", "2"]
    calibrate += ["--trials", "1", "--lowest", "8", "--no-figures", "--out", str(folder / "heads")]
    assert main([*calibrate, "--device", "cpu", "--quiet"]) == 0
    wrong = json.loads((folder / "scenes/examples.jsonl").read_text().splitlines()[0])
    wrong = {"image": wrong["image"], "phrase": wrong["phrase"], "box": [0, 0, 3, 3]}
    (folder / "scenes/wrong.jsonl").write_text(json.dumps(wrong))
    return folder


def measure(out: Path, number: int, *more: str) -> tuple[int, dict]:
    data = out / ("captions" if number == 9 else "scenes")
    command = ["evaluate", "--table", str(number)]
    command += ["--split", "heldout"] if number == 9 else ["scenes"]
    command += ["--data", str(data), "--out", str(out / "out"), "--json", "--offline"]
    status = main([*command, "--device", "cpu", "--calibration", str(out / "heads"), *more])
    return status, json.loads((out / "out" / f"table-{number}.json").read_text())


def test_every_table_is_measured_on_the_miniature(out: Path, capsys) -> None:
    for number in TABLES:
        status, found = measure(out, number)
        assert status == 0, number
        table = paper_table(number)
        own = table if number == 9 else table.on("scenes")
        ways = [f"miniature, {way}" if way else "miniature" for way in own.ways]
        assert list(found["rows"]) == ways
        for row in found["rows"].values():
            assert list(row) == list(own.columns)
            assert all(cell["n"] == 2 or number == 9 for cell in row.values()), number
        assert not found["printed"], "no number of the paper is of composed scenes"
    journals = sorted(file.stem for file in (out / "out/miniature").glob("*.jsonl"))
    assert journals == ["png-heldout", *(f"scenes-table-{n}" for n in (1, 3, 4, 5, 6, 8))]
    one, two = (json.loads((out / f"out/table-{n}.json").read_text()) for n in (1, 7))
    assert one["rows"].keys() == two["rows"].keys() and one["rows"] != two["rows"]
    words = json.loads((out / "out/table-6.json").read_text())["notes"][0]
    assert "miniature: 2 of 2 answers in words hold no box" in words
    page = (out / "out/table-6.md").read_text()
    assert page.startswith("# Table 6: ") and "| **miniature, coordinates written** | 0.0 [" in page


def test_every_figure_is_drawn_of_the_miniature(out: Path, capsys) -> None:
    figures = (1, 3, 4, 5, 6, 9, 10, 11, 12, 13, 14)
    for number in figures:
        command = ["evaluate", "--figure", str(number), "--out", str(out / "figures"), "--json"]
        source = ["--data", str(out / "captions"), "--split", "heldout"]
        data = out / ("scenes/wrong.jsonl" if number == 9 else "scenes")
        source = source if number == 10 else ["scenes", "--data", str(data)]
        command += [*source, "--calibration", str(out / "heads"), "--offline", "--device", "cpu"]
        assert (
            main([*command, "--preset", "miniature,miniature" if number > 10 else "miniature"]) == 0
        )
        file = out / "figures" / f"figure-{number}.png"
        assert file.read_bytes().startswith(b"\x89PNG"), number
    numbers = {n: json.loads((out / f"figures/figure-{n}.json").read_text()) for n in figures}
    heads = [f"L{a}H{b}" for a, b in load_preset("miniature").lvlm["heads"]]
    assert numbers[1]["miniature"][0][1:] == ["mean of all heads", *heads, "pseudo-mask"]
    low, high = (row[3] for row in numbers[4]["miniature"])
    assert low.startswith("1 components, H = 0.00") and float(high.split("= ")[1]) > 0.5
    assert main(["evaluate", "scenes", "--figure", "7", "--data", str(out / "scenes")]) == 1
    assert "figure 7 given; expected one of 1, 3" in capsys.readouterr().err


def test_a_table_resumes_and_what_is_missing_is_missing(
    refcoco_root: Path, tmp_path: Path, capsys
) -> None:
    command = ["evaluate", "--table", "1", "--data", str(refcoco_root), "--out", str(tmp_path)]
    command += ["--preset", "miniature", "--device", "cpu", "--offline"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    rows = {
        line.split("|")[1].strip(): line.split("|")[2:-1]
        for line in printed.splitlines()
        if line.startswith("| ")
    }
    ours = [cell.strip() for cell in rows["**miniature, the paper's steps**"]]
    assert all("[" in cell for cell in ours[:3]) and ours[3:] == ["–"] * 5
    assert [cell.strip() for cell in rows["LLaVA-1.5-7B (paper)"]] == [
        *("86.5", "89.8", "80.2"),
        *("80.1", "86.3", "71.9"),
        *("82.3", "83"),
    ]
    assert "miniature on refcoco+: " in printed
    assert "none of these presets has an LVLM of the paper's" in printed
    journal = tmp_path / "miniature/refcoco-table-1.jsonl"
    before = journal.read_bytes()
    assert main([*command[:2], "7", *command[3:], "--split", "val"]) == 0
    assert journal.read_bytes() == before, "Table 7 shares Table 1's measurements"


def test_printed_numbers_are_whole_and_consistent() -> None:
    for number in TABLES:
        table = paper_table(number)
        for rows in table.printed.values():
            assert {len(values) for values in rows.values()} == {len(table.columns)}, number
    assert len(paper_table(1).printed["paper"]) == len(paper_table(2).printed["paper"]) == 10
    four = dict(paper_table(4).printed["paper"])
    average = four.pop("average")
    means = np.mean(list(four.values()), axis=0).round(1)
    assert [k for k in range(5) if means[k] != average[k]] == [3]  # the paper's slip, in its notes
    assert means[3] == 66.6 and "66.6" in paper_table(4).notes[0]
    res, beside_flmm = paper_table(2).printed["paper"], paper_table(7).printed["paper"]
    differ = {
        (model, column)
        for model, values in beside_flmm.items()
        for column, a, b in zip(paper_table(7).columns, values, res[model], strict=True)
        if a != b
    }
    assert differ == {("DeepSeek-VL-7B", "RefCOCO+ testA")}
    best = [max(v[k] for v in paper_table(8).printed["paper"].values()) for k in range(12)]
    assert best.index(max(best)) == 2 and beside("reasonseg", "test, long")["LLaVA-1.5-13B"] == {
        "cIoU": 51.0
    }


@pytest.mark.parametrize("of", ["--table", "--figure"])
def test_an_unknown_number_is_refused_before_presets_and_data(
    of: str, capsys: pytest.CaptureFixture
) -> None:
    assert main(["evaluate", of, "20", "--preset", "nothing-like-it"]) == 1
    assert f"{of[2:]} 20 given; expected one of 1" in capsys.readouterr().err


def test_every_cell_is_an_arm_and_a_metric_that_exist() -> None:
    rng = np.random.default_rng(0)
    measured = HeadMeasurements(rng.random((20, 4, 6)), rng.random((20, 4, 6)))
    arms = ablation_arms(load_preset("miniature").lvlm, measured, lowest=6, threshold=0.0)
    names = {arm.name for arm in arms} | {COORDINATES.name}
    metrics = {field.name for field in fields(Scores)}
    for number in TABLES:
        for _, _, cell in paper_table(number).cells():
            assert cell["arm"] in (ARMS if number == 9 else names), cell
            assert cell["metric"] == "recall" if number == 9 else cell["metric"] in metrics


def test_a_table_on_one_benchmark_keeps_the_numbers_that_belong_to_it() -> None:
    plus = paper_table(1).on("refcoco+")
    assert list(plus.columns) == ["RefCOCO+ val", "RefCOCO+ testA", "RefCOCO+ testB"]
    assert plus.printed["paper"]["LLaVA-1.5-7B"] == [80.1, 86.3, 71.9]
    short = paper_table(3).on("reasonseg", "test")
    assert list(short.columns) == ["test, short", "test, long", "test"]
    other = paper_table(4).on("refcocog")
    assert not other.printed and other.benchmarks == ["refcocog"]
    with pytest.raises(GroundbrushError, match="table 10 given; expected one of 1, 2, 3"):
        paper_table(10)
