"""A dry run reports everything that is known without a model, in the words of the run."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import struct
import sys
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_editor import FakeEditor, picture_file, results
from groundbrush import Editor
from groundbrush.editor.batch import BatchJob, ManifestError, read_manifest, run_batch
from groundbrush.editor.batch.checking import inspect_rows
from groundbrush.editor.batch.run import DryRun, dry_run
from groundbrush.editor.errors import GroundbrushError
from groundbrush.editor.models.presets import load_preset
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2] / "app" / "http"))
from quick_editor import QuickEditor

EDIT = {"find": "the cup", "paint": "a vase"}
BOX = {"box": [1, 2, 5, 6], "paint": "a vase"}


@pytest.fixture
def folder(memory: Path) -> Path:
    """With a picture of 16 by 12, a mask for it, and others that something is wrong with."""
    picture_file(memory / "a.png")
    white = np.zeros((12, 16), np.uint8)
    Image.fromarray(white).save(memory / "empty.png")
    white[2:6, 3:8] = 255
    Image.fromarray(white).save(memory / "mask.png")
    Image.fromarray(white[:6]).save(memory / "low.png")
    Image.fromarray(np.dstack([np.full((12, 16, 3), 90, np.uint8), white])).save(
        memory / "clear.png"
    )
    picture_file(memory / "long.png", size=(16_384, 1))
    whole = (memory / "a.png").read_bytes()
    (memory / "half.png").write_bytes(whole[: len(whole) // 2])
    (memory / "text.png").write_text("no picture")
    (memory / "huge.png").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
            for kind, body in (
                (b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)),
                (b"IDAT", b""),
            )
        )
    )
    return memory


def job_of(folder: Path, *rows: dict, suffix: str = "png", **options: Any) -> BatchJob:
    path = folder / "m.jsonl"
    path.write_text("\n".join(json.dumps({"image": "a.png", **row}) for row in rows))
    return BatchJob(read_manifest(path, refuse=False), folder / "out", suffix=suffix, **options)


def told(job: BatchJob, load: Any = FakeEditor) -> list[tuple[int | None, str]]:
    """BatchRow and words of what a dry run refuses."""
    with pytest.raises(ManifestError) as refused:
        dry_run(job, load)
    assert not job.out.exists()
    return [(problem.row, problem.words) for problem in refused.value.problems]


ROWS: dict[str, tuple[dict, str, str]] = {
    "a damaged picture": ({**BOX, "image": "half.png"}, "png", "is damaged or not fully copied"),
    "no picture": ({**BOX, "image": "text.png"}, "png", "is not a picture"),
    "a picture of too many pixels": ({**BOX, "image": "huge.png"}, "png", "expected at most 200"),
    "a box outside": ({**BOX, "box": [16, 2, 20, 6]}, "png", "lies outside the picture of 16x12"),
    "the second box outside": (
        {**BOX, "box": [[1, 2, 5, 6], [1, 12, 5, 16]]},
        "png",
        "lies outside",
    ),
    "a click outside": (
        {**BOX, "operations": [{"op": "points", "points": [[16, 3]]}]},
        "png",
        "point (16, 3)",
    ),
    "a box to subtract outside": (
        {**BOX, "operations": [{"op": "boxes", "boxes": [[40, 1, 50, 9]], "how": "subtract"}]},
        "png",
        "lies outside",
    ),
    "a mask of another size": ({"mask": "low.png", "paint": "a"}, "png", "is 16x6 pixels"),
    "a mask that marks nothing": ({"mask": "empty.png", "paint": "a"}, "png", "marks no pixel"),
    "a damaged mask": ({"mask": "half.png", "paint": "a"}, "png", "is damaged"),
    "transparency that a JPEG cannot hold": (
        {**BOX, "image": "clear.png"},
        "jpg",
        "cannot hold the input's transparency",
    ),
    "a side that a WebP cannot hold": (
        {**BOX, "image": "long.png", "box": [0, 0, 9, 1]},
        "webp",
        "WEBP holds at most 16383",
    ),
}


@pytest.mark.parametrize("case", ROWS)
def test_a_dry_run_says_of_a_row_what_its_turn_would_end_with(folder: Path, case: str) -> None:
    row, suffix, words = ROWS[case]
    job = job_of(folder, BOX, row, suffix=suffix)
    ((number, before),) = told(job, QuickEditor)
    assert number == 2
    assert words in before
    report = run_batch(job, QuickEditor)
    after = results(job.out)[1]["error"]["message"]
    # The dry run has no folder to name: its files are known by their names alone.
    assert before.removeprefix("'") in after.replace(f"{job.out}{os.sep}", "")
    assert report.counts == {"done": 1, "failed": 1}


def test_every_row_of_every_kind_is_told_at_once_with_what_a_run_refuses(folder: Path) -> None:
    rows = [
        {"image": "half.png", **EDIT, "settings": {"stepz": 3, "steps": 0}},
        {"image": "none.png", "mask": "none.png", "paint": "a"},
        EDIT,
        {"find": "a refused word", "paint": "a vase", "fnd": 1},
        {"find": "a refused word", "paint": "a vase"},
        {**BOX, "box": [90, 90, 99, 99], "operations": [{"op": "points", "points": [[-1, 0]]}]},
    ]
    found = told(job_of(folder, *rows))
    assert [row for row, _ in found] == [1, 1, 1, 2, 4, 5, 6, 6]
    for words, (_, problem) in zip(
        (
            "stepz",
            "steps: got 0",
            "is damaged",
            "expected a picture file; check the spelling and the folder; '",
            "unknown column",
            "'a refused word' given",
            "box [90.0",
            "point (-1, 0)",
        ),
        found,
        strict=True,
    ):
        assert words in problem


def test_a_run_is_refused_for_a_setting_and_not_for_a_file_that_is_missing(folder: Path) -> None:
    job = job_of(folder, {"image": "none.png", **EDIT}, {**EDIT, "settings": {"stepz": 3}})
    with pytest.raises(ManifestError) as refused:
        run_batch(job, FakeEditor)
    assert [problem.row for problem in refused.value.problems] == [2]
    assert not job.out.exists()


def test_each_picture_is_read_once_and_told_of(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from groundbrush.editor.batch import checking

    read: list[str] = []
    original = checking.open_picture

    def open_picture(source: Any) -> Any:
        read.append(Path(source).name)
        return original(source)

    monkeypatch.setattr(checking, "open_picture", open_picture)
    progress: list[tuple[str, int, int]] = []
    job = job_of(folder, EDIT, {**EDIT, "image": "clear.png"}, {"find": "the dog"}, BOX)
    dry_run(job, FakeEditor, on_progress=lambda p: progress.append((p.stage, p.done, p.total)))
    assert read == ["a.png", "clear.png"]
    assert progress == [("checking", 1, 2), ("checking", 2, 2)]


def test_finished_rows_are_not_looked_at_again(folder: Path) -> None:
    run_batch(job_of(folder, BOX), QuickEditor)
    job = job_of(folder, BOX, {**BOX, "image": "clear.png"}, resume=True)
    seen: list[int] = []
    outlook = dry_run(job, QuickEditor, on_progress=lambda p: seen.append(p.total))
    assert (outlook.finished, seen) == (1, [1])


def test_a_place_that_cannot_be_written_is_told_with_the_rows(folder: Path) -> None:
    (folder / "file").write_text("mine")
    rows = ({**EDIT, "image": "half.png"},)
    for out, words in (
        (folder / "file", "file' is no folder"),
        (folder / "file/below/out", "file' is no folder"),
    ):
        job = dataclasses.replace(job_of(folder, *rows), out=out)
        with pytest.raises(ManifestError) as refused:
            dry_run(job, FakeEditor)
        place, picture = refused.value.problems
        assert place.row is None
        assert words in place.words
        assert picture.row == 1


def test_a_place_where_no_file_can_be_opened_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    ((row, words), _) = told(job_of(folder, {**EDIT, "image": "half.png"}))
    assert row is None
    assert "ermission denied" in words
    with pytest.raises(GroundbrushError, match="ermission denied.*choose another --out"):
        run_batch(job_of(folder, BOX), QuickEditor)


def test_a_folder_that_a_run_would_not_begin_in_is_told(folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out/review.html").write_text("mine")
    with pytest.raises(ManifestError, match=r"holds 'review.html' already"):
        dry_run(job_of(folder, EDIT), FakeEditor)
    (folder / "out/review.html").unlink()
    run_batch(job_of(folder, BOX), QuickEditor)
    with pytest.raises(ManifestError, match=r"a batch that was begun; --resume continues"):
        dry_run(job_of(folder, EDIT), FakeEditor)
    assert isinstance(dry_run(job_of(folder, EDIT, resume=True), FakeEditor), DryRun)


def test_words_to_find_are_checked_by_the_tokenizer_alone_as_the_model_would(
    folder: Path, miniature: Editor
) -> None:
    light = Editor.load("miniature", device="cpu", offline=True)
    rows = [
        {"find": "the red apple"},
        {"find": "the zorb"},
        {"remove": "the <image> of a cup"},
        {"box": [1, 2, 5, 6], "find": "the zorb", "paint": "a frog"},
    ]
    found = told(job_of(folder, *rows), lambda: light)
    assert [row for row, _ in found] == [2, 3]
    assert "_grounder" not in light.models.__dict__
    for (_, words), phrase in zip(found, ("the zorb", "the <image> of a cup"), strict=True):
        with pytest.raises(GroundbrushError) as refused:
            miniature.check_find(phrase)
        assert words == str(refused.value)


def test_the_words_of_sentences_are_checked_and_other_languages_told(folder: Path) -> None:
    rows = [
        {"apply": "replace the zorb with a red apple and remove the blorp"},
        {"apply": "replace the apple with a pear"},
        {"ground_all": "a zorb and an apple"},
        {"ground_all": "der Hund und die Katze sind auf dem Sofa"},
    ]
    found = told(
        job_of(folder, *rows), lambda: Editor.load("miniature", device="cpu", offline=True)
    )
    assert [row for row, _ in found] == [1, 1, 4]  # ground-all answers of unknown words
    for words, (_, problem) in zip(
        ("find 'zorb'", "find 'blorp'", "not read as English"), found, strict=True
    ):
        assert words in problem


def test_where_the_tokenizer_is_not_at_hand_the_rest_is_checked_and_that_is_told(
    folder: Path,
) -> None:
    preset = load_preset("miniature")
    elsewhere = dataclasses.replace(preset, lvlm={**preset.lvlm, "path": str(folder / "no model")})
    editor = Editor.load(elsewhere, device="cpu", offline=True)
    manifest = job_of(folder, EDIT, {**BOX, "box": [90, 90, 99, 99]}).manifest
    problems, (note,) = inspect_rows(editor, manifest, manifest.rows)
    assert [problem.row for problem in problems] == [2]
    assert note.startswith("the words to find were not checked:")
    assert "no model" in note
