"""Results side by side: the right numbers under the right names, and what does not fit refused."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from groundbrush.editor.cli.main import main
from groundbrush.editor.errors import GroundbrushError
from groundbrush.editor.evaluation.compare import compare, write_comparison
from groundbrush.editor.evaluation.scores import Score, Scores, differences, scores, terms


def result(folder: Path, preset: str, groups: dict[str, Scores], **changes: Any) -> Path:
    facts = {"LVLM": f"model of {preset}", "items": "10"}
    scores = {k: asdict(v) for k, v in groups.items()}
    raw = {"evaluation": "refcoco-val", "preset": preset, "facts": facts, "groups": scores}
    file = folder / f"{len(list(folder.iterdir()))}.json"
    file.write_text(json.dumps(raw | changes))
    return file


def scored(count: int, accuracy: float, giou: float | None = None) -> Scores:
    return Scores(
        count,
        0,
        accuracy=Score(accuracy, accuracy - 0.1, accuracy + 0.1),
        giou=None if giou is None else Score(giou, giou, giou),
    )


def test_by_query_type_in_the_order_given(tmp_path: Path) -> None:
    heads = {
        "val": scored(9, 0.5, 0.4),
        "val: name": scored(5, 0.6),
        "val: ordinal": scored(4, 0.3),
    }
    dino = {"val": scored(9, 0.7), "val: ordinal": scored(4, 0.2)}
    found = compare([result(tmp_path, "llava", heads), result(tmp_path, "dino", dino)])
    tables = dict(found.tables)
    assert list(tables) == ["Acc@0.5", "gIoU"]  # no empty tables
    assert tables["Acc@0.5"].splitlines() == [
        "| items | n | llava | dino |",
        "|---|---|---|---|",
        "| val | 9 | 50.0 [40.0, 60.0] | 70.0 [60.0, 80.0] |",
        "| val: name | 5 / 0 | 60.0 [50.0, 70.0] |  |",
        "| val: ordinal | 4 | 30.0 [20.0, 40.0] | 20.0 [10.0, 30.0] |",
    ]
    assert found.notes == [
        "not the same items were measured in val: name: compare with care",
        "no answers (.jsonl) lie beside the scores of llava, dino: no differences by item",
    ]
    files = write_comparison(found, tmp_path / "out")
    page = files["page"].read_text()
    assert page.startswith("# refcoco-val, side by side") and "dino: LVLM model of dino" in page
    assert json.loads(files["scores"].read_text())["groups"]["val"]["dino"]["count"] == 9


IOUS = {"llava": (0.7, 0.6, 0.2, 0.1), "dino": (0.9, 0.4, 0.8, 0.8)}
SHARED = {"llava": (30, 10, 0, 0), "dino": (40, 10, 5, 5)}
KINDS = ("name", "name", "ordinal", "ordinal")


def answers(preset: str) -> list[dict[str, Any]]:
    """Four answers, with unions of 40, 20, 10 and 10 pixels; the last fails for llava."""
    made = [
        {
            "arm": "preset",
            "item": str(k),
            "phrase": f"thing {k}",
            "split": "val",
            "group": "",
            "kind": kind,
            "box_iou": iou,
            "map_box_iou": None,
            "shared": shared,
            "union": union,
            "presence": 0.2 if k == 0 and preset == "dino" else 0.9,
            "mask": {"size": [1, 1]},
        }
        for k, (kind, iou, shared, union) in enumerate(
            zip(KINDS, IOUS[preset], SHARED[preset], (40, 20, 10, 10), strict=True)
        )
    ]
    if preset == "llava":
        made[3] |= {"error": "no such picture"}
    return [*made, {**made[0], "arm": "another", "box_iou": 0.0}]


def measured(folder: Path, preset: str) -> Path:
    file = result(
        folder,
        preset,
        {"val": scored(4, 0.5)},
        arms={"preset": {}, "another": {}},
        absent_below=0.5,
    )
    lines = [{"what": "header"}, *answers(preset)]
    file.with_suffix(".jsonl").write_text("".join(json.dumps(r) + "\n" for r in lines) + "{cut")
    return file


def test_differences_by_hand(tmp_path: Path) -> None:
    found = compare([measured(tmp_path, "llava"), measured(tmp_path, "dino")])
    gaps = found.differences["val"]["dino"]
    # both answered three items: hits 1, 1, 0 against 1, 0, 1
    assert (gaps["accuracy"].value, gaps["accuracy"].count) == (0.0, 3)
    assert gaps["accuracy"].low == -gaps["accuracy"].high == -1
    # IoUs .75, .5, 0 against 1, .5, .5: no resample loses, or gains more than a half
    assert gaps["giou"].value == pytest.approx(0.25)
    assert 0 <= gaps["giou"].low < 0.25 < gaps["giou"].high <= 0.5
    assert gaps["ciou"].value == pytest.approx(55 / 70 - 40 / 70)
    assert gaps["refused"].value == pytest.approx(1 / 3)  # one of three below .5, none before
    assert "map_accuracy" not in gaps
    ordinal = found.differences["val: ordinal"]["dino"]["giou"]
    assert (ordinal.value, ordinal.low, ordinal.high, ordinal.count) == (0.5, 0.5, 0.5, 1)
    table = dict(found.tables)["gIoU: minus llava, same items"]
    assert "| items | n | dino |" in table
    assert "| val: ordinal | 1 | +50.0 [+50.0, +50.0] |" in table
    told = json.loads(json.dumps(found.as_dict()))
    assert told["minus"] == "llava"
    assert told["differences"]["val: ordinal"]["dino"]["giou"]["value"] == 0.5
    assert found.notes == ["only 3 items were measured in all: compare with care"]
    other = measured(tmp_path, "dino").with_suffix(".jsonl")
    other.write_text(other.read_text().replace('"item": "', '"item": "x'))
    with pytest.raises(GroundbrushError, match="have no item in common"):
        compare([measured(tmp_path, "llava"), other.with_suffix(".json")])


def test_pairs_are_surer_than_each_alone() -> None:
    """The same gain on items of every hardness: each score is unsure, their difference is not."""
    hard = [{"giou": (k / 100, 1.0)} for k in range(90)]
    better = [{"giou": (k / 100 + 0.1, 1.0)} for k in range(90)]
    gap = differences(better, hard)["giou"]
    assert (gap.value, gap.low, gap.high) == pytest.approx((0.1, 0.1, 0.1))
    back = differences(hard, better)["giou"]
    assert (back.value, back.low, back.high) == pytest.approx((-0.1, -0.1, -0.1))


def test_scores_of_differences_are_those_of_summary() -> None:
    """What one answer adds, summed up, is what the page says."""
    records = answers("dino")[:4]
    whole = scores(records, absent_below=0.5)
    for metric in ("accuracy", "ciou", "giou", "refused"):
        adds = [terms(r, 0.5)[metric] for r in records]
        ratio = sum(top for top, _ in adds) / sum(bottom for _, bottom in adds)
        assert ratio == pytest.approx(getattr(whole, metric).value), metric


def test_answers_of_something_else_are_refused(tmp_path: Path) -> None:
    one, other = measured(tmp_path, "llava"), measured(tmp_path, "dino")
    for content in ('{}\n{"arm": "preset"}\n', "{}\n[]\n", "{}\n{\n"):
        other.with_suffix(".jsonl").write_text(content)
        with pytest.raises(GroundbrushError, match="does not hold the answers of an evaluation"):
            compare([one, other])


def test_one_preset_twice_keeps_both(tmp_path: Path) -> None:
    files = [result(tmp_path, "llava", {"val": scored(9, v)}) for v in (0.5, 0.6)]
    assert list(compare(files).results) == ["llava", f"llava ({files[1]})"]


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    one = result(tmp_path, "a", {"val": scored(9, 0.5)})
    other = result(tmp_path, "b", {"val": scored(9, 0.5)}, evaluation="reasonseg")
    with pytest.raises(GroundbrushError, match="1 results given; expected at least two"):
        compare([one])
    with pytest.raises(GroundbrushError, match="holds 'reasonseg' and the first file 'refcoco-val"):
        compare([one, other])
    for content in ("[]", "{", '{"groups": {"val": {"count": "x"}}}', '{"groups": {}}'):
        (tmp_path / "bad.json").write_text(content)
        with pytest.raises(GroundbrushError, match="does not hold the scores of an evaluation"):
            compare([one, tmp_path / "bad.json"])
    with pytest.raises(GroundbrushError, match="'.*none.json' does not exist"):
        compare([one, tmp_path / "none.json"])


@pytest.mark.parametrize("arguments", [["compare"], ["scenes", "a.json"]])
def test_files_belong_to_compare_alone(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["evaluate", *arguments])
    assert left.value.code == 2
    assert "compare takes FILEs, a benchmark takes none" in capsys.readouterr().err
