"""The same batch on two workers of Ray: the same files, whatever happens to the workers.

Ray takes half a minute to start: GROUNDBRUSH_RAY=1 runs these tests.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from collections import Counter, deque
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fake_editor
import pytest
from fake_editor import FakeEditor, mixed_manifest, outputs, picture_file, results
from groundbrush.editor.batch import BatchJob, BatchStopped, read_manifest, run_batch
from groundbrush.editor.batch.engine import LocalEngine
from groundbrush.editor.batch.ray_engine import RayEngine
from groundbrush.editor.cli.main import main
from groundbrush.editor.errors import GroundbrushError
from groundbrush.editor.journal import read_journal
from groundbrush.editor.workers import ray_pool
from groundbrush.editor.workers.pool import LocalPool, Unit
from groundbrush.editor.workers.ray_pool import NICENESS, RayPool, Share, share

needs_ray = pytest.mark.skipif(
    not os.environ.get("GROUNDBRUSH_RAY"),
    reason="Ray takes half a minute to start; GROUNDBRUSH_RAY=1 asks for it",
)


@pytest.fixture(scope="module")
def ray() -> Any:
    """A cluster of two CPUs in this machine, for all of the tests here."""
    pytest.importorskip("ray", reason="pip install 'groundbrush[ray]'")
    from groundbrush.editor.workers.ray_pool import import_ray

    module = import_ray()
    os.environ.setdefault(NICENESS, "0")  # behind all else a start takes half a minute
    for ours in (fake_editor, sys.modules[__name__]):  # no worker could import them
        module.cloudpickle.register_pickle_by_value(ours)
    module.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=100_000_000,
        logging_level="error",
    )
    yield module
    module.shutdown()


@pytest.fixture
def threads_of_a_worker() -> Iterator[None]:
    """This process with as many threads as each of two workers: the last bit depends on it."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    yield
    torch.set_num_threads(before)


two_workers = partial(RayEngine, workers=2, device="cpu")


