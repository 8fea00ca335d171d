"""A real `Editor` with fake models: it finds and paints in no time, step by step.

Run as a program it serves until it gets a signal: ``quick_editor.py STEP KEEP QUEUE [SETTINGS]``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[4]))
sys.path.insert(0, str(Path(__file__).parents[2] / "editor" / "batch"))

from fake_editor import FakeEditor, FakeModels, _raise
from groundbrush.editor.api import Editor
from groundbrush.editor.editing.pipeline import Callbacks
from groundbrush.editor.editing.region import find_region
from groundbrush.editor.editing.result import Edit, Variant
from groundbrush.editor.pictures.picture import open_picture
from groundbrush.editor.request import read_request
from groundbrush.inpaint.errors import Cancelled

STEPS = 3


class QuickEditor(Editor):
    """Words steer it as they do the batch's `FakeEditor`; `gate` holds it in its first step."""

    def __init__(self, step_seconds: float = 0.0) -> None:
        super().__init__(FakeModels(Counter()))
        self.step_seconds = step_seconds
        self.gate = threading.Event()
        self.gate.set()
        self.painted: list[str] = []
        self.finder.ground = self._ground
        self.finder.whole = lambda _, mask: mask

    def _ground(self, picture: Any, phrase: str) -> Any:
        self.gate.wait(20)
        return FakeEditor().ground(picture, phrase)

    def ground_all(self, image: Any, sentence: str, *, mode: str = "phrases") -> Any:
        return FakeEditor().ground_all(image, sentence)

    def apply(self, image: Any, plan: Any, **options: Any) -> list[Edit]:
        edits = []
        for step in plan.steps:
            words = [step.find] if step.paint is None else [step.find, step.paint]
            do = self.remove if step.paint is None else self.edit
            edits.append(do(image, *words, seed=options["seed"] + len(edits)))
            image = edits[-1].image
        return edits

    def run(self, recipe: Any, image: Any = None, **callbacks: Any) -> Edit:
        request, picture = read_request(recipe), open_picture(image)
        for step in (*request.before, request):
            edit = self.paint(picture, step, Callbacks(**callbacks))
            picture = dataclasses.replace(edit.picture, pixels=edit.image, notes=())
        return edit

    def paint(self, image: Any, request: Any, callbacks: Any = None, *found: Any) -> Edit:
        picture, callbacks = open_picture(image), callbacks or Callbacks()
        words = request.paint or "background"
        request = request.model_copy(update={"preset": "fake"})
        self.gate.wait(20)

        _raise(words)
        place = find_region(self.finder, picture, request)
        picture, mask = place.picture, place.history.mask
        for step in range(1, STEPS + 1):
            if callbacks.cancelled is not None and callbacks.cancelled():
                raise Cancelled("stopped between steps")
            time.sleep(self.step_seconds)
            if callbacks.on_step is not None:
                callbacks.on_step(step, STEPS)
        self.painted.append(words)
        if not mask.any():
            return Edit(
                False,
                picture.pixels,
                picture,
                place.grounding,
                mask,
                {},
                0,
                (),
                {},
                ("it is absent",),
                {},
                request,
            )
        variants = []
        for seed in range(request.seed, request.seed + request.variants):
            pixels = picture.pixels.copy()
            pixels[mask] = colour(words, seed)
            variants.append(Variant(pixels, seed, {"passed": None}))
        return Edit(
            True,
            variants[0].image,
            picture,
            place.grounding,
            mask,
            {},
            request.seed,
            tuple(variants),
            {"preserved": True},
            picture.notes,
            {"paint": 0.0},
            request,
        )


def colour(words: str, seed: int) -> list[int]:
    """What is painted for these words."""
    return list(hashlib.sha256(f"{words}{seed}".encode()).digest()[:3])


if __name__ == "__main__":
    from groundbrush.app.http import ServeSettings, serve

    seconds, keep, queue = float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    more = json.loads(sys.argv[4]) if len(sys.argv) > 4 else {}
    settings = {"keep": keep, "queue": queue, "queue_each": queue, "grace": 20} | more
    proxies = settings.pop("proxies", ())
    serve(
        QuickEditor(seconds),
        ServeSettings(**settings),
        port=0,
        proxies=proxies,
        report=lambda words: print(json.dumps(words), flush=True),
    )
