"""Devices that compute on the CPU and refuse what an accelerator refuses.

Every tensor on ``privateuseone:0`` or ``:1`` wraps one on the CPU. An operation on tensors of
different devices is an error, except for a number beside a tensor and for indices, as torch allows.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _DummyBackendModule, _DummyDeviceGuard

NAME = "privateuseone"
OURS = Path(__file__).parents[2]
MOVES = ("aten::_to_copy", "aten::to", "aten::copy_")
INDEXED = ("aten::index", "aten::index_put", "aten::index_put_")

# Without its guard a tensor of this device cannot be sliced, without its module not be made.
torch._register_device_module(NAME, _DummyBackendModule())
torch._C._acc.register_python_privateuseone_device_guard(_DummyDeviceGuard())


class Held(Tensor):
    """A tensor on a pretended device."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor, device: Any = None, requires_grad: bool = False) -> Held:
        if isinstance(held, Held):  # accelerate makes parameters anew
            return held
        layout = dict(strides=held.stride(), storage_offset=held.storage_offset())
        made = Tensor._make_wrapper_subclass(
            cls, held.size(), dtype=held.dtype, device=device, **layout
        )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})

    def tolist(self):
        return self.held.tolist()

    def __repr__(self):
        return f"{self.held} on {self.device}"

    def __format__(self, spec):
        return format(self.held, spec)


class Pretend(TorchDispatchMode):
    """Make tensors on pretended devices; list our own mixtures of floating types in `mixed`."""

    def __init__(self) -> None:
        super().__init__()
        self.mixed: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        _note_mixture(self.mixed, func, args, kwargs)
        return _run(func, args, kwargs or {})


@contextmanager
def pretended_devices() -> Iterator[Pretend]:
    """Inside the block tensors and models can be moved to ``privateuseone:0`` and ``:1``."""
    enter, attention = (
        torch.inference_mode.__enter__,
        torch.nn.functional.scaled_dot_product_attention,
    )

    def without_inference_mode(self) -> None:  # it forbids views of wrapped tensors
        self._inference_mode_context = torch._C._InferenceMode(False)
        self._inference_mode_context.__enter__()

    torch.inference_mode.__enter__ = without_inference_mode
    torch.nn.functional.scaled_dot_product_attention = lambda *a, **k: _run(attention, a, k)
    torch._C._set_only_lift_cpu_tensors(
        True
    )  # torch.tensor(..., device=...) is then seen as a move
    try:
        with torch.no_grad(), Pretend() as mode:
            yield mode
    finally:
        torch._C._set_only_lift_cpu_tensors(False)
        torch.inference_mode.__enter__ = enter
        torch.nn.functional.scaled_dot_product_attention = attention


def _run(func: Any, args: Any, kwargs: Any) -> Any:
    """Compute on the CPU, and put the result where its operands are."""
    name = str(getattr(getattr(func, "_schema", None), "name", func.__name__))
    leaves = tree_leaves((args, kwargs))
    tensors = [t for t in leaves if isinstance(t, Tensor)]
    to = next((x for x in leaves if isinstance(x, torch.device)), None)
    if name not in MOVES:
        _check_together(name, tensors)
    first = next((t.device for t in tensors if isinstance(t, Held)), None)
    device = tensors[0].device if name == "aten::copy_" else to or first
    plain, named = tree_map(_plain, (args, kwargs))
    out = func(*plain, **named)
    if first is not None and name.endswith("_"):
        return args[0]
    if "out" in kwargs:
        return kwargs["out"]
    if device is None or device.type != NAME:
        return out
    return tree_map(lambda t: Held(t, device) if isinstance(t, Tensor) else t, out)


def _check_together(name: str, tensors: list[Tensor]) -> None:
    if name in INDEXED:
        tensors = [t for t in tensors if t is tensors[0] or isinstance(t, Held)]
    places = {str(t.device) for t in tensors if t.dim() or isinstance(t, Held)}
    if len(places) > 1:
        raise RuntimeError(f"{name}: tensors on {' and '.join(sorted(places))}")


def _plain(leaf: Any) -> Any:
    if isinstance(leaf, torch.device):
        return torch.device("cpu")
    return leaf.held if isinstance(leaf, Held) else leaf


def _note_mixture(mixed: set[str], func: Any, args: Any, kwargs: Any) -> None:
    """Keep operations of ours, not of a library, on tensors of two floating types."""
    name = func._schema.name
    tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
    types = {t.dtype for t in tensors if t.dim() and t.is_floating_point()}
    if len(types) < 2 or name in MOVES:
        return
    frame = sys._getframe(2)
    while frame and "/torch/" in frame.f_code.co_filename:
        frame = frame.f_back
    file = Path(frame.f_code.co_filename)
    if OURS in file.parents and "site-packages" not in file.parts:
        mixed.add(f"{file.name}:{frame.f_lineno} {name} of {sorted(map(str, types))}")
