"""Kills a batch at moment after moment and resumes it until it ends. A script of test_crashes.

One process loads everything once and forks a child for every life of the batch; a child that is to
die sends itself SIGKILL: at the n-th step of its file system work (half a write is done before it,
where the step is a write), whenever a timer says so, or, with real models, by progress: in the n-th
step of painting, or when the n-th file gets its final name.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fake_editor import FakeEditor
from groundbrush import (
    Editor,
    inpaint,  # noqa: F401 - so that no child loads it again
)
from groundbrush.editor.batch import BatchJob, read_manifest, run_batch
from groundbrush.inpaint.callbacks import Progress

STEPS = ("write", "fsync", "replace", "open", "ftruncate", "unlink")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)  # it is on its way


def die_at(step: int, torn: float) -> None:
    """Replace what writes files so that its step-th use is the last thing this process does."""
    left = step

    def counted(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                if name == "write":
                    original(args[0], bytes(args[1])[: int(len(args[1]) * torn)])
                die()
            return original(*args, **options)

        return call

    for name in STEPS:
        setattr(os, name, counted(name, getattr(os, name)))


def die_while(painting: bool, at: int) -> None:
    """Die in that step of painting, or before that file has its final name."""
    owner, name = (Progress, "on_step_end") if painting else (os, "replace")
    original, left = getattr(owner, name), at

    def counted(*args: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            die()
        return original(*args)

    setattr(owner, name, counted)


def live(job: BatchJob, log: Path, editor: Editor | None = None) -> None:
    """One life: every call of a model leaves a line."""
    if editor is not None:
        run_batch(job, lambda: editor)
        return

    class Logged(list):
        def append(self, call: tuple) -> None:
            with log.open("a") as file:
                file.write(json.dumps(call) + "\n")

    run_batch(job, lambda: FakeEditor(Logged()))


def main(manifest: str, folder: str, kills: int, seed: int, preset: str = "") -> None:
    """Until that many have died; a batch that ends before is followed by another one."""
    editor = Editor.load(preset, offline=True) if preset else None
    if editor is not None:
        editor.models.grounder(), editor.models.inpainter()
    random_moments, rows = random.Random(seed), read_manifest(manifest)
    batches: list[list[int]] = [[]]  # for each batch, how many masks there were at each death
    while True:
        step, torn = random_moments.randint(1, 110), random_moments.random()
        delay, dead = random_moments.uniform(0.0, 0.12), sum(map(len, batches))
        out = Path(folder) / f"batch{len(batches)}"
        child = os.fork()
        if not child:
            if dead < kills and editor is not None:
                die_while(dead % 3 != 2, 1 + step % (9 if dead % 3 != 2 else 15))
            elif dead < kills and dead % 2:
                signal.signal(signal.SIGPROF, lambda *_: die())
                signal.setitimer(signal.ITIMER_PROF, delay)  # of computing: no matter how busy
            elif dead < kills:
                die_at(step, torn)
            live(BatchJob(rows, out, resume=True), out.with_suffix(".calls"), editor)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            batches[-1].append(len(list(out.glob("*.mask.png"))))
        elif status:
            raise SystemExit(f"{out} ended with {status}")
        elif dead == kills:
            break
        else:
            batches.append([])
    print(json.dumps(batches))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), *sys.argv[5:])
