"""The removal benchmark: outcomes by the true masks, and records that outlive a run."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import removal

MASK = np.zeros((10, 10), bool)
MASK[:5, :4] = True


@pytest.mark.parametrize(
    ("rows_painted", "gone", "done", "outcome"),
    [
        (5, True, True, "gone, rightly"),
        (4, True, True, "wrong gone"),
        (4, False, True, "alarm, rightly"),
        (5, False, True, "false alarm"),
        (5, None, True, "unsure"),
        (4, None, True, "unsure"),
        (5, True, False, "not done"),
    ],
)
def test_the_outcome_is_by_the_true_mask(rows_painted, gone, done, outcome):
    support = np.zeros_like(MASK)
    support[:rows_painted] = True
    edit = SimpleNamespace(done=done, support=support, checks={"gone": gone})
    editor = SimpleNamespace(remove=lambda image, words: edit)
    scene = SimpleNamespace(image=None)
    assert removal.record_of(editor, removal.ONE, scene, "the car", [MASK])["outcome"] == outcome


def test_a_crowded_scene_is_gone_only_if_every_step_says_so():
    support = np.ones_like(MASK)
    edits = [SimpleNamespace(done=True, support=support, checks={"gone": g}) for g in (True, False)]
    editor = SimpleNamespace(apply=lambda image, words: edits)
    scene = SimpleNamespace(image=None)
    found = removal.record_of(editor, removal.ALL, scene, "all the cars", [MASK])
    assert found["outcome"] == "false alarm"


def test_scenes_hold_one_thing_or_several():
    for kind in (removal.ONE, removal.ALL):
        for _, _, words, masks in removal.scenes(kind, 4):
            assert (len(masks) > 1) == (kind == removal.ALL) == words.startswith("all the")


@pytest.mark.slow
def test_a_second_run_reuses_the_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(removal, "RECORDS", tmp_path / "removal")
    words = ["--tiny", "--out", str(tmp_path)]
    assert removal.main(words) == 0
    files = sorted(removal.RECORDS.rglob("*.jsonl"))
    assert [len(file.read_text(encoding="utf-8").splitlines()) for file in files] == [1, 2]
    with files[0].open("a", encoding="utf-8") as file:
        file.write('{"seed": "cut')
    monkeypatch.setattr(removal, "record_of", None)
    assert removal.main(words) == 0
    found = json.loads((tmp_path / "removal.json").read_text(encoding="utf-8"))
    assert [row["scenes"] for row in found["rows"]] == [2, 1]
