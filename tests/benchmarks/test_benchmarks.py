"""Every benchmark runs at a tiny size and writes JSON that says where it was measured."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmarks import __main__ as everything
from benchmarks import (
    ambiguity,
    batch_scaling,
    before_after,
    common,
    discovery,
    full_size,
    masks,
    page,
    painting,
    phrases,
    rows,
    sdxl_steps,
    stand_ins,
    startup,
)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cases run in this process: a new one for each would take most of these tests' time."""
    modules = {
        f"benchmarks.{m.__name__.split('.')[-1]}": m for m in (batch_scaling, discovery, startup)
    }
    monkeypatch.setattr(common, "fresh", lambda name, case, **_: modules[name].case(case))


def run(module: object, folder: Path, rounds: int = 1) -> dict:
    assert module.main(["--tiny", "--rounds", str(rounds), "--out", str(folder)]) == 0
    topic = module.__name__.split(".")[-1]
    found = json.loads((folder / f"{topic}.json").read_text(encoding="utf-8"))
    assert found["topic"] == topic
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", found["machine"]["date"])
    assert found["machine"]["packages"]["torch"]
    assert all(one["met"] in (None, True, False) for one in found["targets"])
    return found


def _check_page(results: Path) -> None:
    """The page shows the plot, and the plot is there and small."""
    text = page.write_page(results, results / "docs").read_text(encoding="utf-8")
    assert "(performance.png)" in text
    assert 2_000 < (results / "docs" / "performance.png").stat().st_size < 60_000


def test_rows_measure_every_way(tmp_path: Path):
    found = run(rows, tmp_path)
    _check_page(tmp_path)
    assert {r["way"] for r in found["rows"]} == {*rows.WAYS, rows.FLOOR}
    assert all(r["seconds"] > 0 for r in found["rows"])
    assert all(r["bytes"] >= 0 for r in found["rows"] if r["way"] != rows.FLOOR)


def test_the_ways_give_the_same_rows():
    model = stand_ins.llava(stand_ins.TINY, vision=False)

    def read(way: str) -> object:
        rows.attend(model, way)
        return rows.way_of(model, way, 40)()

    eager, ours = read(rows.EAGER), read(rows.EVERY)
    assert len(eager) == len(ours) == 4
    for layer, theirs in enumerate(eager):
        np.testing.assert_allclose(ours[layer], theirs, atol=1e-6)
    three = read(rows.THREE)
    np.testing.assert_allclose(three[1], eager[1][:, [0, 3]], atol=1e-6)
    assert sorted(three) == [0, 1]


def test_a_model_that_does_not_fit_the_gpu_is_said_so(monkeypatch: pytest.MonkeyPatch):
    usual = rows.way_of

    def too_large(model: object, way: str, tokens: int) -> object:
        def run() -> None:
            raise torch.OutOfMemoryError("CUDA out of memory")

        return run if way == rows.EAGER else usual(model, way, tokens)

    monkeypatch.setattr(rows, "way_of", too_large)
    found = {r["way"]: r for r in rows.rows_of(stand_ins.TINY, (40,), 1, "cpu")}
    assert found[rows.EAGER]["failed"] == "out of memory"
    assert [way for way, row in found.items() if "seconds" not in row] == [rows.EAGER]


@pytest.mark.parametrize(
    ("eager", "expected"),
    [
        ({"seconds": 12, "bytes": 90}, [(30, True), (6, True), (1.25, False)]),
        ({"failed": "out of memory"}, [(None, None), (None, None), (1.25, False)]),
    ],
)
def test_rows_targets_by_hand(eager: dict, expected: list):
    made = [
        {"model": "m", "tokens": 3000, "way": way, **row}
        for way, row in (
            (rows.EAGER, eager),
            (rows.SDPA, {"seconds": 4, "bytes": 3}),
            (rows.EVERY, {"seconds": 5, "bytes": 3}),
            (rows.THREE, {"seconds": 2, "bytes": 5}),
        )
    ]
    assert [(t["value"], t["met"]) for t in rows.targets(made)] == expected


