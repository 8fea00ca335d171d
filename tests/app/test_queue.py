"""The line of work: turns, places, cancelling, and what happens to failures. No model is needed."""

from __future__ import annotations

import gc
import threading
import time
import weakref

import numpy as np
import pytest
from groundbrush.app.queue import OWNER_TIMEOUT, Job, JobCancelled, JobQueue
from groundbrush.editor.errors import GroundbrushError
from groundbrush.editor.masks.history import MaskHistory
from groundbrush.editor.masks.operations import Boxes, Dilate, MaskScene
from groundbrush.editor.pictures.saving import save_picture
from groundbrush.inpaint import InpaintSettings
from groundbrush.inpaint.callbacks import check_cancelled
from groundbrush.inpaint.crop import plan_crop
from groundbrush.inpaint.paste import Target

SLACK = 2.0
"""Seconds that a machine with other work may take for one part."""


class Gate:
    """Work that stays in its first step until it is let go."""

    def __init__(self, jobs: JobQueue, owner: str = "gate", **options) -> None:
        self.entered, self.open = threading.Event(), threading.Event()
        self.job = jobs.submit(owner, self, **options)
        assert self.entered.wait(10)

    def __call__(self, callbacks):
        self.entered.set()
        assert self.open.wait(10)
        for step in range(1, 4):
            if callbacks.cancelled():
                raise RuntimeError("stopped between steps")
            callbacks.on_step(step, 3)
        return "painted"


@pytest.fixture
def jobs():
    made = JobQueue(max_waiting=6, max_per_owner=3)
    yield made
    made.close()


def note(log: list[str], name: str):
    return lambda callbacks: log.append(name)


def test_everyone_is_served_in_turn(jobs):
    gate, log = Gate(jobs), []
    asked = [
        jobs.submit(owner, note(log, f"{owner}{k}"))
        for owner, k in [("ann", 1), ("ann", 2), ("ann", 3), ("bob", 1), ("cat", 1)]
    ]
    assert [jobs.place(job) for job in asked] == [1, 4, 5, 2, 3]
    assert jobs.place(gate.job) == 0
    gate.open.set()
    assert all(job.wait(10) for job in asked)
    assert log == ["ann1", "bob1", "cat1", "ann2", "ann3"]
    assert jobs.place(asked[1]) == 0


def test_an_owner_knows_whether_others_wait(jobs):
    gate = Gate(jobs)
    jobs.submit("gate", note([], "own"))
    assert not jobs.others_wait("gate")
    assert jobs.others_wait("ann")
    jobs.submit("bob", note([], "other"))
    assert jobs.others_wait("gate")
    gate.open.set()


def test_progress_and_value(jobs):
    gate = Gate(jobs)
    with pytest.raises(GroundbrushError, match="the work is running; wait"):
        gate.job.value()
    gate.open.set()
    assert gate.job.wait(10)
    assert (gate.job.step, gate.job.total, gate.job.value()) == (3, 3, "painted")


def test_paintings_are_counted():
    seen = []

    def work(callbacks):
        for step in (1, 2, 1, 2, 1):
            callbacks.on_step(step, 2)
            seen.append((job.painting, job.step))

    job = Job("ann", work, None, lambda: 0.0)
    assert job.painting == 0
    job.run()
    assert seen == [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1)]


def test_the_time_left_follows_the_steps_of_this_painting():
    now, seen = [0.0], []

    def work(callbacks):
        for time_, step in ((1, 1), (3, 2), (5, 3), (9, 1), (10, 2)):
            now[0] = time_
            callbacks.on_step(step, 4)
            seen.append((job.seconds_left, job.seconds_a_step))
        now[0] = 11.5
        seen.append((job.seconds_left, job.seconds_a_step))

    job = Job("ann", work, None, lambda: now[0])
    job.run()
    assert seen == [(None, None), (4, 2), (2, 2), (None, None), (2, 1), (0.5, 1)]


def test_running_work_is_stopped_before_its_next_step(jobs):
    gate = Gate(jobs)
    assert not gate.job.stopping
    gate.job.cancel()
    assert gate.job.stopping
    gate.open.set()
    assert gate.job.wait(10)
    assert not gate.job.stopping
    assert (gate.job.state, gate.job.step) == ("cancelled", 0)
    with pytest.raises(JobCancelled, match="the picture is unchanged"):
        gate.job.value()


