"""The journal: what is acknowledged is there, what is torn is never taken for a record."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from groundbrush.editor.batch.errors import BatchStopped
from groundbrush.editor.batch.journal import Journal, decode, encode
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


@settings(deadline=None)
@given(records)
def test_what_is_written_is_read(given_records: list[dict]) -> None:
    raw = b"".join(map(encode, given_records))
    assert decode(raw) == (given_records, len(raw), 0)


@settings(deadline=None)
@given(records, st.data())
def test_a_journal_cut_anywhere_gives_a_prefix(
    given_records: list[dict], data: st.DataObject
) -> None:
    raw = b"".join(map(encode, given_records))
    cut = data.draw(st.integers(0, len(raw)))
    read, good, damaged = decode(raw[:cut])
    assert read == given_records[: len(read)]
    assert damaged == 0
    # all that was whole before the cut is there; a record may lack its line end only
    ends = [len(b"".join(map(encode, given_records[:k]))) for k in range(len(given_records) + 1)]
    assert len(read) == max(k for k, end in enumerate(ends) if end <= cut + 1)
    assert good <= cut + 1


@settings(deadline=None)
@given(records, st.binary(max_size=40))
def test_garbage_after_it_is_cut_off_and_never_read(given_records: list[dict], tail: bytes) -> None:
    raw = b"".join(map(encode, given_records))
    read, good, damaged = decode(raw + tail)
    assert (read, damaged) == (given_records, 0)
    assert good == len(raw)


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.text(), values, max_size=3), min_size=1, max_size=5), st.data())
def test_a_changed_byte_costs_at_most_two_records(
    given_records: list[dict], data: st.DataObject
) -> None:
    raw = bytearray(b"".join(map(encode, given_records)))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    read, _, _ = decode(bytes(raw))
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
    with Journal(path) as journal:
        before = journal.records
        for record in more:
            journal.append(record)
    assert before == kept[: len(before)]
    with Journal(path) as journal:
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
    with Journal(path) as journal:
        assert journal.records == [{"row": 1}, {"row": 2}]
        (note,) = journal.notes
        assert "not written whole" in note
        assert str(path) in note
    assert path.read_bytes() == whole


def test_damage_in_the_middle_loses_only_what_it_hit(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    lines = [encode({"row": k}) for k in range(3)]
    lines[1] = lines[1].replace(b"1}", b"7}")
    path.write_bytes(b"".join(lines))
    with Journal(path) as journal:
        assert journal.records == [{"row": 0}, {"row": 2}]
        assert "1 damaged line in" in journal.notes[0]
        journal.append({"row": 3})
    with Journal(path) as journal:
        assert journal.records == [{"row": 0}, {"row": 2}, {"row": 3}]


def test_a_full_disk_takes_back_half_a_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal"
    write = os.write

    def half(file: int, content: bytes) -> int:
        write(file, bytes(content)[:5])
        raise OSError(errno.ENOSPC, "No space left on device")

    with Journal(path) as journal:
        journal.append({"row": 1})
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", half)
            with pytest.raises(BatchStopped, match=r"cannot write the journal .* space"):
                journal.append({"row": 2})
        assert path.read_bytes() == encode({"row": 1})
        journal.append({"row": 3})
    with Journal(path) as journal:
        assert journal.records == [{"row": 1}, {"row": 3}]


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="links are followed here")
def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "journal").symlink_to(tmp_path / "mine.txt")
    with pytest.raises(BatchStopped, match="cannot write the journal"):
        Journal(tmp_path / "journal")
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_journal_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    with pytest.raises(BatchStopped, match=r"cannot write the journal .*journal"):
        Journal(tmp_path / "journal")