def test_phrases_and_their_floor(tmp_path: Path):
    found = run(phrases, tmp_path)
    _check_page(tmp_path)
    by = {(r["phrases"], r["way"]): r["seconds"] for r in found["rows"]}
    assert {way for n, way in by if n == 8} == {phrases.TOGETHER, phrases.SEEN, phrases.FLOOR}
    assert {*phrases.ATTENTION, phrases.RESIZED} <= {way for n, way in by if n == 1}
    assert 0 < by[1, phrases.FLOOR] < by[8, phrases.FLOOR]


def test_a_picture_resized_before_gives_the_same_maps():
    model = stand_ins.llava(stand_ins.TINY)
    lvlm, image = stand_ins.reader(stand_ins.TINY, model), stand_ins.picture()
    other = phrases.already_resized(lvlm, image)
    there = other.read(other.encode(np.zeros_like(image)), ["the red dog"], lvlm.heads)[0]
    here = lvlm.read(lvlm.encode(image), ["the red dog"], lvlm.heads)[0]
    np.testing.assert_array_equal(there.rows, here.rows)


def test_operations_are_counted_and_divided_by_the_rate(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(common, "rate", lambda dtype, device: 100.0)
    left, right = torch.ones(2, 3), torch.ones(3, 5)
    assert common.floor_seconds(lambda: left @ right, left.dtype) == 2 * 2 * 3 * 5 / 100


def test_discovery_agrees_with_the_loop(here: None, tmp_path: Path):
    found = run(discovery, tmp_path)
    assert found["criteria"][0]["largest difference"] < 1e-5
    assert all(r["largest difference"] < 1e-4 for r in found["whole"])
    assert found["memory"]["pairs"] == 16


def test_masks_together_are_the_masks_alone(tmp_path: Path):
    assert run(masks, tmp_path)["largest difference"] < 1e-3


def test_ambiguity(tmp_path: Path):
    rows = {(r["way"], r["fits"]): r for r in run(ambiguity, tmp_path)["rows"]}
    once, again = (rows[way, "several things"] for way in ("map only", "with the search"))
    assert once["phrases"] == again["phrases"] > 0
    assert again["told"] >= once["told"]
    assert again["one whole"] == once["one whole"]  # a second look moves no mask
    for row in rows.values():
        assert row["one whole"] + row["join"] <= 1
    text = ambiguity.page(list(rows.values()), common.machine())
    assert f"| {once['phrases']} phrases fit several, " in text
    assert f"| with the search | {again['told']:.0%} | {again['all places']:.0%} |" in text


def test_painting(tmp_path: Path):
    found = run(painting, tmp_path)
    _check_page(tmp_path)
    assert {r["way"] for r in found["rows"]} == {painting.WORDS, painting.BOX, painting.HEAVY}
    assert found["ways"][0]["pictures a minute"] > 0


def test_sdxl_in_turn_and_in_every_size(tmp_path: Path):
    found = run(sdxl_steps, tmp_path)
    assert {r["way"] for r in found["rows"]} > {"diffusers, as loaded", "ours, speed='fused'"}
    assert found["targets"][0]["met"] is None  # nothing is compiled to try it out


def test_diffusers_best_is_compiled_as_it_documents(monkeypatch: pytest.MonkeyPatch):
    """Both are compiled, ours with the same settings, each a UNet of its own."""
    asked: list[dict] = []
    monkeypatch.setattr(torch, "compile", lambda call, **told: asked.append(told) or call)
    pipe, side = full_size.random_pipe("cpu")
    ways = sdxl_steps.ways_of(pipe, side)
    ways[sdxl_steps.OURS](1)  # ours compiles before it paints
    asked = [told for told in asked if "options" in told]  # libraries compile pieces of their own
    assert list(ways)[-4:] == [
        sdxl_steps.BEST,
        "ours, speed='plain'",
        "ours, speed='fused'",
        sdxl_steps.OURS,
    ]
    assert asked == [
        {"fullgraph": True, "options": sdxl_steps.DOCUMENTED},
        {"options": sdxl_steps.DOCUMENTED},
    ]
    assert set(sdxl_steps.DOCUMENTED) <= set(torch._inductor.list_options())
    assert not any(getattr(m, "fused_projections", False) for m in pipe.unet.modules())


def test_painting_targets_by_hand():
    made = [
        {"way": way, "megapixels": size, "seconds": second}
        for way, seconds in (
            (painting.HEAVY, (4, 5)),
            (painting.BOX, (1, 2)),
            (painting.WORDS, (1, 1)),
        )
        for size, second in zip((1, 48), seconds, strict=True)
    ]
    assert [(t["value"], t["met"]) for t in painting.targets(made)] == [
        (1.25, True),
        (2, False),
        (1, True),
    ]


def test_startup(here: None, tmp_path: Path):
    told = {r["what"]: r["seconds"] for r in run(startup, tmp_path, rounds=3)["rows"]}
    assert 0 < told["python alone"] <= told["groundbrush --help"]  # the least of three each
    assert told["second edit"] > 0


def test_a_long_batch(here: None, tmp_path: Path):
    assert batch_scaling.main(["--tiny", "--long", "8", "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "scaling.json").read_text(encoding="utf-8"))
    assert found["counts"] == {"done": 8}
    assert [n for n, _ in found["memory"]] == list(range(1, 9))


def test_growth_compares_quarters():
    flat = [[n, 100] for n in range(8)]
    assert batch_scaling.growth(flat) == 1
    assert batch_scaling.growth([*flat[:6], [6, 100], [7, 150]]) == 1.5
    assert batch_scaling.growth(flat[:3]) is None


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


def test_page_says_what_was_missed(tmp_path: Path):
    results, docs = tmp_path / "results", tmp_path / "docs"
    goals = [
        common.target("an edit of 48 megapixels over one of 1: by words", 2.6, 1.3),
        common.target("16 phrases over one", None, 1.7),
    ]
    rows = [{"what": "python alone", "seconds": 0.01, "times": {"all": [0.01]}}]
    common.write("startup", {"rows": rows, "targets": goals}, results)
    text = page.write_page(results, docs).read_text(encoding="utf-8")
    assert "Of 2 [targets](measured/performance.md#targets) 0 are met." in text
    assert "for want of a GPU: attention rows of 7B and 13B models" in text
    assert "performance.png" not in text  # nothing to draw was measured
    details = (docs / "measured" / "performance.md").read_text(encoding="utf-8")
    assert "| what | seconds |" in details and "| python alone | 0.01 |" in details
    assert "over one of 1: by words | CPU | 2.6 | ≤ 1.3 | **missed** |" in details
    assert "| 16 phrases over one | CPU | – | ≤ 1.7 | not measured |" in details


def test_page_shows_what_a_gpu_gave():
    machine = common.machine() | {"gpu": {"name": "Some GPU"}}
    cpu = {"model": "m", "tokens": 40, "way": rows.SDPA, "seconds": 1.5}
    full = {"model": "m", "tokens": 40, "way": rows.EAGER, "failed": "out of memory"}
    made = {"rows": [full, cpu], "machine": machine, "targets": [common.target("rows", 2, 1)]}
    found = {"rows": made | {"targets": []}, "rows_cuda": made}
    text = page.page(found)
    assert "attention rows of 7B" not in text and "SDXL in every memory mode" in text
    details = page.appendix(found)
    assert "| rows | GPU | 2 | ≤ 1 | **missed** |" in details
    assert details.count("every layer's whole attention kept") == 1  # once for both
    assert "| m | 40 | eager | out of memory | – |" in details
    assert "## Attention rows on a GPU\n\n" in details and "Some GPU" in details


def test_page_has_the_cost_of_an_edit_what_it_is_beside_and_how_it_grows():
    machine = {"date": "2026-11-30 03:50 UTC", "cpu": "Some CPU", "cores": 2}
    edits = [{"edit with": "photo-light", "find, s": 20.4, "paint, s": 300.0, "memory, GB": 6.0}]
    change = {"what": "a cold edit, s", "before": 9.5, "after": 7.0, "ratio": 0.737, "all": {}}
    sizes = [
        {"way": "in a box", "megapixels": size, "seconds": seconds}
        for size, seconds in ((1, 0.8), (48, 1.0))
    ]
    text = page.page(
        {
            "full_size_parts": {"machine": machine, "edits": edits, "parts": []},
            "before_after": {"machine": machine, "base": "abc", "rounds": 3, "rows": [change]},
            "painting": {"machine": machine, "rows": sizes},
        }
    )
    assert "| photo-light | 20.4 | 300 | 6 |" in text
    assert "beside commit abc, taking turns; medians of 3 (2026-11-30, Some CPU, 2 cores)" in text
    assert "| a cold edit, s | 9.5 | 7 | 0.737 |" in text
    assert "| megapixels | in a box | 1 | 48 | 0.8 | 1 | 1.25 | – | – |" in text


def test_benchmarks_are_run_where_they_measure(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        everything.main(["--only", "sdxl_steps"])
    assert "--device cpu measures rows, phrases" in capsys.readouterr().err


def test_what_failed_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    def instead(command: list[str], **_: object) -> SimpleNamespace:
        (tmp_path / "phrases.json").write_text("{}")  # a part of it was written
        return SimpleNamespace(returncode=1 if command[2] == "benchmarks.phrases" else 0)

    monkeypatch.setattr(everything.subprocess, "run", instead)
    assert everything.main(["--only", "phrases", "startup", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err.strip() == "failed, so not measured anew: phrases"


def test_a_process_that_fails_or_hangs_ends_the_benchmark():
    with pytest.raises(SystemExit, match="exit 1: .*No module named benchmarks.nothing"):
        common.fresh("benchmarks.nothing", {})
    with pytest.raises(SystemExit, match="not done after 0 s"):
        common.fresh("benchmarks.nothing", {}, limit=0)


def test_before_and_after_take_turns(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    asked: list[str] = []

    def instead(environment: dict[str, str], cases: object) -> dict[str, float]:
        asked.append(environment.get("PYTHONPATH", ""))
        return dict.fromkeys(before_after.NAMES, 1.0 if environment else 0.5)

    monkeypatch.setattr(before_after, "once", instead)
    monkeypatch.setattr(before_after, "unpack", lambda commit, folder: folder / commit)
    found = run(before_after, tmp_path, rounds=2)
    assert [Path(one).name for one in asked] == [before_after.BASE, "", before_after.BASE, ""]
    assert [row["ratio"] for row in found["rows"]] == [0.5] * 5
    monkeypatch.undo()
    with pytest.raises(SystemExit, match="expected a commit of this repository"):
        before_after.unpack("no-such-commit", tmp_path)


def test_a_rows_cost_is_taken_between_rows():
    # two workers that begin at different times, each a row every two seconds
    assert batch_scaling.each([9.0, 9.5, 11.0, 11.5, 13.0, 13.5], 2) == 1.0
    assert batch_scaling.each([9.0, 11.0, 13.0], 1) == 2.0


def test_every_way_has_the_threads_it_says(monkeypatch: pytest.MonkeyPatch):
    asked: list[tuple[int, str, str]] = []

    def instead(_: str, told: dict, *, environment: dict) -> dict:
        threads = (environment[name] for name in ("OMP_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"))
        asked.append((told["workers"], *threads))
        stamps = {stage: [1.0, 2.0, 3.0, 4.0] for stage in ("finding", "painting")}
        return {"stamps": stamps}

    monkeypatch.setattr(common, "fresh", instead)
    found = batch_scaling.measure_ways(2, {}, 1)
    assert asked == [(0, "1", "1"), (0, "2", "2"), (1, "1", "1"), (1, "2", "2"), (2, "1", "1")]
    assert {way["row"] for way in found["ways"]} == {2.0}
    assert {way["rows a minute"] for way in found["ways"]} == {30.0}
