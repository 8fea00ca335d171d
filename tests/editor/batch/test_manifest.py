"""Manifests: what is read, and everything that is refused, with its row and the remedy."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import pytest
from fake_editor import picture_file
from groundbrush.editor.batch import BatchRow, ManifestError, read_folder, read_manifest
from groundbrush.editor.batch.columns import COLUMNS
from groundbrush.editor.batch.manifest import inside, row_picture
from groundbrush.editor.batch.rows import read_row, row_name
from groundbrush.editor.errors import GroundbrushError
from groundbrush.editor.files import safe_name
from groundbrush.editor.pictures.picture import READABLE_KINDS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

EDIT = {"find": "the cup", "paint": "a vase"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With two pictures, and one outside."""
    picture_file(tmp_path / "in/a.png")
    picture_file(tmp_path / "in/more/b.png", 1)
    picture_file(tmp_path / "outside.png", 2)
    return tmp_path / "in"


def write(folder: Path, text: str | bytes, name: str = "m.jsonl") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def rows_of(folder: Path, *rows: dict) -> tuple[BatchRow, ...]:
    return read_manifest(write(folder, "\n".join(map(json.dumps, rows)))).rows


@pytest.mark.parametrize(
    ("columns", "action", "words", "paint"),
    [
        (EDIT, "edit", "the cup", "a vase"),
        ({"find": "  the \n cup "}, "ground", "the cup", None),
        ({"remove": "the cup"}, "remove", "the cup", None),
        ({"find": "the cup", "remove": True}, "remove", "the cup", None),
        ({"find": "the cup", "remove": False}, "ground", "the cup", None),
        ({"apply": "remove the cup"}, "apply", "remove the cup", None),
        ({"ground_all": "a cup and a vase"}, "ground-all", "a cup and a vase", None),
        ({**EDIT, "action": "edit"}, "edit", "the cup", "a vase"),
    ],
)
def test_the_columns_say_what_is_done(
    folder: Path, columns: dict, action: str, words: str, paint: str | None
) -> None:
    (row,) = rows_of(folder, {"image": "a.png", **columns})
    assert (row.action, row.words, row.paint) == (action, words, paint)
    assert (row.number, row.line, row.name) == (1, 1, "00001-a")


def test_options_become_the_same_request_as_the_api_makes(folder: Path) -> None:
    edit, removal, unchecked = rows_of(
        folder,
        {
            "image": "a.png",
            **EDIT,
            "seed": 7,
            "variants": 2,
            "settings": {"steps": 4},
            "check": "the vase",
            "retries": 1,
            "draft": True,
            "gate": "skip",
        },
        {"image": "a.png", "remove": "the cup"},
        {"image": "a.png", "remove": "the cup", "check": False},
    )
    assert edit.request().as_dict() == {
        "groundbrush": 1,
        "action": "edit",
        "find": "the cup",
        "paint": "a vase",
        "seed": 7,
        "variants": 2,
        "candidate": None,
        "settings": {"steps": 4},
        "check": "the vase",
        "retries": 1,
        "draft": True,
    }
    assert edit.gate == "skip"
    assert (removal.request().check, removal.request().retries) == (True, 3)
    assert unchecked.request().check is False


def test_a_csv_says_the_same(folder: Path) -> None:
    text = (
        "image,find,paint,remove,seed,settings,check,id\r\n"
        'a.png,the cup,"a vase, old",,7,"{""steps"": 4}",yes,One\r\n'
        "\r\n"
        "more/b.png,the cup,,true,,,no,\r\n"
        ",,,,,,,\r\n"
        "a.png,,,the plate,,,,\r\n"
    )
    rows = read_manifest(write(folder, text, "m.csv")).rows
    assert [(r.number, r.line, r.name, r.action, r.words, r.paint) for r in rows] == [
        (1, 2, "One", "edit", "the cup", "a vase, old"),
        (2, 4, "00002-b", "remove", "the cup", None),
        (3, 6, "00003-a", "remove", "the plate", None),
    ]
    assert rows[0].options == {"seed": 7, "settings": {"steps": 4}, "check": True}
    assert rows[1].options == {"check": False}


