"""Threads of a worker: how many, how long they wait for each other awake, and who begins them."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
_SPIN = "1000"
"""Turns that a thread waits awake for the others of its team before it sleeps.

A step of a model is hundreds of short pieces that all threads of a team must end together. libgomp
lets those that are done first wait awake for milliseconds (300,000 turns). Where another program
has the CPU of the last one, the others then hold the CPU that it could have, at every piece: a unit
of 0.16 s on two threads took 0.8 s beside one busy program, and at a lower priority than its not a
minute was enough. With so many turns it is 0.5 s at either priority, and alone still 0.16 s; with
none at all (``OMP_WAIT_POLICY=passive``) 0.3 s, beside another or alone, as slow as one thread.
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
        os.environ["GOMP_SPINCOUNT"] = _SPIN


class OneThread:
    """Calls everything from one thread, whoever asks.

    libgomp keeps a team of threads for each thread that ever computed. Ray makes a worker in one
    thread and calls it in another: with models loaded in the one and used in the other there are
    twice as many threads as CPUs, and libgomp then lets none wait awake (100 turns). Two threads
    took 0.29 s for what takes them 0.15 s and one thread 0.25 s.

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
