"""The journal: what is acknowledged is there, what is torn is never taken for a record."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
from groundbrush.editor.journal import Journal, JournalError, encode, read_journal
from hypothesis import given, settings
from hypothesis import strategies as st

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
records = st.lists(st.dictionaries(st.text(), values, max_size=4), max_size=6)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file to write again and again; each opening starts from what was written last."""
    return tmp_path_factory.mktemp("journal") / "journal"


def opened(path: Path, raw: bytes) -> Journal:
    path.write_bytes(raw)
    return Journal(path)


@settings(deadline=None)
@given(records)
def test_what_is_written_is_read(path: Path, given_records: list[dict]) -> None:
    raw = b"".join(map(encode, given_records))
    journal = opened(path, raw)
    assert (journal.records, journal.notes) == (given_records, [])
    assert list(read_journal(path)) == given_records
    assert path.read_bytes() == raw
    for line, record in zip(raw.splitlines(), given_records, strict=True):  # it is plain JSONL
        assert {**record, "crc32": json.loads(line)["crc32"]} == json.loads(line)


@settings(deadline=None)
@given(records, st.data())
def test_a_journal_cut_anywhere_gives_a_prefix(
    path: Path, given_records: list[dict], data: st.DataObject
) -> None:
    raw = b"".join(map(encode, given_records))
    cut = data.draw(st.integers(0, len(raw)))
    journal = opened(path, raw[:cut])
    read = journal.records
    journal.append()
    assert read == given_records[: len(read)]
    # all that was whole before the cut is there; a record may lack its line end only
    ends = [len(b"".join(map(encode, given_records[:k]))) for k in range(len(given_records) + 1)]
    assert len(read) == max(k for k, end in enumerate(ends) if end <= cut + 1)
    assert path.read_bytes() == b"".join(map(encode, read))


@settings(deadline=None)
@given(records.filter(bool), st.binary(max_size=40))
def test_garbage_after_it_is_cut_off_and_never_read(
    path: Path, given_records: list[dict], tail: bytes
) -> None:
    raw = b"".join(map(encode, given_records))
    journal = opened(path, raw + tail)
    assert journal.records == given_records
    assert path.read_bytes() == raw + tail  # opening changes nothing
    journal.append()
    assert path.read_bytes() == raw


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.text(), values, max_size=3), min_size=3, max_size=5), st.data())
def test_a_changed_byte_costs_at_most_two_records(
    path: Path, given_records: list[dict], data: st.DataObject
) -> None:
    raw = bytearray(b"".join(map(encode, given_records)))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    read = opened(path, bytes(raw)).records
    assert all(record in given_records for record in read)  # nothing invented
    assert len(read) >= len(given_records) - 2  # a changed line end joins two lines


@settings(max_examples=30, deadline=None)
@given(kept=records, cut=st.integers(0, 200), more=records)
def test_opening_repairs_and_appending_goes_on(
    tmp_path_factory: pytest.TempPathFactory, kept: list[dict], cut: int, more: list[dict]
) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal"
    raw = b"".join(map(encode, kept))
    path.write_bytes(raw[: max(0, len(raw) - cut)])
    journal = Journal(path)
    before = journal.records
    for record in more[:1]:
        journal.append(record)
    journal.append(*more[1:])
    assert before == kept[: len(before)]
    journal = Journal(path)
    assert journal.records == before + more
    assert journal.notes == []


@pytest.mark.parametrize(
    "tail",
    [b"0", b"\0" * 512, b"deadbeef {}\n", encode({"a": 1})[:-3], b'{"event": "row"}\n', b"\n\n x"],
)
def test_a_torn_tail_is_told_and_removed(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "journal"
    whole = encode({"row": 1}) + encode({"row": 2})
    path.write_bytes(whole + tail)
    journal = Journal(path)
    assert journal.records == [{"row": 1}, {"row": 2}]
    (note,) = journal.notes
    assert "not written whole" in note
    assert str(path) in note
    assert path.read_bytes() == whole + tail
    journal.append({"row": 3})
    assert path.read_bytes() == whole + encode({"row": 3})


def test_damage_in_the_middle_loses_only_what_it_hit(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    lines = [encode({"row": k}) for k in range(3)]
    lines[1] = lines[1].replace(b":1,", b":7,")
    path.write_bytes(b"".join(lines))
    journal = Journal(path)
    assert journal.records == [{"row": 0}, {"row": 2}]
    assert "1 damaged line in" in journal.notes[0]
    journal.append({"row": 3})
    assert Journal(path).records == [{"row": 0}, {"row": 2}, {"row": 3}]


def test_a_full_disk_takes_back_half_a_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal"
    write = os.write

    def half(file: int, content: bytes) -> int:
        write(file, bytes(content)[:5])
        raise OSError(errno.ENOSPC, "No space left on device")

    journal = Journal(path)
    journal.append({"row": 1})
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        with pytest.raises(JournalError, match=r"cannot write the journal .* space"):
            journal.append({"row": 2})
    assert path.read_bytes() == encode({"row": 1})
    journal.append({"row": 3})
    assert Journal(path).records == [{"row": 1}, {"row": 3}]


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="links are followed here")
def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "journal").symlink_to(tmp_path / "mine.txt")
    with pytest.raises(JournalError, match="cannot write the journal"):
        Journal(tmp_path / "journal")
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_journal_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    with pytest.raises(JournalError, match=r"cannot write the journal .*journal"):
        Journal(tmp_path / "journal")


@pytest.mark.parametrize(
    "content",
    [
        b"hello\n",
        b'{"row": 1}\n{"row": 2}',
        b"a\nb",
        encode({"row": 1}).replace(b"\n", b"\r\n"),
        (encode({"row": 1}) + encode({"row": 2})).replace(b"\n", b"\r"),
        encode({"row": 1}).replace(b"\n", b"\r"),
    ],
)
def test_a_file_that_is_no_journal_is_refused_and_left_as_it_is(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "journal").write_bytes(content)
    with pytest.raises(JournalError, match=r"is not a journal: .*move it away"):
        Journal(tmp_path / "journal")
    assert (tmp_path / "journal").read_bytes() == content


def test_a_first_record_that_was_not_written_whole_is_cut_off(tmp_path: Path) -> None:
    journal = opened(tmp_path / "journal", encode({"row": 1})[:-4])
    assert journal.records == []
    journal.append({"row": 2})
    assert (tmp_path / "journal").read_bytes() == encode({"row": 2})


def test_members_can_stay_on_disk(tmp_path: Path) -> None:
    Journal(tmp_path / "journal").append({"row": 1, "mask": "long"})
    assert Journal(tmp_path / "journal", without=["mask"]).records == [{"row": 1}]
    assert list(read_journal(tmp_path / "journal")) == [{"row": 1, "mask": "long"}]
