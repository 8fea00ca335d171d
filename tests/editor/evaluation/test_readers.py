"""Benchmarks in their published layout, and what is wrong with a damaged one."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
from groundbrush.editor.errors import GroundbrushError
from groundbrush.editor.evaluation.items import query_kind
from groundbrush.editor.evaluation.readers import BENCHMARKS, benchmark, read_items


def test_refcoco_val_is_every_sentence(refcoco_root: Path) -> None:
    items = read_items(benchmark("refcoco"), refcoco_root, "val")
    assert [(i.id, i.phrase, i.kind) for i in items] == [
        ("val-10", "red mug", "attribute"),
        ("val-11", "mug on left", "relation"),
        ("val-20", "second mug", "ordinal"),
        ("val-30", "wall", "name"),
    ]
    assert items[2].box == (32, 32, 64, 64)  # xywh became xyxy
    assert items[2].truth.draw((64, 64))[32:, 32:].all()
    assert items[2].truth.draw((64, 64)).sum() == 32 * 32
    assert items[3].truth.draw((64, 64)).sum() == 16 * 64
    assert all(item.image.is_file() for item in items)


def test_refcoco_splits_match_by_their_last_letter(refcoco_root: Path) -> None:
    def phrases(split: str | None) -> list[str]:
        return [i.phrase for i in read_items(benchmark("refcoco"), refcoco_root, split)]

    assert phrases("testA") == ["the wall", "both"]
    assert phrases("testB") == ["both"]
    assert phrases("test") == ["the wall", "both"]
    assert phrases("train") == ["wall there"]
    assert phrases(None) == [
        "red mug",
        "mug on left",
        "second mug",
        "wall",
        "the wall",
        "both",
        "both",
    ]


def test_an_unknown_split_lists_those_there_are(refcoco_root: Path) -> None:
    with pytest.raises(GroundbrushError, match="no split 'dev'; .*: testA, testAB, train, val"):
        read_items(benchmark("refcoco"), refcoco_root, "dev")


def test_missing_pictures_and_files_are_named(refcoco_root: Path, tmp_path: Path) -> None:
    with pytest.raises(GroundbrushError, match=r"refs\(umd\)\.p' does not exist"):
        read_items(benchmark("refcocog"), refcoco_root, "val")
    (refcoco_root / "images").rename(tmp_path / "elsewhere")
    with pytest.raises(GroundbrushError, match="no folder of COCO train2014 pictures"):
        read_items(benchmark("refcoco"), refcoco_root, "val")
    with pytest.raises(GroundbrushError, match="does not exist; expected the folder that holds"):
        read_items(benchmark("refcoco"), tmp_path / "nowhere", "val")


@pytest.mark.parametrize("refs", [{"a": 1}, [1, 2]])
def test_another_pickle_is_refused(refcoco_root: Path, refs: object) -> None:
    (refcoco_root / "refcoco/refs(unc).p").write_bytes(pickle.dumps(refs))
    with pytest.raises(GroundbrushError, match="holds no list of references"):
        read_items(benchmark("refcoco"), refcoco_root, "val")


def test_files_of_two_publications_do_not_fit(refcoco_root: Path) -> None:
    (refcoco_root / "refcoco/instances.json").write_text('{"images": [], "annotations": []}')
    with pytest.raises(GroundbrushError, match="do not fit together"):
        read_items(benchmark("refcoco"), refcoco_root, "val")
    (refcoco_root / "refcoco/instances.json").write_text("[")
    with pytest.raises(GroundbrushError, match="cannot be read as COCO instances"):
        read_items(benchmark("refcoco"), refcoco_root, "val")


def test_reasonseg(reasonseg_root: Path) -> None:
    for root in (reasonseg_root, reasonseg_root.parent):
        short, long = read_items(benchmark("reasonseg"), root, "val")
        assert (short.phrase, short.group, short.kind) == (
            "something to drink from",
            "short",
            "reasoning",
        )
        assert (long.phrase, long.group) == ("What could keep a café warm?", "long")
    mask = short.truth.draw((64, 64))
    assert (mask[:16, :32] == 255).all()
    assert (mask[16:32, :32] == 1).all()
    assert (mask[32:] == 0).all()


def test_reasonseg_says_what_is_missing(reasonseg_root: Path) -> None:
    with pytest.raises(GroundbrushError, match="no ReasonSeg split 'test'"):
        read_items(benchmark("reasonseg"), reasonseg_root, "test")
    (reasonseg_root / "val/1_a.json").write_text('{"text": []}')
    with pytest.raises(GroundbrushError, match=r"1_a\.json' is not a ReasonSeg file"):
        read_items(benchmark("reasonseg"), reasonseg_root, "val")
    (reasonseg_root / "val/1_a.json").write_bytes(b"\x81{")
    with pytest.raises(GroundbrushError, match="is not JSON in UTF-8 or cp1252"):
        read_items(benchmark("reasonseg"), reasonseg_root, "val")


def write(folder: Path, *rows: dict | str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "examples.jsonl"
    file.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows))
    return file


def test_the_public_codes_examples(tmp_path: Path) -> None:
    # its paths count from the folder above the file's
    (tmp_path / "examples/images").mkdir(parents=True)
    (tmp_path / "examples/images/dog.png").write_bytes(b"x")
    write(
        tmp_path / "examples",
        {"id": 0, "prompt": "a dog.", "image": "examples/images/dog.png"},
        {"id": "b", "prompt": "the big dog", "image_path": "images/dog.png"},
    )
    first, second = read_items(benchmark("scenes"), tmp_path / "examples")
    assert (first.id, first.phrase, first.truth) == ("0", "a dog.", None)
    assert second.kind == "attribute"
    assert first.image == second.image


def test_a_split_that_no_example_is_of_is_refused(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(b"x")
    write(tmp_path, {"image": "1.png", "phrase": "the cat"})
    assert len(read_items(benchmark("scenes"), tmp_path)) == 1
    with pytest.raises(GroundbrushError, match="has no examples of split 'nope'"):
        read_items(benchmark("scenes"), tmp_path, "nope")


def test_composed_scenes(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(b"x")
    file = write(
        tmp_path,
        {
            "image": "1.png",
            "phrase": "the cat",
            "box": [1, 2, 3, 4],
            "kind": "name",
            "mask": {"size": [2, 2], "counts": [0, 4]},
        },
        {"image": "1.png", "phrase": "the blue cat", "kind": "absent colour"},
        {
            "image": "1.png",
            "phrase": "the cat on the left",
            "bbox": [1, 2, 3, 4],
            "mask": [[0, 0, 2, 0, 2, 2]],
            "kind": "side",
        },
    )
    there, absent, side = read_items(benchmark("scenes"), file)
    assert there.box == (1, 2, 3, 4)
    assert there.truth.draw((2, 2)).all()
    assert (absent.kind, absent.truth.draw((2, 2)).any()) == ("absent", False)
    assert (side.kind, side.group, side.box) == ("relation", "side", (1, 2, 4, 6))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("{", "line 2"),
        ("[1]", "a list and not an object"),
        ({"image": "1.png"}, "no phrase or prompt"),
        ({"phrase": "x"}, "no image or image_path"),
        ({"image": "2.png", "phrase": "x"}, "'2.png' is not there"),
        ({"image": "../../1.png", "phrase": "x"}, "lies outside the folder"),
        ({"image": "/etc/passwd", "phrase": "x"}, "lies outside the folder"),
        ({"image": "1.png", "phrase": "  "}, "the phrase is"),
        ({"image": "1.png", "phrase": "x", "kind": "odd"}, "kind 'odd' given"),
        ({"image": "1.png", "phrase": "x", "box": [3, 0, 1, 2]}, "expected xyxy pixels"),
        ({"image": "1.png", "phrase": "x", "box": [1, 2]}, "line 2"),
        ({"image": "1.png", "phrase": "x", "mask": 3}, "a mask of type int"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, row: dict | str, words: str) -> None:
    folder = tmp_path / "a/b"
    write(folder, {"image": "1.png", "phrase": "fine"}, row)
    (folder / "1.png").write_bytes(b"x")
    with pytest.raises(GroundbrushError) as refusal:
        read_items(benchmark("scenes"), folder)
    assert words in str(refusal.value)
    assert "line 2 of" in str(refusal.value)


def test_an_id_twice_or_nothing_at_all(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(b"x")
    row = {"id": "a", "image": "1.png", "phrase": "x"}
    with pytest.raises(GroundbrushError, match="has the id 'a' twice"):
        read_items(benchmark("scenes"), write(tmp_path, row, row))
    with pytest.raises(GroundbrushError, match="has no examples; expected one a line"):
        read_items(benchmark("scenes"), write(tmp_path, "", " "))


def test_unknown_names_and_partitions() -> None:
    with pytest.raises(GroundbrushError, match=r"unknown benchmark 'refcoc'; did you mean"):
        benchmark("refcoc")
    with pytest.raises(GroundbrushError, match="refcoco has no partition 'umd'; expected unc or"):
        benchmark("refcoco", "umd")
    with pytest.raises(GroundbrushError, match="reasonseg has no partitions; leave 'umd' out"):
        benchmark("reasonseg", "umd")
    assert benchmark("refcocog").splits == ("val", "test")
    assert benchmark("refcocog", "google").splits == ("val",)
    assert set(BENCHMARKS) == {"refcoco", "refcoco+", "refcocog", "reasonseg", "scenes"}


@pytest.mark.parametrize(
    ("phrase", "kind"),
    [
        ("dog", "name"),
        ("a giraffe", "name"),
        ("red mug", "attribute"),
        ("guy in blue", "relation"),
        ("woman wearing a hat", "attribute"),
        ("left", "relation"),
        ("mug next to the plate", "relation"),
        ("second from left", "ordinal"),
        ("3rd horse", "ordinal"),
        ("what could be used to cut bread", "reasoning"),
        ("the thing used for writing", "reasoning"),
    ],
)
def test_query_types(phrase: str, kind: str) -> None:
    assert query_kind(phrase) == kind