class Mortal(FakeEditor):
    """Dies with its process where the words say so: once, or every time."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def ground(self, image: Any, phrase: str) -> Any:
        self._live(phrase)
        return super().ground(image, phrase)

    def paint(self, image: Any, request: Any, callbacks: Any, *found: Any) -> Any:
        self._live(request.paint or "")
        return super().paint(image, request, callbacks, *found)

    def _live(self, words: str) -> None:
        with (self.folder / "calls").open("a") as file:
            file.write(f"{words}\n")
        died = self.folder / f"died-{words.replace(' ', '-')}"
        if "mortal" in words or ("once" in words and not died.exists()):
            died.touch()
            os._exit(1)


@needs_ray
def test_two_workers_give_what_this_process_gives(memory: Path, ray: Any) -> None:
    manifest = read_manifest(mixed_manifest(memory))
    here, there = memory / "here", memory / "there"
    run_batch(BatchJob(manifest, here), FakeEditor)
    seen: list[Any] = []
    report = run_batch(
        BatchJob(manifest, there), FakeEditor, engine=two_workers, on_progress=seen.append
    )
    assert outputs(there) == outputs(here)
    assert report.notes == ()
    assert (seen[-1].stage, seen[-1].done) == ("painting", seen[-1].total)
    rows = Counter(r["name"] for r in read_journal(there / ".batch/journal") if r["event"] == "row")
    assert set(rows.values()) == {1}
    again = run_batch(BatchJob(manifest, there, resume=True), FakeEditor, engine=LocalEngine)
    assert again.worked == 0  # what one engine began, the other one knows


@needs_ray
def test_a_workers_death_costs_nothing_that_was_finished_and_is_named(
    memory: Path, ray: Any
) -> None:
    picture_file(memory / "a.png")
    rows = [{"find": f"thing {k}", "paint": f"a hat {k}"} for k in range(6)]
    rows[1]["find"], rows[3]["paint"] = "the once lost", "a once torn hat"
    rows[2]["find"], rows[4]["paint"] = "the mortal", "a mortal hat"
    path = memory / "m.jsonl"
    path.write_text("\n".join(json.dumps({"image": "a.png", **row}) for row in rows))
    manifest = read_manifest(path)
    report = run_batch(
        BatchJob(manifest, memory / "out"), partial(Mortal, memory), engine=two_workers
    )
    made = results(memory / "out")
    assert [row["status"] for row in made] == ["done", "done", "failed", "done", "failed", "done"]
    assert [made[k]["error"]["stage"] for k in (2, 4)] == ["find", "paint"]
    for k in (2, 4):
        assert made[k]["error"]["kind"] == "WorkerDied"
        assert "its worker died 3 times (process" in made[k]["error"]["message"]
        assert not made[k]["files"]
        assert not list((memory / "out").glob(f"{made[k]['id']}.*"))
    calls = Counter((memory / "calls").read_text().splitlines())
    deadly = {"the once lost": 2, "a once torn hat": 2, "the mortal": 3, "a mortal hat": 3}
    assert calls == {
        word: deadly.get(word, 1)
        for row in rows
        for word in row.values()
        if (row["find"], word) != ("the mortal", "a hat 2")
    }
    assert sum("row 2 (00002-a): its worker died (process" in note for note in report.notes) == 1
    assert sum("its worker died (process" in note for note in report.notes) == 8
    assert sum("given up" in note for note in report.notes) == 2
    calm = memory / "calm"
    run_batch(BatchJob(read_manifest(path), calm), FakeEditor)
    there, here = outputs(memory / "out"), outputs(calm)
    left = {
        n: c
        for n, c in here.items()
        if not n.startswith(("results", "review.html")) and "00003" not in n and "00005" not in n
    }
    assert {name: there.get(name) for name in left} == left


class Unloadable(FakeEditor):
    """An editor without its models."""

    def __init__(self) -> None:
        super().__init__()
        self.models.grounder = self._missing  # type: ignore[method-assign]

    def _missing(self) -> None:
        raise GroundbrushError("the model folder is not there")


class Deadly(FakeEditor):
    """An editor with models that are too large."""

    def __init__(self, driver: int) -> None:
        super().__init__()
        self.models.grounder = partial(os._exit, 1)  # type: ignore[method-assign]


@needs_ray
@pytest.mark.parametrize(
    ("load", "words"),
    [
        (Unloadable, "the model folder is not there"),
        (partial(Deadly, 0), "workers die while they load the models .process"),
    ],
)
def test_models_that_cannot_be_loaded_are_no_rows_fault(
    memory: Path, ray: Any, load: Any, words: str
) -> None:
    picture_file(memory / "a.png")
    (memory / "m.jsonl").write_text('{"image": "a.png", "find": "the cup"}')
    job = BatchJob(read_manifest(memory / "m.jsonl"), memory / "out")
    with pytest.raises(BatchStopped, match=words):
        run_batch(job, load, engine=two_workers)
    assert [row["status"] for row in results(memory / "out")] == ["waiting"]


@needs_ray
def test_a_full_disk_in_a_worker_stops_the_batch(memory: Path, ray: Any) -> None:
    picture_file(memory / "a.png")
    lines = [
        json.dumps({"image": "a.png", "find": f"the {word}", "paint": "a hat"})
        for word in ("cup", "full")
    ]
    (memory / "m.jsonl").write_text("\n".join(lines))
    job = BatchJob(read_manifest(memory / "m.jsonl"), memory / "out")
    with pytest.raises(BatchStopped, match=r"stopped at row 2 \(00002-a\): .*no space left"):
        run_batch(job, Full, engine=two_workers)
    job = BatchJob(read_manifest(memory / "m.jsonl"), memory / "out", resume=True)
    assert run_batch(job, FakeEditor).counts == {"done": 2}


class Full(FakeEditor):
    """An editor that meets a full disk."""

    def ground(self, image: Any, phrase: str) -> Any:
        if "full" in phrase:
            raise OSError(28, "no space left on device")
        return super().ground(image, phrase)


@needs_ray
def test_the_real_models_on_two_workers(
    scene_file: tuple,
    tmp_path: Path,
    ray: Any,
    capsys: pytest.CaptureFixture,
    threads_of_a_worker: None,
) -> None:
    import shutil

    shutil.copy(scene_file[0], tmp_path / "scene.png")
    words = scene_file[2].text
    rows = [
        {"find": words, "paint": "a red balloon", "seed": 3},
        {"find": words},
        {"remove": words, "retries": 0},
    ]
    lines = [json.dumps({"image": "scene.png", **row}) for row in rows]
    (tmp_path / "m.jsonl").write_text("\n".join(lines))
    command = [
        "batch",
        str(tmp_path / "m.jsonl"),
        "--steps",
        "2",
        "--gate",
        "paint",
        "--offline",
        "--device",
        "cpu",
        "--quiet",
    ]
    here, there = tmp_path / "here", tmp_path / "there"
    assert main([*command, "--out", str(here)]) == 0
    assert main([*command, "--out", str(there), "--engine", "ray", "--workers", "2"]) == 0
    assert outputs(there) == outputs(here)


def _threads_of_a_worker() -> Any:
    """Work that reports its process and its start."""
    import cv2
    import torch

    begun = threading.get_ident()
    names = ("OMP_NUM_THREADS", "GOMP_SPINCOUNT")
    return lambda _: [
        torch.get_num_threads(),
        cv2.getNumThreads(),
        os.nice(0),
        threading.get_ident() == begun,
        *map(os.environ.get, names),
    ]


@needs_ray
@pytest.mark.parametrize(("workers", "threads"), [(1, 2), (2, 1)])
def test_a_worker_has_as_many_threads_as_cpus_and_computes_in_one(
    tmp_path: Path, ray: Any, workers: int, threads: int
) -> None:
    if "OMP_NUM_THREADS" in os.environ:
        threads = int(os.environ["OMP_NUM_THREADS"])  # the workers have it as well
    pool = RayPool(workers=workers, device="cpu")
    groups = [[Unit(f"unit {k}", k)] for k in range(4)]
    told = [answer.value for answer in pool.map(_threads_of_a_worker, groups)]
    niceness = os.nice(0) + int(os.environ[NICENESS])
    assert told == [[threads, threads, niceness, True, str(threads), "1000"]] * 4


# --------------------------------------------------------------------------- without a cluster


class FakeRay:
    """Does the work of actors in this process, a task at a time; tasks can say that they died."""

    class Error(Exception):
        """Any error of Ray's."""

    class Died(Error):
        """An actor died."""

    def __init__(self) -> None:
        deaths = ("RayActorError", "OutOfMemoryError", "NodeDiedError", "WorkerCrashedError")
        self.exceptions = SimpleNamespace(RayError=self.Error, **dict.fromkeys(deaths, self.Died))
        self.living: set[int] = set()
        self.hired = 0

    def put(self, value: Any) -> Any:
        return value

    def remote(self, kind: type) -> Any:
        return SimpleNamespace(options=lambda **_: SimpleNamespace(remote=self._actor))

    def _actor(self, *_: Any) -> Any:
        self.hired += 1
        self.living.add(self.hired)
        number, loaded = self.hired, []
        tasks = {
            "process": lambda: f"process {number} on here",
            "load": lambda make: loaded.append(make()),
            "do": lambda value: loaded[0](value),
        }
        remotes = {
            name: SimpleNamespace(remote=partial(lambda task, *values: (task, values), task))
            for name, task in tasks.items()
        }
        return SimpleNamespace(number=number, **remotes)

    def wait(self, refs: list, num_returns: int) -> tuple[list, list]:
        return refs[:1], refs[1:]

    def get(self, ref: tuple) -> Any:
        task, values = ref
        return task(*values)

    def kill(self, actor: Any) -> None:
        self.living.discard(actor.number)


