"""Threads of a worker: how many, how long they wait for each other awake, and who begins them."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
TURNS = 1000
"""Turns that a worker's thread waits awake for the others of its team before it sleeps.

A step of a model is hundreds of short pieces that all threads of a team must end together. libgomp
lets those that are done first wait awake for milliseconds (300,000 turns). Where another program
has the CPU of the last one, the others then hold the CPU that it could have, at every piece: some
edits then take many times as long as others, and workers, whom a cluster gives a low priority, may
not come to an end. With few turns two threads lose a third where they are alone; a single one waits
for nobody. ``benchmarks.waiting`` measures both, and docs/performance.md shows it.
"""


def keep_to(cpus: int) -> None:
    """Give this process' libraries so many threads, which wait but shortly for each other.

    Torch, BLAS and OpenCV read it when they are imported, so it comes before that. What the
    environment says already stays.

    Parameters
    ----------
    cpus
        Of this process; OpenCV would take all of the machine's.
    """
    threads = os.environ.setdefault("OMP_NUM_THREADS", str(cpus))
    os.environ.setdefault("OPENCV_FOR_THREADS_NUM", threads.split(",")[0].strip())
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(os.environ):
        os.environ["GOMP_SPINCOUNT"] = str(TURNS)


class OneThread:
    """Calls everything from one thread, whoever asks.

    libgomp keeps a team of threads for each thread that ever computed. Ray makes a worker in one
    thread and calls it in another: with models loaded in the one and used in the other there are
    twice as many threads as CPUs, and libgomp then lets them wait awake for 100 turns only.

    Examples
    --------
    >>> one = OneThread()
    >>> one(max, [1, 2]), one(min, [1, 2])
    (2, 1)
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1)

    def __call__(self, work: Callable[..., T], *values: object) -> T:
        """What the work returns; what it raises is raised here."""
        return self._pool.submit(work, *values).result()
