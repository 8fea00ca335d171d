"""Models away from the CPU, on one device or two: no tensor stays behind, no result differs."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from groundbrush.grounding import Presence, backend_class, load_lvlm, load_segmenter
from groundbrush.grounding.families import FAMILIES
from groundbrush.inpaint import InpaintSettings, fill, load_inpainter
from groundbrush.inpaint.device.memory import place
from groundbrush.inpaint.device.sharing import DeviceSharing, entries, networks_in

# pytest's importlib mode would not find what lies beside.
sys.path.extend(str(Path(__file__).parent / name) for name in ("grounding", "inpaint"))

from pretend_device import NAME, pretended_devices

FIRST, SECOND = (torch.device(NAME, index) for index in (0, 1))
SEGMENTER = Path(__file__).parents[1] / "miniature" / "weights" / "segmenter"
IMAGE = np.random.default_rng(7).integers(0, 256, (40, 60, 3), dtype=np.uint8)
PHRASES = ["red cup", "the dog"]


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.rows, other.rows)
        assert one.presence == other.presence


def spread_by_accelerate(network) -> dict[str, str]:
    """A map onto two cards, the first so small that text layers go to the second."""
    from accelerate import infer_auto_device_map
    from accelerate.utils import compute_module_sizes

    total, kept = compute_module_sizes(network)[""], list(network._no_split_modules)
    for part in range(95, 5, -5):
        cards = {0: total * part // 100, 1: total}
        spread = infer_auto_device_map(network, cards, no_split_module_classes=kept)
        on = {name.split(".", 1)[-1]: card for name, card in spread.items()}
        text = next((n.removesuffix(".embed_tokens") for n in on if n.endswith("embed_tokens")), "")
        if (
            text
            and on[f"{text}.embed_tokens"] == 0
            and 1 in (on.get(f"{text}.layers"), on.get(f"{text}.layers.1"))
        ):
            return {name: f"{NAME}:{card}" for name, card in spread.items()}
    raise AssertionError("no room splits the text layers from the tokens")


@pytest.mark.parametrize("name", [*FAMILIES, "paligemma2"])
def test_an_lvlm_reads_the_same_on_another_device_and_on_two(name, tmp_path):
    from accelerate import dispatch_model
    from tiny_families import save_family

    presence = Presence("is there {phrase} ?", yes="yes", no="no")
    lvlm = load_lvlm(
        save_family(name, tmp_path),
        family="paligemma" if name == "paligemma2" else name,
        dtype="bfloat16",
        presence=presence,
    )
    expected = lvlm.read(lvlm.encode(IMAGE), PHRASES)
    with pretended_devices() as seen:
        lvlm.network.to(FIRST)
        assert_same(lvlm.read(lvlm.encode(IMAGE), PHRASES), expected)
        assert not seen.mixed
        if name != "mini_gemini":  # it exists in its original layout only, which is not spread
            spread = spread_by_accelerate(lvlm.network)
            dispatch_model(lvlm.network, spread, main_device=FIRST, skip_keys="past_key_values")
            assert_same(lvlm.read(lvlm.encode(IMAGE), PHRASES), expected)


def test_sam_masks_the_same_on_another_device():
    segmenter = load_segmenter(SEGMENTER, dtype="bfloat16")
    box = (10, 8, 40, 30)
    expected = segmenter.predict(segmenter.embed(IMAGE), box=box)
    with pretended_devices() as seen:
        segmenter._model.to(SECOND)
        found = segmenter.predict(segmenter.embed(IMAGE), box=box)
    np.testing.assert_array_equal(found.logits, expected.logits)
    assert not seen.mixed


@pytest.mark.parametrize("kind", ["grounding-dino", "sam3"])
def test_a_detector_finds_the_same_on_another_device(kind, tmp_path):
    from tiny_backends import save_dino, save_sam3

    folder = (save_dino if kind == "grounding-dino" else save_sam3)(tmp_path)
    segmenter = load_segmenter(SEGMENTER, dtype="bfloat16")
    backend = backend_class(kind).load(folder, segmenter, dtype="bfloat16")
    expected = backend.ground(backend.look(IMAGE), PHRASES[0])
    with pretended_devices() as seen:
        for network in networks_in(backend):
            network.to(SECOND)
        found = backend.ground(backend.look(IMAGE), PHRASES[0])
    np.testing.assert_array_equal(found.map, expected.map)
    assert found.reason == expected.reason
    assert not seen.mixed


@pytest.mark.parametrize("mode", ["swap", "offload"])
def test_finder_and_painter_share_another_device(mode, tmp_path):
    """Each works twice, so that both leave the device and come back."""
    from tiny_families import save_family
    from tiny_inpainter import save_tiny

    painter = load_inpainter(save_tiny(tmp_path / "nine", 9), dtype="bfloat16")
    lvlm = load_lvlm(save_family("llava", tmp_path / "llava"), dtype="bfloat16")
    mask = np.zeros(IMAGE.shape[:2], bool)
    mask[10:30, 10:40] = True
    settings = InpaintSettings(steps=2, guidance=2.0, size=64, buckets="square")

    def both(painter):
        rows = lvlm.head_rows(lvlm.encode(IMAGE), PHRASES)
        return rows, fill(painter, IMAGE, mask, "a pear", seed=3, settings=settings).image

    rows, expected = both(painter)
    sharing = DeviceSharing(SECOND)
    with pretended_devices() as seen:
        lvlm.network.to(SECOND)
        sharing.add("finder", [lvlm.network])
        sharing.watch("finder", entries([lvlm.network]))
        moved = type(painter)(painter.pipe, place(painter.pipe, SECOND, mode, sharing))
        for _ in range(2):
            found, image = both(moved)
            np.testing.assert_array_equal(found, rows)
            np.testing.assert_array_equal(image, expected)
        assert sharing.away("finder")
    assert not seen.mixed