@pytest.mark.parametrize("delimiter", [";", "\t"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_spreadsheets_of_other_countries_are_read(
    folder: Path, delimiter: str, mark: bytes
) -> None:
    text = f"image{delimiter}find\na.png{delimiter}die Tasse, blau\n"
    (row,) = read_manifest(write(folder, mark + text.encode(), "m.csv")).rows
    assert row.words == "die Tasse, blau"


def test_defaults_go_to_rows_that_have_a_use_for_them(folder: Path) -> None:
    lines = [
        {"image": "a.png", **EDIT, "seed": 1, "settings": {"steps": 9}},
        {"image": "a.png", "find": "the cup"},
        {"image": "a.png", "apply": "remove the cup"},
    ]
    path = write(folder, "\n".join(map(json.dumps, lines)))
    defaults = {"seed": 5, "variants": 2, "settings": {"steps": 3, "guidance": 2.0}}
    edit, ground, apply = read_manifest(path, defaults=defaults).rows
    assert edit.options == {"seed": 1, "variants": 2, "settings": {"steps": 9, "guidance": 2.0}}
    assert ground.options == {}
    assert apply.options == {"seed": 5, "settings": {"steps": 3, "guidance": 2.0}}


GOOD = '{"image": "a.png", "find": "the cup"}'
BAD_ROWS = {
    '{"image": "a.png", "fnd": "the cup"}': "unknown column 'fnd'; did you mean find",
    '{"image": "a.png", "Find": "the cup"}': "unknown column 'Find'; did you mean find",
    '{"image": "a.png", "ground-all": "a"}': "did you mean ground_all",
    '{"picture": "a.png", "find": "x"}': "unknown column 'picture'",
    '{"image": "a.png", "find": "x", "steps": 2}': "'steps'; settings takes it, as {\"steps\": …}",
    '{"find": "the cup"}': "image is None; expected a picture's path",
    '{"image": "", "find": "x"}': "image is None",
    '{"image": 7, "find": "x"}': "image is 7",
    '{"image": ["a.png"], "find": "x"}': "image is ['a.png']",
    '{"image": "a.png"}': "nothing given; expected find and paint",
    '{"image": "a.png", "paint": "x"}': "paint given; expected find and paint",
    '{"image": "a.png", "find": " "}': "find is ' '; expected some words",
    '{"image": "a.png", "find": 5}': "find is 5",
    '{"image": "a.png", "find": "x", "paint": true}': "paint is True",
    '{"image": "a.png", "remove": true}': "remove given",
    '{"image": "a.png", "remove": 1}': "remove is 1",
    '{"image": "a.png", "remove": "it"}': "remove is 'it', which names no thing",
    '{"image": "a.png", "remove": "all but it"}': "remove is 'all but it'; expected the thing",
    '{"image": "a.png", "find": "x", "remove": "y"}': "find and remove given",
    '{"image": "a.png", "find": "x", "paint": "y", "remove": true}': "find and paint and remove",
    '{"image": "a.png", "apply": "x", "find": "y"}': "find and apply given",
    '{"image": "a.png", "apply": {"a": 1}}': "apply is {'a': 1}",
    '{"image": "a.png", "find": "x", "action": "edit"}': "action is 'edit' and the columns (find)",
    '{"image": "a.png", "find": "x", "action": "grund"}': "did you mean ground?",
    '{"image": "a.png", "find": "x", "seed": 3}': "seed is given for ground, which has no use",
    '{"image": "a.png", "apply": "x", "variants": 3}': "variants is given for apply",
    '{"image": "a.png", "ground_all": "x", "gate": "hold"}': "gate is given for ground-all",
    '{"image": "a.png", "remove": "x", "seed": -1}': "seed is -1; expected a whole number",
    '{"image": "a.png", "remove": "x", "seed": 1.5}': "seed is 1.5",
    '{"image": "a.png", "remove": "x", "seed": "1"}': "seed is '1'",
    '{"image": "a.png", "remove": "x", "seed": true}': "seed is True",
    '{"image": "a.png", "remove": "x", "variants": 99}': "variants is 99; expected a whole number",
    '{"image": "a.png", "remove": "x", "candidate": -2}': "candidate is -2",
    '{"image": "a.png", "remove": "x", "retries": 99}': "retries is 99",
    '{"image": "a.png", "remove": "x", "draft": "yes"}': "draft is 'yes'; expected true or false",
    '{"image": "a.png", "remove": "x", "check": 2}': "check is 2",
    '{"image": "a.png", "remove": "x", "settings": [4]}': "settings is [4]; expected a mapping",
    '{"image": "a.png", "remove": "x", "gate": "stop"}': "gate is 'stop'; expected one of skip",
    '{"image": "a.png", "remove": "x", "gate": 1}': "gate is 1",
    '{"image": "a.png", "apply": "x", "seed": -5}': "seed is -5",
    '{"image": "a.png", "find": "x", "id": 1.5}': "id is 1.5; expected a short name",
    '{"image": "a.png", "find": "x", "id": true}': "id is True",
    '{"image": "a.png", "find": "a\\u0000b"}': "holds the control character '\\x00'",
    '{"image": "a\\u0007.png", "find": "b"}': "holds the control character '\\x07'",
    '{"image": "a.png", "find": "\\ud800"}': "not whole Unicode text",
    '{"image": "a.png", "find": "' + "x" * 2001 + '"}': "find has 2,001 characters",
    '{"image": "../outside.png", "find": "x"}': "lies outside",
    '{"image": "more/../../outside.png", "find": "x"}': "lies outside",
    '{"image": "/etc/passwd", "find": "x"}': "lies outside",
    '{"image": "http://example.org/a.png", "find": "x"}': "is an address; download the picture",
    '{"image": "file:///etc/passwd", "find": "x"}': "is an address",
    '{"image": "link.png", "find": "x"}': "lies outside",
    '{"image": "a.png", "find": "x", "image": "b.png"}': "a name is given twice",
    '{"image": "a.png", "find": "x", "seed": NaN}': "NaN is not a JSON number",
    '{"image": "a.png", "find": "x",}': "it is not JSON",
    '{"image": "a.png", "find": "x"': "it is not JSON",
    "{'image': 'a.png'}": "it is not JSON",
    "a.png,the cup": "it is not JSON",
    "[]": "it is a JSON list; expected one object a line",
    '"a.png"': "it is a JSON str",
    "null": "it is a JSON NoneType",
    "[" * 100_000: "it is not JSON",
    '{"image": "a.png", "remove": "x", "seed": ' + "9" * 5000 + "}": "it is not JSON",
    '{"image": "a.png", "find": "' + "x" * 1_000_001 + '"}': "expected at most 1,000,000",
}


@pytest.mark.parametrize("line", BAD_ROWS, ids=lambda line: line[:60])
def test_a_bad_row_is_refused_by_its_number(folder: Path, line: str) -> None:
    (folder / "empty.png").touch()
    (folder / "link.png").symlink_to(folder.parent / "outside.png")
    with pytest.raises(ManifestError) as refused:
        read_manifest(write(folder, f"{GOOD}\n\n{line}\n{GOOD}\n"))
    (problem,) = refused.value.problems
    assert (problem.row, problem.line) == (2, 3)
    assert BAD_ROWS[line] in problem.words
    assert f"row 2 (line 3): {problem.words}" in str(refused.value)
    assert "1 problem, and nothing was done" in str(refused.value)


FAULTS = {
    '{"image": "~/a.png", "find": "x"}': "does not exist",
    '{"image": "nope.png", "find": "x"}': "does not exist; expected a picture file",
    '{"image": "more\\\\b.png", "find": "x"}': "write / between folders",
    '{"image": "more", "find": "x"}': "is a folder",
    '{"image": ".", "find": "x"}': "is a folder",
    '{"image": "empty.png", "find": "x"}': "is empty (0 bytes)",
    '{"image": "' + "a" * 300 + '.png", "find": "x"}': "cannot be opened",
}


@pytest.mark.parametrize("line", FAULTS, ids=lambda line: line[:60])
def test_a_file_that_cannot_be_opened_fails_its_row(folder: Path, line: str) -> None:
    (folder / "empty.png").touch()
    good, bad = read_manifest(write(folder, f"{GOOD}\n{line}\n")).rows
    assert not good.fault
    assert FAULTS[line] in bad.fault
    with pytest.raises(ManifestError, match="nothing was done") as refused:
        read_manifest(write(folder, f"{line}\n"))  # no file of the table can be opened
    assert FAULTS[line] in str(refused.value)


BAD_CSV = {
    "image,fnd\na.png,x\n": (None, 1, "unknown column 'fnd'; did you mean find"),
    "find\nx\n": (None, 1, "there is no heading 'image'"),
    "image,find,find\na.png,x,y\n": (None, 1, "the heading 'find' is there twice"),
    "image,,find\na.png,odd,x\n": (1, 2, "'odd' in column 2, which has no heading"),
    "a.png,the cup\n": (None, 1, "the first line has no headings; expected"),
    "image,find\na.png,the cup, blue\n": (1, 2, "3 cells under 2 headings; put quotes"),
    'image,find\na.png,"the cup\n': (1, 2, "it is not CSV"),
    'image,find\na.png,"the" cup\n': (1, 2, "it is not CSV"),
    "image,remove,seed\na.png,x,1.5\n": (1, 2, "seed is '1.5'; expected a whole number"),
    "image,remove,seed\na.png,x,²\n": (1, 2, "seed is '²'"),
    "image,remove,seed\na.png,x," + "9" * 5000 + "\n": (1, 2, "seed"),
    "image,remove,draft\na.png,x,maybe\n": (1, 2, "draft is 'maybe'; expected true or false"),
    "image,remove,settings\na.png,x,steps=4\n": (1, 2, "settings is 'steps=4'; expected JSON"),
    "image,remove,settings\na.png,x," + "[" * 100_000 + "\n": (1, 2, "settings is '[[["),
    "image,find\n,x\n": (1, 2, "image is None"),
    "image,find\na.png\n": (1, 2, "nothing given"),
    "image,find\n": (None, None, "there are no rows"),
    "image,find\na.png,caf\xe9\n": (None, 2, "it is not UTF-8 text"),
}


@pytest.mark.parametrize("text", BAD_CSV, ids=lambda text: text[:40])
def test_a_bad_csv_is_refused_by_its_row(folder: Path, text: str) -> None:
    row, line, words = BAD_CSV[text]
    encoded = text.encode("latin-1" if "\xe9" in text else "utf-8")
    with pytest.raises(ManifestError) as refused:
        read_manifest(write(folder, encoded, "m.csv"))
    (problem,) = refused.value.problems
    assert (problem.row, problem.line) == (row, line)
    assert words in problem.words


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("m.jsonl", b"", "is empty"),
        ("m.jsonl", b"\n \n", "there are no rows"),
        ("m.txt", b"x", "no manifest by its name"),
        ("m.json", b"[]", "expected .jsonl"),
        ("m.jsonl", '{"image"'.encode("utf-16"), "UTF-16"),
        ("m.csv", "image".encode("utf-16-be"), "not UTF-8|no heading|control|unknown column"),
        ("m.jsonl", b'{"image": "a.png", "find": "caf\xe9"}', "not UTF-8"),
        ("m.jsonl", b"\x89PNG\r\n\x1a\n\0\0", "not UTF-8"),
    ],
)
def test_a_file_that_is_no_manifest_is_refused(
    folder: Path, name: str, content: bytes, words: str
) -> None:
    with pytest.raises(GroundbrushError, match="does not exist"):
        read_manifest(folder / name)
    with pytest.raises(GroundbrushError, match=words):
        read_manifest(write(folder, content, name))


