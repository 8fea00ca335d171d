"""Groups of networks that share one accelerator and leave it for each other.

>>> sharing = DeviceSharing("cpu")
>>> sharing.add("finder", ())
>>> sharing.share()
>>> with sharing.use("finder"):
...     pass
"""

from __future__ import annotations

import contextlib
import gc
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any


class DeviceSharing:
    """Which groups of networks are on the accelerator; thread-safe.

    At first all groups stay where they were loaded. After :meth:`share` or :meth:`make_room`, a
    group that is used moves to the accelerator and the others move to CPU memory, once they are no
    longer in use.
    """

    def __init__(self, device: Any) -> None:
        self.device, self.exclusive = device, False
        self._groups: dict[str, tuple[Any, ...]] = {}
        self._present: set[str] = set()
        self._users: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._local = threading.local()

    def add(self, name: str, networks: Iterable[Any]) -> None:
        """Add or replace a group that is on the accelerator now.

        Using a group without networks only makes the others leave: its parts are moved elsewhere.
        """
        with self._changed:
            self._groups[name] = tuple(networks)
            self._present.add(name)

    def other_bytes(self, name: str) -> int:
        """Return the bytes on the accelerator of all groups but `name`."""
        return sum(
            weight_bytes(network)
            for other in self._present - {name}
            for network in self._groups.get(other, ())
        )

    def away(self, name: str) -> bool:
        """Return whether a group has left the accelerator for another."""
        return bool(self._groups.get(name)) and name not in self._present

    def share(self) -> None:
        """Keep at most one group on the accelerator from now on."""
        with self._changed:
            self.exclusive = True

    def make_room(self, name: str) -> bool:
        """Make the other groups leave, now and from now on; return whether any did."""
        with self._changed:
            self.exclusive = True
            self._changed.wait_for(lambda: not self._others_in_use(name))
            return self._evict_others(name)

    @contextlib.contextmanager
    def use(self, name: str) -> Iterator[None]:
        """Hold a group on the accelerator."""
        self._enter(name)
        try:
            yield
        finally:
            self._exit(name)

    def watch(self, name: str, networks: Sequence[Any]) -> None:
        """Use the group whenever one of these networks runs, and move its inputs along.

        Inputs may lie elsewhere: the caller may have read the weights' device while they were away.
        """

        def before(_: Any, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
            entered = self._entered()
            entered.append(False)  # `after` is called even where this hook fails
            self._enter(name)
            entered[-1] = True
            if not self.exclusive:
                return None
            return _moved(args, self.device), _moved(kwargs, self.device)

        def after(*_: Any) -> None:
            if self._entered().pop():
                self._exit(name)

        for network in networks:
            network.register_forward_pre_hook(before, with_kwargs=True)
            network.register_forward_hook(after, always_call=True)

    def _entered(self) -> list[bool]:
        if not hasattr(self._local, "entered"):
            self._local.entered = []
        return self._local.entered

    def _enter(self, name: str) -> None:
        with self._changed:
            # A group in use need not wait: its networks call one another.
            if self.exclusive and not self._users[name]:
                self._changed.wait_for(lambda: not self._others_in_use(name))
                self._evict_others(name)
                if name not in self._present:
                    for network in self._groups.get(name, ()):
                        _enter_device(network, self.device)
                    self._present.add(name)
            self._users[name] += 1

    def _exit(self, name: str) -> None:
        with self._changed:
            self._users[name] -= 1
            self._changed.notify_all()

    def _others_in_use(self, name: str) -> bool:
        return any(count for other, count in self._users.items() if other != name)

    def _evict_others(self, name: str) -> bool:
        leaving = {other for other in self._present - {name} if self._groups.get(other)}
        for other in leaving:
            for network in self._groups[other]:
                _leave_device(network, self.device)
        self._present -= leaving
        if leaving:
            release_cached_memory()
        return bool(leaving)


def networks_in(holder: Any, depth: int = 3) -> list[Any]:
    """Return the outermost networks in an object's attributes, down to `depth` levels."""
    import torch

    if isinstance(holder, torch.nn.Module):
        return [holder]
    if depth == 0 or not hasattr(holder, "__dict__"):
        return []
    found = [n for part in vars(holder).values() for n in networks_in(part, depth - 1)]
    inner = {id(m) for n in found for m in n.modules() if m is not n}
    return list({id(n): n for n in found if id(n) not in inner}.values())


def entries(networks: Iterable[Any]) -> list[Any]:
    """Return networks with their children and grandchildren: the modules a caller may enter by.

    Methods such as `get_image_features` call a child without the whole network being called.
    """
    level, found = list(networks), dict[int, Any]()
    for _ in range(3):
        found |= {id(module): module for module in level}
        level = [part for module in level for part in module.children()]
    return list(found.values())


def _moved(value: Any, device: Any) -> Any:
    """Move tensors in plain containers; other objects (a cache) stay where they are."""
    import torch

    if isinstance(value, torch.Tensor):
        return value.to(device)
    if type(value) in (list, tuple):
        return type(value)(_moved(v, device) for v in value)
    if type(value) is dict:
        return {k: _moved(v, device) for k, v in value.items()}
    return value


def _leave_device(network: Any, device: Any) -> None:
    """Move a network to host memory.

    Weights are frozen: CUDA's are copied into pinned memory once, and from then on only dropped.
    """
    for weight in network.parameters() if _pins(network, device) else ():
        host = getattr(weight, "host_copy", None)
        if host is None or (host.shape, host.dtype) != (weight.shape, weight.dtype):
            host = weight.host_copy = _pinned(weight.data)
        weight.data = host
    network.to("cpu")  # the buffers, or all


def _enter_device(network: Any, device: Any) -> None:
    """Move a network to the device; copies out of pinned memory need no waiting."""
    for weight in network.parameters():
        host = getattr(weight, "host_copy", None)
        if host is not None and host.data_ptr() == weight.data_ptr():
            weight.data = _sent(host, device)
    network.to(device)  # the rest


def _pins(network: Any, device: Any) -> bool:
    """Whether to keep copies: plain weights on CUDA (quantised ones move in their own way)."""
    import psutil
    import torch

    if torch.device(device).type != "cuda":
        return False
    plain = all(type(weight) is torch.nn.Parameter for weight in network.parameters())
    return plain and psutil.virtual_memory().available > 2 * weight_bytes(network)


def _sent(host: Any, device: Any) -> Any:
    """Return a copy on the device; the caller does not wait for it, what runs there does."""
    return host.to(device, non_blocking=True)


def _pinned(tensor: Any) -> Any:
    """Return a copy in host memory that the driver reads without going through another one."""
    import torch

    return torch.empty_like(tensor, device="cpu", pin_memory=True).copy_(tensor)


def weight_bytes(network: Any) -> int:
    """Return the bytes of a network's parameters and buffers."""
    tensors = [*network.parameters(), *network.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def release_cached_memory() -> None:
    """Hand torch's cached memory back to the accelerator."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()
