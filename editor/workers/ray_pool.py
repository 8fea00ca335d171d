"""Workers of Ray: actors of Ray Data that each hold loaded models and do units of work.

Ray starts dead workers again and repeats their tasks, for ever; what it does not tell is which unit
killed them. `Notebook` does, so that such a unit is given up and every death is named.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import pickle
import re
import secrets
import shutil
import socket
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ..errors import GroundbrushError, one_line
from ..files import atomic_write
from .pool import Answer, Make, Unit
from .threads import OneThread, keep_to

TRIES = 3
"""A unit that has taken so many workers with it is given up."""
NICENESS = "RAY_worker_niceness"  # so spelled by Ray
INSTALL = "pip install 'groundbrush[ray]'"
_WAVE = 5_000  # groups that Ray Data is given at once; its books grow with them
_CPUS = 4  # of a worker where nothing is said
_OBJECTS = 100_000_000  # bytes of a local object store; what goes through it is small


@dataclass(frozen=True)
class Share:
    """How many workers, and what each of them gets; `now` are those that there is room for now."""

    workers: int
    now: int
    cpus: int
    gpus: int


def share(nodes: Sequence[Mapping[str, float]], workers: int | None, device: str) -> Share:
    """Divide a cluster among workers: one a GPU, or equal shares of CPUs.

    Parameters
    ----------
    nodes
        Each machine's ``CPU`` and ``GPU``, as Ray counts them.
    workers
        As many as this, also where there is no room yet (the cluster may grow); None: as many as
        there is room for.
    device
        ``cpu`` leaves GPUs alone; ``cuda`` asks for them.

    Raises
    ------
    GroundbrushError
        For fewer than one worker, or GPUs where there are none.

    Examples
    --------
    >>> share([{"CPU": 16, "GPU": 4}, {"CPU": 8}], None, "auto")
    Share(workers=4, now=4, cpus=4, gpus=1)
    >>> share([{"CPU": 2}], 2, "auto")
    Share(workers=2, now=2, cpus=1, gpus=0)
    """
    if workers is not None and workers < 1:
        raise GroundbrushError(f"workers {workers} given; expected at least 1")
    gpus = [(int(n.get("GPU", 0)), int(n.get("CPU", 0))) for n in nodes if n.get("GPU", 0) >= 1]
    if device != "cpu" and gpus:
        cpus = max(1, min(cpu // gpu for gpu, cpu in gpus))
        now = sum(gpu for gpu, _ in gpus)
        return Share(workers or now, min(now, workers or now), cpus, 1)
    if device == "cuda":
        raise GroundbrushError("device cuda given and the Ray cluster has no GPU; try --device cpu")
    places = [int(n.get("CPU", 0)) for n in nodes if n.get("CPU", 0) >= 1] or [1]
    if workers is None:
        cpus = min(_CPUS, max(places))
        now = sum(cpu // cpus for cpu in places)
        return Share(now, now, cpus, 0)
    fits = [c for c in range(1, max(places) + 1) if sum(cpu // c for cpu in places) >= workers]
    cpus = fits[-1] if fits else 1
    return Share(workers, min(workers, sum(cpu // cpus for cpu in places)), cpus, 0)


class RayPool:
    """Actors of Ray Data, each with its models: here, or on the cluster that RAY_ADDRESS names.

    A worker that dies is started again by Ray and its units are done again; a unit that takes
    `TRIES` workers with it is given up. What a worker finished before it died is not done again.

    Parameters
    ----------
    folder
        That every machine sees under this path: who tried what is noted there. Ours alone; it is
        emptied.
    workers, device
        As for :func:`share`.

    Raises
    ------
    GroundbrushError
        Where Ray is not installed.
    """

    def __init__(self, folder: Path, *, workers: int | None = None, device: str = "auto") -> None:
        self.notes: list[str] = []
        self._folder, self._workers, self._device = Path(folder).absolute(), workers, device
        self._ray = import_ray()
        self._started = False
        if workers is not None:
            share([], workers, "cpu")  # tells of a wrong number before anything is begun

    def map(self, make: Make, groups: Sequence[Sequence[Unit]]) -> Generator[Answer]:
        """Do all units; see :class:`Pool`."""
        if not groups:
            return
        self._start()
        notebook = Notebook.new(self._folder)
        units = {unit.name: unit for group in groups for unit in group}
        try:
            for first in range(0, len(groups), _WAVE):
                wave = groups[first : first + _WAVE]
                with (
                    _quiet_data(self._ray),
                    contextlib.closing(self._stream(make, wave, notebook)) as told,
                ):
                    for one in told:
                        yield self._answer(units[one["name"]], one)
                        notebook.forget(one["name"])
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def close(self) -> None:
        """Stop Ray where it was started here; a cluster is left to its owner."""
        if self._started and self._ray.is_initialized():
            self._ray.shutdown()
        self._started = False

    def _start(self) -> None:
        if self._ray.is_initialized():
            return
        address = os.environ.get("RAY_ADDRESS")
        options: dict[str, Any] = (
            {"address": address}
            if address
            else {
                "address": "local",
                "include_dashboard": False,
                "object_store_memory": _OBJECTS,
                "num_cpus": max(os.cpu_count() or 1, self._workers or 1),
            }
        )
        if not address:
            # Ray would put them behind every other program (niceness 15), where this process by
            # itself would not be.
            os.environ.setdefault(NICENESS, "0")
        try:
            self._ray.init(log_to_driver=False, logging_level="error", **options)
        except Exception as error:
            raise GroundbrushError(
                f"no Ray cluster at {address or 'this machine'} ({one_line(error)}); start one "
                "with `ray start --head`, correct RAY_ADDRESS, or unset it to stay on this machine"
            ) from error
        self._started = True

    def _stream(
        self, make: Make, groups: Sequence[Sequence[Unit]], notebook: Notebook
    ) -> Generator[dict[str, Any]]:
        """What the workers tell, unit by unit."""
        from ray.data import ActorPoolStrategy, from_items

        nodes = [n["Resources"] for n in self._ray.nodes() if n["Alive"]]
        part = share(nodes, self._workers, self._device)
        size = min(part.workers, len(groups))
        items = [{"group": pickle.dumps(list(group))} for group in groups]
        # Ray Data starts dead actors again and repeats their tasks without being asked to. One unit
        # waits at each worker: between two, Ray takes a tenth of a second to hand one over.
        told = from_items(items, override_num_blocks=len(items)).map_batches(
            _Worker,
            batch_size=1,
            batch_format="pyarrow",
            num_cpus=part.cpus,
            num_gpus=part.gpus,
            fn_constructor_args=(
                self._ray.cloudpickle.dumps(make),
                part.cpus,
                notebook,
                os.getcwd(),
            ),
            compute=ActorPoolStrategy(
                min_size=max(1, min(size, part.now)), max_size=size, max_tasks_in_flight_per_actor=2
            ),
        )
        try:
            for batch in told.iter_batches(
                batch_size=None, batch_format="pyarrow", prefetch_batches=0
            ):
                for line in batch["told"]:
                    yield json.loads(line.as_py())
        except (self._ray.exceptions.RayError, ConnectionError) as error:
            raise GroundbrushError(_stopped(str(error))) from error

    def _answer(self, unit: Unit, told: Mapping[str, Any]) -> Answer:
        """An answer, or the error that every other unit would meet as well."""
        self.notes += [
            f"a worker died while loading ({who}) and was started again" for who in told["loading"]
        ]
        if told["refused"] is not None:
            raise GroundbrushError(told["refused"])
        if told["broken"] is not None:  # a mistake of ours keeps its traceback
            raise RuntimeError(f"a worker failed at {unit.name}:\n{told['broken']}")
        deaths, gave_up = tuple(told["deaths"]), told["gave_up"]
        ending = "given up" if gave_up else "done again by another"
        self.notes += [f"{unit.name}: its worker died ({who}), {ending}" for who in deaths]
        return Answer(unit, told["value"], gave_up, deaths)


class _Worker:
    """One process of a cluster with its models loaded; what it says goes to the driver as JSON."""

    def __init__(self, make: bytes, cpus: int, notebook: Notebook, folder: str) -> None:
        import ray

        keep_to(cpus)  # before anything of ours is unpickled, which imports torch
        self._notebook = notebook
        self._alone = OneThread()
        self._work: Callable[[Any], Any] = _nothing
        self._loading: list[str] = []
        self._troubles: dict[str, str | None] = {"refused": None, "broken": None}
        with contextlib.suppress(OSError):
            os.chdir(folder)  # relative paths of presets mean what they mean to the driver
        if not notebook.seen():
            self._troubles["refused"] = (
                f"the worker on {socket.gethostname()} does not see {str(notebook.folder)!r}; "
                "expected an output folder that every machine has under the same path"
            )
            return
        name = f"loading {ray.get_runtime_context().get_actor_id()}"
        self._loading = notebook.tries(name)
        if len(self._loading) >= TRIES:
            self._troubles["refused"] = (
                f"workers die while they load the models ({self._loading[-1]}), most likely for "
                "want of memory; try fewer --workers, or smaller models"
            )
            return
        load: Make = self._alone(pickle.loads, make)
        notebook.try_(name)
        try:
            self._work = self._alone(load)
        except Exception as error:  # noqa: BLE001 - it is told where it can be acted upon
            self._trouble(error)
        notebook.forget(name)

    def __call__(self, batch: Any) -> dict[str, list[str]]:
        """Do one group."""
        units = [unit for group in batch["group"] for unit in pickle.loads(group.as_py())]
        return {"told": [json.dumps(self._do(unit)) for unit in units]}

    def _do(self, unit: Unit) -> dict[str, Any]:
        told: dict[str, Any] = {
            "name": unit.name,
            "value": None,
            "gave_up": None,
            "deaths": [],
            "loading": self._loading,
        }
        self._loading = []
        if not any(self._troubles.values()):
            kept, told["deaths"] = self._notebook.kept(unit.name), self._notebook.tries(unit.name)
            if kept is not None:
                return {
                    **told,
                    **self._troubles,
                    "value": kept["value"],
                    "deaths": told["deaths"][:-1],
                }
            if len(told["deaths"]) >= TRIES:
                told["gave_up"] = (
                    f"its worker died {TRIES} times ({told['deaths'][-1]}) and left no error, as "
                    "for want of memory; try fewer --workers, or --engine local"
                )
                return {**told, **self._troubles}
            self._notebook.try_(unit.name)
            try:
                told["value"] = self._alone(self._work, unit.value)
                self._notebook.keep(unit.name, told["value"])
            except Exception as error:  # noqa: BLE001 - as above
                self._trouble(error)
        return {**told, **self._troubles}

    def _trouble(self, error: Exception) -> None:
        if isinstance(error, GroundbrushError):
            self._troubles["refused"] = one_line(error)
        else:
            self._troubles["broken"] = traceback.format_exc()


def _stopped(words: str) -> str:
    """What to say of an error of Ray's, which may be a page long."""
    missing = re.search(r"No module named '([\w.]+)'", words)
    if missing:
        return (
            f"the workers of Ray have no module {missing[1]!r}; install the same Groundbrush "
            f"on every machine: {INSTALL}"
        )
    lines = [line for line in words.splitlines() if line.strip()]
    return (
        f"Ray stopped working ({lines[0].strip() if lines else 'no reason given'}); see that "
        "the cluster is up, then go on"
    )