def dispatched(make: Any, *groups: str, workers: int = 2) -> tuple[FakeRay, list[str], list]:
    """What a fake cluster makes of groups of one-letter units: notes, and the answers."""
    ray, notes = FakeRay(), []
    work = ray_pool._Dispatch(ray, make, Share(workers, 1, 0), notes)
    work.groups.extend(deque(Unit(name, name) for name in group) for group in groups)
    answers = [(answer.unit.name, answer.value, answer.gave_up) for answer in work.done()]
    work.stop()
    return ray, notes, answers


def test_units_are_done_once_and_no_worker_is_left() -> None:
    ray, notes, answers = dispatched(lambda: str.upper, "ab", "c", "d", workers=3)
    assert sorted(answers) == [(name, name.upper(), None) for name in "abcd"]
    assert (notes, ray.hired, ray.living) == ([], 3, set())


def test_the_unit_that_kills_its_workers_is_given_up_and_the_others_are_done_once() -> None:
    done: list[str] = []

    def work(name: str) -> str:
        done.append(name)
        if name == "b" or (name == "d" and done.count("d") == 1):
            raise FakeRay.Died
        return name

    _, notes, answers = dispatched(lambda: work, "abc", "de")
    values = {name: value for name, value, _ in answers}
    (why,) = (gave_up for name, _, gave_up in answers if name == "b")
    assert len(answers) == 5
    assert values == {"a": "a", "b": None, "c": "c", "d": "d", "e": "e"}
    assert "its worker died 3 times (process" in why
    assert Counter(done) == {"a": 1, "b": 3, "c": 1, "d": 2, "e": 1}
    assert Counter(note.split(" (")[0] for note in notes) == {
        "b: its worker died": 3,
        "d: its worker died": 1,
    }
    assert sum("given up" in note for note in notes) == 1