def test_what_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(GroundbrushError, match="does not exist; expected a manifest file"):
        read_manifest(folder / "none.jsonl")
    (folder / "d.csv").mkdir()
    with pytest.raises(GroundbrushError, match="is a folder"):
        read_manifest(folder / "d.csv")
    with pytest.raises(GroundbrushError, match="is no folder"):
        read_manifest(write(folder, GOOD), root=folder / "none")
    with pytest.raises(GroundbrushError, match="is no folder"):
        read_folder(folder / "a.png", {"find": "x"})


def test_all_problems_are_told_at_once(folder: Path) -> None:
    lines = [
        GOOD,
        '{"image": "no.png", "fnd": "x"}',
        "x",
        GOOD,
        '{"image": 3, "remove": "x", "paint": "y", "id": 1.5}',
        '{"image": "a.png", "remove": "x", "seed": -1, "gate": "x"}',
    ]
    with pytest.raises(ManifestError) as refused:
        read_manifest(write(folder, "\n".join(lines)))
    rows = [problem.row for problem in refused.value.problems]
    assert rows == [2, 2, 3, 5, 5, 5, 6, 6]
    assert len(str(refused.value).splitlines()) == 1 + 8


TOGETHER: dict[str, tuple[dict, list[str]]] = {
    "a misspelt column and a missing picture": (
        {"image": "no.png", "fnd": "x"},
        ["unknown column 'fnd'", "no.png' does not exist"],
    ),
    "bad words and options": (
        {"image": "a.png", "find": 5, "paint": True, "seed": -1, "variants": 99},
        ["find is 5", "paint is True", "seed is -1", "variants is 99"],
    ),
    "a bad option and a missing mask": (
        {"image": "a.png", "mask": "no.png", "paint": "x", "retries": 99},
        ["retries is 99", "no.png' does not exist; expected a mask"],
    ),
    "an action that is none and a path that leads outside": (
        {"image": "../outside.png", "paint": "x", "draft": 3},
        ["paint given; expected", "draft is 3", "lies outside"],
    ),
    "a control character and a bad id": (
        {"image": "a.png", "find": "a\u0007", "id": 1.5, "gate": "x"},
        ["holds the control character", "id is 1.5", "gate is 'x'"],
    ),
    "a misspelt column and bad words": (
        {"image": "a.png", "fnd": "x", "paint": " "},
        ["unknown column 'fnd'", "paint is ' '"],
    ),
    "each option is well and not all together": (
        {"image": "a.png", "box": [1, 1, 2, 2], "candidate": 1, "paint": "x"},
        ["a candidate and a mask or box given"],
    ),
}


