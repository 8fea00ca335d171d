"""Files appear whole or not at all; names are safe; recipes survive as JSON."""

from __future__ import annotations

import json
import os

import pytest
from groundbrush.editor.errors import GroundbrushError, translate
from groundbrush.editor.files import (
    RECIPE_LIMIT,
    as_path,
    atomic_write,
    open_regular,
    parse_recipe,
    recipe_text,
    safe_name,
)
from groundbrush.editor.pictures.metadata import unwrap_xmp, wrap_xmp
from hypothesis import given
from hypothesis import strategies as st


class LowerError(ValueError):
    """Stands for a lower package's error."""


def test_translate_keeps_the_message_on_one_line_and_the_cause():
    lower = LowerError("box is empty;\n  draw a larger one")
    with pytest.raises(GroundbrushError) as caught, translate(LowerError):
        raise lower
    assert str(caught.value) == "box is empty; draw a larger one"
    assert caught.value.__cause__ is lower


def test_translate_leaves_other_errors_and_its_own_alone():
    ours = GroundbrushError("already said")
    with pytest.raises(GroundbrushError) as caught, translate(Exception):
        raise ours
    assert caught.value is ours
    with pytest.raises(ValueError, match="a bug") as bug, translate(LowerError):
        raise ValueError("a bug")
    assert not isinstance(bug.value, LowerError)


def test_translate_names_an_error_without_a_message():
    with pytest.raises(GroundbrushError, match="^LowerError$"), translate(LowerError):
        raise LowerError


def test_atomic_write_creates_folders_and_leaves_only_the_file(tmp_path):
    target = tmp_path / "a" / "b" / "out.bin"
    assert atomic_write(target, b"\x00\x01") == target
    assert target.read_bytes() == b"\x00\x01"
    assert [p.name for p in target.parent.iterdir()] == ["out.bin"]


def test_atomic_write_takes_a_writer_and_replaces(tmp_path):
    target = tmp_path / "out.txt"
    target.write_bytes(b"old, and longer than the new")
    atomic_write(target, lambda file: file.write(b"new"))
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, ValueError, GroundbrushError])
def test_a_writer_that_fails_midway_leaves_the_old_file_and_nothing_else(tmp_path, error):
    target = tmp_path / "out.txt"
    target.write_bytes(b"old")

    def fail(file):
        file.write(b"half")
        raise error("midway")

    with pytest.raises(error, match="midway"):
        atomic_write(target, fail)
    assert target.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["out.txt"]


def test_a_full_disk_is_our_error_and_leaves_nothing(tmp_path):
    def full(file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(GroundbrushError, match="no space left on device.*choose another"):
        atomic_write(tmp_path / "out.txt", full)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_place_of_the_file_is_refused(tmp_path):
    (tmp_path / "out.png").mkdir()
    with pytest.raises(GroundbrushError, match="cannot write.*out.png.*folder"):
        atomic_write(tmp_path / "out.png", b"x")
    assert [p.name for p in tmp_path.iterdir()] == ["out.png"]
    assert list((tmp_path / "out.png").iterdir()) == []


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "out").write_bytes(b"")
    with pytest.raises(GroundbrushError, match="cannot write"):
        atomic_write(tmp_path / "out" / "x.png", b"x")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions bind only users")
def test_a_read_only_folder_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(GroundbrushError, match="permission denied"):
            atomic_write(tmp_path / "x.png", b"x")
    finally:
        tmp_path.chmod(0o700)


def test_a_replaced_file_keeps_its_permissions(tmp_path):
    target = tmp_path / "private.txt"
    target.write_bytes(b"old")
    target.chmod(0o600)
    atomic_write(target, b"new")
    assert target.stat().st_mode & 0o777 == 0o600