def test_workers_that_die_while_loading_are_named() -> None:
    def make() -> Any:
        raise FakeRay.Died

    with pytest.raises(GroundbrushError, match=r"die while they load the models \(process \d on h"):
        dispatched(make, "ab", "c")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            FakeRay.Error("x\nNo module named 'groundbrush'"),
            "have no module 'groundbrush'; install",
        ),
        (FakeRay.Error("\n the head is gone\nat 1.2.3.4"), "Ray stopped working .the head is gone"),
        (ConnectionError("closed"), "Ray stopped working .closed"),
    ],
)
def test_an_error_of_rays_is_told_in_one_line(error: Exception, words: str) -> None:
    def work(name: str) -> str:
        raise error

    with pytest.raises(GroundbrushError, match=words) as caught:
        dispatched(lambda: work, "a")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("cause", "kind", "words"),
    [
        (GroundbrushError("the disk is full"), GroundbrushError, "^the disk is full$"),
        (ValueError("a bug"), RuntimeError, "a worker failed at a:\n.*line 7"),
    ],
)
def test_what_a_unit_raises_is_raised_here(cause: Exception, kind: type, words: str) -> None:
    def work(name: str) -> str:
        error = FakeRay.Error("a traceback\nline 7")
        error.cause = cause
        raise error

    with pytest.raises(kind, match=re.compile(words, re.DOTALL)):
        dispatched(lambda: work, "a")


@pytest.mark.parametrize(
    ("address", "said", "wanted"), [(None, None, "0"), (None, "7", "7"), ("head:6379", None, None)]
)
def test_workers_of_this_machine_have_the_priority_of_the_command(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    address: str | None,
    said: str | None,
    wanted: str | None,
) -> None:
    for name, value in (("RAY_ADDRESS", address), (NICENESS, said)):
        monkeypatch.setenv(name, "what was there comes back after the test")
        monkeypatch.delenv(name) if value is None else monkeypatch.setenv(name, value)
    seen: list[str | None] = []
    fake = SimpleNamespace(
        is_initialized=lambda: False, init=lambda **_: seen.append(os.environ.get(NICENESS))
    )
    monkeypatch.setattr(ray_pool, "import_ray", lambda: fake)
    RayPool()._start()
    assert seen == [wanted]


@pytest.mark.parametrize(
    ("nodes", "workers", "device", "wanted"),
    [
        ([{"CPU": 2.0}], None, "auto", Share(1, 2, 0)),
        ([{"CPU": 2.0}], 2, "auto", Share(2, 1, 0)),
        ([{"CPU": 2.0}], 5, "auto", Share(5, 1, 0)),  # the cluster may grow
        ([{"CPU": 16.0}, {"CPU": 10.0}], None, "cpu", Share(6, 4, 0)),
        ([{"CPU": 16.0}, {"CPU": 10.0}], 3, "cpu", Share(3, 8, 0)),
        ([{"CPU": 16.0, "GPU": 2.0}, {"CPU": 4.0}], None, "auto", Share(2, 8, 1)),
        ([{"CPU": 16.0, "GPU": 2.0}], 4, "cuda", Share(4, 8, 1)),
        ([{"CPU": 16.0, "GPU": 2.0}], None, "cpu", Share(4, 4, 0)),
        ([{"memory": 1.0}], None, "auto", Share(1, 1, 0)),
    ],
)
def test_a_cluster_is_shared_out(
    nodes: list[dict], workers: int | None, device: str, wanted: Share
) -> None:
    assert share(nodes, workers, device) == wanted