@pytest.mark.parametrize("case", TOGETHER)
def test_all_that_is_wrong_with_a_row_is_told_together(folder: Path, case: str) -> None:
    values, expected = TOGETHER[case]
    with pytest.raises(ManifestError) as refused:
        rows_of(folder, values)
    told = [problem.words for problem in refused.value.problems]
    assert len(told) == len(expected), told
    for words in expected:
        assert any(words in one for one in told), (words, told)


def test_of_a_csv_with_a_misspelt_heading_its_rows_are_read_all_the_same(folder: Path) -> None:
    text = "image,fnd,seed\na.png,the cup,-1\nno.png,the cup,many\na.png,the cup,\n"
    with pytest.raises(ManifestError) as refused:
        read_manifest(write(folder, text, "m.csv"))
    expected = {
        None: ["unknown column 'fnd'"],
        1: ["seed is -1"],
        2: ["seed is 'many'", "no.png' does not exist"],
    }
    told: dict[int | None, list[str]] = {}
    for problem in refused.value.problems:
        told.setdefault(problem.row, []).append(problem.words)
    assert told.keys() == expected.keys()
    for row, starts in expected.items():
        assert len(told[row]) == len(starts)
        for words, start in zip(told[row], starts, strict=True):
            assert start in words


def test_a_row_with_a_mistake_still_has_its_name(folder: Path) -> None:
    with pytest.raises(ManifestError) as refused:
        rows_of(
            folder,
            {"image": "a.png", "fnd": "x", "id": "One"},
            {"image": "a.png", "find": "x", "id": "one"},
        )
    first, second = refused.value.problems
    assert "unknown column" in first.words
    assert "called 'one' as those of row 1" in second.words


