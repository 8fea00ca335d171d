"""`evaluate` and `calibrate` as they are typed, on the embedded models and a few scenes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from groundbrush.editor.cli.main import main
from groundbrush.editor.models.presets import load_preset


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from groundbrush.miniature.calibration import write_calibration

    folder = tmp_path_factory.mktemp("scenes")
    write_calibration(folder, 4, "heldout")
    return folder


def run(capsys: pytest.CaptureFixture, *command: str) -> tuple[int, dict]:
    status = main([*command, "--offline", "--device", "cpu", "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_calibrate_then_evaluate_with_every_ablation(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    calibration = tmp_path / "calibration"
    status, ranked = run(
        capsys,
        "calibrate",
        "miniature",
        "--data",
        str(scenes),
        "--trials",
        "2",
        "--samples",
        "2",
        "--skip-layers",
        "1",
        "--out",
        str(calibration),
    )
    assert status == 0
    assert ranked["pairs"] == 4
    assert load_preset(ranked["files"]["preset"]).lvlm["heads"] == ranked["heads"]
    assert Path(ranked["files"]["head-grid"]).is_file()
    status, scored = run(
        capsys,
        "evaluate",
        "scenes",
        "--data",
        str(scenes),
        "--limit",
        "1",
        "--ablate",
        "--calibration",
        str(calibration),
        "--out",
        str(tmp_path / "out"),
    )
    assert status == 0
    assert set(scored["arms"]) >= {
        *("preset", "paper", "greedy", "k=1", "no SAM", "like-reference", "criterion 1 only"),
        *(
            "criterion 2 only",
            "paper, sigma=1.8",
            "mean of all heads",
            "greedy, sum only",
            "paper, all components",
        ),
    }
    assert all(row["count"] == 1 and not row["failed"] for row in scored["arms"].values())
    page = Path(scored["files"]["page"]).read_text()
    assert "## Ablations" in page
    assert "against paper" in page


def test_evaluate_resumes(scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    command = ["evaluate", "scenes", "--data", str(scenes), "--out", str(tmp_path)]
    status, few = run(capsys, *command, "--limit", "1")
    assert (status, few["groups"]["all"]["count"]) == (0, 1)
    journal = Path(few["files"]["journal"])
    first = journal.read_text().splitlines()
    _, whole = run(capsys, *command)
    assert journal.read_text().splitlines()[: len(first)] == first
    assert whole["groups"]["all"]["count"] == 4
    assert json.loads(Path(whole["files"]["scores"]).read_text())["groups"] == whole["groups"]


def test_the_public_codes_way_runs(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    status, found = run(
        capsys,
        "evaluate",
        "scenes",
        "--data",
        str(scenes),
        "--limit",
        "1",
        "--like-reference",
        "--out",
        str(tmp_path),
    )
    assert status == 0
    assert list(found["arms"]) == ["like-reference"]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["evaluate", "refcoco", "--data", "nowhere"], "'nowhere' does not exist"),
        (["evaluate", "refcoco+", "--data", ".", "--partition", "umd"], "no partition 'umd'"),
        (["evaluate", "scenes", "--data", ".", "--limit", "0"], "limit 0 given"),
        (["calibrate", "minature"], "did you mean miniature"),
        (["calibrate", "miniature", "--tau", "low"], "--tau 'low' given; expected elbow"),
        (["calibrate", "miniature", "--data", "tests"], "holds no calibration data"),
        (["calibrate", "miniature", "--samples", "0"], "samples is 0"),
    ],
)
def test_what_cannot_be_met_is_one_line(
    command: list[str], words: str, capsys: pytest.CaptureFixture
) -> None:
    assert main(command) == 1
    error = capsys.readouterr().err.strip()
    assert words in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    "command",
    [
        ["evaluate"],
        ["evaluate", "coco"],
        ["evaluate", "refcoco"],
        ["evaluate", "scenes", "--set", "sigma=1", "--arm", "k=1", "--limit", "1"],
        ["calibrate"],
    ],
)
def test_wrong_usage(command: list[str], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stop:
        main(command)
    assert stop.value.code == 2
    assert "groundbrush" in capsys.readouterr().err
