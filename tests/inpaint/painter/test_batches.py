"""Several variants as one batch: each with its own seed's noise, the same bytes every time."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from groundbrush.inpaint import Cancelled, Inpainter, fill, fill_many, load_inpainter
from groundbrush.inpaint.device import memory as memory_module
from groundbrush.inpaint.device.memory import MOST_AT_ONCE, decode_bytes, denoise_bytes
from groundbrush.inpaint.errors import OutOfMemoryError


@pytest.fixture(params=["nine", "four"])
def inpainter(request) -> Inpainter:
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"strength": 0.6, "steps": 5},
        {"negative_prompt": "pear"},
        {"scheduler": "euler_a"},
        {"scheduler": "lcm"},
        {"guidance": 1.0},
        {"prompt": ""},
        {"prompt": "", "negative_prompt": "pear"},
    ],
    ids=str,
)
def test_each_variant_has_the_noise_of_its_own_seed(inpainter, picture, hole, quick, changes):
    prompt = changes.get("prompt", "red pear")
    settings = replace(quick, **{k: v for k, v in changes.items() if k != "prompt"})
    together = fill_many(inpainter, picture, hole, prompt, seeds=(5, 6, 7), settings=settings)
    for seed, found in zip((5, 6, 7), together, strict=True):
        alone = fill(inpainter, picture, hole, prompt, seed=seed, settings=settings)
        # only the last bits of a batch's sums differ
        assert np.abs(found.image.astype(int) - alone.image).max() <= 2
        assert (found.seed, found.together, alone.together) == (seed, (5, 6, 7), (seed,))
        np.testing.assert_array_equal(found.image[~found.support], picture[~found.support])
    assert (together[0].image != together[1].image).any()


def test_the_same_batch_gives_the_same_bytes(inpainter, picture, hole, quick):
    first = fill_many(inpainter, picture, hole, "red", seeds=(1, 2, 3), settings=quick)
    again = fill_many(inpainter, picture, hole, "red", seeds=(1, 2, 3), settings=quick)
    assert [f.image.tobytes() for f in first] == [f.image.tobytes() for f in again]


def test_a_batch_is_one_pass_of_steps_with_its_first_variant_shown(nine, picture, hole, quick):
    steps, shown = [], []
    settings = replace(quick, steps=10, strength=1.0)
    found = fill_many(
        nine,
        picture,
        hole,
        "red",
        seeds=(4, 5),
        settings=settings,
        on_step=lambda *step: steps.append(step),
        on_preview=lambda *preview: shown.append(preview[2]),
    )
    assert steps == [(step, 10) for step in range(1, 11)]
    assert len(shown) == 4
    assert np.abs(shown[-1].astype(int) - found[0].image).mean() < 30
    assert sum(f.timings["paint"] for f in found) > 0


def test_a_batch_is_cancelled_within_one_step(inpainter, picture, hole, quick):
    stop, steps = threading.Event(), []

    def on_step(step, total):
        steps.append(step)
        stop.set()

    with pytest.raises(Cancelled):
        fill_many(
            inpainter,
            picture,
            hole,
            "red",
            seeds=(0, 1, 2),
            settings=quick,
            on_step=on_step,
            cancelled=stop,
        )
    assert steps == [1]


def test_a_batch_that_memory_does_not_hold_is_painted_one_by_one(
    tiny_folder, picture, hole, quick, monkeypatch
):
    inpainter = load_inpainter(tiny_folder, offline=True)
    forward, sizes = inpainter.pipe.unet.forward, []

    def small(sample, *arguments, **options):
        sizes.append(len(sample))
        if len(sample) > 2:  # more than one picture, guided
            raise torch.OutOfMemoryError("no")
        return forward(sample, *arguments, **options)

    monkeypatch.setattr(inpainter.pipe.unet, "forward", small)
    found = fill_many(inpainter, picture, hole, "red", seeds=(3, 4, 5), settings=quick)
    assert sizes[0] == 6 and set(sizes[1:]) == {2}
    for one in found:
        alone = fill(inpainter, picture, hole, "red", seed=one.seed, settings=quick)
        assert one.image.tobytes() == alone.image.tobytes()
        assert one.together == (one.seed,)
        assert one.notes == ("Memory ran out painting 3 variants at once: painted one by one.",)
    assert inpainter.memory_notes == ()  # a batch is not worth tiles
    with pytest.raises(OutOfMemoryError, match="out of memory painting 3 times 64x64 pixels"):
        inpainter.paint_many(
            np.zeros((64, 64, 3), np.uint8),
            np.ones((64, 64), bool),
            "red",
            seeds=(1, 2, 3),
            settings=quick,
        )


def test_as_many_as_the_free_memory_holds(nine, monkeypatch):
    def with_free(free: int) -> list[int]:
        monkeypatch.setattr(memory_module, "free_bytes", lambda device: free)
        return [nine.at_once((1024, 1024), wanted) for wanted in (1, 2, 16)]

    decoding, each = decode_bytes(1024**2, 4), denoise_bytes(1024**2, 4)
    assert with_free(0) == [1, 1, 1]
    assert with_free(decoding - 1) == [1, 1, 1]
    assert with_free(7 * each + 1) == [1, 2, 7]
    assert with_free(10**15) == [1, 2, MOST_AT_ONCE]


def test_a_canvas_that_cannot_fit_is_made_smaller_before(nine, picture, hole, quick, monkeypatch):
    free = denoise_bytes(96 * 96, 4)
    monkeypatch.setattr(memory_module, "free_bytes", lambda device: free)
    found = fill(nine, picture, hole, "red", settings=replace(quick, size=128))
    assert (found.crops[0].canvas, found.settings.size) == ((96, 96), 96)
    assert found.notes == ("Memory would run out at size 128: painted at 96.",)