def test_a_bad_default_is_told_once(folder: Path) -> None:
    path = write(folder, "\n".join([json.dumps({"image": "a.png", **EDIT})] * 5))
    with pytest.raises(ManifestError) as refused:
        read_manifest(path, defaults={"seed": -1, "retries": 99})
    assert [problem.row for problem in refused.value.problems] == [None, None]
    assert "do not say it themselves: seed is -1" in refused.value.problems[0].words


def test_problems_can_be_left_to_be_told_with_others(folder: Path) -> None:
    path = write(folder, f'{GOOD}\n{{"image": "no.png", "find": "x"}}\n{{"fnd": 1}}\n')
    manifest = read_manifest(path, refuse=False)
    assert [problem.row for problem in manifest.problems] == [2, 3]
    assert [row.number for row in manifest.rows] == [1, 2]  # the second lacks only its file


def test_a_flood_of_problems_is_cut_short(folder: Path) -> None:
    with pytest.raises(ManifestError) as refused:
        read_manifest(write(folder, "x\n" * 5000))
    assert len(refused.value.problems) == 1_002  # more than 1,000, and that the rest was not read
    assert "was not read" in refused.value.problems[0].words  # before those that are cut off
    assert "... and " in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1 + 50 + 1


def test_names_may_not_meet_even_in_other_case(folder: Path) -> None:
    with pytest.raises(ManifestError, match=r"row 2 \(line 2\): its files would be called 'one'"):
        rows_of(
            folder,
            {"image": "a.png", "find": "x", "id": "One"},
            {"image": "a.png", "find": "x", "id": "one"},
        )