def _nothing(_: Any) -> NoReturn:
    raise AssertionError("no models were loaded")


@dataclass(frozen=True)
class Notebook:
    """Notes on a file system that all workers share: who tried a unit, and what came of it.

    A worker writes before it begins, so that its successor knows of its death; Ray itself keeps
    count of the dead but not of what killed them.
    """

    folder: Path
    token: str

    @classmethod
    def new(cls, folder: Path) -> Notebook:
        """An empty one."""
        shutil.rmtree(folder, ignore_errors=True)
        token = secrets.token_hex(8)
        atomic_write(folder / "token", token.encode())
        return cls(folder, token)

    def seen(self) -> bool:
        """Whether this process sees what the driver wrote."""
        try:
            return (self.folder / "token").read_text() == self.token
        except OSError:
            return False

    def try_(self, name: str) -> None:
        """Note that this process begins a unit."""
        who = f"process {os.getpid()} on {socket.gethostname()}"
        with self._path(name, "tries").open("a", encoding="utf-8") as file:
            file.write(json.dumps(who) + "\n")

    def tries(self, name: str) -> list[str]:
        """Who began it."""
        try:
            lines = self._path(name, "tries").read_text(encoding="utf-8").splitlines()
        except OSError:
            return []
        return [json.loads(line) for line in lines]

    def keep(self, name: str, value: Any) -> None:
        """Keep what came of it until the driver has it for good."""
        atomic_write(self._path(name, "value"), json.dumps({"value": value}).encode())

    def kept(self, name: str) -> Any:
        """What came of it earlier, or None."""
        try:
            return json.loads(self._path(name, "value").read_bytes())
        except OSError:
            return None

    def forget(self, name: str) -> None:
        """Remove everything about it."""
        for kind in ("tries", "value"):
            with contextlib.suppress(OSError):
                self._path(name, kind).unlink()

    def _path(self, name: str, kind: str) -> Path:
        return self.folder / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.{kind}"


def import_ray() -> Any:
    """The module ``ray``, with its reports to its makers switched off.

    Raises
    ------
    GroundbrushError
        With the command that installs it.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent from here
    try:
        import ray
        import ray.data
        import ray.exceptions
    except ImportError as error:
        raise GroundbrushError(
            f"--engine ray needs Ray, which is not installed ({one_line(error)}); {INSTALL}"
        ) from error
    return ray


@contextlib.contextmanager
def _quiet_data(ray: Any) -> Iterator[None]:
    """Without Ray Data's bars and lines, which would run through ours."""
    context, log = ray.data.DataContext.get_current(), logging.getLogger("ray.data")
    before = context.enable_progress_bars, context.print_on_execution_start, log.level
    context.enable_progress_bars = context.print_on_execution_start = False
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        context.enable_progress_bars, context.print_on_execution_start = before[:2]
        log.setLevel(before[2])
