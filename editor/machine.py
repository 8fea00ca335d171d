"""Name the machine that a figure was measured on."""

from __future__ import annotations

import datetime
import os
import platform
from pathlib import Path


def measured_on(device: str = "auto") -> str:
    """Date, processor, cores or GPU, and the version of torch, in one line.

    Parameters
    ----------
    device
        Where the models run, as `Editor.load` takes it.
    """
    import torch

    if device in ("auto", "cuda") and torch.cuda.is_available():
        where = torch.cuda.get_device_name()
    elif device in ("auto", "mps") and torch.backends.mps.is_available():
        where = f"{platform.machine()} (MPS)"
    else:
        where = f"{processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} thread(s)"
    return f"{datetime.date.today().isoformat()} on {where}, torch {torch.__version__}"


def processor() -> str:
    """The processor's name, or its architecture where the system does not give one."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names and names[0] else platform.machine()