@pytest.mark.parametrize(
    ("workers", "device", "words"),
    [(0, "auto", "workers 0 given"), (None, "cuda", "has no GPU; try --device cpu")],
)
def test_a_share_that_cannot_be_is_refused(workers: int | None, device: str, words: str) -> None:
    with pytest.raises(GroundbrushError, match=words):
        share([{"CPU": 2.0}], workers, device)


def test_without_ray_the_command_that_installs_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    picture_file(tmp_path / "a.png")
    (tmp_path / "m.jsonl").write_text('{"image": "a.png", "find": "the apple"}')
    command = ["batch", str(tmp_path / "m.jsonl"), "--out", str(tmp_path / "out")]
    assert main([*command, "--engine", "ray"]) == 1
    said = capsys.readouterr().err
    assert "--engine ray needs Ray, which is not installed" in said
    assert "pip install 'groundbrush[ray]'" in said


def test_workers_without_ray_are_wrong_usage(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["batch", "m.jsonl", "--workers", "2"])
    assert stop.value.code == 2
    assert "--workers is for --engine ray" in capsys.readouterr().err


def test_this_process_does_units_in_order_with_one_load() -> None:
    loads = []

    def make() -> Any:
        loads.append(1)
        return lambda value: value * 2

    pool = LocalPool()
    groups = [[Unit("a", 1), Unit("b", 2)], [Unit("c", 3)]]
    answers = [(a.unit.name, a.value) for a in pool.map(make, groups)]
    assert answers == [("a", 2), ("b", 4), ("c", 6)]
    assert list(pool.map(make, [])) == []
    assert (loads, pool.notes) == ([1], [])


@needs_ray
def test_evaluating_on_two_workers_gives_the_same_scores(
    tmp_path: Path, ray: Any, capsys: pytest.CaptureFixture, few_scenes: Path
) -> None:
    command = [
        "evaluate",
        "scenes",
        "--data",
        str(few_scenes),
        "--device",
        "cpu",
        "--quiet",
        "--failures",
        "0",
    ]
    assert main([*command, "--out", str(tmp_path / "here")]) == 0
    there = [*command, "--out", str(tmp_path / "there"), "--engine", "ray", "--workers", "2"]
    assert main(there) == 0
    here, made = ((tmp_path / name / "miniature" / "scenes.json") for name in ("here", "there"))
    assert json.loads(made.read_text())["groups"] == json.loads(here.read_text())["groups"]


@needs_ray
def test_calibrating_on_two_workers_gives_the_same_measurements(
    tmp_path: Path,
    ray: Any,
    capsys: pytest.CaptureFixture,
    few_scenes: Path,
    threads_of_a_worker: None,
) -> None:
    from groundbrush.grounding.heads.measured_pairs import load_measured

    command = [
        "calibrate",
        "miniature",
        "--data",
        str(few_scenes),
        "--samples",
        "6",
        "--trials",
        "1",
        "--device",
        "cpu",
        "--quiet",
        "--no-figures",
    ]
    assert main([*command, "--out", str(tmp_path / "here")]) == 0
    there = [*command, "--out", str(tmp_path / "there"), "--engine", "ray", "--workers", "2"]
    assert main(there) == 0
    here, made = load_measured(tmp_path / "here"), load_measured(tmp_path / "there")
    assert (here.sums == made.sums).all()
    assert (here.entropies == made.entropies).all()


@pytest.fixture(scope="module")
def few_scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight composed scenes with phrases."""
    import subprocess

    folder = tmp_path_factory.mktemp("scenes")
    subprocess.run(
        [sys.executable, "-m", "groundbrush.miniature.calibration", str(folder), "--count", "8"],
        cwd=Path(__file__).resolve().parents[3],
        check=True,
    )
    return folder
