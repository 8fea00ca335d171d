"""SDXL at its real size on the meta device: counts and shapes."""

from __future__ import annotations

import pytest
import torch
from groundbrush.inpaint.device.memory import decode_bytes, denoise_bytes
from groundbrush.inpaint.painter.inpainter import quiet_libraries

from benchmarks import full_size

PUBLISHED = {
    "unet": 2_567_478_084,
    "vae": 83_653_863,
    "text_encoder": 123_060_480,
    "text_encoder_2": 694_659_840,
}


@pytest.fixture(scope="module")
def parts():
    with quiet_libraries():
        return full_size.sdxl_parts()


def test_every_part_has_the_published_number_of_parameters(parts):
    for name, part in parts.items():
        assert full_size.count(part) == PUBLISHED[name], name
        assert {p.device.type for p in part.parameters()} == {"meta"}


def test_the_estimates_cover_what_the_layers_hold(parts):
    row = full_size.activations(parts, 960, 1088)
    assert row["latents_out"] == [2, 4, 136, 120]
    assert row["pixels_out"] == [1, 3, 1088, 960]
    area = 960 * 1088
    assert row["step_gb"] * 1e9 < denoise_bytes(area, 2) < 2 * row["step_gb"] * 1e9
    assert row["decode_gb"] * 1e9 < decode_bytes(area, 2) < 2 * row["decode_gb"] * 1e9


def test_what_is_held_is_counted_by_hand():
    """(4, 8) of 128 bytes gives (4, 8), then its sum: the first is dropped before the last."""

    def run() -> torch.Tensor:
        first = x + 1
        second = first * 2
        del first
        return second.sum(0, keepdim=True)

    x = torch.empty(4, 8, device="meta")
    peak, shape = full_size.held_by(run)
    assert (peak, shape) == (256, (1, 8))


def test_smaller_cards_get_more_frugal_modes():
    sizes = {"unet": 5_100_000_000, "vae": 170_000_000, "text_encoder_2": 1_400_000_000}
    rows = full_size.cards(sizes, {"alone": 0, "finders": 15_400_000_000})
    alone = [full_size.MODES.index(row["alone"]) for row in rows]
    assert alone == sorted(alone) and rows[0]["finders"] == "resident"
    assert rows[-1]["finders"] == "-"