def test_paths_are_relative_to_the_root_and_may_be_whole_within_it(folder: Path) -> None:
    path = write(
        folder.parent,
        '{"image": "more/b.png", "find": "x"}\n'
        + json.dumps({"image": str(folder / "a.png"), "find": "x"}),
    )
    manifest = read_manifest(path, root=folder)
    assert [row_picture(manifest.root, row) for row in manifest.rows] == [
        Path(os.path.realpath(folder / "more/b.png")),
        Path(os.path.realpath(folder / "a.png")),
    ]


def test_a_link_that_is_turned_outside_later_is_refused_then(folder: Path) -> None:
    link = folder / "link.png"
    link.symlink_to(folder / "a.png")
    path = write(folder, '{"image": "link.png", "find": "x"}')
    manifest = read_manifest(path)
    assert row_picture(manifest.root, manifest.rows[0]).name == "a.png"
    link.unlink()
    link.symlink_to(folder.parent / "outside.png")
    with pytest.raises(GroundbrushError, match="lies outside"):
        row_picture(manifest.root, manifest.rows[0])


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(["..", ".", "a", "more", "", "/", "...", "~", "\\", "é"])
        | st.text(max_size=5),
        max_size=8,
    )
)
def test_no_path_leads_outside_its_root(parts: list[str]) -> None:
    root = Path("/srv/pictures")
    try:
        path = inside(root, "/".join(parts))
    except GroundbrushError:
        return
    assert path == root or root in path.parents


def test_a_folder_gives_its_pictures_one_instruction(folder: Path) -> None:
    for name in ("a.jpg", "notes.txt", ".hidden.png", "out/x.png", "B B.PNG", "b-b.png"):
        picture_file(folder / f"{name}.png").rename(folder / name)
    manifest = read_folder(folder, {**EDIT, "seed": 3}, without=folder / "out", recursive=True)
    images = [row.image for row in manifest.rows]
    assert images == ["B B.PNG", "a.jpg", "a.png", "b-b.png", "more/b.png"]
    assert {(r.action, r.words, r.options["seed"]) for r in manifest.rows} == {
        ("edit", "the cup", 3)
    }
    names = [row.name for row in manifest.rows]
    assert len({name.casefold() for name in names}) == 5
    assert names[4] == "more-b"
    flat = read_folder(folder, {"find": "x"})
    assert "more/b.png" not in [row.image for row in flat.rows]
    for out in (folder, folder.parent):  # nothing would be left
        with pytest.raises(GroundbrushError, match="lie in the output folder .* another --out"):
            read_folder(folder, {"find": "x"}, without=out)


def test_a_folders_name_stays_when_other_files_come(folder: Path) -> None:
    before = {r.image: r.name for r in read_folder(folder, {"find": "x"}).rows}
    picture_file(folder / "0.png")
    after = {r.image: r.name for r in read_folder(folder, {"find": "x"}).rows}
    assert before.items() <= after.items()


def test_files_of_a_folder_that_are_no_pictures_are_told_in_one_line(folder: Path) -> None:
    others = ("x.heic", "y.HEIC", "notes.txt", "README", ".hidden", "out/a.txt", "more/c.svg")
    for name in others:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
    (folder / "d.txt").mkdir()
    (told,) = read_folder(folder, {"find": "x"}, without=folder / "out").notes
    assert told == (
        "4 files passed over, no pictures by their names: 2 .heic, 1 without a suffix, 1 .txt; "
        f".heic: {READABLE_KINDS}"
    )
    (told,) = read_folder(folder, {"find": "x"}, without=folder / "out", recursive=True).notes
    assert "5 files" in told
    assert "1 .svg" in told


def test_of_many_kinds_of_other_files_the_most_frequent_are_named(folder: Path) -> None:
    for number in range(9):
        (folder / f"a.x{number}").touch()
    (folder / "b.x8").touch()
    (told,) = read_folder(folder, {"find": "x"}).notes
    assert told.endswith("2 .x8, 1 .x0, 1 .x1, 1 .x2, 1 .x3, 4 of other kinds")


