"""Promise 8: "done" is said only of what was done, in tests through the public surface alone.

Each file holds one kind of fault that trials met, with the right value asserted. What fails today
is a strict xfail with its reason; the fix removes the mark.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import groundbrush
import numpy as np
import pytest
from groundbrush import GroundbrushError
from groundbrush.__main__ import main
from groundbrush.miniature.scenes import CROWDED, Scene, compose
from PIL import Image

EXAMPLES = Path(groundbrush.__file__).parent / "examples"


@dataclass(frozen=True, eq=False)
class Example:
    """A bundled picture and the truth about it."""

    path: Path
    scene: Scene

    def masks(self, noun: str, colour: str | None = None) -> list[np.ndarray]:
        """The visible pixels of each thing of a noun."""
        return [
            self.scene.mask(k)
            for k, thing in enumerate(self.scene.objects)
            if thing.noun == noun and colour in (None, thing.colour)
        ]

    def mask(self, noun: str, colour: str | None = None) -> np.ndarray:
        """All things of a noun together."""
        return np.any(self.masks(noun, colour), axis=0)


@dataclass(frozen=True)
class Ran:
    """What one command came to."""

    status: int
    out: str
    err: str
    folder: Path

    @property
    def said(self) -> str:
        return self.out + self.err

    @property
    def facts(self) -> dict[str, Any]:
        return json.loads(self.out)

    def covered(self, example: Example, noun: str) -> float:
        """Share of a thing's pixels that some written picture has changed."""
        changed = np.zeros(example.scene.image.shape[:2], bool)
        for pattern in ("*.edited*.png", "*.applied*.png"):
            for file in self.folder.glob(pattern):
                pixels = np.asarray(Image.open(file).convert("RGB"))
                changed |= (pixels != example.scene.image).any(2)
        return float(changed[example.mask(noun)].mean())


@pytest.fixture(scope="session")
def example() -> Callable[[str], Example]:
    """A bundled picture by its name."""
    rows = {
        row["name"]: row
        for row in json.loads((EXAMPLES / "examples.json").read_text(encoding="utf-8"))
    }

    def get(name: str) -> Example:
        row = rows[name]
        scene = compose(row["split"], row["seed"], CROWDED if row["crowded"] else None)
        return Example(EXAMPLES / row["image"], scene)

    return get


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Ran]:
    """Run a command with a new folder for its results."""
    number = iter(range(100))

    def run(*words: object, out: Path | str | None = None) -> Ran:
        folder = tmp_path / f"results-{next(number)}" if out is None else Path(out)
        capfd.readouterr()
        try:
            status = main([*map(str, words), "--out", str(folder)])
        except SystemExit as stopped:  # argparse: wrong usage
            status = int(stopped.code or 0)
        said = capfd.readouterr()
        return Ran(status, said.out, said.err, folder)

    return run


@pytest.fixture
def attempt() -> Callable[[Callable[[], Any]], Any]:
    """What a call returns, or the message of a request that is refused."""

    def call(work: Callable[[], Any]) -> Any:
        try:
            return work()
        except GroundbrushError as error:
            return str(error)

    return call


@pytest.fixture
def picture_of_two_places(tmp_path: Path) -> Path:
    """A large picture with plain corners."""
    path = tmp_path / "large.png"
    Image.open(EXAMPLES / "fruit.png").convert("RGB").resize((2048, 1536)).save(path)
    return path
