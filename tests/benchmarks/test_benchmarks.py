"""Every benchmark runs at a tiny size and writes JSON that says where it was measured."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks import (
    common,
    discovery,
    floor,
    masks,
    page,
    painting,
    phrases,
    rows,
    scaling,
    stand_ins,
    startup,
)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cases run in this process: a new one for each would take most of these tests' time."""
    modules = {f"benchmarks.{m.__name__.split('.')[-1]}": m
               for m in (rows, discovery, scaling, startup)}  # fmt: skip
    monkeypatch.setattr(common, "fresh", lambda name, case, limit=0: modules[name].case(case))


def run(module: object, folder: Path) -> dict:
    assert module.main(["--tiny", "--rounds", "1", "--out", str(folder)]) == 0
    topic = module.__name__.split(".")[-1]
    found = json.loads((folder / f"{topic}.json").read_text(encoding="utf-8"))
    assert found["topic"] == topic
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", found["machine"]["date"])
    assert found["machine"]["packages"]["torch"]
    assert all(one["met"] in (None, True, False) for one in found["targets"])
    return found


def _check_page(results: Path, picture: str) -> None:
    """The page shows the plot, and the plot is there and small."""
    text = page.write_page(results, results / "docs").read_text(encoding="utf-8")
    assert f"({picture})" in text
    assert 2_000 < (results / "docs" / picture).stat().st_size < 60_000


def test_rows_measure_every_way(here: None, tmp_path: Path):
    found = run(rows, tmp_path)
    _check_page(tmp_path, "performance_rows.png")
    assert {r["way"] for r in found["rows"]} == set(rows.WAYS)
    assert all(r["seconds"] > 0 and r["bytes"] >= 0 for r in found["rows"])
    assert found["ratios"][0]["eager/three time"] > 0


def test_the_ways_give_the_same_rows(here: None):
    model = stand_ins.model_of("tiny LLaVA", "cpu", vision=False)
    eager = rows.way_of(model, "eager", 40)()
    ours = rows.way_of(model, "ours, every head", 40)()
    assert len(eager) == len(ours) == 4
    for layer, theirs in enumerate(eager):
        np.testing.assert_allclose(ours[layer], theirs, atol=1e-6)
    three = rows.way_of(model, "ours, three heads", 40)()
    np.testing.assert_allclose(three[1], eager[1][:, [0, 3]], atol=1e-6)
    assert sorted(three) == [0, 1]


def test_a_case_runs_in_a_process_of_its_own():
    told = {"model": "tiny LLaVA", "way": "sdpa", "tokens": 20, "device": "cpu"}
    found = common.fresh("benchmarks.rows", told)
    assert found["seconds"] > 0
    assert "exit 1" in common.fresh("benchmarks.nothing_of_that_name", told)["failed"]


def test_phrases_and_their_floor(tmp_path: Path):
    found = run(phrases, tmp_path)
    _check_page(tmp_path, "performance_phrases.png")
    by = {(r["phrases"], r["way"]): r for r in found["rows"]}
    assert by[8, phrases.FULL]["computed"]
    one = by[1, phrases.FULL]["seconds"]
    assert by[8, phrases.FULL]["seconds"] == pytest.approx(8 * one, rel=1e-3)
    assert 0 < by[1, "floor"]["operations"] < by[8, "floor"]["operations"]


def test_operations_by_hand():
    shape = stand_ins.Shape("one", 2, 8, 16, 2, vision=(0, 4, 1, 28, 14))
    assert shape.deepest == 0
    # only queries, keys and values of layer 0, for 5 tokens; the projector for 4 patches and one
    operations, read = floor.needed(shape, prefix=3, asked=2, width=4)
    assert operations == 2 * 5 * 3 * 64 + 2 * 5 * (4 * 8 + 64)
    assert read == 4 * (3 * 64 + 4 * 8 + 64)
    least = floor.Floor(operations=1000, bandwidth=100, width=4).least(2000, 100)
    assert (least["seconds"], least["compute"], least["memory"]) == (2, 2, 1)


