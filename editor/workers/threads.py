"""The number of threads of a worker, and how long they spin while they wait for each other."""

from __future__ import annotations

import os

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
