"""A pool of Ray actors: each holds loaded models and does one unit of work at a time.

Ray starts the actors, places them on the cluster and reports their death. Dead actors are replaced
here and not by Ray's ``max_restarts`` and ``max_task_retries``, which would not say which unit the
dead worker had: that unit is given up after `TRIES` deaths, and every death is named.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections import Counter, deque
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import GroundbrushError, one_line
from .pool import Answer, Make, Unit, Work

TRIES = 3
"""A unit that was under way when so many workers died is given up."""
NICENESS = "RAY_worker_niceness"  # spelled so by Ray
INSTALL = "pip install 'groundbrush[ray]'"
_CPUS = 4  # of a worker, by default
_OBJECTS = 100_000_000  # bytes of the local object store; what goes through it is small


@dataclass(frozen=True)
class Share:
    """How many workers, and the CPUs and GPUs of each."""

    workers: int
    cpus: int
    gpus: int


def share(nodes: Sequence[Mapping[str, float]], workers: int | None, device: str) -> Share:
    """Divide a cluster among workers: one for each GPU, or equal shares of CPUs.

    Parameters
    ----------
    nodes : Each machine's ``CPU`` and ``GPU``, as Ray counts them.
    workers : Their number, even if there is no room yet (the cluster may grow); None: as many as
        there is room for.
    device : ``cpu`` leaves GPUs alone; ``cuda`` requires them.

    >>> share([{"CPU": 16, "GPU": 4}, {"CPU": 8}], None, "auto")
    Share(workers=4, cpus=4, gpus=1)
    >>> share([{"CPU": 2}], 2, "auto")
    Share(workers=2, cpus=1, gpus=0)
    """
    if workers is not None and workers < 1:
        raise GroundbrushError(f"workers {workers} given; expected at least 1")
    gpus = [(int(n.get("GPU", 0)), int(n.get("CPU", 0))) for n in nodes if n.get("GPU", 0) >= 1]
    if device != "cpu" and gpus:
        cpus = max(1, min(cpu // gpu for gpu, cpu in gpus))
        return Share(workers or sum(gpu for gpu, _ in gpus), cpus, 1)
    if device == "cuda":
        raise GroundbrushError("device cuda given and the Ray cluster has no GPU; try --device cpu")
    counts = [int(n.get("CPU", 0)) for n in nodes if n.get("CPU", 0) >= 1] or [1]
    if workers is None:
        cpus = min(_CPUS, max(counts))
        return Share(sum(count // cpus for count in counts), cpus, 0)
    fits = [c for c in range(1, max(counts) + 1) if sum(n // c for n in counts) >= workers]
    return Share(workers, fits[-1] if fits else 1, 0)


class RayPool:
    """Actors that each hold their models: on this machine, or on the cluster of RAY_ADDRESS.

    If a worker dies, the unit it had is done again by a new one, and what it had finished is not.
    `workers` and `device` are as for `share`.
    """

    def __init__(self, *, workers: int | None = None, device: str = "auto") -> None:
        self.notes: list[str] = []
        self._workers, self._device = workers, device
        self._ray = import_ray()
        self._started = False
        if workers is not None:
            share([], workers, "cpu")  # a wrong number is refused before anything is started

    def map(self, make: Make, groups: Sequence[Sequence[Unit]]) -> Generator[Answer]:
        """Do all units; see `Pool`."""
        if not groups:
            return
        self._start()
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        work = _Dispatch(self._ray, make, share(nodes, self._workers, self._device), self.notes)
        work.groups.extend(map(deque, groups))
        try:
            yield from work.done()
        finally:
            work.stop()

    def close(self) -> None:
        """Stop Ray if this pool started it; a cluster is left to its owner."""
        if self._started and self._ray.is_initialized():
            self._ray.shutdown()
        self._started = False

    def _start(self) -> None:
        if self._ray.is_initialized():
            return
        address = os.environ.get("RAY_ADDRESS")
        options: dict[str, Any] = {"address": address or "local"}
        if not address:
            options |= {
                "include_dashboard": False,
                "object_store_memory": _OBJECTS,
                "num_cpus": max(os.cpu_count() or 1, self._workers or 1),
            }
            # Ray's default is niceness 15, behind every other program.
            os.environ.setdefault(NICENESS, "0")
        try:
            self._ray.init(log_to_driver=False, logging_level="error", **options)
        except Exception as error:
            raise GroundbrushError(
                f"no Ray cluster at {address or 'this machine'} ({one_line(error)}); start one "
                "with `ray start --head`, correct RAY_ADDRESS, or unset it to stay on this machine"
            ) from error
        self._started = True


class Worker:
    """One process with its models loaded; Ray makes it an actor."""

    def __init__(self, cpus: int, folder: str) -> None:
        limit_threads(cpus)  # before `load` unpickles anything of ours, which imports torch
        with contextlib.suppress(OSError):
            os.chdir(folder)  # relative paths of presets mean what they mean to the driver
        self._work: Work | None = None

    def process(self) -> str:
        """Name of this process for messages."""
        return f"process {os.getpid()} on {socket.gethostname()}"

    def load(self, make: Make) -> None:
        """Load the models."""
        self._work = make()

    def do(self, value: Any) -> Any:
        """Do one unit."""
        assert self._work is not None
        return self._work(value)


@dataclass(eq=False)
class _Hired:
    """An actor, its process' name (a reference), and its units; none before it has loaded."""

    actor: Any
    process: Any
    units: deque[Unit] = field(default_factory=deque)


