"""Batches with an editor without models: order, gates, resuming, failures, full disks."""

from __future__ import annotations

import errno
import gzip
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_editor import FakeEditor, FakeModels, mixed_manifest, outputs, picture_file, results
from groundbrush.editor.batch import (
    BatchJob,
    BatchReport,
    BatchStopped,
    ManifestError,
    engine,
    read_manifest,
    row_work,
    run_batch,
)
from groundbrush.editor.batch import run as run_module
from groundbrush.editor.batch.errors import stops_everything
from groundbrush.editor.batch.grounding_store import load_grounding, save_grounding
from groundbrush.editor.batch.results import BatchProgress
from groundbrush.editor.editing.result import Edit
from groundbrush.editor.errors import GroundbrushError
from groundbrush.editor.journal import encode, read_journal
from groundbrush.editor.pictures.picture import read_recipe
from groundbrush.editor.plan import Plan, Step, Unread
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

ROOT = Path(__file__).resolve().parents[3]
EDIT = {"find": "the cup", "paint": "a vase"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)


class Bench:
    """A folder with a picture, manifests to write, batches to run, and the calls of models."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder / "out"
        self.calls: list[tuple[str, str]] = []
        self.loads: Counter[str] = Counter()
        picture_file(folder / "a.png")

    def run(self, *rows: dict, **options: Any) -> BatchReport:
        lines = [json.dumps({"image": "a.png", **row}) for row in rows]
        path = self.folder / "m.jsonl"
        path.write_text("\n".join(lines))
        self.calls.clear()
        self.loads.clear()
        tell = options.pop("on_progress", None)
        job = BatchJob(read_manifest(path), self.out, **options)
        return run_batch(job, lambda: FakeEditor(self.calls, self.loads), on_progress=tell)

    def statuses(self) -> list[str]:
        return [row["status"] for row in results(self.out)]


@pytest.fixture
def bench(memory: Path) -> Bench:
    return Bench(memory)


def test_a_picture_is_decoded_once_to_be_found_in_and_once_to_be_painted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    original = row_work.open_picture

    def open_picture(source: Path) -> Any:
        opened.append(source.name)
        return original(source)

    monkeypatch.setattr(row_work, "open_picture", open_picture)
    shutil.copy(bench.folder / "a.png", bench.folder / "b.png")
    rows = [
        {**EDIT, "find": find, "seed": seed} for find in ("the cup", "the jug") for seed in (0, 1)
    ]
    bench.run(*rows, {**EDIT, "image": "b.png"})
    assert bench.statuses() == ["done"] * 5
    assert opened == ["a.png", "b.png"] * 2


def test_a_picture_that_was_changed_is_decoded_again(bench: Bench) -> None:
    path = bench.folder / "a.png"
    before = row_work.decoded(path, "before").pixels
    Image.fromarray(255 - before).save(path)
    assert np.array_equal(row_work.decoded(path, "after").pixels, 255 - before)


def test_every_kind_of_row_ends_as_it_should(memory: Path) -> None:
    out = memory / "out"
    report = run_batch(BatchJob(read_manifest(mixed_manifest(memory, 10)), out), FakeEditor)
    rows = results(out)
    assert [row["row"] for row in rows] == list(range(1, 11))
    assert [row["status"] for row in rows] == [
        "done",
        "done",
        "done",
        "held",
        "held",
        "done",
        "done",
        "done",
        "failed",
        "failed",
    ]
    assert report.counts == {"done": 6, "held": 2, "failed": 2}
    assert len({frozenset(row) for row in rows}) == 1  # the same columns in every row
    edit, ship, absent = rows[0], rows[6], rows[3]
    assert set(edit["files"]) == {"mask", "result", "review_before", "review_found", "review_after"}
    assert set(ship["files"]) >= {"result", "variant 1"}
    assert "result" not in absent["files"]
    assert absent["reason"] == "it is absent"
    named = {name for row in rows for name in row["files"].values()}
    assert named | {"results.jsonl", "review.html"} == set(outputs(out))
    before = np.asarray(Image.open(memory / "pictures/0.png"))
    after = np.asarray(Image.open(out / edit["files"]["result"]))
    mask = np.asarray(Image.open(out / edit["files"]["mask"])) > 127
    assert mask.any()
    assert (before == after).all(2)[~mask].all()
    assert (before != after).any(2)[mask].any()
    recipe = read_recipe(out / edit["files"]["result"])
    assert recipe == edit["recipe"]
    assert recipe["image"]["path"] == "pictures/0.png"


def test_each_model_is_loaded_once_and_everything_is_found_before_anything_is_painted(
    bench: Bench,
) -> None:
    bench.run(*[{**EDIT, "find": f"thing {k}"} for k in range(3)], {"remove": "thing 1"})
    kinds = [kind for kind, _ in bench.calls]
    assert kinds == ["find"] * 3 + ["paint"] * 4  # "thing 1" is found once for both its rows
    assert bench.loads == {"grounder": 1, "inpainter": 1}


def test_looking_alone_loads_no_inpainter_and_painting_unchecked_frees_the_grounder(
    bench: Bench,
) -> None:
    bench.run({"find": "the cup"}, {"ground_all": "cups"})
    assert bench.loads == {"grounder": 1}
    editors = []
    path = bench.folder / "m.jsonl"
    path.write_text(json.dumps({"image": "a.png", **EDIT}))

    def load() -> FakeEditor:
        editors.append(FakeEditor())
        return editors[-1]

    run_batch(BatchJob(read_manifest(path), bench.folder / "other"), load)
    loads = [dict(editor.models.loads) for editor in editors]
    assert {"grounder": 1} in loads
    assert {"inpainter": 1} in loads


def test_rows_of_a_picture_are_found_one_after_the_other(bench: Bench) -> None:
    picture_file(bench.folder / "b.png", 1)
    bench.run(*[{"image": f"{'ab'[k % 2]}.png", "find": f"thing {k}"} for k in range(4)])
    assert [words for _, words in bench.calls] == ["thing 0", "thing 2", "thing 1", "thing 3"]


@pytest.mark.parametrize(
    ("gate", "absent", "ambiguous", "uncertain"),
    [
        ("hold", "held", "held", "held"),
        ("skip", "absent", "skipped", "skipped"),
        ("paint", "absent", "done", "done"),
    ],
)
def test_the_gate(bench: Bench, gate: str, absent: str, ambiguous: str, uncertain: str) -> None:
    rows = [
        {**EDIT, "find": f"the {status} cup"} for status in ("absent", "ambiguous", "uncertain")
    ]
    bench.run(*rows, EDIT, gate=gate)
    assert bench.statuses() == [absent, ambiguous, uncertain, "done"]
    painted = [row["id"] for row in results(bench.out) if "result" in row["files"]]
    assert len(painted) == bench.statuses().count("done")


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sentences are read without a parser: "a, b" repaints a, then b."""

    def read_plan(sentence: str) -> Plan:
        steps = tuple(Step("edit", words, "a vase") for words in sentence.split(", "))
        return Plan(sentence, steps)

    monkeypatch.setattr("groundbrush.editor.plan.reader.read_plan", read_plan)


