"""From a published tree to scores that were worked out by hand, interrupted or not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from groundbrush.editor.errors import GroundbrushError
from groundbrush.editor.evaluation.arms import PAPER, PRESET, Arm, Greedy, like_reference
from groundbrush.editor.evaluation.measure import evaluate
from groundbrush.editor.evaluation.measurements import Measurements
from groundbrush.editor.evaluation.readers import benchmark, read_items
from groundbrush.editor.evaluation.report import arms_table, beside_paper, scores_table
from groundbrush.editor.evaluation.scores import groups, scores
from groundbrush.editor.evaluation.sheet import failure_sheet, failures
from groundbrush.multiobject.export.rle import decode_rle
from PIL import Image

# In cells of 8 pixels: right to the pixel; half of the truth; elsewhere; a third too wide.
TOLD = {
    "red mug": (0, 0, 4, 4),
    "mug on left": (0, 0, 2, 4),
    "second mug": (0, 0, 4, 4),
    "wall": (0, 0, 3, 8),
}
# (shared, union) pixels of each
COUNTS = {
    "val-10": (1024, 1024),
    "val-11": (512, 1024),
    "val-20": (0, 2048),
    "val-30": (1024, 1536),
}


def measured(grounder, items, tmp_path: Path, arms=(PRESET,), name: str = "j.jsonl") -> list[dict]:
    return evaluate(
        lambda changes: grounder, items, arms, Measurements(tmp_path / name, {"of": "x"})
    )


@pytest.fixture
def val(refcoco_root: Path) -> list:
    return read_items(benchmark("refcoco"), refcoco_root, "val")


def test_refcoco_scores_are_exact(told: Callable, val: list, tmp_path: Path) -> None:
    records = measured(told(TOLD), val, tmp_path)
    assert {r["item"]: (r["shared"], r["union"]) for r in records} == COUNTS
    found = scores(records)
    assert found.accuracy.value == 3 / 4  # 1, 1/2, 0 and 2/3: a half counts
    assert found.map_accuracy.value == 3 / 4
    assert found.ciou.value == (1024 + 512 + 1024) / (1024 + 1024 + 2048 + 1536)
    assert found.giou.value == pytest.approx((1 + 0.5 + 0 + 2 / 3) / 4)
    assert found.accuracy.low <= found.accuracy.value <= found.accuracy.high
    by_kind = {name: scores(own) for name, own in groups(records).items()}
    assert by_kind["val: attribute"].giou.value == 1
    assert by_kind["val: ordinal"].accuracy.value == 0
    assert by_kind["val"].count == 4


def test_metrics_equal_pycocotools(told: Callable, val: list, tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.mask")
    journal = Measurements(tmp_path / "j.jsonl", {})
    records = evaluate(lambda changes: told(TOLD), val, [PRESET], journal)
    assert not any("mask" in record for record in records)  # memory does not grow with them
    for record, item in zip(journal.whole(records), val, strict=True):
        truth = coco.encode(np.asfortranarray(item.truth.draw((64, 64))))
        guess = {"size": record["mask"]["size"], "counts": record["mask"]["counts"].encode()}
        iou = record["shared"] / record["union"]
        assert coco.iou([guess], [truth], [0])[0, 0] == pytest.approx(iou, abs=1e-12)
        boxes = coco.iou(
            np.array([[b[0], b[1], b[2] - b[0], b[3] - b[1]] for b in (record["box"],)]),
            np.array(
                [[item.box[0], item.box[1], item.box[2] - item.box[0], item.box[3] - item.box[1]]]
            ),
            [0],
        )
        assert boxes[0, 0] == pytest.approx(record["box_iou"], abs=1e-12)


def test_reasonseg_leaves_ignored_pixels_out(
    told: Callable, reasonseg_root: Path, tmp_path: Path
) -> None:
    items = read_items(benchmark("reasonseg"), reasonseg_root, "val")
    # the first: rows 16 to 31 of the left half are true, rows 0 to 15 are not counted
    cells = {items[0].phrase: (0, 0, 4, 4), items[1].phrase: (4, 4, 8, 6)}
    records = measured(told(cells), items, tmp_path)
    assert [(r["shared"], r["union"]) for r in records] == [(512, 512), (512, 1024)]
    found = scores(records)
    assert found.giou.value == 0.75
    assert found.ciou.value == 1024 / 1536
    assert found.accuracy is None
    by_group = {name: scores(own) for name, own in groups(records).items()}
    assert by_group["val, short"].giou.value == 1
    assert by_group["val, long"].giou.value == 0.5


def test_what_would_be_refused_is_counted_apart(told: Callable, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "1.png")
    rows = [
        {"image": "1.png", "phrase": "cat", "kind": "name", "box": [0, 0, 8, 8]},
        {"image": "1.png", "phrase": "dog", "kind": "absent"},
        {"image": "1.png", "phrase": "cow", "kind": "absent"},
    ]
    (tmp_path / "examples.jsonl").write_text("\n".join(map(json.dumps, rows)))
    items = read_items(benchmark("scenes"), tmp_path)
    cells = dict.fromkeys(("cat", "dog", "cow"), (0, 0, 1, 1))
    grounder = told(cells, {"cat": 0.4, "dog": 0.1, "cow": 0.9})
    records = measured(grounder, items, tmp_path)
    by_group = {name: scores(own, 0.5) for name, own in groups(records).items()}
    # the cat is found though the preset would have refused it
    assert by_group["all: name"].accuracy.value == 1
    assert by_group["all: name"].refused.value == 1
    assert by_group["all: absent"].refused.value == 0.5
    assert by_group["all: absent"].giou is None
    assert scores(records).refused is None


def test_an_interrupted_run_goes_on_and_repeats_nothing(
    told: Callable, val: list, tmp_path: Path
) -> None:
    whole = measured(told(TOLD), val, tmp_path)
    journal = tmp_path / "j.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:3]) + lines[3][:40])  # killed in the middle of a line
    grounder = told(TOLD)
    again = measured(grounder, val, tmp_path)
    assert [_timeless(r) for r in again] == [_timeless(r) for r in whole]
    assert journal.read_bytes().count(b"\n") == 5
    before = journal.read_bytes()
    finished = told(TOLD)
    measured(finished, val, tmp_path)
    assert finished.lvlm.read_count == 0
    assert journal.read_bytes() == before


def _timeless(record: dict) -> dict:
    return {k: v for k, v in record.items() if k != "seconds"}


def test_a_journal_of_another_measurement_is_refused(tmp_path: Path) -> None:
    Measurements(tmp_path / "j.jsonl", {"of": "x", "arms": 1})
    with pytest.raises(GroundbrushError, match=r"with another arms; give another --out, or"):
        Measurements(tmp_path / "j.jsonl", {"of": "x", "arms": 2})
    (tmp_path / "k.jsonl").write_text("hello\n")
    with pytest.raises(GroundbrushError, match="not a journal"):
        Measurements(tmp_path / "k.jsonl", {})


def test_what_fails_is_recorded_and_the_rest_goes_on(
    told: Callable, val: list, tmp_path: Path
) -> None:
    val[3].image.unlink()
    known = {k: v for k, v in TOLD.items() if k != "second mug"}
    records = measured(told(known), val, tmp_path)
    errors = {r["item"]: r["error"] for r in records if "error" in r}
    assert set(errors) == {"val-20", "val-30"}
    assert "no word of 'second mug'" in errors["val-20"]
    assert "does not exist" in errors["val-30"]
    found = scores(records)
    assert (found.count, found.failed) == (2, 2)
    assert "2 (+2 failed)" in scores_table({"val": found})


def test_what_failed_is_tried_again(told: Callable, val: list, tmp_path: Path) -> None:
    known = {k: v for k, v in TOLD.items() if k != "second mug"}
    assert scores(measured(told(known), val, tmp_path)).failed == 1
    grounder = told(TOLD)
    records = measured(grounder, val, tmp_path)
    assert {r["item"]: (r["shared"], r["union"]) for r in records} == COUNTS
    assert grounder.lvlm.read_count == 1


def test_a_picture_of_another_size_is_refused(told: Callable, val: list, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((10, 20, 3), np.uint8)).save(val[3].image)
    records = measured(told(TOLD), val, tmp_path)
    assert "is 20 by 10 pixels and the annotations say 64 by 64" in records[3]["error"]


def test_arms_share_a_pass_and_differ_only_where_switched(
    told: Callable, val: list, tmp_path: Path
) -> None:
    arms = [
        PRESET,
        Arm("one head", heads=((3, 2),)),
        Arm("greedy", heads=Greedy(2, threshold=0.0)),
        Arm("no SAM", segment=False),
        Arm("wide", grounding={"sigma": 2.0, "kernel": 9}),
        PAPER,
    ]
    grounder = told(TOLD)
    records = measured(grounder, val, tmp_path, arms)
    assert grounder.lvlm.read_count == len(val)
    by_arm = {arm.name: [r for r in records if r["arm"] == arm.name] for arm in arms}
    for same in ("one head", "greedy", "no SAM"):
        assert {r["item"]: (r["shared"], r["union"]) for r in by_arm[same]} == COUNTS
    assert by_arm["one head"][0]["heads"] == [[3, 2]]
    assert len(by_arm["greedy"][0]["heads"]) == 2
    assert scores(by_arm["wide"]).giou.value < scores(by_arm["preset"]).giou.value
    table = arms_table(arms, {name: scores(own) for name, own in by_arm.items()}, records)
    assert len(table.splitlines()) == 2 + len(arms)
    assert "| +0.0 [+0.0, +0.0] against preset |" in table.splitlines()[3]
    assert "| -" in table.splitlines()[6] and "] against preset |" in table.splitlines()[6]


@pytest.mark.parametrize("how", ["subtract", "relative"])
def test_what_heads_do_for_any_phrase_is_taken_out(
    told: Callable, val: list, tmp_path: Path, how: str
) -> None:
    # The heads attend to all of the mug, and to its right half whatever the phrase.
    grounder = told({**TOLD, "the picture": (2, 0, 4, 4)})
    arm = Arm("neutral", neutral=how, segment=False)
    plain, without = measured(grounder, val[:1], tmp_path, [Arm("p", segment=False), arm])
    assert (plain["shared"], plain["union"]) == COUNTS["val-10"]
    assert (without["shared"], without["union"]) == (512, 1024)
    assert without["box"] == [0, 0, 16, 32]


def test_arms_of_another_prompt_load_another_model(
    told: Callable, val: list, tmp_path: Path
) -> None:
    asked = []

    def load(changes):
        asked.append(dict(changes))
        return told(TOLD)

    arms = [
        PRESET,
        Arm("a", lvlm={"query": "prompt"}),
        Arm("b", lvlm={"query": "prompt"}),
        like_reference("see <image> {phrase}. now"),
    ]
    records = evaluate(load, val, arms, Measurements(tmp_path / "j.jsonl", {}))
    assert asked == [{}, {"query": "prompt"}, {"prompt": "see <image> {phrase}", "query": "prompt"}]
    assert len(records) == 4 * len(val)


def test_a_setting_that_does_not_exist_is_named(told: Callable, val: list, tmp_path: Path) -> None:
    with pytest.raises(GroundbrushError, match="arm 'x': .*sgma"):
        measured(told(TOLD), val, tmp_path, [Arm("x", grounding={"sgma": 1})])


def test_failures_are_shown_worst_first(told: Callable, val: list, tmp_path: Path) -> None:
    told_wrong = {**TOLD, "mug on left": (0, 0, 1, 4)}
    journal = Measurements(tmp_path / "j.jsonl", {})
    records = evaluate(lambda changes: told(told_wrong), val, [PRESET], journal)
    assert [r["item"] for r in failures(records)] == ["val-20", "val-11"]
    assert [r["item"] for r in failures(records, most=1)] == ["val-20"]
    sheet = failure_sheet(journal.whole(failures(records)), val)
    colours = {tuple(c) for c in np.asarray(sheet).reshape(-1, 3).tolist()}
    assert {(64, 220, 96), (255, 64, 129)} <= colours
    assert sheet.width == 2 * 328 + 8
    perfect = [r for r in records if r["item"] == "val-10"]
    assert failures(perfect) == []
    assert failure_sheet([], val) is None
    assert decode_rle(journal.whole(perfect)[0]["mask"])[:32, :32].all()


def test_a_failure_is_an_iou_below_a_half() -> None:
    def record(shared: int, kind: str = "name") -> dict:
        return {"kind": kind, "shared": shared, "union": 100, "box_iou": None}

    assert failures([record(50), record(49), record(0, "absent")]) == [record(49)]


def test_ours_stands_beside_the_papers(told: Callable, val: list, tmp_path: Path) -> None:
    rows = {"val": scores(measured(told(TOLD), val, tmp_path))}
    table = beside_paper("refcoco", "llava-1.5-7b", rows)
    assert "| LLaVA-1.5-7B (paper), same LVLM | 86.5 | 74.2 |" in table
    assert table.startswith("| val | Acc@0.5 before SAM | cIoU |"), "the paper's REC has no SAM"
    before = f"{100 * rows['val'].map_accuracy.value:.1f}"
    assert f"**llava-1.5-7b (measured here)** | {before} [" in table
    other = beside_paper("refcoco", "x", {"testA": rows["val"]})
    assert "| LLaVA-1.5-7B (paper) | 89.8 | 76.5 |" in other and "same LVLM" not in other
    assert beside_paper("scenes", "x", {"all": rows["val"]}) == ""
    reasons = beside_paper("reasonseg", "llava-1.5-7b", {"test": rows["val"]})
    assert reasons.startswith("| test | cIoU |") and "48.7" in reasons
