"""What the training stages share: settings, budget, averages, checkpoints."""

from __future__ import annotations

import json
import math
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class TrainSettings:
    """Budgets and rates. ``steps_*`` end a stage early (tests); None leaves only the minutes.

    ``bank`` samples are kept as latents and ``fresh`` of them replaced at each step, so each is
    seen a few times only: encoding costs as much as a training step.
    """

    minutes_vae: float = 55.0
    minutes: float = 168.0
    steps_vae: int | None = None
    steps: int | None = None
    batch_vae: int = 4
    batch: int = 16
    rate_vae: float = 2e-3
    rate: float = 1e-3
    text_dropout: float = 0.1
    outside_weight: float = 0.15
    bank: int = 8192
    bank_start: int = 1024
    fresh: int = 2
    checkpoint_every: float = 180.0  # seconds
    device: str = "cpu"
    seed: int = 0
    first_sample: int = 0  # another one each time that training goes further, for new scenes

    def __post_init__(self) -> None:
        if min(self.batch_vae, self.batch, self.bank, self.bank_start, self.fresh) < 1:
            raise ValueError("batch sizes, bank, bank_start and fresh must be at least 1")
        if self.bank_start > self.bank:
            raise ValueError(f"bank_start {self.bank_start} exceeds bank {self.bank}")
        if not 0 <= self.text_dropout < 1:
            raise ValueError(f"text_dropout must lie in 0..1, got {self.text_dropout}")


class Clock:
    """Progress of one stage through its budget of minutes or of steps, whichever ends first.

    Elapsed time is carried over a restart, so the learning-rate schedule continues where it was.
    """

    def __init__(
        self, minutes: float, steps: int | None, step: int = 0, elapsed: float = 0
    ) -> None:
        self.minutes, self.steps, self.step = minutes, steps, step
        self._before, self._start = elapsed, time.monotonic()
        self.stopped = False

    @property
    def elapsed(self) -> float:
        """Seconds spent in this stage, earlier runs included."""
        return self._before + time.monotonic() - self._start

    @property
    def progress(self) -> float:
        """Share of the budget that is spent, 0..1."""
        by_time = self.elapsed / (60 * self.minutes) if self.minutes > 0 else 1.0
        by_step = self.step / self.steps if self.steps else 0.0
        return min(1.0, max(by_time, by_step))

    @property
    def running(self) -> bool:
        """Whether another step should be taken."""
        return not self.stopped and self.progress < 1

    def stop_on_sigterm(self) -> None:
        """End the stage at the next step after the process gets SIGTERM or SIGINT."""

        def handle(number: int, frame: FrameType | None) -> None:
            self.stopped = True

        signal.signal(signal.SIGTERM, handle)


def chosen_device(name: str) -> torch.device:
    """``auto`` takes a CUDA device where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def learning_rate(peak: float, step: int, progress: float, warmup: int = 150) -> float:
    """Linear warm-up, a plateau for a third of the budget, then a cosine down to 2%."""
    decay = max(0.0, (progress - 0.35) / 0.65)
    return (
        peak * min(1.0, (step + 1) / warmup) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * decay)))
    )


class Average:
    """Exponential moving average of modules' parameters, with a fast start."""

    def __init__(self, modules: list[nn.Module], decay: float) -> None:
        self.parameters = [p for module in modules for p in module.parameters()]
        self.decay = decay
        self.shadow = [p.detach().clone() for p in self.parameters]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the average towards the present weights."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.shadow, [p.detach() for p in self.parameters], weight)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange weights and average; a second call undoes the first."""
        for parameter, shadow in zip(self.parameters, self.shadow, strict=True):
            present = parameter.detach().clone()
            parameter.copy_(shadow)
            shadow.copy_(present)


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint so that a crash leaves either the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def load_checkpoint(path: Path, device: torch.device) -> dict[str, Any] | None:
    """Read a checkpoint, or None where there is none."""
    return torch.load(path, map_location=device, weights_only=True) if path.is_file() else None


class Run:
    """Where a training run keeps its checkpoint and its record, and how it reports its progress."""

    def __init__(self, folder: Path, device: torch.device, file: str = "state.pt") -> None:
        self.folder, self.device, self.saved = folder, device, time.monotonic()
        self.path = folder / file

    def state(self) -> dict:
        """The last checkpoint, or an empty dict."""
        return load_checkpoint(self.path, self.device) or {}

    def resume(
        self,
        stage: str,
        model: nn.Module,
        optims: list,
        minutes: float,
        steps: int | None = None,
        average: Average | None = None,
    ) -> Clock:
        """The stage's clock, with model and optimisers as its last checkpoint left them."""
        state = self.state()
        if state.get("stage") != stage:
            return Clock(minutes, steps)
        model.load_state_dict(state["model"])
        if average is not None:
            average.shadow = state["average"]
        for optimizer, saved in zip(optims, state["optims"], strict=True):
            optimizer.load_state_dict(saved)
        return Clock(minutes, steps, state["step"], state["elapsed"])

    def keep(
        self,
        stage: str,
        model: nn.Module,
        optims: list,
        clock: Clock,
        every: float = 180,
        average: Average | None = None,
    ) -> bool:
        """Write a checkpoint if the last one is older than `every` seconds; whether it did."""
        if time.monotonic() - self.saved < every:
            return False
        self.saved = time.monotonic()
        save_checkpoint(
            self.path,
            {
                "stage": stage,
                "step": clock.step,
                "elapsed": clock.elapsed,
                "model": model.state_dict(),
                "optims": [o.state_dict() for o in optims],
                "average": None if average is None else average.shadow,
            },
        )
        return True

    def tell(self, stage: str, clock: Clock, **figures: float) -> None:
        """Print one line of progress and record it."""
        values = {k: round(float(torch.as_tensor(v).detach()), 4) for k, v in figures.items()}
        minutes = round(clock.elapsed / 60, 4)
        say(stage=stage, minutes=minutes, step=clock.step, **values)
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "record.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"minutes": minutes, **values}) + "\n")


def say(**figures: object) -> None:
    """One flushed progress line, ``name=value`` pairs."""
    words = (f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in figures.items())
    print(time.strftime("%H:%M:%S"), *words, flush=True)
