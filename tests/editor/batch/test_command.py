"""`groundbrush batch` with the real miniature models, killed once on its way."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from fake_editor import FakeEditor, outputs, picture_file, results
from groundbrush import Editor
from groundbrush.editor.cli.main import main
from groundbrush.editor.errors import GroundbrushError
from groundbrush.editor.journal import read_journal
from PIL import Image

ROOT = Path(__file__).resolve().parents[3]


OPTIONS = ["--steps", "2", "--gate", "paint", "--offline", "--device", "cpu", "--quiet"]


def write_manifest(scene_file: tuple, folder: Path, rows: list[dict]) -> list[str]:
    """A manifest about the scene; the command's arguments."""
    shutil.copy(scene_file[0], folder / "scene.png")
    lines = [json.dumps({"image": "scene.png", **row}) for row in rows]
    (folder / "m.jsonl").write_text("\n".join(lines))
    return ["batch", str(folder / "m.jsonl"), *OPTIONS]


def test_the_real_models_do_every_kind_of_row(
    scene_file: tuple, tmp_path: Path, miniature: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Editor, "load", classmethod(lambda cls, *a, **k: miniature))
    words = scene_file[2].text
    rows = [
        {"remove": words, "retries": 0},
        {"ground_all": words},
        {"apply": f"replace {words} with a balloon"},
        {"find": words},
    ]
    command = write_manifest(scene_file, tmp_path, rows)
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    made = results(tmp_path / "out")
    assert [row["action"] for row in made] == ["remove", "ground-all", "apply", "ground"]
    assert all(row["status"] in ("done", "absent") for row in made)
    assert any(row["status"] == "done" for row in made)
    assert [step["paint"] for step in made[2]["steps"]] == ["a balloon"]
    for row in made:
        for name in row["files"].values():
            if name.endswith((".png", ".jpg")):
                Image.open(tmp_path / "out" / name).load()


def test_the_real_models_killed_and_resumed_give_what_an_undisturbed_run_gives(
    scene_file: tuple, tmp_path: Path, miniature: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Editor, "load", classmethod(lambda cls, *a, **k: miniature))
    words = scene_file[2].text
    command = write_manifest(
        scene_file,
        tmp_path,
        [{"find": words, "paint": "a red balloon", "seed": 3}, {"find": words}],
    )
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    assert main([*command, "--out", str(calm)]) == 0
    process = subprocess.Popen(
        [sys.executable, "-m", "groundbrush", *command, "--out", str(killed)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    journal, rows = killed / ".batch/journal", 0
    ended = False
    while not ended and rows < 1:
        time.sleep(0.02)
        ended = process.poll() is not None  # checked before reading: it may end in between
        records = read_journal(journal) if journal.exists() else []
        rows = sum(record["event"] == "row" for record in records)
    process.kill()
    _, said = process.communicate()
    assert rows >= 1, said
    assert main([*command, "--out", str(killed), "--resume"]) == 0
    assert outputs(killed) == outputs(calm)
    assert [row["error"] for row in results(killed)] == [None, None]


@pytest.mark.parametrize("what", [["--paint", "a frog"], ["--find", "everything but the dog"]])
def test_a_wrong_instruction_is_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], what: list[str]
) -> None:
    """By the real preset, which knows few words."""
    for name in ("a.png", "b.png"):
        picture_file(tmp_path / "in" / name)
    assert main(["batch", str(tmp_path / "in"), *what, "--dry-run", "--quiet"]) == 1
    assert ": 1 problem, and nothing was done" in capsys.readouterr().err


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Editor, "load", classmethod(lambda cls, *a, **k: FakeEditor()))


