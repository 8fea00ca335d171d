"""A worker's libraries keep to its CPUs; one editor serves many threads."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import groundbrush
import pytest
from groundbrush import Editor
from groundbrush.editor.workers.ray_pool import limit_threads

NAMES = ("OMP_NUM_THREADS", "OPENCV_FOR_THREADS_NUM", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


@pytest.fixture
def unsaid(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that says nothing of threads; what there was comes back."""
    for name in NAMES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def said() -> dict[str, str]:
    return {name: os.environ[name] for name in NAMES if name in os.environ}


def test_threads_are_as_many_as_cpus(unsaid: None) -> None:
    limit_threads(3)
    assert said() == {
        "OMP_NUM_THREADS": "3",
        "OPENCV_FOR_THREADS_NUM": "3",
        "GOMP_SPINCOUNT": "1000",
    }


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"OMP_NUM_THREADS": "5"}, {"OPENCV_FOR_THREADS_NUM": "5", "GOMP_SPINCOUNT": "1000"}),
        ({"OMP_NUM_THREADS": "4,2"}, {"OPENCV_FOR_THREADS_NUM": "4", "GOMP_SPINCOUNT": "1000"}),
        ({"OMP_WAIT_POLICY": "active"}, {"OMP_NUM_THREADS": "3", "OPENCV_FOR_THREADS_NUM": "3"}),
        ({"GOMP_SPINCOUNT": "7", "OPENCV_FOR_THREADS_NUM": "2"}, {"OMP_NUM_THREADS": "3"}),
    ],
)
def test_what_the_environment_says_stays(
    unsaid: None, monkeypatch: pytest.MonkeyPatch, before: dict, after: dict
) -> None:
    for name, value in before.items():
        monkeypatch.setenv(name, value)
    limit_threads(3)
    assert said() == {**before, **after}


def test_the_libraries_follow() -> None:
    """In a process that imports them afterwards; by themselves they take every core."""
    code = (
        "from groundbrush.editor.workers.ray_pool import limit_threads; limit_threads(1); "
        "import cv2, torch; "
        "print(torch.get_num_threads(), cv2.getNumThreads())"
    )
    environment = {k: v for k, v in os.environ.items() if k not in NAMES}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, "OMP_DISPLAY_ENV": "verbose"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["1", "1"]
    if "GOMP_SPINCOUNT" in done.stderr:  # libgomp, not another OpenMP
        assert "GOMP_SPINCOUNT = '1000'" in done.stderr


def test_reading_a_prompt_leaves_a_painting_in_another_thread_alone(miniature: Editor) -> None:
    """A fast tokenizer keeps its padding between calls: "Sizes of tensors must match".

    A painting in another thread sets it, is interrupted here, and then encodes its prompts.
    """
    inpainter = miniature.models.inpainter()
    tokenizer, most = inpainter._reader()
    tokenizer("a frog", padding="max_length", max_length=most, truncation=True)
    set_by_a_painting = tokenizer.backend_tokenizer.padding
    assert set_by_a_painting["length"] == most
    assert inpainter.cut_off("a green pear") == ""
    assert inpainter.cut_off("a green pear " * most).startswith(("a", "green", "pear"))
    assert tokenizer.backend_tokenizer.padding == set_by_a_painting


def test_one_editor_from_many_threads_gives_each_its_own_result(miniature: Editor) -> None:
    picture = Path(groundbrush.__file__).with_name("examples") / "fruit.png"
    asked = [
        ("the red apple", "a frog", 1),
        ("the banana", "a frog", 2),
        ("the red apple", "a dog", 3),
    ]

    def edit(find: str, paint: str, seed: int) -> bytes:
        done = miniature.edit(picture, find, paint, seed=seed, settings={"steps": 2})
        return done.image.tobytes()

    alone = [edit(*one) for one in asked]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda one: edit(*one), asked * 2))
    assert together == alone * 2
