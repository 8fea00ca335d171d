"""Groups of networks that share one accelerator, played by networks that write down their moves."""

from __future__ import annotations

import threading

import pytest
import torch
from groundbrush.inpaint.device import sharing as module
from groundbrush.inpaint.device.sharing import DeviceSharing, entries, networks_in


class Quantised(torch.nn.Parameter):
    """Weights that move in a way of their own."""


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
def sharing(log) -> DeviceSharing:
    sharing = DeviceSharing(torch.device("cpu", 0))
    for name in ("finder", "inpainter"):
        network = Mover(log, name)
        sharing.add(name, [network])
        sharing.watch(name, entries([network]))
        setattr(sharing, name, network)
    return sharing


X = torch.zeros(1, 2)


def test_weights_of_a_gpu_are_copied_to_the_host_once(monkeypatch):
    copied = []

    def pinned(tensor):
        copied.append(tensor.shape)
        return tensor.clone()

    monkeypatch.setattr(module, "_pins", lambda network, device: True)
    monkeypatch.setattr(module, "_pinned", pinned)
    monkeypatch.setattr(module, "_sent", lambda host, device: host.clone())
    sharing, network = DeviceSharing(torch.device("cpu")), torch.nn.Linear(2, 1)
    expected = network.weight.tolist()
    sharing.add("finder", [network])
    sharing.add("inpainter", [])
    sharing.share()
    for _ in range(2):
        with sharing.use("inpainter"):
            assert network.weight.tolist() == expected
        with sharing.use("finder"):
            assert network.weight.tolist() == expected
            network.weight.data.zero_()  # what is on the device is not copied back
    assert copied == [network.weight.shape, network.bias.shape]


def test_only_plain_weights_on_cuda_are_pinned():
    linear = torch.nn.Linear(2, 2)
    assert module._pins(linear, "cuda")
    assert not module._pins(linear, "cpu")
    linear.weight = Quantised(torch.zeros(2, 2))
    assert not module._pins(linear, "cuda:1")


def test_where_all_fit_nobody_moves(sharing, log):
    sharing.finder(X)
    with sharing.use("inpainter"):
        sharing.inpainter(X)
    assert log == [("finder", "runs"), ("inpainter", "runs")]
    assert sharing.other_bytes("inpainter") == 4 * 6


def test_one_comes_when_the_other_has_left(sharing, log):
    sharing.share()
    with sharing.use("inpainter"):
        pass
    sharing.finder(X)
    sharing.finder(X)
    sharing.inpainter(X)
    assert log == [
        ("finder", "cpu"),
        ("inpainter", "cpu"),
        ("finder", "cpu:0"),
        ("finder", "runs"),
        ("finder", "runs"),
        ("finder", "cpu"),
        ("inpainter", "cpu:0"),
        ("inpainter", "runs"),
    ]


def test_room_is_made_when_memory_runs_out(sharing, log):
    with sharing.use("inpainter"):
        assert sharing.make_room("inpainter")
        assert not sharing.make_room("inpainter")
    assert log == [("finder", "cpu")]
    assert sharing.other_bytes("inpainter") == 0 and sharing.exclusive


def test_a_part_that_is_called_alone_brings_the_whole(sharing, log):
    sharing.share()
    with sharing.use("inpainter"):
        pass
    sharing.finder.part(X)
    assert ("finder", "cpu:0") in log


def test_a_failed_pass_leaves_no_one_in_use(sharing, log):
    sharing.share()
    with pytest.raises(RuntimeError):
        sharing.finder(torch.zeros(1, 3))
    with sharing.use("inpainter"):  # would wait for ever
        pass
    assert log[-2:] == [("finder", "cpu"), ("inpainter", "cpu:0")]


def test_a_group_that_moves_itself_only_makes_the_others_leave(sharing, log):
    sharing.add("inpainter", ())
    sharing.share()
    with sharing.use("inpainter"):
        pass
    sharing.finder(X)
    assert log == [("finder", "cpu"), ("finder", "cpu:0"), ("finder", "runs")]


def test_who_is_in_use_is_waited_for(sharing, log):
    sharing.share()
    painting, order = threading.Event(), []

    def look() -> None:
        painting.wait(10)
        sharing.finder(X)
        order.append("looked")

    other = threading.Thread(target=look)
    other.start()
    with sharing.use("inpainter"):
        painting.set()
        other.join(0.3)
        assert other.is_alive()
        sharing.inpainter(X)
        order.append("painted")
    other.join(10)
    assert order == ["painted", "looked"]


def test_room_waits_for_a_pass_that_is_under_way(sharing, log):
    inside, go_on = threading.Event(), threading.Event()

    def slow(module, args):
        inside.set()
        go_on.wait(10)

    sharing.finder.inner.register_forward_pre_hook(slow)
    other = threading.Thread(target=lambda: sharing.finder(X))
    other.start()
    inside.wait(10)
    done = []

    def make_room() -> None:
        with sharing.use("inpainter"):
            sharing.make_room("inpainter")
            done.append(list(log))

    painter = threading.Thread(target=make_room)
    painter.start()
    painter.join(0.3)
    assert not done
    go_on.set()
    painter.join(10)
    other.join(10)
    assert done[0][-1] == ("finder", "cpu")


def test_inputs_follow_the_weights(sharing, monkeypatch):
    """Made while the weights were away, they lie on another device: marked by `meta` here."""
    sharing.share()
    sharing.device = torch.device("meta")
    seen = []

    class Echo(torch.nn.Module):
        def forward(self, x, *, more, other):
            seen.append((x.device.type, more["a"][0].device.type, other))
            return x

    echo = Echo()
    sharing.add("echo", [])
    sharing.watch("echo", [echo])
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