def test_waiting_work_is_dropped_at_once_and_others_move_up(jobs):
    gate, log = Gate(jobs), []
    first, second = (jobs.submit(name, note(log, name)) for name in ("ann", "bob"))
    first.cancel()
    assert jobs.place(second) == 1
    assert first.state == "cancelled"
    gate.open.set()
    assert second.wait(10)
    assert log == ["bob"]


def test_a_failure_is_told_in_one_line_and_the_next_is_served(jobs):
    def ours(callbacks):
        raise GroundbrushError("the mask is empty; draw one")

    def bug(callbacks):
        raise KeyError("x")

    def leaves(callbacks):
        raise SystemExit(3)

    asked = [jobs.submit("ann", work) for work in (ours, bug, leaves)]
    for job, words in zip(
        asked, ["the mask is empty; draw one", "KeyError: 'x'", "SystemExit"], strict=True
    ):
        assert job.wait(10)
        assert job.state == "failed"
        with pytest.raises(GroundbrushError, match=words):
            job.value()
    assert jobs.submit("ann", lambda callbacks: 1).wait(10)


@pytest.fixture
def uncollected():
    """Nothing is freed but by the end of its last reference."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


class Pictures:
    """Pictures that are counted for as long as something refers to them."""

    def __init__(self) -> None:
        self._made: list[weakref.ref] = []

    def make(self) -> np.ndarray:
        picture = np.zeros((10, 10))
        self._made.append(weakref.ref(picture))
        return picture

    def alive(self) -> int:
        return sum(made() is not None for made in self._made)


def test_failed_and_cancelled_jobs_keep_no_picture_of_their_frames(jobs, uncollected):
    pictures, kept = Pictures(), []

    def fails(callbacks):
        picture = pictures.make()
        try:
            raise KeyError(picture.shape)
        except KeyError as error:
            seen = error  # an error that its own frame refers to: a cycle
            raise GroundbrushError("no") from seen

    def is_cancelled(callbacks):
        kept[-1].cancel()
        return fails(callbacks)

    for work in (fails, is_cancelled) * 20:
        entered = threading.Event()
        kept.append(
            jobs.submit("ann", lambda callbacks, w=work, e=entered: e.wait(9) and w(callbacks))
        )
        entered.set()
        assert kept[-1].wait(10)
    assert [job.state for job in kept] == ["failed", "cancelled"] * 20
    jobs.submit("ann", lambda callbacks: None).wait(10)  # the worker has left the last one
    assert pictures.alive() == 0


def test_who_reads_a_failure_is_not_kept_by_it(jobs, uncollected):
    pictures = Pictures()

    def fails(callbacks):
        raise GroundbrushError("no")

    def read(job):
        picture = pictures.make()
        with pytest.raises(GroundbrushError, match="no"):
            job.value()
        return picture.shape

    job = jobs.submit("ann", fails)
    assert job.wait(10)
    for _ in range(2):
        read(job)
    gc.collect()  # of pytest's own cycle, which holds the frames while the job lives
    assert pictures.alive() == 0


def test_an_idle_queue_keeps_no_result(jobs, uncollected):
    pictures = Pictures()
    job = jobs.submit("ann", lambda callbacks: pictures.make())
    assert job.wait(10)
    assert pictures.alive() == 1
    del job
    deadline = time.monotonic() + 5
    while pictures.alive() and time.monotonic() < deadline:
        time.sleep(0.01)  # the worker returns to waiting
    assert pictures.alive() == 0


def test_the_line_is_bounded(jobs):
    gate = Gate(jobs)
    for _ in range(3):
        jobs.submit("ann", lambda callbacks: None)
    with pytest.raises(GroundbrushError, match="3 of yours are already waiting"):
        jobs.submit("ann", lambda callbacks: None)
    for k in range(3):
        jobs.submit(f"other{k}", lambda callbacks: None)
    with pytest.raises(GroundbrushError, match="6 others are already waiting"):
        jobs.submit("late", lambda callbacks: None)
    gate.open.set()


def test_work_of_someone_who_is_gone_is_stopped_after_a_while():
    now, there = 0.0, True
    job = Job("ann", lambda callbacks: None, lambda: there, lambda: now)
    now, there = 100.0, True
    assert not job.stopped()
    now, there = 100.0 + OWNER_TIMEOUT, False
    assert not job.stopped()
    now = 100.1 + OWNER_TIMEOUT
    assert job.stopped()
    job.run()
    assert job.state == "cancelled"


def test_closing_refuses_and_stops():
    jobs = JobQueue()
    gate = Gate(jobs)
    waiting = jobs.submit("ann", lambda callbacks: None)
    jobs.close()
    gate.open.set()
    assert gate.job.wait(10)
    assert (gate.job.state, waiting.state) == ("cancelled", "cancelled")
    with pytest.raises(GroundbrushError, match="is closing"):
        jobs.submit("ann", lambda callbacks: None)


def cancelled_after(jobs, work, is_slow) -> float:
    """Seconds from cancelling, once `is_slow` has been set by the work, to its end."""
    job = jobs.submit("ann", work)
    assert is_slow.wait(60)
    started = time.monotonic()
    job.cancel()
    assert job.wait(60)
    assert job.state == "cancelled"
    return time.monotonic() - started


def test_a_large_save_stops_within_a_second(jobs, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5000, 8000, 3), np.uint8)
    entered = threading.Event()

    def save(callbacks):
        entered.set()
        save_picture(tmp_path / "large.png", pixels)

    assert cancelled_after(jobs, save, entered) < 1 + SLACK
    assert list(tmp_path.iterdir()) == []


def test_mask_operations_stop_between_two(jobs):
    mask, done = np.zeros((400, 400), bool), []
    entered = threading.Event()

    def segment(**prompt):
        done.append(prompt)
        entered.set()
        time.sleep(0.1)
        return mask[None], np.ones(1)

    def work(callbacks):
        history = MaskHistory.start(mask, MaskScene(np.zeros((400, 400, 3), np.uint8), segment))
        boxes = tuple((1.0, 1.0, 9.0, 9.0) for _ in range(100))
        for _ in range(50):
            history = history.do(Boxes(boxes, snap=True))

    assert cancelled_after(jobs, work, entered) < 1 + SLACK
    assert len(done) < 60  # of 5,000

    def grow(callbacks):
        history = MaskHistory.start(np.eye(3000, dtype=bool))
        entered.set()
        for _ in range(500):
            history = history.do(Dilate(40))

    entered.clear()
    assert cancelled_after(jobs, grow, entered) < 1 + SLACK


@pytest.mark.parametrize("blend", ["poisson", "laplacian", "feather"])
def test_blending_stops_between_its_parts(jobs, blend):
    image = np.zeros((3000, 4000, 3), np.uint8)
    support = np.zeros((3000, 4000), bool)
    support[100:2900, 100:3900] = True
    settings = InpaintSettings(blend=blend)
    entered = threading.Event()

    def work(callbacks):
        crop = plan_crop((100, 100, 3900, 2900), (4000, 3000), settings)
        painted = np.zeros((*crop.canvas[::-1], 3), np.uint8)
        for _ in range(100):
            Target(image, support, support).paste(painted, crop, settings)
            entered.set()

    assert cancelled_after(jobs, work, entered) < 1 + SLACK


def test_batches_of_prompts_stop_between_two(jobs, miniature):
    segmenter, done = miniature.models.grounder().segmenter, []
    embedding = segmenter.embed(np.zeros((64, 64, 3), np.uint8))
    boxes = np.tile([[4.0, 4.0, 20.0, 20.0]], (64, 1))
    entered = threading.Event()

    def work(callbacks):
        for _ in range(2000):
            segmenter.prompt_logits(embedding, boxes=boxes)
            done.append(1)
            entered.set()

    assert cancelled_after(jobs, work, entered) < 1 + SLACK
    assert len(done) < 1000


def test_work_outside_a_job_is_not_stopped(jobs, tmp_path):
    jobs.submit("ann", lambda callbacks: None).cancel()
    save_picture(tmp_path / "a.png", np.zeros((9, 9, 3), np.uint8))
    check_cancelled()