@pytest.mark.usefixtures("read")
@pytest.mark.parametrize(
    ("sentence", "hold", "skip", "paint"),
    [
        ("the cup, the dog", "done", "done", "done"),
        ("the cup, the ambiguous dog", "held", "skipped", "done"),
        ("the uncertain cup", "held", "skipped", "done"),
        ("the cup, the absent dog", "held", "absent", "done"),
        ("the absent dog", "held", "absent", "absent"),
    ],
)
def test_the_gate_of_a_sentence_is_its_least_plain_steps(
    bench: Bench, sentence: str, hold: str, skip: str, paint: str
) -> None:
    row = {"apply": sentence}
    bench.run({**row, "gate": "hold"}, {**row, "gate": "skip"}, {**row, "gate": "paint"}, row)
    assert bench.statuses() == [hold, skip, paint, hold]
    held, skipped, painted, _ = results(bench.out)
    anything = sentence != "the absent dog"
    assert ("result" in held["files"]) == anything  # so that there is something to look at
    assert ("result" in painted["files"]) == anything
    assert ("result" in skipped["files"]) == (skip == "done")
    assert [step["find"] for step in held["steps"]] == sentence.split(", ")
    assert set(outputs(bench.out)) == {
        "results.jsonl",
        "review.html",
        *(name for result in results(bench.out) for name in result["files"].values()),
    }


@pytest.mark.usefixtures("read")
def test_a_sentence_that_fails_while_it_is_saved_leaves_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(pictures: list) -> None:
        raise RuntimeError("no strip")

    monkeypatch.setattr("groundbrush.editor.pictures.panoptic_overlay.steps_strip", broken)
    bench.run({"apply": "the cup"})
    assert results(bench.out)[0]["error"]["message"] == "RuntimeError: no strip"
    assert set(outputs(bench.out)) == {"results.jsonl", "review.html"}