@pytest.mark.usefixtures("fake")
class TestCommand:
    """The command itself, without models."""

    def test_a_folder_with_one_instruction(
        self, tmp_path: Path, capsys: pytest.CaptureFixture
    ) -> None:
        for name in ("b.png", "a.png"):
            picture_file(tmp_path / "in" / name)
        out = tmp_path / "in/out"
        command = [
            "batch",
            str(tmp_path / "in"),
            "--find",
            "the cup",
            "--paint",
            "a vase",
            "--seed",
            "4",
            "--out",
            str(out),
        ]
        assert main([*command, "--dry-run"]) == 0
        assert "2 to edit" in capsys.readouterr().out
        assert not out.exists()
        assert main(command) == 0
        said = capsys.readouterr()
        assert "2 rows: 2 done" in said.out
        assert re.search(r"painting: 100%.* 2/2 ", said.err)
        assert [row["image"] for row in results(out)] == ["a.png", "b.png"]
        assert {row["recipe"]["seed"] for row in results(out)} == {4}
        assert main([*command, "--resume", "--json"]) == 0
        facts = json.loads(capsys.readouterr().out)
        assert (facts["counts"], facts["worked"]) == ({"done": 2}, 0)

    def test_a_failed_row_is_status_1_and_the_rest_is_done(self, tmp_path: Path) -> None:
        picture_file(tmp_path / "a.png")
        (tmp_path / "m.csv").write_text("image,find,paint\na.png,the cup,a vase\na.png,explode,x\n")
        command = ["batch", str(tmp_path / "m.csv"), "--out", str(tmp_path / "out"), "--quiet"]
        assert main(command) == 1
        assert [row["status"] for row in results(tmp_path / "out")] == ["done", "failed"]

    def test_the_summary_says_why_rows_failed_and_where_the_rest_is(
        self, tmp_path: Path, capsys: pytest.CaptureFixture
    ) -> None:
        picture_file(tmp_path / "a.png")
        for name in ("b.png", "c.png"):
            (tmp_path / name).write_bytes((tmp_path / "a.png").read_bytes()[:200])
        finds = [
            "the cup",
            *(f"the refused {word}" for word in ("dog", "cat")),
            "explode",
            *(f"explode with {word}" for word in ("a", "b", "c")),
        ]
        lines = [f"a.png,{find}" for find in finds]
        (tmp_path / "m.csv").write_text("\n".join(["image,find", "b.png,x", "c.png,x", *lines]))
        command = ["batch", str(tmp_path / "m.csv"), "--out", str(tmp_path / "out")]
        assert main([*command, "--quiet"]) == 1
        said = capsys.readouterr().out.splitlines()
        at = said.index("failed:")
        assert said[at - 1].startswith("9 rows: 1 done, 8 failed")
        assert said[at + 1] == (
            "  4 x RuntimeError: a model broke in two lines (rows 6, 7, 8, ...)"
        )
        assert said[at + 2].startswith("  2 x ... is damaged or not fully copied; expected a whole")
        assert said[at + 2].endswith("(rows 1, 2)")
        assert said[at + 3].startswith("  2 x ... given; expected other words; change them (rows")
        assert said[at + 4] == f"each row's is in {tmp_path / 'out/results.jsonl'}"
        assert main([*command, "--resume", "--json"]) == 1
        failures = json.loads(capsys.readouterr().out)["failures"]
        assert [(one["count"], one["rows"]) for one in failures] == [
            (4, [6, 7, 8]),
            (2, [1, 2]),
            (2, [4, 5]),
        ]

    def test_of_many_reasons_the_most_frequent_are_told(
        self, tmp_path: Path, capsys: pytest.CaptureFixture
    ) -> None:
        picture_file(tmp_path / "a.png")
        words = [f"refused {'x' * k}" for k in range(7)]
        rows = [{"image": "a.png", "find": f"thing {k}"} for k, _ in enumerate(words)]
        (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, rows)))

        def ground(self: FakeEditor, image: Any, phrase: str) -> Any:
            raise GroundbrushError(words[int(phrase[-1])])

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(FakeEditor, "ground", ground)
            command = ["batch", str(tmp_path / "m.jsonl"), "--out", str(tmp_path / "out")]
            assert main([*command, "--quiet"]) == 1
        said = capsys.readouterr().out.splitlines()
        assert len([line for line in said if line.startswith("  1 x refused ")]) == 5
        assert "  2 more for 2 other reasons" in said

    def test_nothing_failed_and_nothing_is_told_of_reasons(
        self, tmp_path: Path, capsys: pytest.CaptureFixture
    ) -> None:
        picture_file(tmp_path / "in/a.png")
        command = ["batch", str(tmp_path / "in"), "--find", "the cup"]
        assert main([*command, "--out", str(tmp_path / "out"), "--quiet"]) == 0
        said = capsys.readouterr().out.splitlines()
        assert [line.partition(":")[0] for line in said] == ["1 rows", "results", "review"]

    def test_files_passed_over_are_told_in_every_kind_of_run(
        self, tmp_path: Path, capsys: pytest.CaptureFixture
    ) -> None:
        picture_file(tmp_path / "in/a.png")
        (tmp_path / "in/b.heic").write_bytes(b"x")
        (tmp_path / "in/c.txt").write_bytes(b"x")
        command = ["batch", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--quiet"]
        line = "2 files passed over, no pictures by their names: 1 .heic, 1 .txt; .heic: expected"
        for more in (["--find", "the cup", "--dry-run"], ["--find", "the cup"]):
            assert main([*command, *more]) == 0
            assert capsys.readouterr().out.startswith(line)
        assert main([*command, "--find", "the cup", "--dry-run", "--resume", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["notes"][0].startswith(line)
        assert main([*command, "--paint", "a vase", "--resume"]) == 1  # refused
        assert f"({line}" in capsys.readouterr().err

    def test_a_dry_run_tells_its_progress_and_refuses_what_it_finds(
        self, tmp_path: Path, capsys: pytest.CaptureFixture
    ) -> None:
        picture_file(tmp_path / "in/a.png")
        (tmp_path / "in/b.png").write_bytes((tmp_path / "in/a.png").read_bytes()[:200])
        command = [
            "batch",
            str(tmp_path / "in"),
            "--find",
            "the cup",
            "--dry-run",
            "--out",
            str(tmp_path / "out"),
        ]
        assert main(command) == 1
        said = capsys.readouterr()
        assert re.search(r"checking: 100%.* 2/2 ", said.err)
        assert "1 problem, and nothing was done" in said.err
        assert "row 2: " in said.err
        assert said.out == ""
        assert not (tmp_path / "out").exists()

    def test_every_problem_is_printed_and_nothing_done(
        self, tmp_path: Path, capsys: pytest.CaptureFixture
    ) -> None:
        picture_file(tmp_path / "a.png")
        (tmp_path / "m.jsonl").write_text('{"image": "../a.png", "find": "x"}\n{"image": "a.png"}')
        command = ["batch", str(tmp_path / "m.jsonl"), "--out", str(tmp_path / "out")]
        assert main(command) == 1
        error = capsys.readouterr().err
        assert "row 1 (line 1): image '../a.png'" in error
        assert "row 2 (line 2): nothing given" in error
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (["{folder}"], "a folder needs --find"),
            (["{folder}/m.jsonl", "--find", "x"], "--find is for a folder"),
            (["{folder}/m.jsonl", "--recursive"], "--recursive is for a folder"),
        ],
    )
    def test_wrong_usage_is_status_2(
        self, tmp_path: Path, capsys: pytest.CaptureFixture, options: list[str], words: str
    ) -> None:
        (tmp_path / "m.jsonl").write_text("{}")
        with pytest.raises(SystemExit) as stop:
            main(["batch", *(o.format(folder=tmp_path) for o in options)])
        assert stop.value.code == 2
        assert words in capsys.readouterr().err

    @pytest.mark.parametrize("given", ["steps=3", "[3]"])
    def test_settings_are_json(
        self, tmp_path: Path, capsys: pytest.CaptureFixture, given: str
    ) -> None:
        (tmp_path / "m.jsonl").write_text("{}")
        with pytest.raises(SystemExit) as stop:
            main(["batch", str(tmp_path / "m.jsonl"), "--settings", given])
        assert stop.value.code == 2
        assert f"--settings '{given}' given; expected" in capsys.readouterr().err