def test_a_link_is_replaced_not_followed(tmp_path):
    outside = tmp_path / "outside.txt"
    outside.write_bytes(b"untouched")
    link = tmp_path / "root" / "out.txt"
    link.parent.mkdir()
    link.symlink_to(outside)
    atomic_write(link, b"new")
    assert outside.read_bytes() == b"untouched"
    assert not link.is_symlink()
    assert link.read_bytes() == b"new"


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("a\x00b", "null character"),
        ("a\ud800", "cannot be a file name"),
        (b"a", "bytes"),
        (3, "int"),
    ],
)
def test_what_cannot_be_a_path_is_refused(bad, message):
    with pytest.raises(GroundbrushError, match=message):
        as_path(bad)


def test_a_name_too_long_is_refused(tmp_path):
    with pytest.raises(GroundbrushError, match="cannot write"):
        atomic_write(tmp_path / ("x" * 300), b"x")
    with pytest.raises(GroundbrushError, match="cannot be opened"):
        open_regular(tmp_path / ("x" * 300))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(GroundbrushError, match="device or a pipe"):
        open_regular(tmp_path / "pipe.png")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("the red apple", "the-red-apple"),
        ("../../etc/passwd", "etc-passwd"),
        ("..", "unnamed"),
        ("", "unnamed"),
        (".hidden", "hidden"),
        ("--out", "out"),
        ("con", "_con"),
        ("NUL.txt", "_NUL.txt"),
        ("chien à gauche", "chien-à-gauche"),
        ("红苹果", "红苹果"),
        ("a\x00b\nc", "a-b-c"),
        ("cafe\u0301", "café"),
        ("x" * 200, "x" * 80),
        ("é" * 200, "é" * 40),
    ],
)
def test_safe_name_by_hand(text, name):
    assert safe_name(text) == name


@given(st.text(), st.integers(8, 100))
def test_safe_name_is_always_one_visible_bounded_component(text, limit):
    name = safe_name(text, limit)
    assert name
    assert len(name.encode()) <= limit
    assert name[0] not in "-." and name[-1] not in "-."
    assert not set(name) & set('/\\:*?"<>|\x00 ')
    assert safe_name(name, limit) == name


def test_safe_name_refuses_a_limit_too_small():
    with pytest.raises(GroundbrushError, match="max_bytes=3"):
        safe_name("x", 3)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_any_recipe_survives_json_and_xmp(recipe):
    text = recipe_text(recipe)
    assert parse_recipe(text, "x") == recipe
    assert parse_recipe(unwrap_xmp(wrap_xmp(text)), "x") == recipe


@pytest.mark.parametrize("bad", [{"a": object()}, {"a": float("nan")}, {"a": b"x"}, {(1, 2): 3}])
def test_a_recipe_json_cannot_hold_is_refused(bad):
    with pytest.raises(GroundbrushError, match="cannot be written as JSON"):
        recipe_text(bad)


def test_a_recipe_of_the_wrong_type_or_size_is_refused():
    with pytest.raises(GroundbrushError, match="type list"):
        recipe_text([1])
    with pytest.raises(GroundbrushError, match="at most 1,000,000"):
        recipe_text({"mask": "x" * RECIPE_LIMIT})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[1]", "JSON list"),
        ("7", "JSON int"),
        ("null", "JSON NoneType"),
        ('{"a": NaN}', "NaN is not a JSON number"),
        ('{"a": ' + "[" * 200_000, "not JSON"),
        (b"\xff\xfe\xfa", "not JSON"),
        (json.dumps({"a": "x" * RECIPE_LIMIT}), "at most 1,000,000"),
    ],
)
def test_a_hostile_recipe_is_refused(text, message):
    with pytest.raises(GroundbrushError, match=message):
        parse_recipe(text, "x.png")


@pytest.mark.parametrize(
    "packet", [b"", b"<groundbrush:recipe>{", b"\xff" * 9, "</groundbrush:recipe>"]
)
def test_a_packet_without_a_whole_recipe_holds_none(packet):
    assert unwrap_xmp(packet) is None