def test_a_folder_of_pictures_alone_has_nothing_to_tell(folder: Path) -> None:
    assert read_folder(folder, {"find": "x"}).notes == ()


def test_a_folder_of_heic_alone_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "x.heic").write_bytes(b"x")
    with pytest.raises(GroundbrushError, match=r"has no pictures.*1 file passed over.*export it"):
        read_folder(tmp_path, {"find": "x"})


def test_a_folders_bad_instruction_is_refused_and_its_bad_pictures_are_not(folder: Path) -> None:
    (folder / "link.png").symlink_to(folder.parent / "outside.png")
    (folder / "empty.png").touch()
    with pytest.raises(ManifestError) as refused:
        read_folder(folder, {"paint": "a vase", "seed": -1})
    told = [problem.words for problem in refused.value.problems]
    assert len(told) == 2
    for words in ("paint given; expected find", "seed is -1"):
        assert any(words in one for one in told)
    manifest = read_folder(folder, {"find": "x"})
    assert {"link.png", "empty.png"} < {row.image for row in manifest.rows}


def test_a_folders_bad_instruction_is_told_once(folder: Path) -> None:
    with pytest.raises(ManifestError, match="1 problem"):
        read_folder(folder, {"paint": "a vase"})


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
columns = st.dictionaries(
    st.sampled_from(COLUMNS) | st.text(max_size=6),
    scalars | st.lists(scalars, max_size=2) | st.dictionaries(st.text(max_size=3), scalars),
    max_size=8,
)


@settings(deadline=None)
@given(columns, st.booleans())
def test_any_columns_give_a_row_or_say_what_is_wrong(values: dict, text: bool) -> None:
    assert read_row({"image": "a.png", "find": "x"}, 3, text=text).row is not None
    row, wrong, *_ = read_row(values, 3, text=text)
    assert (row is None) == bool(wrong)
    assert all(isinstance(words, str) and words for words in wrong)
    if row is not None:
        assert row.name == safe_name(row.name)
        assert "." not in row.name
        json.dumps(row.fingerprint())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    raw=st.binary(max_size=200) | st.text(max_size=200).map(str.encode),
    suffix=st.sampled_from(["jsonl", "csv", "tsv"]),
)
def test_any_bytes_are_read_or_refused_in_words(folder: Path, raw: bytes, suffix: str) -> None:
    good = GOOD.encode() if suffix == "jsonl" else b"image,find\na.png,the cup\n"
    assert read_manifest(write(folder, good, f"m.{suffix}")).rows[0].words == "the cup"
    try:
        manifest = read_manifest(write(folder, raw, f"m.{suffix}"))
    except GroundbrushError as error:
        assert str(error)
    else:
        assert manifest.rows


phrases = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=30
).filter(str.strip)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(st.tuples(phrases, phrases, st.integers(0, 2**40)), min_size=1, max_size=5))
def test_jsonl_and_csv_of_the_same_rows_read_alike(
    folder: Path, given_rows: list[tuple[str, str, int]]
) -> None:
    rows = [
        {"image": "a.png", "find": find, "paint": paint, "seed": seed}
        for find, paint, seed in given_rows
    ]
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, ["image", "find", "paint", "seed"])
    writer.writeheader()
    writer.writerows(rows)
    as_json = rows_of(folder, *rows)
    as_csv = read_manifest(write(folder, buffer.getvalue(), "m.csv")).rows
    assert [r.fingerprint() for r in as_json] == [r.fingerprint() for r in as_csv]
    assert [r.words for r in as_json] == [" ".join(row["find"].split()) for row in rows]


@settings(deadline=None)
@given(st.text(max_size=200))
def test_a_rows_name_is_a_file_name_without_dots(text: str) -> None:
    name = row_name(text)
    assert name
    assert name == safe_name(name) == row_name(name)
    assert "." not in name


def test_the_fingerprint_is_of_what_the_result_depends_on() -> None:
    values = {"image": "a.png", **EDIT}
    row = read_row(values, 1).row
    same = read_row({**values, "id": "other", "gate": "paint"}, 9, line=4).row
    assert row.fingerprint("x") == same.fingerprint("x") != row.fingerprint("y")
    for change in ({"image": "b.png"}, {"find": "the mug"}, {"paint": "a pot"}, {"seed": 1}):
        other = read_row({**values, **change}, 1).row
        assert other.fingerprint() != row.fingerprint()