class _Dispatch:
    """Hands units to actors, one at a time to each, and replaces actors that die."""

    def __init__(self, ray: Any, make: Make, part: Share, notes: list[str]) -> None:
        self.groups: deque[deque[Unit]] = deque()
        self._ray, self._part, self._notes = ray, part, notes
        self._make = ray.put(make)
        self._running: dict[Any, _Hired] = {}
        self._deaths: Counter[str] = Counter()
        self._dead = (
            ray.exceptions.RayActorError,
            ray.exceptions.OutOfMemoryError,
            ray.exceptions.NodeDiedError,
            ray.exceptions.WorkerCrashedError,
        )

    def done(self) -> Generator[Answer]:
        """The answers, as they come."""
        left = sum(map(len, self.groups))
        for _ in range(min(self._part.workers, len(self.groups))):
            self._hire()
        while left:  # and not while any is running: some may wait for room on the cluster
            (ref,), _ = self._ray.wait(list(self._running), num_returns=1)
            hired = self._running.pop(ref)
            unit = hired.units.popleft() if hired.units else None
            try:
                value = self._ray.get(ref)
            except self._dead as error:
                if (answer := self._died(hired, unit, error)) is not None:
                    left -= 1
                    yield answer
            except (self._ray.exceptions.RayError, ConnectionError) as error:
                raise _failure(unit, error) from error
            else:
                self._next(hired)  # before the answer is taken, so that the worker need not wait
                if unit is not None:
                    left -= 1
                    yield Answer(unit, value)

    def stop(self) -> None:
        """End all workers."""
        for hired in self._running.values():
            self._ray.kill(hired.actor)
        self._running.clear()

    def _hire(self) -> None:
        actor = (
            self._ray.remote(Worker)
            .options(num_cpus=self._part.cpus, num_gpus=self._part.gpus)
            .remote(self._part.cpus, os.getcwd())
        )
        hired = _Hired(actor, actor.process.remote())
        self._running[actor.load.remote(self._make)] = hired

    def _next(self, hired: _Hired) -> None:
        """Give a worker its next unit; end it if there is none."""
        if not hired.units and self.groups:
            hired.units = self.groups.popleft()
        if hired.units:
            self._running[hired.actor.do.remote(hired.units[0].value)] = hired
        else:
            self._ray.kill(hired.actor)

    def _died(self, hired: _Hired, unit: Unit | None, error: Exception) -> Answer | None:
        """Replace a dead worker; an answer if its unit is given up."""
        try:
            who = self._ray.get(hired.process)
        except self._ray.exceptions.RayError:
            raise _failure(unit, error) from error  # it never began
        name = "" if unit is None else unit.name
        self._deaths[name] += 1
        if unit is None and self._deaths[name] >= TRIES:
            raise GroundbrushError(
                f"workers die while they load the models ({who}), most likely for want of memory; "
                "try fewer --workers, or smaller models"
            ) from error
        given_up = self._deaths[name] >= TRIES
        if unit is not None:
            ending = "given up" if given_up else "done again by another"
            self._notes.append(f"{name}: its worker died ({who}), {ending}")
            if not given_up:
                hired.units.appendleft(unit)
        if hired.units:
            self.groups.appendleft(hired.units)
        if self.groups:
            self._hire()
        if unit is None or not given_up:
            return None
        return Answer(
            unit,
            None,
            f"its worker died {TRIES} times ({who}) and left no error, as for want of memory; try "
            "fewer --workers, or --engine local",
        )


def _failure(unit: Unit | None, error: Exception) -> Exception:
    """The error to raise for an error of Ray, which may be a page long."""
    cause, text = getattr(error, "cause", None), str(error)
    if isinstance(cause, GroundbrushError):
        return GroundbrushError(one_line(cause))
    if missing := re.search(r"No module named '([\w.]+)'", text):
        return GroundbrushError(
            f"the workers of Ray have no module {missing[1]!r}; install the same Groundbrush on "
            f"every machine: {INSTALL}"
        )
    if cause is not None:  # a bug of ours keeps its traceback
        return RuntimeError(f"a worker failed at {unit.name if unit else 'loading'}:\n{text}")
    first = next(filter(None, map(str.strip, text.splitlines())), "no reason given")
    return GroundbrushError(
        f"Ray stopped working ({first}); check that the cluster is up, then run this again"
    )


def import_ray() -> Any:
    """The module ``ray``, with its usage reports switched off.

    Raises GroundbrushError with the command that installs it.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise GroundbrushError(
            f"--engine ray needs Ray, which is not installed ({one_line(error)}); {INSTALL}"
        ) from error
    return ray


SPIN_COUNT = 1000
"""GOMP_SPINCOUNT of a worker: turns that a thread spins for its team before it sleeps.

A step of a model is hundreds of short pieces that all threads of a team must end together. libgomp
lets those that are done first spin for milliseconds (300,000 turns). If another program has the CPU
of the last one, the others hold the CPU that it could have, at every piece: some edits then take
many times as long, and low-priority workers of a cluster may never finish. With few turns, two
threads lose a third of their speed on an idle machine; a single thread waits for none.
"""


def limit_threads(cpus: int) -> None:
    """Give this process's libraries so many threads, which spin only shortly.

    Call it before torch, BLAS and OpenCV are imported: they read the environment then. Variables
    that are set already stay.
    """
    threads = os.environ.setdefault("OMP_NUM_THREADS", str(cpus))
    os.environ.setdefault("OPENCV_FOR_THREADS_NUM", threads.split(",")[0].strip())
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(os.environ):
        os.environ["GOMP_SPINCOUNT"] = str(SPIN_COUNT)
