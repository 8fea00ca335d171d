"""Rows that say where by a box or a mask, and operations on it."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
from fake_editor import picture_file, results
from groundbrush.editor.batch import BatchJob, ManifestError, read_manifest, run_batch
from groundbrush.editor.batch.rows import read_row
from groundbrush.editor.masks.operations import Dilate
from groundbrush.editor.pictures.picture import open_picture
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2] / "app" / "http"))
from quick_editor import QuickEditor

GROW = [{"op": "dilate", "pixels": 2}]


@pytest.fixture
def folder(memory: Path) -> Path:
    """With a picture, a mask of its size, one of another, and one outside."""
    picture_file(memory / "in/a.png")
    mask(memory / "in/mask.png", (slice(2, 6), slice(3, 8)))
    mask(memory / "outside.png", (slice(2, 6), slice(3, 8)))
    picture_file(memory / "in/large.png", 1, (40, 30))
    return memory / "in"


def mask(path: Path, where: Any) -> None:
    pixels = np.zeros((12, 16), np.uint8)
    pixels[where] = 255
    Image.fromarray(pixels).save(path)


def manifest(folder: Path, *rows: dict, name: str = "m.jsonl") -> Any:
    path = folder / name
    path.write_text("\n".join(json.dumps({"image": "a.png", **row}) for row in rows))
    return read_manifest(path)


@pytest.mark.parametrize(
    ("columns", "action", "words", "boxes"),
    [
        ({"box": [1, 2, 5, 6], "paint": "a vase"}, "edit", "", [1, 2, 5, 6]),
        ({"box": [[1, 2, 5, 6]], "remove": True, "snap": True}, "remove", "", [[1, 2, 5, 6]]),
        ({"box": [1, 2, 5, 6], "remove": "the cup"}, "remove", "the cup", [1, 2, 5, 6]),
        (
            {"box": [1, 2, 5, 6], "find": "the cup", "paint": "a vase"},
            "edit",
            "the cup",
            [1, 2, 5, 6],
        ),
        ({"mask": "mask.png", "paint": "a vase"}, "edit", "", None),
        ({"mask": "mask.png", "remove": True, "operations": GROW}, "remove", "", None),
    ],
)
def test_a_place_stands_for_the_words(
    folder: Path, columns: dict, action: str, words: str, boxes: Any
) -> None:
    (row,) = manifest(folder, columns).rows
    assert (row.action, row.words, row.options.get("boxes")) == (action, words, boxes)
    assert row.placed and not row.grounds
    assert row.mask == columns.get("mask")
    assert (row.mask_digest is None) == (row.mask is None)
    assert (row.request().find or "") == words


def test_operations_go_with_words_as_well(folder: Path) -> None:
    (row,) = manifest(folder, {"find": "the cup", "paint": "a vase", "operations": GROW}).rows
    assert row.grounds and not row.placed
    assert row.request().as_dict()["operations"] == GROW


def test_a_csv_says_the_same(folder: Path) -> None:
    rows: list[dict] = [
        {"box": "1,2,5,6", "paint": "a vase", "snap": "yes"},
        {"box": "1, 2, 5, 6; 7,8,9,10", "paint": "a vase", "operations": json.dumps(GROW)},
        {"box": "[[1,2,5,6]]", "remove": "true"},
        {"mask": "mask.png", "paint": "a vase"},
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, ["image", "box", "mask", "paint", "remove", "snap", "operations"])
    writer.writeheader()
    writer.writerows({"image": "a.png", **row} for row in rows)
    (folder / "m.csv").write_text(text.getvalue())
    read = read_manifest(folder / "m.csv").rows
    assert [row.options.get("boxes") for row in read] == [
        [[1, 2, 5, 6]],
        [[1, 2, 5, 6], [7, 8, 9, 10]],
        [[1, 2, 5, 6]],
        None,
    ]
    assert [row.options.get("snap") for row in read] == [True, None, None, None]
    assert read[1].options["operations"] == GROW


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"box": [1, 2, 5, 6]}, "nothing given"),
        ({"box": [1, 2, 5, 6], "find": "the cup"}, "box is given for ground"),
        ({"box": [1, 2, 5, 6], "apply": "remove the cup"}, "box is given for apply"),
        ({"mask": "mask.png", "ground_all": "a cup"}, "mask is given for ground-all"),
        ({"operations": GROW, "find": "the cup"}, "operations is given for ground"),
        ({"box": [5, 2, 1, 6], "paint": "a vase"}, "x0 < x1"),
        ({"box": "here", "paint": "a vase"}, "box 'here' given"),
        ({"box": [1, 2, 5, 6], "mask": "mask.png", "paint": "a"}, "a mask and a box given"),
        ({"box": [1, 2, 5, 6], "candidate": 1, "paint": "a"}, "candidate"),
        ({"mask": 3, "paint": "a"}, "mask is 3; expected a picture's path"),
        ({"mask": " ", "paint": "a"}, "mask is ' '; expected a picture's path"),
        ({"mask": "none.png", "paint": "a"}, "none.png' does not exist; expected a mask"),
        ({"mask": "../outside.png", "paint": "a"}, "mask '../outside.png' lies outside"),
        ({"mask": "/etc/passwd", "paint": "a"}, "mask '/etc/passwd' lies outside"),
        ({"mask": "http://a/b.png", "paint": "a"}, "is an address"),
        ({"operations": [{"op": "grow"}], "find": "c", "paint": "a"}, "operation 'grow'"),
        ({"operations": GROW[0], "find": "c", "paint": "a"}, "expected a list"),
    ],
)
def test_a_bad_place_is_refused_in_words(folder: Path, columns: dict, words: str) -> None:
    with pytest.raises(ManifestError) as caught:
        manifest(folder, columns)
    assert words in str(caught.value)


def test_a_mask_that_leads_outside_by_a_link_is_refused(folder: Path) -> None:
    (folder / "link.png").symlink_to(folder.parent / "outside.png")
    with pytest.raises(ManifestError, match="lies outside"):
        manifest(folder, {"mask": "link.png", "paint": "a"})


def test_a_row_is_the_edit_of_python(folder: Path) -> None:
    rows = [
        {"id": "boxed", "box": [3, 2, 9, 7], "paint": "a vase", "operations": GROW, "seed": 4},
        {"id": "masked", "mask": "mask.png", "paint": "a vase"},
        {"id": "gone", "mask": "mask.png", "remove": True},
    ]
    out = folder / "out"
    report = run_batch(BatchJob(manifest(folder, *rows), out), QuickEditor)
    assert report.counts == {"done": 3}
    editor = QuickEditor()
    picture = dataclasses.replace(open_picture(folder / "a.png"), source=PurePosixPath("a.png"))
    edits = {
        "boxed": editor.edit(
            picture, None, "a vase", box=[3, 2, 9, 7], operations=[Dilate(2)], seed=4
        ),
        "masked": editor.edit(picture, None, "a vase", mask=folder / "mask.png"),
        "gone": editor.remove(picture, mask=folder / "mask.png"),
    }
    for name, edit in edits.items():
        edit.save(folder / "python.png")
        made = (out / f"{name}.edited.png").read_bytes()
        assert made == (folder / "python.png").read_bytes()
        support = np.asarray(Image.open(out / f"{name}.mask.png")) > 0
        assert (support == edit.support).all()
    told = results(out)
    assert [(row["words"], row["found"]) for row in told] == [("", None)] * 3
    assert "edit the marked place → “a vase”" in (out / "review.html").read_text()


def test_a_mask_of_another_size_fails_its_row_only(folder: Path) -> None:
    rows = [{"mask": "large.png", "paint": "a"}, {"mask": "mask.png", "paint": "a"}]
    report = run_batch(BatchJob(manifest(folder, *rows), folder / "out"), QuickEditor)
    assert report.counts == {"failed": 1, "done": 1}
    assert "40x30" in results(folder / "out")[0]["error"]["message"]


def test_a_changed_mask_is_done_again(folder: Path) -> None:
    rows = [
        {"id": "a", "mask": "mask.png", "paint": "a"},
        {"id": "b", "box": [1, 2, 3, 4], "paint": "a"},
    ]
    run_batch(BatchJob(manifest(folder, *rows), folder / "out"), QuickEditor)
    again = BatchJob(manifest(folder, *rows), folder / "out", resume=True)
    assert run_batch(again, QuickEditor).worked == 0
    mask(folder / "mask.png", (slice(0, 3), slice(0, 3)))
    again = BatchJob(manifest(folder, *rows), folder / "out", resume=True)
    assert run_batch(again, QuickEditor).worked == 1
    made = np.asarray(Image.open(folder / "out/a.mask.png")) > 0
    assert made.sum() == 9


def test_a_mask_that_changes_while_the_batch_runs_fails_its_row(folder: Path) -> None:
    read = manifest(folder, {"mask": "mask.png", "paint": "a"})
    mask(folder / "mask.png", (slice(0, 3), slice(0, 3)))
    run_batch(BatchJob(read, folder / "out"), QuickEditor)
    assert "was changed while the batch ran" in results(folder / "out")[0]["error"]["message"]


def test_a_mask_that_a_result_would_overwrite_is_refused(folder: Path) -> None:
    (folder / "out").mkdir()
    mask(folder / "out/a.mask.png", (slice(0, 3), slice(0, 3)))
    read = manifest(folder, {"id": "b", "mask": "out/a.mask.png", "paint": "a"})
    with pytest.raises(ManifestError, match="is a result in the output folder"):
        run_batch(BatchJob(read, folder / "out"), QuickEditor)


def test_rows_without_masks_have_the_fingerprint_they_had() -> None:
    row = read_row({"image": "a.png", "find": "the cup", "paint": "a vase"}, 1).row
    assert row is not None
    # of version 0.1.0 before masks: a batch that was begun then continues
    assert row.fingerprint("preset") == "3ff6243f509d168a08d00fea1590dc4b"