def test_discovery_agrees_with_the_loop(here: None, tmp_path: Path):
    found = run(discovery, tmp_path)
    assert found["criteria"]["largest difference"] < 1e-5
    assert all(r["largest difference"] < 1e-4 for r in found["whole"])
    assert found["memory"]["pairs"] == 16


def test_masks_together_are_the_masks_alone(tmp_path: Path):
    assert run(masks, tmp_path)["largest difference"] < 1e-3


def test_painting(tmp_path: Path):
    found = run(painting, tmp_path)
    _check_page(tmp_path, "performance_megapixels.png")
    assert {r["way"] for r in found["rows"]} == {
        painting.WORDS, painting.BOX, painting.HEAVY, painting.WHOLE
    }  # fmt: skip
    assert found["ways"][0]["pictures a minute"] > 0


def test_painting_targets_by_hand():
    made = [{"way": way, "megapixels": size, "seconds": second}
            for way, seconds in ((painting.HEAVY, (4, 5)), (painting.BOX, (1, 2)),
                                 (painting.WORDS, (1, 1)))
            for size, second in zip((1, 48), seconds, strict=True)]  # fmt: skip
    assert [(t["value"], t["met"]) for t in painting.targets(made)] == [
        (1.25, True), (2, False), (1, True)
    ]  # fmt: skip


def test_startup(here: None, tmp_path: Path):
    told = {r["what"]: r["seconds"] for r in run(startup, tmp_path)["rows"]}
    assert told["python alone"] <= told["groundbrush --help"]
    assert told["second edit"] > 0


def test_scaling(here: None, tmp_path: Path):
    found = run(scaling, tmp_path)
    _check_page(tmp_path, "performance_memory.png")
    assert found["counts"] == {"done": 8}
    assert [n for n, _ in found["memory"]] == list(range(1, 9))


def test_growth_compares_quarters():
    flat = [[n, 100] for n in range(8)]
    assert scaling.growth(flat) == 1
    assert scaling.growth([*flat[:6], [6, 100], [7, 150]]) == 1.5
    assert scaling.growth(flat[:3]) is None


def test_times_are_taken_in_turn():
    called: list[str] = []
    timed = common.in_turn({"a": lambda: called.append("a"), "b": lambda: called.append("b")}, 2)
    assert called == ["a", "b"] * 3
    assert len(timed["a"]["all"]) == 2
    assert common.timing([3, 1, 2]) == {"least": 1, "median": 2, "all": [3, 1, 2]}


def test_peak_sees_what_was_let_go():
    with common.Peak() as peak:
        np.ones(20_000_000)
    assert peak.bytes > 100e6


def test_page_says_what_was_missed_and_why(tmp_path: Path):
    results, docs = tmp_path / "results", tmp_path / "docs"
    goals = [
        common.target("an edit of 48 megapixels over one of 1: by words", 2.6, 1.3),
        common.target("16 phrases over one", None, 1.7),
    ]
    common.write("startup", {"rows": [{"what": "python alone", "seconds": 0.01}],
                             "targets": goals}, results, say=lambda _: None)  # fmt: skip
    text = page.write_page(results, docs).read_text(encoding="utf-8")
    assert "missed by a factor of 2.00: the miniature paints in about a second" in text
    assert "| 16 phrases over one | – | ≤ 1.7 | not measured |" in text
    assert "for want of a GPU" in text
    assert "| python alone | 0.010 |" in text


def test_page_shows_workers(tmp_path: Path):
    made = {"measured": [{"workers": 1, "rows a minute": 60.0, "all": [1, 2]}], "rows": 48,
            "targets": []}  # fmt: skip
    common.write("batch_scaling", made, tmp_path, say=lambda _: None)
    text = page.page(page.load(tmp_path))
    assert "Measured:" in text
    assert "| workers | rows a minute |" in text
    assert "| 1 | 60 |" in text
