"""Only plain data comes out of a pickle, and nothing is run."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from groundbrush.editor.errors import GroundbrushError
from groundbrush.editor.evaluation.plain_pickle import load_plain_pickle
from hypothesis import given
from hypothesis import strategies as st

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=12,
)


@given(PLAIN, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_plain_data_comes_back_from_every_protocol(tmp_path_factory, value, protocol) -> None:
    file = tmp_path_factory.mktemp("p") / "refs.p"
    file.write_bytes(pickle.dumps(value, protocol))
    assert load_plain_pickle(file) == value


def test_a_python_2_pickle(tmp_path: Path) -> None:
    # what Python 2 wrote for [{'sent': u'caf\xe9', 'tokens': ['caf'], 'n': 3L}]
    raw = (
        b"(lp0\n(dp1\nS'sent'\np2\nVcaf\xe9\np3\nsS'tokens'\np4\n(lp5\nS'caf'\np6\nas"
        b"S'n'\np7\nL3L\nsa."
    )
    (tmp_path / "old.p").write_bytes(raw)
    assert load_plain_pickle(tmp_path / "old.p") == [{"sent": "caf\xe9", "tokens": ["caf"], "n": 3}]


class _Hostile:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_hostile_pickle_is_refused_and_runs_nothing(tmp_path: Path, protocol: int) -> None:
    mark = tmp_path / "was-here"
    file = tmp_path / "refs.p"
    file.write_bytes(pickle.dumps([_Hostile(mark)], protocol))
    with pytest.raises(GroundbrushError, match=r"was refused as a pickle \(it asks for .*system"):
        load_plain_pickle(file)
    assert not mark.exists()


@pytest.mark.parametrize(
    "raw",
    [
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"(S'ls'\nios\nsystem\n.",
        b"c__builtin__\nset\n((ltR.",
        b"Pmodel\n.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
        pickle.dumps(np.zeros(2)),
        pickle.dumps(OrderedDict(a=1)),
        pickle.dumps({1, 2}),
        pickle.dumps(bytearray(b"x"), 5),
        b"",
        b"not a pickle",
        pickle.dumps([1, 2, 3])[:-4],
        b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x7f.",
    ],
)
def test_everything_else_is_refused(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "refs.p").write_bytes(raw)
    with pytest.raises(GroundbrushError, match=r"refs\.p'.*(refused|holds a|is empty)"):
        load_plain_pickle(tmp_path / "refs.p")