@pytest.mark.usefixtures("read")
def test_a_sentence_that_is_not_understood_is_refused_before_anything(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    unread = Plan("hm", (), (Unread((0, 2), "hm", "what is to be done with it"),))
    monkeypatch.setattr("groundbrush.editor.plan.reader.read_plan", lambda sentence: unread)
    with pytest.raises(ManifestError, match=r"row 2 \(line 2\): .*what is to be done with it"):
        bench.run(EDIT, {"apply": "hm"})
    assert bench.loads == {}


def test_a_rows_own_gate_and_a_chosen_candidate_go_before_the_batchs(bench: Bench) -> None:
    row = {**EDIT, "find": "the ambiguous cup"}
    bench.run({**row, "gate": "skip"}, {**row, "gate": "paint"}, {**row, "candidate": 0}, row)
    assert bench.statuses() == ["skipped", "done", "done", "held"]


def test_held_rows_are_painted_when_a_person_says_so_without_being_found_again(
    bench: Bench,
) -> None:
    row = {**EDIT, "find": "the ambiguous cup"}
    bench.run(EDIT, row, row, {"find": "the absent cup"})
    assert bench.statuses() == ["done", "held", "held", "absent"]
    bench.run(EDIT, {**row, "candidate": 0}, row, {"find": "the absent cup"}, resume=True)
    assert bench.calls == [("paint", "the ambiguous cup")]
    assert bench.statuses() == ["done", "done", "held", "absent"]
    bench.run(
        EDIT, {**row, "candidate": 0}, row, {"find": "the absent cup"}, resume=True, gate="paint"
    )
    assert bench.calls == [("paint", "the ambiguous cup")]
    assert bench.statuses() == ["done", "done", "done", "absent"]


@pytest.mark.parametrize("name", ["results.jsonl", "review.html"])
def test_files_of_others_are_not_overwritten(bench: Bench, name: str) -> None:
    bench.out.mkdir()
    (bench.out / name).write_text("mine")
    with pytest.raises(GroundbrushError, match=rf"holds '{name}' already, which is not of this"):
        bench.run(EDIT)
    assert tree(bench.out) == {name: b"mine"}


def test_going_on_where_there_was_nothing_is_told(bench: Bench) -> None:
    assert bench.run(EDIT).notes == ()
    elsewhere = Bench(bench.folder)
    elsewhere.out = bench.folder / "mistyped"
    assert "there was no batch in" in elsewhere.run(EDIT, resume=True).notes[0]
    assert bench.run(EDIT, resume=True).notes == ()


def test_a_second_batch_in_the_folder_needs_resume(bench: Bench) -> None:
    bench.run(EDIT)
    with pytest.raises(GroundbrushError, match=r"holds a batch that was begun; --resume continues"):
        bench.run(EDIT)
    before = outputs(bench.out)
    report = bench.run(EDIT, resume=True)
    assert (report.worked, bench.calls, outputs(bench.out)) == (0, [], before)


def test_resuming_does_new_and_changed_rows_only(bench: Bench) -> None:
    bench.run({**EDIT, "variants": 3}, {"remove": "the plate"})
    assert len(list(bench.out.glob("00001-a.edited*.png"))) == 3
    bench.run(EDIT, {"remove": "the plate"}, {"find": "the dog"}, resume=True)
    assert bench.calls == [("find", "the dog"), ("paint", "the cup")]
    assert bench.statuses() == ["done"] * 3
    assert len(list(bench.out.glob("00001-a.edited*.png"))) == 1  # those of the old request go
    bench.run({"remove": "the plate", "id": "00002-a"}, resume=True)
    assert bench.calls == []
    assert len(results(bench.out)) == 1
    assert (bench.out / "00001-a.edited.png").is_file()  # of a row that is gone: left alone


def test_rows_that_only_moved_are_not_done_again(bench: Bench) -> None:
    plate, dog = {"remove": "the plate"}, {"find": "the dog"}
    bench.run(EDIT, plate)
    for _ in range(2):
        bench.run(plate, dog, EDIT, EDIT, resume=True)
        assert [row["id"][-7:] for row in results(bench.out)] == [
            "00002-a",
            "00002-a",
            "00001-a",
            "00004-a",
        ]
        assert [row["status"] for row in results(bench.out)] == ["done"] * 4
        assert len({row["id"] for row in results(bench.out)}) == 4
    assert bench.calls == []
    bench.run(plate, dog, EDIT, resume=True)
    assert bench.calls == []


def test_a_lost_output_is_made_again(bench: Bench) -> None:
    bench.run(EDIT, {"remove": "the plate"})
    before = outputs(bench.out)
    (bench.out / "00001-a.edited.png").unlink()
    (bench.out / "review/00002-a.after.jpg").write_bytes(b"short")
    bench.run(EDIT, {"remove": "the plate"}, resume=True)
    assert [kind for kind, _ in bench.calls] == ["paint", "paint"]
    assert outputs(bench.out) == before


def test_a_picture_that_was_changed_is_done_again_and_one_only_touched_is_not(bench: Bench) -> None:
    bench.run(EDIT)
    os.utime(bench.folder / "a.png", (1, 1))
    assert bench.run(EDIT, resume=True).worked == 0
    picture_file(bench.folder / "a.png", seed=9)
    assert bench.run(EDIT, resume=True).worked == 1
    assert bench.calls == [("find", "the cup"), ("paint", "the cup")]


def test_models_that_raise_fail_their_row_only_and_are_named(bench: Bench) -> None:
    rows = [{**EDIT, "find": f"thing {k}"} for k in range(5)]
    rows[1]["find"], rows[3]["paint"] = "explode", "explode"
    rows[2]["find"] = "a refused word"
    report = bench.run(*rows)
    assert bench.statuses() == ["done", "failed", "failed", "failed", "done"]
    assert report.counts == {"done": 2, "failed": 3}
    errors = [row["error"] for row in results(bench.out)]
    assert errors[1] == {
        "stage": "find",
        "kind": "RuntimeError",
        "message": "RuntimeError: a model broke in two lines",
    }
    assert errors[2]["kind"] == "GroundbrushError"
    assert "change them" in errors[2]["message"]
    assert errors[3]["stage"] == "paint"
    assert not list(bench.out.glob("00004-a.*"))  # nothing half-done is left of it


def test_failed_rows_stay_failed_until_they_are_to_be_retried(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [EDIT, {**EDIT, "paint": "explode"}, {**EDIT, "find": "explode"}]
    bench.run(*rows)
    bench.run(*rows, resume=True)
    assert bench.calls == []
    monkeypatch.setattr("fake_editor._raise", lambda words: None)  # it is repaired
    report = bench.run(*rows, retry_failed=True)
    assert bench.calls == [("find", "explode"), ("paint", "the cup"), ("paint", "explode")]
    assert (report.worked, report.counts) == (2, {"done": 3})


def test_a_broken_picture_fails_its_row_only_and_is_done_when_it_is_mended(bench: Bench) -> None:
    (bench.folder / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    rows = [EDIT, {**EDIT, "image": "b.png"}, {"image": "b.png", "ground_all": "cups"}]
    bench.run(*rows)
    assert bench.statuses() == ["done", "failed", "failed"]
    assert "b.png" in results(bench.out)[1]["error"]["message"]
    picture_file(bench.folder / "b.png", 3)
    bench.run(*rows, resume=True)
    assert bench.statuses() == ["done", "done", "done"]


def test_a_kept_grounding_that_is_damaged_is_found_anew(bench: Bench) -> None:
    row = {**EDIT, "find": "the ambiguous cup"}
    bench.run(row)
    (kept,) = (bench.out / ".batch/found").iterdir()
    kept.write_bytes(kept.read_bytes()[:-40])
    bench.run(row, resume=True, gate="paint")
    assert bench.calls == [("find", "the ambiguous cup"), ("paint", "the ambiguous cup")]
    assert bench.statuses() == ["done"]


def full_after(writes: int, number: int = errno.ENOSPC) -> Callable[..., Any]:
    """An `os.fsync` that fails from a certain use on, as a full disk does."""
    original = os.fsync
    left = writes

    def fsync(file: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(number, os.strerror(number))
        original(file)

    return fsync


def test_small_pictures_of_a_row_are_not_synced_one_by_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, synced = os.fsync, list[int]()
    monkeypatch.setattr(os, "fsync", lambda file: (synced.append(file), original(file)))
    bench.run(EDIT)
    once = len(synced)
    bench.run(EDIT, {**EDIT, "seed": 2}, {**EDIT, "seed": 3}, resume=True)
    assert len(list((bench.out / "review").iterdir())) == 9
    # Without this each row would sync eight times more.
    assert len(synced) - once <= once + 4


@pytest.mark.parametrize("writes", [0, 1, 5, 9, 14, 25, 40, 60])
def test_a_full_disk_stops_the_batch_and_loses_nothing(
    memory: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    manifest = read_manifest(mixed_manifest(memory, 20))
    calm, full = memory / "calm", memory / "full"
    run_batch(BatchJob(manifest, calm), FakeEditor)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full_after(writes))
        with pytest.raises(GroundbrushError, match="(?i)no space left"):
            run_batch(BatchJob(manifest, full), FakeEditor)
    journal = full / ".batch/journal"
    finished = (
        [r["name"] for r in read_journal(journal) if r["event"] == "row"]
        if journal.exists()
        else []
    )
    calls: list = []
    run_batch(BatchJob(manifest, full, resume=True), lambda: FakeEditor(calls))
    assert outputs(full) == outputs(calm)
    again = Counter(r["name"] for r in read_journal(journal) if r["event"] == "row")
    assert set(again.values()) == {1}
    assert set(finished) <= set(again)


@pytest.mark.parametrize(
    ("number", "stops"),
    [
        (errno.ENOSPC, True),
        (errno.EDQUOT, True),
        (errno.EROFS, True),
        (errno.EMFILE, True),
        (errno.ENFILE, True),
        (errno.ESTALE, True),
        (errno.EACCES, False),  # one picture may be unreadable
        (errno.EIO, False),
        (errno.EFBIG, False),
    ],
)
def test_errors_that_every_row_would_meet_stop_the_batch(number: int, stops: bool) -> None:
    try:
        try:
            raise OSError(number, os.strerror(number))
        except OSError as error:
            raise GroundbrushError("cannot write") from error
    except GroundbrushError as error:
        assert stops_everything(error) == stops


def test_a_full_disk_names_the_row_it_stopped_at(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from groundbrush.editor.batch import workspace

    original = workspace.RowFiles.thumb

    def thumb(files: workspace.RowFiles, kind: str, pixels: np.ndarray) -> None:
        if files.row.number == 2 and kind == "after":
            raise GroundbrushError("cannot write") from OSError(errno.ENOSPC, "no space left")
        original(files, kind, pixels)

    monkeypatch.setattr(workspace.RowFiles, "thumb", thumb)
    with pytest.raises(BatchStopped, match=r"row 2 \(00002-a\): cannot write.*--resume"):
        bench.run(EDIT, EDIT, EDIT)
    assert bench.statuses() == ["done", "waiting", "waiting"]
    assert not list(bench.out.glob("00002-a.*"))


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_output_is_refused_before_anything(bench: Bench) -> None:
    bench.out.mkdir()
    bench.out.chmod(0o555)
    try:
        with pytest.raises(GroundbrushError, match=r"cannot (lock|write) .*writable folder"):
            bench.run(EDIT)
    finally:
        bench.out.chmod(0o755)
    assert bench.calls == []


@pytest.mark.parametrize("number", [errno.EROFS, errno.EDQUOT])
def test_an_output_that_turns_read_only_stops_the_batch(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(os, "replace", _refuse(number))
    with pytest.raises(BatchStopped, match=r"stopped at row 1"):
        bench.run(EDIT, EDIT)
    monkeypatch.undo()
    bench.run(EDIT, EDIT, resume=True)
    assert bench.statuses() == ["done", "done"]


def _refuse(number: int) -> Callable[..., None]:
    def replace(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    return replace


def test_a_model_that_cannot_be_loaded_is_no_rows_fault(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(self: FakeModels) -> None:
        raise GroundbrushError("the model folder is not there")

    with monkeypatch.context() as patch:
        patch.setattr(FakeModels, "inpainter", missing)
        with pytest.raises(GroundbrushError, match="model folder"):
            bench.run(EDIT, EDIT)
    assert bench.statuses() == ["waiting", "waiting"]
    bench.run(EDIT, EDIT, resume=True)
    assert [kind for kind, _ in bench.calls] == ["paint", "paint"]


def test_an_interrupted_batch_publishes_what_it_has_and_goes_on(bench: Bench) -> None:
    def interrupt(progress: Any) -> None:
        if (progress.stage, progress.done) == ("painting", 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.run(EDIT, EDIT, EDIT, on_progress=interrupt)
    assert bench.statuses() == ["done", "done", "waiting"]
    bench.run(EDIT, EDIT, EDIT, resume=True)
    assert bench.calls == [("paint", "the cup")]
    assert bench.statuses() == ["done"] * 3


def test_a_row_is_saved_and_journalled_while_the_next_is_painted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, finished, waited = threading.Event(), threading.Event(), []
    save, paint = Edit.save, FakeEditor.paint

    def slow_save(edit: Edit, *args: Any, **options: Any) -> tuple[str, ...]:
        if edit.seed == 1:
            waited.append(begun.wait(20))
        return save(edit, *args, **options)

    def long_paint(editor: FakeEditor, image: Any, request: Any, *args: Any) -> Edit:
        if request.seed == 2:
            begun.set()
            waited.append(finished.wait(20))
            records = list(read_journal(bench.out / ".batch/journal"))
            waited.append(any(record.get("status") == "done" for record in records))
        return paint(editor, image, request, *args)

    monkeypatch.setattr(engine, "core_left", lambda device: True)
    monkeypatch.setattr(Edit, "save", slow_save)
    monkeypatch.setattr(FakeEditor, "paint", long_paint)

    def step(progress: BatchProgress) -> None:
        if progress.stage == "painting":
            finished.set()

    bench.run({**EDIT, "seed": 1}, {**EDIT, "seed": 2}, on_progress=step)
    assert waited == [True, True, True]
    assert bench.statuses() == ["done", "done"]


def test_writing_beside_painting_needs_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1}, raising=False)
    monkeypatch.setattr("torch.get_num_threads", lambda: 2)
    assert engine.core_left("cuda") and not engine.core_left("cpu")
    monkeypatch.setattr("torch.get_num_threads", lambda: 1)
    assert engine.core_left("cpu")


def test_a_corrupt_tail_of_the_journal_is_told_and_costs_one_row(bench: Bench) -> None:
    rows = [{**EDIT, "find": f"thing {k}"} for k in range(3)]
    bench.run(*rows)
    before = outputs(bench.out)
    journal = bench.out / ".batch/journal"
    journal.write_bytes(journal.read_bytes()[:-9])
    report = bench.run(*rows, resume=True)
    assert any("was not written whole" in note for note in report.notes)
    assert bench.calls == [("paint", "thing 2")]
    assert outputs(bench.out) == before


def test_a_lost_journal_is_a_new_batch_that_refuses_to_overwrite(bench: Bench) -> None:
    bench.run(EDIT)
    (bench.out / ".batch/journal").unlink()
    with pytest.raises(GroundbrushError, match=r"holds '.*00001-a.* already, which is not of this"):
        bench.run(EDIT)
    (bench.folder / "free").mkdir()
    (bench.folder / "free/notes.txt").write_text("mine")
    bench.out = bench.folder / "free"
    bench.run(EDIT)
    assert (bench.folder / "free/notes.txt").read_text() == "mine"


def test_a_second_process_is_refused_while_the_first_works(bench: Bench) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from groundbrush.editor.batch.lock import FolderLock\n"
        "from groundbrush.editor.errors import GroundbrushError\n"
        "try:\n    FolderLock(Path(sys.argv[1])).__enter__()\n"
        "except GroundbrushError as error:\n    print(error)"
    )
    said = []

    def other(progress: Any) -> None:
        done = subprocess.run(
            [sys.executable, "-c", code, str(bench.out / ".batch/lock")],
            env={**os.environ, "PYTHONPATH": str(ROOT.parent)},
            capture_output=True,
            text=True,
            check=True,
        )
        said.append(done.stdout)

    bench.run({"find": "the cup"}, on_progress=other)
    assert len(said) == 1
    assert f"is in use by process {os.getpid()}" in said[0]


def test_rows_that_the_preset_cannot_do_are_refused_before_a_model_is_loaded(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ManifestError) as refused:
        bench.run(
            EDIT, {**EDIT, "settings": {"stepz": 3}}, {"remove": "x", "settings": {"steps": 0}}
        )
    assert [problem.row for problem in refused.value.problems] == [2, 3]
    assert "stepz" in refused.value.problems[0].words
    assert bench.loads == {}

    class Few:
        def check_prompt(self, prompt: str) -> None:
            if "vase" in prompt:
                raise GroundbrushError("cannot paint 'vase'")

    monkeypatch.setattr(FakeModels, "words", Few())
    bench.out = bench.folder / "new"
    for options in ({}, {"resume": True}, {"retry_failed": True}):
        with pytest.raises(ManifestError, match=r"row 1 \(line 1\): cannot paint 'vase'"):
            bench.run(EDIT, **options)
        assert not bench.out.exists()


def test_a_result_of_a_batch_is_not_taken_as_its_input(bench: Bench) -> None:
    bench.out.mkdir()
    picture_file(bench.out / "x.edited.png")
    with pytest.raises(ManifestError, match="is a result in the output folder"):
        bench.run({**EDIT, "image": "out/x.edited.png"})


def test_a_dry_run_counts_and_writes_nothing(bench: Bench) -> None:
    path = bench.folder / "m.jsonl"
    path.write_text(
        "\n".join(
            json.dumps({"image": "a.png", **row})
            for row in (EDIT, EDIT, {"remove": "the cup"}, {"find": "the dog"})
        )
    )
    job = BatchJob(read_manifest(path), bench.out)
    outlook = run_module.dry_run(job, lambda: FakeEditor(bench.calls, bench.loads))
    assert (outlook.actions, outlook.finished, outlook.find) == (
        {"edit": 2, "remove": 1, "ground": 1},
        0,
        2,
    )
    assert (bench.calls, bench.loads, bench.out.exists()) == ([], {}, False)
    bench.run(EDIT, EDIT)
    resumed = run_module.dry_run(BatchJob(job.manifest, bench.out, resume=True), FakeEditor)
    assert (resumed.actions, resumed.finished, resumed.find) == ({"remove": 1, "ground": 1}, 2, 1)


@pytest.mark.parametrize(("name", "value"), [("gate", "stop"), ("suffix", "bmp")])
def test_a_job_is_checked(bench: Bench, name: str, value: str) -> None:
    with pytest.raises(GroundbrushError, match=f"{value}.* given; expected one of"):
        bench.run(EDIT, **{name: value})


@pytest.mark.parametrize("words", ["the cup", "the absent cup", "the ambiguous cup"])
def test_a_grounding_comes_back_from_the_disk_as_it_was(bench: Bench, words: str) -> None:
    found = FakeEditor().ground(bench.folder / "a.png", words)
    path = bench.folder / "kept.json.gz"
    save_grounding(path, found)
    back, _ = load_grounding(path)
    for name in ("phrase", "status", "reason", "box", "score", "heads", "region", "presence"):
        assert getattr(back, name) == getattr(found, name)
    assert np.array_equal(back.mask, found.mask)
    assert back.mask.dtype == bool
    assert np.array_equal(back.token_map, found.token_map)
    assert back.token_map.dtype == np.float32
    (a,), (b,) = back.candidates, found.candidates
    assert (a.box, a.score, np.array_equal(a.mask, b.mask)) == (b.box, b.score, True)


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.data())
def test_a_damaged_grounding_is_refused_or_the_same(bench: Bench, data: st.DataObject) -> None:
    found = FakeEditor().ground(bench.folder / "a.png", "the cup")
    path = bench.folder / "kept.json.gz"
    save_grounding(path, found)
    assert np.array_equal(load_grounding(path)[0].mask, found.mask)
    raw = bytearray(path.read_bytes())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(raw[: data.draw(st.integers(len(raw) - 30, len(raw)))])
    try:
        back, _ = load_grounding(path)
    except GroundbrushError:
        return
    assert np.array_equal(back.mask, found.mask)
    assert (back.phrase, back.box, back.score) == (found.phrase, found.box, found.score)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", gzip.compress(b"{}"), b"cos\nsystem\n"])
def test_what_is_no_kept_grounding_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json.gz").write_bytes(content)
    with pytest.raises(GroundbrushError, match="the kept grounding .* cannot be read"):
        load_grounding(tmp_path / "x.json.gz")


@pytest.fixture
def small_files() -> Iterator[Callable[[int], None]]:
    """Sets the system's own limit on the length of files, and takes it back."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(length: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (length, before[1]))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_the_systems_limit_on_files_stops_at_the_journal_and_fails_rows_before(
    memory: Path, small_files: Callable[[int], None]
) -> None:
    manifest = read_manifest(mixed_manifest(memory, 20))
    calm, limited = memory / "calm", memory / "limited"
    run_batch(BatchJob(manifest, calm), FakeEditor)
    small_files(6_000)  # a few of the journal's lines
    with pytest.raises(BatchStopped, match=r"cannot write the journal .*File too large"):
        run_batch(BatchJob(manifest, limited), FakeEditor)
    small_files(-1)
    report = run_batch(BatchJob(manifest, limited, retry_failed=True), FakeEditor)
    assert outputs(limited) == outputs(calm)
    assert report.notes == ()  # the line that did not fit was taken back at once


def test_a_result_beyond_the_systems_limit_fails_its_row_only(
    memory: Path, small_files: Callable[[int], None]
) -> None:
    picture_file(memory / "small.png")
    picture_file(memory / "large.png", size=(200, 200))
    lines = [json.dumps({"image": f"{name}.png", **EDIT}) for name in ("small", "large", "small")]
    (memory / "m.jsonl").write_text("\n".join(lines))
    job = BatchJob(read_manifest(memory / "m.jsonl"), memory / "out")
    small_files(60_000)
    report = run_batch(job, FakeEditor)
    small_files(-1)
    assert report.counts == {"done": 2, "failed": 1}
    failed = results(memory / "out")[1]
    assert "cannot write" in failed["error"]["message"]
    assert "file too large" in failed["error"]["message"]
    assert not list((memory / "out").glob("00002-large.*"))


@pytest.mark.parametrize("place", ["file", "below a file", "proc"])
def test_a_place_where_no_folder_can_be_is_refused_before_anything(
    bench: Bench, place: str
) -> None:
    (bench.folder / "file").write_text("mine")
    bench.out = {
        "file": bench.folder / "file",
        "below a file": bench.folder / "file/out",
        "proc": Path("/proc/groundbrush/out"),
    }[place]
    if place == "proc" and not Path("/proc").is_dir():
        pytest.skip("no /proc here")
    with pytest.raises(GroundbrushError, match=r"cannot (lock|write) .*; choose another --out"):
        bench.run(EDIT)
    assert bench.calls == []
    assert (bench.folder / "file").read_text() == "mine"


ODD = [
    {"event": "row", "name": "00001-a"},
    {"event": "found"},
    {"event": {}},
    {},
    {"event": "run", "version": 1, "preset": "fake", "rows": 1, "left": 1},
    {"event": "found", "key": "x", "facts": {"found": "found"}},
]
CHANGED = [
    {"files": {"00001-a.mask.png": 3}},
    {"files": {"../mine.txt": "0" * 64}},
    {"picture": {"bytes": 3}},
    {"name": "00002-b"},
    {"status": "absent"},
    {"result": []},
]


def tree(folder: Path) -> dict[str, bytes | None]:
    """Everything in a folder but the lock's own files."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
        if path.name not in ("lock", "owner.json")
    }


@pytest.mark.parametrize("changed", [*ODD, *CHANGED])
def test_a_forged_journal_is_refused_whole_and_changes_nothing(bench: Bench, changed: dict) -> None:
    bench.run(EDIT)
    journal = bench.out / ".batch/journal"
    (row,) = (r for r in read_journal(journal) if r["event"] == "row")
    forged = {**row, **changed} if changed in CHANGED else changed
    journal.write_bytes(journal.read_bytes() + encode(forged) + b"torn")
    (bench.out / f".x.{'0' * 16}.part").write_bytes(b"half")
    before = tree(bench.out)
    with pytest.raises(GroundbrushError, match=r"journal.* does not write \(number \d\).*nothing"):
        bench.run(EDIT, resume=True)
    assert tree(bench.out) == before
    assert bench.calls == []


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_whatever_a_record_holds_is_used_or_refused(bench: Bench, data: st.DataObject) -> None:
    """Sealed records of anyone: never a traceback, and no file of theirs is touched."""
    shutil.rmtree(bench.out, ignore_errors=True)
    bench.run({**EDIT, "find": "the ambiguous cup"})
    records = list(read_journal(bench.out / ".batch/journal"))
    record: Any = data.draw(st.sampled_from(records))
    while True:  # some value, at any depth
        places = sorted(record) if isinstance(record, dict) else range(len(record))
        place = data.draw(st.sampled_from(places))
        inner = record[place]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
            break
        record = inner
    record[place] = data.draw(JSON)
    (bench.out / ".batch/journal").write_bytes(b"".join(map(encode, records)))
    before = tree(bench.out)
    try:
        bench.run({**EDIT, "find": "the ambiguous cup"}, resume=True)
    except GroundbrushError:
        assert tree(bench.out) == before


@pytest.mark.parametrize("ending", [b"\r", b"\r\n"])
def test_a_journal_with_other_line_ends_is_refused_and_kept(bench: Bench, ending: bytes) -> None:
    bench.run(EDIT, EDIT)
    journal = bench.out / ".batch/journal"
    journal.write_bytes(journal.read_bytes().replace(b"\n", ending))
    before = tree(bench.out)
    with pytest.raises(GroundbrushError, match="is not a journal"):
        bench.run(EDIT, EDIT, resume=True)
    assert tree(bench.out) == before
    journal.write_bytes(journal.read_bytes().replace(ending, b"\n"))
    assert bench.run(EDIT, EDIT, resume=True).worked == 0


def test_a_refused_resume_changes_nothing(bench: Bench) -> None:
    bench.run(EDIT, EDIT)
    journal = bench.out / ".batch/journal"
    journal.write_bytes(journal.read_bytes()[:-9])
    (bench.out / f".x.{'0' * 16}.part").write_bytes(b"half")
    before = tree(bench.out)
    with pytest.raises(ManifestError):
        bench.run(EDIT, {**EDIT, "settings": {"steps": 0}}, resume=True)
    assert tree(bench.out) == before


@pytest.mark.parametrize("kind", ["result", "review"])
def test_an_output_that_was_changed_is_made_again(bench: Bench, kind: str) -> None:
    bench.run(EDIT, EDIT)
    before = outputs(bench.out)
    path = next(
        bench.out.glob("00001-a.edited.png" if kind == "result" else "review/00001-a.after.*")
    )
    content, status = bytearray(path.read_bytes()), path.stat()
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # as a failing disk does it
    assert bench.run(EDIT, EDIT, resume=True).worked == 1
    assert outputs(bench.out) == before


@pytest.mark.parametrize("name", ["review", ".batch", ".batch/found"])
def test_a_linked_folder_is_not_written_through(bench: Bench, name: str) -> None:
    mine = bench.folder / "mine"
    mine.mkdir()
    (mine / "00001-a.before.jpg").write_text("mine")
    (bench.out / name).parent.mkdir(parents=True)
    (bench.out / name).symlink_to(mine)
    with pytest.raises(GroundbrushError, match="is a link, and results are not written through"):
        bench.run(EDIT)
    assert {p.name: p.read_text() for p in mine.iterdir()} == {"00001-a.before.jpg": "mine"}


PLACE = [errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE, errno.EROFS, errno.ENOSPC]


@pytest.mark.parametrize("number", PLACE)
@pytest.mark.parametrize("writes", [0, 2, 7, 12])
def test_an_output_that_is_lost_stops_the_batch_and_its_rows_are_done_on_resume(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, number: int, writes: int
) -> None:
    rows = [{**EDIT, "find": f"thing {k}"} for k in range(4)]
    original, left = os.open, writes

    def opened(path: Any, flags: int, *more: Any, **options: Any) -> int:
        nonlocal left
        left -= str(path).endswith(".part")
        if left < 0 and str(path).startswith(str(bench.out)) and flags & os.O_CREAT:
            raise OSError(number, os.strerror(number), str(path))
        return original(path, flags, *more, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", opened)
        with pytest.raises(GroundbrushError, match="(?i)" + os.strerror(number)):
            bench.run(*rows)
    journal = bench.out / ".batch/journal"
    if journal.exists():
        done = [r["status"] for r in read_journal(journal) if r["event"] == "row"]
        assert set(done) <= {"done"}
    bench.run(*rows, resume=True)
    assert bench.statuses() == ["done"] * 4


@pytest.mark.parametrize("beside", [False, True])
def test_inputs_that_are_lost_stop_the_batch(
    beside: bool, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that was unplugged gives EIO for each picture, and for the folder, too."""
    monkeypatch.setattr(engine, "core_left", lambda device: beside)
    rows = [{**EDIT, "find": f"thing {k}"} for k in range(3)]
    scan, picture = os.scandir, bench.folder / "a.png"
    content = picture.read_bytes()

    def scandir(path: Any = ".") -> Any:
        if path == bench.folder.resolve():
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return scan(path)

    def unplug(progress: BatchProgress) -> None:
        if progress.stage == "painting" and progress.done == 1:
            # This is the thread that writes: the next row is painted meanwhile.
            while beside and [kind for kind, _ in bench.calls].count("paint") < 2:
                time.sleep(0.01)
            monkeypatch.setattr(os, "scandir", scandir)
            picture.unlink()

    with pytest.raises(BatchStopped, match="row 3" if beside else "row 2"):
        bench.run(*rows, on_progress=unplug)
    assert bench.statuses() == ["done", "done" if beside else "waiting", "waiting"]
    monkeypatch.undo()
    picture.write_bytes(content)
    bench.run(*rows, resume=True)
    assert bench.statuses() == ["done"] * 3
