"""Device memory: what is free, what networks take, and errors that say it ran out."""

from __future__ import annotations

import gc
from typing import Any


def free_bytes(device: Any) -> int:
    """Return the free memory of a torch.device, torch's own reserve included.

    Examples
    --------
    >>> import torch
    >>> free_bytes(torch.device("cpu")) > 0
    True
    """
    import torch

    if device.type == "cuda":
        reserve = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0] + reserve)
    if device.type == "mps":
        limit = torch.mps.recommended_max_memory()
        return max(0, int(limit - torch.mps.current_allocated_memory()))
    import psutil

    return int(psutil.virtual_memory().available)


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


def is_out_of_memory(error: BaseException | None) -> bool:
    """Return whether memory ran out; CUDA has a class for it, MPS and the CPU only a message."""
    import torch

    message = str(error).lower()
    in_message = "out of memory" in message or "can't allocate memory" in message
    return isinstance(error, torch.OutOfMemoryError) or in_message
