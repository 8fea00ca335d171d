"""Groups of networks that share one accelerator: where they do not fit together, they take turns.

>>> turns = Turns("cpu")
>>> turns.add("looking", ())
>>> turns.share()
>>> with turns.use("looking"):
...     pass
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any


class Turns:
    """Who is on the accelerator; safe to ask from several threads.

    At first all stay where they were loaded. From :meth:`share` or :meth:`make_room` on, a group
    that is used comes to the accelerator and the others leave it for the CPU's memory; a group in
    use is waited for.

    Parameters
    ----------
    device : torch.device or str
        The accelerator.
    """

    def __init__(self, device: Any) -> None:
        self.device, self.exclusive = device, False
        self._groups: dict[str, tuple[Any, ...]] = {}
        self._there: set[str] = set()
        self._users: Counter[str] = Counter()
        self._free = threading.Condition()
        self._open = threading.local()

    def add(self, name: str, networks: Iterable[Any]) -> None:
        """Add a group that is on the accelerator now, or replace it.

        A group without networks only makes the others leave: its parts are moved by someone else.
        """
        with self._free:
            self._groups[name] = tuple(networks)
            self._there.add(name)

    def weight(self, besides: str) -> int:
        """Bytes on the accelerator that the other groups could give up."""
        from .memory import weight_bytes

        there = [g for name, g in self._groups.items() if name != besides and name in self._there]
        return sum(weight_bytes(network) for group in there for network in group)

    def away(self, name: str) -> bool:
        """Whether a group has left the accelerator for another."""
        return bool(self._groups.get(name)) and name not in self._there

    def share(self) -> None:
        """From now on one group at a time is on the accelerator."""
        with self._free:
            self.exclusive = True

    def make_room(self, name: str) -> bool:
        """Make the other groups leave, now and from now on; False where none was there."""
        with self._free:
            self.exclusive = True
            self._free.wait_for(lambda: not self._others_work(name))
            return self._leave(name)

    @contextlib.contextmanager
    def use(self, name: str) -> Iterator[None]:
        """Have a group on the accelerator for a while."""
        self._enter(name)
        try:
            yield
        finally:
            self._exit(name)

    def watch(self, name: str, networks: Sequence[Any]) -> None:
        """Use the group whenever one of these networks runs, whoever calls it.

        What it is given is moved to the accelerator too: the caller may have asked where the
        weights were while they were away.
        """

        def before(_: Any, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
            opened = self._opened()
            opened.append(False)  # the hook after is called even where this one fails
            self._enter(name)
            opened[-1] = True
            if not self.exclusive:
                return None
            return _moved(args, self.device), _moved(kwargs, self.device)

        def after(*_: Any) -> None:
            if self._opened().pop():
                self._exit(name)

        for network in networks:
            network.register_forward_pre_hook(before, with_kwargs=True)
            network.register_forward_hook(after, always_call=True)

    def _opened(self) -> list[bool]:
        if not hasattr(self._open, "stack"):
            self._open.stack = []
        return self._open.stack

    def _enter(self, name: str) -> None:
        with self._free:
            # Who is in use already need not wait: its networks call one another.
            if self.exclusive and not self._users[name]:
                self._free.wait_for(lambda: not self._others_work(name))
                self._leave(name)
                if name not in self._there:
                    for network in self._groups.get(name, ()):
                        network.to(self.device)
                    self._there.add(name)
            self._users[name] += 1

    def _exit(self, name: str) -> None:
        with self._free:
            self._users[name] -= 1
            self._free.notify_all()

    def _others_work(self, name: str) -> bool:
        return any(count for other, count in self._users.items() if other != name)

    def _leave(self, name: str) -> bool:
        """Move every other group away; whether there was one."""
        from .memory import free_memory

        leaving = {n for n in self._there if n != name and self._groups.get(n)}
        for other in leaving:
            for network in self._groups[other]:
                network.to("cpu")
            self._there.discard(other)
        if leaving:
            free_memory()
        return bool(leaving)


def networks_in(holder: Any, depth: int = 3) -> list[Any]:
    """The networks that an object of ours keeps in its attributes, or in those of its parts."""
    import torch

    if isinstance(holder, torch.nn.Module):
        return [holder]
    if depth == 0 or not hasattr(holder, "__dict__"):
        return []
    found = [n for part in vars(holder).values() for n in networks_in(part, depth - 1)]
    inner = {id(m) for n in found for m in n.modules() if m is not n}
    unique = {id(n): n for n in found if id(n) not in inner}
    return list(unique.values())


def entries(networks: Iterable[Any]) -> list[Any]:
    """The modules by which a network may be entered: itself, its parts and theirs.

    Methods such as `get_image_features` call a part without the whole being called.
    """
    level, found = list(networks), dict[int, Any]()
    for _ in range(3):
        found |= {id(module): module for module in level}
        level = [part for module in level for part in module.children()]
    return list(found.values())


def _moved(value: Any, device: Any) -> Any:
    """Tensors in plain containers, moved; anything else as it is (a cache stays where it was)."""
    import torch

    if isinstance(value, torch.Tensor):
        return value.to(device)
    if type(value) in (list, tuple):
        return type(value)(_moved(v, device) for v in value)
    if type(value) is dict:
        return {k: _moved(v, device) for k, v in value.items()}
    return value
