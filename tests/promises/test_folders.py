"""Folders and tables as people have them: what belongs to one file fails one row."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

pytestmark = pytest.mark.slow


def rows(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


@pytest.fixture
def photos(tmp_path, example) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copy(example("fruit").path, folder / "a.png")
    return folder


def empty(folder: Path) -> None:
    (folder / "b.png").touch()


def misnamed(folder: Path) -> None:
    path = os.fsencode(folder / "b") + b"\xff.png"
    try:
        shutil.copy(os.fsencode(folder / "a.png"), path)
    except OSError:
        pytest.skip("this file system takes no such name")


def ringing(folder: Path) -> None:
    shutil.copy(folder / "a.png", folder / "b\x1b[31m.png")


def leading_out(folder: Path) -> None:
    shutil.copy(folder / "a.png", folder.parent / "outside.png")
    (folder / "b.png").symlink_to(folder.parent / "outside.png")


def dangling(folder: Path) -> None:
    (folder / "b.png").symlink_to(folder / "nowhere.png")


def directory(folder: Path) -> None:
    (folder / "b.png").mkdir()


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "b.png")


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(empty, id="empty file"),
        pytest.param(misnamed, id="name that is not UTF-8"),
        pytest.param(ringing, id="name with a control character"),
        pytest.param(leading_out, id="link that leads out"),
        pytest.param(dangling, id="dangling link"),
        pytest.param(directory, id="folder named like a picture"),
        pytest.param(pipe, id="named pipe"),
    ],
)
def test_one_bad_file_fails_one_row(command, photos, spoil):
    spoil(photos)
    ran = command("batch", photos, "--find", "the car", "--quiet")
    assert (ran.folder / "results.jsonl").exists(), ran.err
    failed = ["failed"] * (spoil not in (directory, pipe))  # neither is a file
    assert sorted(row["status"] for row in rows(ran.folder)) == ["done", *failed]


def test_a_file_that_a_table_misses_fails_its_row(command, photos):
    table = photos / "table.csv"
    table.write_text(
        "image,find,mask,paint\na.png,the car,,\nnone.png,the car,,\na.png,,none.png,a frog\n"
    )
    ran = command("batch", table, "--quiet")
    assert ran.status == 1
    found = {row["row"]: row for row in rows(ran.folder)}
    assert [found[k]["status"] for k in (1, 2, 3)] == ["done", "failed", "failed"]
    assert all("none.png' does not exist" in found[k]["reason"] for k in (2, 3))
    checked = command("batch", table, "--dry-run", "--quiet")
    assert checked.status == 1
    assert checked.said.count("does not exist") == 2


def test_a_truncated_file_fails_its_row(command, photos):
    (photos / "b.png").write_bytes((photos / "a.png").read_bytes()[:20_000])
    ran = command("batch", photos, "--find", "the car", "--quiet")
    assert ran.status == 1
    assert sorted(row["status"] for row in rows(ran.folder)) == ["done", "failed"]


def test_a_new_file_renames_nothing(command, photos, example):
    first = command("batch", photos, "--remove", "the car", "--steps", 2, "--quiet")
    before = {f.name: f.read_bytes() for f in first.folder.glob("*.png")}
    Image.open(example("penguin").path).convert("RGB").save(photos / "a.jpg")
    words = ("--remove", "the car", "--steps", 2, "--quiet", "--resume")
    again = command("batch", photos, *words, out=first.folder)
    held = {f.name: f.read_bytes() for f in again.folder.glob("*.png")}
    assert {name: held.get(name) for name in before} == before
    named = {Path(f).name for row in rows(again.folder) for f in row["files"].values()}
    assert set(held) <= named


def test_a_missing_file_renames_nothing(command, photos, example):
    Image.open(example("penguin").path).convert("RGB").save(photos / "a.jpg")
    words = ("batch", photos, "--remove", "the car", "--steps", 2, "--quiet", "--gate", "paint")
    first = command(*words)
    before = {row["image"]: row["id"] for row in rows(first.folder)}
    (photos / "a.jpg").unlink()
    again = command(*words, "--resume", out=first.folder)
    after = {row["image"]: row["id"] for row in rows(again.folder)}
    assert all(before[image] == name for image, name in after.items())


def dry(command, photos, name: str, text: str):
    table = photos / name
    table.write_text(text, encoding="utf-8")
    return command("batch", table, "--dry-run", "--quiet")


TABLES = {
    "a seed of 7.0": "image,remove,seed\na.png,the car,7.0\na.png,the apple,\n",
    "a heading that ends in a comma": "image,find,\na.png,the car,\n",
    "Excel's line sep=;": "sep=;\nimage;find\na.png;the car\n",
    "a column without a heading": ",image,find\n0,a.png,the car\n",
    "two commas too many": "image,find,,\na.png,the car,,\n",
    "a column of blank cells without a heading": "image,,find\na.png, ,the car\n",
    "Excel's line in quotes": '"sep=;"\r\nimage;find\r\na.png;the car\r\n',
    "a bar": "sep=|\nimage|find\na.png|the car\n",
    "the paper's columns": "id,prompt,image_path\n1,the car,a.png\n",
    "a seed of 7.0 in JSON": '{"image": "a.png", "remove": "the car", "seed": 7.0}\n',
    "the code's table": '{"id": "1", "prompt": "the car", "image": "a.png"}\n',
    "the paper's table": '{"id": "1", "prompt": "the car", "image_path": "a.png"}\n',
}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("image,remove,seed\na.png,the car,7\n", id="plain"),
        pytest.param("\ufeffimage,find\r\na.png,the car\r\n", id="Excel's mark"),
        *(pytest.param(text, id=what) for what, text in TABLES.items()),
    ],
)
def test_tables_as_people_have_them(command, photos, text):
    ran = dry(command, photos, "rows.jsonl" if text.startswith("{") else "rows.csv", text)
    assert ran.status == 0, ran.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image,find,\na.png,the car,red\n", "'red' in column 3"),
        ("image,mask,prompt\na.png,a.png,a frog\n", "unknown column 'prompt'"),
        ("sep=;\nimage;find\nb.png;the car\n", "line 3"),
        ('{"image": "a.png", "remove": "the car", "seed": 7.5}\n', "7.5"),
    ],
)
def test_what_a_table_leaves_open_is_refused(command, photos, text, said):
    ran = dry(command, photos, "rows.jsonl" if text.startswith("{") else "rows.csv", text)
    assert ran.status == 1
    assert said in ran.err


def test_a_fraction_is_no_seed(command, photos):
    ran = dry(command, photos, "half.csv", "image,remove,seed\na.png,the car,7.5\n")
    assert ran.status == 1
    assert "7.5" in ran.err


@pytest.mark.parametrize("ending", ["jpeg", "jfif", "jpe", "apng", "JPG"])
def test_pictures_by_less_common_names_are_taken(command, photos, ending):
    kind = "PNG" if ending == "apng" else "JPEG"
    Image.open(photos / "a.png").convert("RGB").save(photos / f"b.{ending}", kind)
    (photos / "a.png").unlink()
    ran = command("batch", photos, "--find", "the car", "--dry-run")
    assert ran.status == 0, ran.err
    assert "passed over" not in ran.said
