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
    floor,
    full_size,
    masks,
    page,
    painting,
    phrases,
    rows,
    scaling,
    sdxl_steps,
    stand_ins,
    startup,
)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cases run in this process: a new one for each would take most of these tests' time."""
    modules = {
        f"benchmarks.{m.__name__.split('.')[-1]}": m
        for m in (rows, phrases, discovery, scaling, startup)
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


def test_rows_measure_every_way(here: None, tmp_path: Path):
    found = run(rows, tmp_path)
    _check_page(tmp_path)
    assert {r["way"] for r in found["rows"]} == {*rows.WAYS, rows.FLOOR}
    assert all(r["seconds"] > 0 for r in found["rows"])
    assert all(r["bytes"] >= 0 for r in found["rows"] if r["way"] != rows.FLOOR)
    assert found["ratios"][0]["eager/three time"] > 0


def test_the_ways_give_the_same_rows(here: None):
    model = stand_ins.model_of("tiny LLaVA", "cpu", vision=False)

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


def test_a_case_runs_in_a_process_of_its_own():
    told = {"model": "tiny LLaVA", "way": "sdpa", "tokens": [20, 40]}
    found = common.fresh("benchmarks.rows", told, environment=common.EXACT_MEMORY)
    assert [n for n, one in found.items() if one["seconds"] > 0] == ["20", "40"]
    assert "exit 1" in common.fresh("benchmarks.nothing_of_that_name", told)["failed"]


def test_a_model_that_does_not_fit_the_gpu_is_said_so(monkeypatch: pytest.MonkeyPatch):
    def too_large(model: object, way: str, tokens: int) -> object:
        def run() -> None:
            raise torch.OutOfMemoryError("CUDA out of memory")

        return run

    monkeypatch.setattr(rows, "way_of", too_large)
    monkeypatch.setattr(common, "let_go", lambda device: None)
    model = stand_ins.model_of("tiny LLaVA", "cpu", vision=False)
    assert rows.beside(model, rows.EAGER, 40) == {"failed": "out of memory"}
    both = [
        {"model": "m", "tokens": 3000, "way": rows.EAGER, "failed": "out of memory"},
        *(
            {"model": "m", "tokens": 3000, "way": w, "seconds": 2, "bytes": 3}
            for w in rows.WAYS[1:]
        ),
    ]
    goals = {t["what"].split(": ")[1]: t for t in rows.targets(rows.ratios(both))}
    assert goals["eager over ours (three heads), time"]["met"] is None
    assert goals["every head's row over plain SDPA, time"]["value"] == 1


def test_rows_targets_by_hand():
    made = [
        {"model": "m", "tokens": 3000, "way": way, "seconds": s, "bytes": b}
        for way, s, b in (
            (rows.EAGER, 12, 90),
            (rows.SDPA, 4, 3),
            (rows.EVERY, 5, 3),
            (rows.THREE, 2, 5),
        )
    ]
    goals = [(t["value"], t["met"]) for t in rows.targets(rows.ratios(made))]
    assert goals == [(30, True), (6, True), (1.25, False)]


def test_phrases_and_their_floor(here: None, tmp_path: Path):
    found = run(phrases, tmp_path)
    _check_page(tmp_path)
    by = {(r["phrases"], r["way"]): r for r in found["rows"]}
    assert by[8, phrases.FULL]["computed"]
    one = by[1, phrases.FULL]["seconds"]
    assert by[8, phrases.FULL]["seconds"] == pytest.approx(8 * one, rel=1e-3)
    assert 0 < by[1, "floor"]["operations"] < by[8, "floor"]["operations"]
    assert {(r["phrases"], r["way"]) for r in found["memory"]} == {
        (1, phrases.TOGETHER),
        (2, phrases.TOGETHER),
        (8, phrases.TOGETHER),
        (1, phrases.EAGER),
    }


def test_a_picture_resized_before_gives_the_same_maps():
    model = stand_ins.llava(stand_ins.TINY)
    lvlm, image = stand_ins.reader(stand_ins.TINY, "cpu", model), stand_ins.picture()
    other = phrases.already_resized(lvlm, image)
    there = other.read(other.encode(np.zeros_like(image)), ["the red dog"], lvlm.heads)[0]
    here = lvlm.read(lvlm.encode(image), ["the red dog"], lvlm.heads)[0]
    np.testing.assert_array_equal(there.rows, here.rows)


def test_operations_by_hand():
    shape = stand_ins.Shape("one", 2, 8, 16, 2, vision=(0, 4, 1, 28, 14))
    assert shape.deepest == 0
    # only queries, keys and values of layer 0, for 5 tokens; the projector for 4 patches and one
    operations, read = floor.needed(shape, prefix=3, phrase_tokens=2, width=4)
    assert operations == 2 * 5 * 3 * 64 + 2 * 5 * (4 * 8 + 64)
    assert read == 4 * (3 * 64 + 4 * 8 + 64)
    # two layers of 24 weights, five tokens: their products, and causal attention of width 8
    assert floor.forward(24, 2, 8, 5, 2) == (2 * 5 * 24 + 2 * (4 * 8 * 5 * 5 / 2), 48)
    least = floor.Floor(operations=1000, bandwidth=100, width=4).least(2000, 100)
    assert (least["seconds"], least["compute"], least["memory"]) == (2, 2, 1)


def test_discovery_agrees_with_the_loop(here: None, tmp_path: Path):
    found = run(discovery, tmp_path)
    assert found["criteria"]["largest difference"] < 1e-5
    assert all(r["largest difference"] < 1e-4 for r in found["whole"])
    assert found["memory"]["pairs"] == 16


def test_masks_together_are_the_masks_alone(tmp_path: Path):
    assert run(masks, tmp_path)["largest difference"] < 1e-3


def test_the_plain_call_is_asked_for_the_same_boxes():
    _, model = masks.segmenter("cpu")
    image, places = stand_ins.picture(masks.SIDE, masks.SIDE), masks.boxes(3)
    ours, _ = model.prompt_logits(model.embed(image), boxes=places)
    np.testing.assert_allclose(masks.plain_call(model, image, places), ours, atol=1e-3)


def test_ambiguity(tmp_path: Path):
    rows = {(r["way"], r["fits"]): r for r in run(ambiguity, tmp_path)["rows"]}
    once, again = (rows[way, "several things"] for way in ("one look", "second look"))
    assert once["phrases"] == again["phrases"] > 0
    assert again["told"] >= once["told"]
    assert again["one whole"] == once["one whole"]  # a second look moves no mask
    for row in rows.values():
        assert row["one whole"] + row["join"] + row["other"] == pytest.approx(1, abs=0.002)


def test_painting(tmp_path: Path):
    found = run(painting, tmp_path)
    _check_page(tmp_path)
    assert {r["way"] for r in found["rows"]} == {
        painting.WORDS,
        painting.BOX,
        painting.HEAVY,
        painting.WHOLE,
    }
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


def test_scaling(here: None, tmp_path: Path):
    found = run(scaling, tmp_path)
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
    common.write(
        "startup",
        {"rows": [{"what": "python alone", "seconds": 0.01}], "targets": goals},
        results,
        say=lambda _: None,
    )
    text = page.write_page(results, docs).read_text(encoding="utf-8")
    assert "missed by a factor of 2.00: the miniature paints in about a second" in text
    assert "Of 2 [targets](measured/performance.md#targets) 0 are met:" in text
    assert "for want of a GPU: attention rows of 7B and 13B models" in text
    assert "performance.png" not in text  # nothing to draw was measured
    details = (docs / "measured" / "performance.md").read_text(encoding="utf-8")
    assert "| python alone | 0.010 |" in details
    assert "| 16 phrases over one | CPU | – | ≤ 1.7 | not measured |" in details


def test_page_shows_what_a_gpu_gave(here: None, tmp_path: Path):
    results, docs = tmp_path / "results", tmp_path / "docs"
    run(rows, results)
    made = json.loads((results / "rows.json").read_text(encoding="utf-8")) | {"device": "cuda"}
    made["machine"]["gpu"] = {"name": "Some GPU"}
    made["rows"][0] = {
        **{k: made["rows"][0][k] for k in ("model", "tokens", "way")},
        "failed": "out of memory",
    }
    made |= {"targets": [common.target("rows", 2, 1)], "not yet": ["LLaVA-1.5-13B"]}
    (results / "rows_cuda.json").write_text(json.dumps(made))
    step = {
        "rows": [{"way": "ours", "step": 0.1234, "painting": 1.5, "steps": 12}],
        "machine": made["machine"],
    }
    (results / "sdxl_steps_cuda.json").write_text(json.dumps(step))
    text = page.write_page(results, docs).read_text(encoding="utf-8")
    assert "attention rows of 7B" not in text and "SAM ViT-H" in text  # what is missing still
    assert "rows of LLaVA-1.5-13B." in text
    details = (docs / "measured" / "performance.md").read_text(encoding="utf-8")
    assert "| rows | GPU | 2 | ≤ 1 | **missed** |" in details
    assert details.count("every layer's whole attention kept") == 1  # once for both
    assert "| tiny LLaVA | 40 | out of memory |" in details and "Some GPU" in details
    assert "seconds of 12 steps" in details and "| ours | 123.4 | 1.50 |" in details


def test_page_has_the_cost_of_an_edit_what_it_is_beside_and_how_it_grows():
    machine = {"date": "2026-11-30 03:50 UTC", "cpu": "Some CPU", "cores": 2, "packages": {}}
    machine |= {"memory_gb": 25, "threads": 1, "system": "Linux", "python": "3.11"}
    edits = [
        {"models": name, "find_s": find, "paint_s": 300.0, "resident_gb": 6.0}
        for name, find in (("photo-light", 20.0), ("Grounding DINO, with SD 1.5", 30.0))
    ]
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
    assert "| photo-light | 20 | 300 | 6.0 |" in text
    assert "Finding takes 1.5 times as long with Grounding DINO as with photo-light." in text
    assert "beside commit abc, taking turns; medians of 3 (2026-11-30, Some CPU, 2 cores)" in text
    assert "| a cold edit, s | 9.50 | 7.00 | 0.74 |" in text
    assert "| megapixels, in a box | 1 to 48 | 0.800 to 1.00 | 1.25× | – | – |" in text


def test_benchmarks_are_run_where_they_measure(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        everything.main(["--only", "sdxl_steps"])
    assert "--device cpu measures rows, phrases" in capsys.readouterr().err


def test_what_failed_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    def instead(command: list[str], **_: object) -> SimpleNamespace:
        (tmp_path / "masks.json").write_text("{}")  # a part of it was written
        return SimpleNamespace(returncode=1 if command[2] == "benchmarks.masks" else 0)

    monkeypatch.setattr(everything.subprocess, "run", instead)
    assert everything.main(["--only", "masks", "startup", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err.strip() == "failed, so not measured anew: masks"


def test_a_process_that_fails_or_hangs_ends_the_benchmark():
    with pytest.raises(SystemExit, match="exit 1: .*KeyError: 'model'"):
        common.whole(common.fresh("benchmarks.rows", {"nothing": 1}))
    assert common.fresh("benchmarks.rows", {"nothing": 1}, limit=0) == {
        "failed": "not done after 0 s"
    }
    assert common.whole({"pairs": 1}) == {"pairs": 1}


def test_page_shows_workers(tmp_path: Path):
    names = ("this process, 1 thread", "one worker, 1 thread", "two workers, 1 thread each")
    ways = [
        {"way": name, "rows a minute": 60 / row, "gain": 1.25, "start": 20.0, "pause": 0.5}
        | {"not given": 3.0, "row": row}
        for name, row in zip(names, (1.0, 1.02, 0.55), strict=True)
    ]
    made = {
        "ways": ways,
        "rows": 20,
        "equal": True,
        "threads apart": 1,
        "modelled rows": 10_000,
        "rounds": {way["way"]: [{"row": way["row"]}, {"row": 1.5}] for way in ways},
        "model": {"fixed": 20.0, "alone": 0.1, "shared": 0.9},
        "modelled": [{"workers": 4, "rows a minute": 180.0, "gain": 3.1}],
    }
    common.write("batch_scaling", made, tmp_path, say=lambda _: None)
    found = page.load(tmp_path)
    said = "a row costs 1.02 times that of this process with one worker, and 0.55 times with two"
    assert said in page.page(found)
    text = page.appendix(found)
    assert "| this process, 1 thread | 60 (40) | 1.25× | 20 | 0.5 | 3 |" in text
    assert "are the same bytes; of one thread and of two they are apart by at most 1 of" in text
    assert "in 10,000 rows: 4: 3.1×." in text


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
    assert batch_scaling.pause([9.0, 10.0, 70.0]) == 60.0
    assert batch_scaling.Model.fit(10, 1.0, 0.6).seconds(100, 4) == pytest.approx(10 + 20 + 20)


def test_every_way_has_the_threads_it_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    asked: list[tuple[int, str, str]] = []

    def instead(command: list[str], *, env: dict, **_: object) -> SimpleNamespace:
        told = json.loads(command[-1])
        asked.append((told["workers"], env["OMP_NUM_THREADS"], env["OPENCV_FOR_THREADS_NUM"]))
        stamps = {stage: [1.0, 2.0, 3.0, 4.0] for stage in ("finding", "painting")}
        return SimpleNamespace(returncode=0, stdout=json.dumps({"stamps": stamps}))

    monkeypatch.setattr(batch_scaling.subprocess, "run", instead)
    taken = [batch_scaling.run(way, tmp_path, tmp_path, 2) for way in batch_scaling.WAYS]
    assert asked == [(0, "1", "1"), (0, "2", "2"), (1, "1", "1"), (1, "2", "2"), (2, "1", "1")]
    assert {one["row"] for one in taken} == {2.0}
