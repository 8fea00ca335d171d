"""Differential diffusion: the hole of a 4-channel model opens step by step."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from groundbrush.inpaint import InpaintError, fill, fill_many, load_inpainter
from groundbrush.inpaint.support import change_map, free_cells
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture
def soft(quick):
    return replace(quick, steps=6, strength=1.0, differential=40)


def test_the_hole_opens_from_its_middle(four, soft, monkeypatch):
    """Hand-worked: a hole of 40 pixels on 64, cells of 8: 5 x 5 cells, the edge's of value 0.4."""
    seen, step = [], four.pipe.scheduler.step

    def spy(noise, time, latents, **options):
        result = step(noise, time, latents, **options)
        seen.append(result[0].clone())
        return result

    blended = []
    monkeypatch.setattr(four.pipe.scheduler, "step", spy)
    settings = replace(soft, steps=4, differential=20)
    mask = np.zeros((64, 64), bool)
    mask[8:48, 8:48] = True
    change = change_map(mask, 20, 8)
    np.testing.assert_allclose(change[1:6, 3], [8 / 20, 16 / 20, 1, 16 / 20, 8 / 20], atol=0.01)

    from groundbrush.inpaint.callbacks import Progress

    watched = Progress.on_step_end

    def after(self, pipe, index, time, tensors):
        blended.append((tensors["latents"].clone(), tensors["mask"].clone()))
        return watched(self, pipe, index, time, tensors)

    monkeypatch.setattr(Progress, "on_step_end", after)
    four.paint(np.zeros((64, 64, 3), np.uint8), mask, "red", settings=settings)
    free = [int(m[0, 0].sum()) for _, m in blended]
    assert free == [9, 9, 25, 25]  # above 3/4, 1/2, 1/4 (0.4 is) and 0
    for (latents, used), model in zip(blended, seen, strict=True):
        same = (latents == model).all(1)[0]  # where the model's own latents were kept
        np.testing.assert_array_equal(same.numpy(), used[0, 0].numpy() > 0.5)


def test_it_changes_the_painting_and_nothing_outside(four, picture, hole, soft):
    hard = fill(four, picture, hole, "red", seed=3, settings=replace(soft, differential=0))
    first = fill(four, picture, hole, "red", seed=3, settings=soft)
    again = fill(four, picture, hole, "red", seed=3, settings=soft)
    assert first.image.tobytes() == again.image.tobytes()
    assert (first.image != hard.image).any()
    np.testing.assert_array_equal(first.image[~first.support], picture[~first.support])
    np.testing.assert_array_equal(first.support, hard.support)


def test_in_a_batch_and_without_guidance(four, picture, hole, soft):
    settings = replace(soft, guidance=1.0)
    together = fill_many(four, picture, hole, "red", seeds=(1, 2), settings=settings)
    alone = fill(four, picture, hole, "red", seed=2, settings=settings)
    assert np.abs(together[1].image.astype(int) - alone.image).max() <= 2


def test_a_ramp_of_no_width_is_the_hard_mask(four, picture, hole, soft):
    hard = fill(four, picture, hole, "red", seed=3, settings=replace(soft, differential=0))
    narrow = fill(four, picture, hole, "red", seed=3, settings=replace(soft, differential=1))
    assert hard.image.tobytes() == narrow.image.tobytes()


def test_it_follows_previews_steps_and_wishes_to_stop(four, picture, hole, soft):
    steps = []
    fill(four, picture, hole, "red", settings=soft, on_step=lambda *step: steps.append(step))
    assert steps == [(step, 6) for step in range(1, 7)]


def test_other_models_refuse_it(nine, four_folder, picture, hole, soft, tmp_path):
    from test_control import save_control
    from tiny_flow import save_tiny_flux

    net = {"path": str(save_control(tmp_path / "net"))}
    others = [
        nine,
        load_inpainter(four_folder, offline=True, controlnet=net),
        load_inpainter(save_tiny_flux(tmp_path / "flux"), offline=True),
    ]
    for other in others:
        with pytest.raises(InpaintError, match="differential: got 40 for .* 4-channel UNet"):
            fill(other, picture, hole, "red", settings=soft)


@given(
    holes=st.lists(st.tuples(*[st.integers(0, 31)] * 4), min_size=1, max_size=4),
    width=st.integers(1, 40),
    total=st.integers(1, 12),
)
def test_cells_open_once_and_all_of_the_hole_opens(holes, width, total):
    mask = np.zeros((32, 32), bool)
    for a, b, c, d in holes:
        mask[min(a, b) : max(a, b) + 1, min(c, d) : max(c, d) + 1] = True
    change = change_map(mask, width, 8)
    touched = mask.reshape(4, 8, 4, 8).any((1, 3))
    np.testing.assert_array_equal(change > 0, touched)
    assert change.max() == 1
    free = [free_cells(change, step, total) for step in range(total)]
    assert free[0].any()
    for before, after in itertools.pairwise(free):
        assert (before <= after).all()
    np.testing.assert_array_equal(free[-1], touched)
