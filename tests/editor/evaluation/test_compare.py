"""Results side by side: the right numbers under the right names, and what does not fit refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from editor.cli import main
from editor.errors import GroundbrushError
from editor.evaluation.compare import compare, write_comparison
from editor.evaluation.summary import Score, Scores


def result(folder: Path, preset: str, groups: dict[str, Scores], **changes: Any) -> Path:
    facts = {"LVLM": f"model of {preset}", "items": "10"}
    scores = {k: v.as_dict() for k, v in groups.items()}
    raw = {"evaluation": "refcoco-val", "preset": preset, "facts": facts, "groups": scores}
    file = folder / f"{len(list(folder.iterdir()))}.json"
    file.write_text(json.dumps(raw | changes))
    return file


def scored(count: int, accuracy: float, giou: float | None = None) -> Scores:
    return Scores(count, 0, accuracy=Score(accuracy, accuracy - 0.1, accuracy + 0.1),
                  giou=None if giou is None else Score(giou, giou, giou))  # fmt: skip


def test_scores_survive_their_json() -> None:
    one = scored(7, 0.5, 0.25)
    assert Scores.from_dict(json.loads(json.dumps(one.as_dict()))) == one


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
    assert found.notes == ["not the same items were measured in val: name: compare with care"]
    files = write_comparison(found, tmp_path / "out")
    page = files["page"].read_text()
    assert page.startswith("# refcoco-val, side by side") and "dino: LVLM model of dino" in page
    assert json.loads(files["scores"].read_text())["groups"]["val"]["dino"]["count"] == 9


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
