"""Models that take turns on one accelerator, played by networks that write down their moves."""

from __future__ import annotations

import threading

import pytest
import torch
from groundbrush.inpaint.device.sharing import Turns, entries, networks_in


class Mover(torch.nn.Module):
    """A network that notes where it is sent."""

    def __init__(self, log: list, name: str) -> None:
        super().__init__()
        self.inner = torch.nn.Linear(2, 2)
        self.log, self.name = log, name

    def to(self, device):
        self.log.append((self.name, str(device)))
        return self

    def forward(self, x):
        self.log.append((self.name, "runs"))
        return self.inner(x)

    def part(self, x):
        return self.inner(x)


@pytest.fixture
def log() -> list:
    return []


@pytest.fixture
def turns(log) -> Turns:
    turns = Turns(torch.device("cpu", 0))
    for name in ("looking", "painting"):
        network = Mover(log, name)
        turns.add(name, [network])
        turns.watch(name, entries([network]))
        setattr(turns, name, network)
    return turns


X = torch.zeros(1, 2)


def test_where_all_fit_nobody_moves(turns, log):
    turns.looking(X)
    with turns.use("painting"):
        turns.painting(X)
    assert log == [("looking", "runs"), ("painting", "runs")]
    assert turns.weight("painting") == 4 * 6


def test_one_comes_when_the_other_has_left(turns, log):
    turns.share()
    with turns.use("painting"):
        pass
    turns.looking(X)
    turns.looking(X)
    turns.painting(X)
    assert log == [
        ("looking", "cpu"),
        ("painting", "cpu"),
        ("looking", "cpu:0"),
        ("looking", "runs"),
        ("looking", "runs"),
        ("looking", "cpu"),
        ("painting", "cpu:0"),
        ("painting", "runs"),
    ]


def test_room_is_made_when_memory_runs_out(turns, log):
    with turns.use("painting"):
        assert turns.make_room("painting")
        assert not turns.make_room("painting")
    assert log == [("looking", "cpu")]
    assert turns.weight("painting") == 0 and turns.exclusive


def test_a_part_that_is_called_alone_brings_the_whole(turns, log):
    turns.share()
    with turns.use("painting"):
        pass
    turns.looking.part(X)
    assert ("looking", "cpu:0") in log


def test_a_failed_pass_leaves_no_one_in_use(turns, log):
    turns.share()
    with pytest.raises(RuntimeError):
        turns.looking(torch.zeros(1, 3))
    with turns.use("painting"):  # would wait for ever
        pass
    assert log[-2:] == [("looking", "cpu"), ("painting", "cpu:0")]


def test_a_group_that_moves_itself_only_makes_the_others_leave(turns, log):
    turns.add("painting", ())
    turns.share()
    with turns.use("painting"):
        pass
    turns.looking(X)
    assert log == [("looking", "cpu"), ("looking", "cpu:0"), ("looking", "runs")]


def test_who_is_in_use_is_waited_for(turns, log):
    turns.share()
    painting, order = threading.Event(), []

    def look() -> None:
        painting.wait(10)
        turns.looking(X)
        order.append("looked")

    other = threading.Thread(target=look)
    other.start()
    with turns.use("painting"):
        painting.set()
        other.join(0.3)
        assert other.is_alive()
        turns.painting(X)
        order.append("painted")
    other.join(10)
    assert order == ["painted", "looked"]


def test_room_waits_for_a_pass_that_is_under_way(turns, log):
    inside, go_on = threading.Event(), threading.Event()

    def slow(module, args):
        inside.set()
        go_on.wait(10)

    turns.looking.inner.register_forward_pre_hook(slow)
    other = threading.Thread(target=lambda: turns.looking(X))
    other.start()
    inside.wait(10)
    done = []

    def make_room() -> None:
        with turns.use("painting"):
            turns.make_room("painting")
            done.append(list(log))

    painter = threading.Thread(target=make_room)
    painter.start()
    painter.join(0.3)
    assert not done
    go_on.set()
    painter.join(10)
    other.join(10)
    assert done[0][-1] == ("looking", "cpu")


def test_inputs_follow_the_weights(turns, monkeypatch):
    """Made while the weights were away, they lie on another device: told apart by `meta` here."""
    turns.share()
    turns.device = torch.device("meta")
    seen = []

    class Echo(torch.nn.Module):
        def forward(self, x, *, more, other):
            seen.append((x.device.type, more["a"][0].device.type, other))
            return x

    echo = Echo()
    turns.add("echo", [])
    turns.watch("echo", [echo])
    echo(X, more={"a": [X]}, other="kept")
    assert seen == [("meta", "meta", "kept")]


def test_networks_are_found_in_what_holds_them():
    class Holder:
        def __init__(self) -> None:
            whole = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Linear(1, 1))
            self._model, self._base, self.name = whole, whole[0], "x"

    class Both:
        def __init__(self) -> None:
            self.one, self.two, self.again = Holder(), Holder(), None
            self.again = self.one

    both = Both()
    assert networks_in(both) == [both.one._model, both.two._model]
    assert networks_in(both.one._base) == [both.one._base]
    assert len(entries(networks_in(both))) == 6
