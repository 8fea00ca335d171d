"""Memory modes: chosen by size, arranged by diffusers' real hooks, stepped down to in order.

An accelerator is played by the CPU where only the hooks matter, by fakes where its memory does.
"""

from __future__ import annotations

import weakref
from types import SimpleNamespace

import pytest
import torch
from groundbrush.inpaint import InpaintError, fill, load_inpainter
from groundbrush.inpaint.device import memory
from groundbrush.inpaint.device.memory import (
    MODES,
    Placement,
    choose_mode,
    decode_bytes,
    denoise_bytes,
    free_bytes,
    is_out_of_memory,
    part_bytes,
    place,
    vae_itemsize,
)
from groundbrush.inpaint.device.sharing import DeviceSharing, weight_bytes
from groundbrush.inpaint.errors import OutOfMemoryError
from hypothesis import given
from hypothesis import strategies as st

GPU = SimpleNamespace(type="cuda")


def part(size: int) -> SimpleNamespace:
    """A network of so many bytes."""
    weights = torch.zeros(size, dtype=torch.uint8)
    return SimpleNamespace(parameters=lambda: [weights], buffers=lambda: [], to=lambda device: None)


class FakePipe:
    """A pipeline of two parts that writes down where it was put. Its canvas takes next to none."""

    def __init__(self) -> None:
        self.components = {"unet": part(600_000), "vae": part(400_000), "tokenizer": object()}
        self.dtype, self.vae_scale_factor = torch.float16, 1
        self.unet = SimpleNamespace(config=SimpleNamespace(sample_size=1))
        self.vae = SimpleNamespace(
            use_tiling=False,
            enable_slicing=lambda: None,
            enable_tiling=self._tile,
            config=SimpleNamespace(force_upcast=False),
        )
        self._exclude_from_cpu_offload = []
        self.log: list[str] = []

    def _tile(self) -> None:
        self.vae.use_tiling = True
        self.log.append("tiles")

    def to(self, device) -> None:
        self.log.append(f"to {getattr(device, 'type', device)}")

    def enable_model_cpu_offload(self, device) -> None:
        self.log.append("offload")

    def enable_sequential_cpu_offload(self, device) -> None:
        self.log.append(f"sequential but {self._exclude_from_cpu_offload}")


def test_bytes_are_counted(tiny_folder, nine):
    layer = torch.nn.Linear(10, 5, dtype=torch.float16)
    assert weight_bytes(layer) == 2 * (50 + 5)
    parts = part_bytes(nine.pipe)
    assert set(parts) == {"vae", "text_encoder", "text_encoder_2", "unet"}
    assert parts["unet"] == 4 * sum(p.numel() for p in nine.pipe.unet.parameters())
    assert free_bytes(torch.device("cpu")) > 2**20


@given(
    parts=st.lists(st.integers(1, 100), min_size=1, max_size=5),
    others=st.integers(0, 200),
    working=st.integers(1, 50),
    frees=st.lists(st.integers(0, 800), min_size=2, max_size=6),
)
def test_less_memory_never_chooses_a_faster_mode(parts, others, working, frees):
    named = {str(k): size for k, size in enumerate(parts)}
    frees = sorted(frees, reverse=True)
    chosen = [MODES.index(choose_mode(f, named, others, working, 2 * working)) for f in frees]
    assert chosen == sorted(chosen)
    if frees[0] >= 1.1 * sum(parts) + 2 * working + 1:
        assert chosen[0] == MODES.index("resident")


def test_more_variants_want_more_and_tiles_less():
    assert denoise_bytes(1024**2, 2, 8) == 8 * denoise_bytes(1024**2, 2)
    assert decode_bytes(1024**2, 2, tiled=True) < decode_bytes(1024**2, 2)
    for work in (denoise_bytes, decode_bytes):
        assert work(512**2, 2) * 4 == work(1024**2, 2) == work(1024**2, 4) // 2


@pytest.mark.parametrize(
    ("free", "held", "mode", "log"),
    [
        (2_000_000, 0, "resident", ["to cuda"]),
        (700_000, 500_000, "swap", ["to cuda"]),
        (700_000, 0, "offload", ["offload"]),
        (300_000, 0, "sequential", ["sequential but ['vae']", "tiles"]),
    ],
)
def test_auto_takes_what_fits(monkeypatch, free, held, mode, log):
    pipe, sharing = FakePipe(), DeviceSharing(torch.device("cpu"))
    sharing.add("finder", [part(held)])
    monkeypatch.setattr(memory, "free_bytes", lambda device: free)
    placement = place(pipe, GPU, "auto", sharing)
    assert placement.mode == mode
    assert pipe.log == log
    assert sharing.exclusive == (mode != "resident")


@pytest.mark.parametrize(
    ("fails", "mode"), [(("resident",), "offload"), (("resident", "offload"), "sequential")]
)
def test_running_out_while_it_is_placed_steps_down(monkeypatch, fails, mode):
    pipe = FakePipe()
    monkeypatch.setattr(memory, "free_bytes", lambda device: 10**12)

    def out(device) -> None:
        if getattr(device, "type", device) != "cpu":
            raise torch.OutOfMemoryError("CUDA out of memory")

    pipe.to = out
    if "offload" in fails:
        pipe.enable_model_cpu_offload = lambda device: out(GPU)
    placement = place(pipe, GPU, "auto")
    assert placement.mode == mode
    assert placement.notes == (f"Memory ran out: placed in mode {mode!r} instead of 'resident'.",)
    pipe.enable_model_cpu_offload = pipe.enable_sequential_cpu_offload = lambda device: out(GPU)
    with pytest.raises(OutOfMemoryError, match="out of memory while the inpainter was placed"):
        place(pipe, GPU, "auto")


@pytest.mark.parametrize("mode", MODES[1:])
def test_a_mode_that_is_asked_for_is_taken(monkeypatch, mode):
    pipe = FakePipe()
    monkeypatch.setattr(memory, "free_bytes", lambda device: 10**12)
    assert place(pipe, GPU, mode).mode == mode


def test_an_autoencoder_that_overflows_in_half_precision_decodes_in_full():
    pipe = FakePipe()
    assert vae_itemsize(pipe) == 2
    pipe.vae.config.force_upcast = True
    assert vae_itemsize(pipe) == 4
    del pipe.unet  # those of flow-matching models say so too, and do not overflow
    assert vae_itemsize(pipe) == 2


@pytest.mark.parametrize("kind", ["tiny_folder", "four_folder"])
def test_offloaded_parts_paint_the_same_picture(request, kind, picture, hole, quick):
    """diffusers' and accelerate's real hooks, with the CPU on both ends of them."""
    folder = request.getfixturevalue(kind)
    plain, moved = (load_inpainter(folder, offline=True) for _ in range(2))
    moved.placement.switch("offload")
    assert hasattr(moved.pipe.unet, "_hf_hook")
    shown = []
    for _ in range(2):
        first = fill(plain, picture, hole, "red", seed=3, settings=quick)
        second = fill(
            moved,
            picture,
            hole,
            "red",
            seed=3,
            settings=quick,
            on_preview=lambda *preview: shown.append(preview),
        )
        assert first.image.tobytes() == second.image.tobytes()
    assert shown


def test_layer_by_layer_all_but_the_autoencoder_wait_outside(tiny_folder):
    """accelerate's hooks run on an accelerator only: painting is tested where there is one."""
    inpainter = load_inpainter(tiny_folder, offline=True)
    inpainter.placement.switch("offload")
    inpainter.placement.switch("sequential")
    for name, kind in (("unet", "meta"), ("text_encoder_2", "meta"), ("vae", "cpu")):
        network = inpainter.pipe.components[name]
        assert {p.device.type for p in network.parameters()} == {kind}, name
    assert inpainter.pipe.vae.use_tiling
    assert inpainter.pipe._execution_device.type == "cpu"


def test_running_out_steps_down_in_order_and_says_so():
    pipe = FakePipe()
    sharing = DeviceSharing(torch.device("cpu"))
    sharing.add("finder", [part(4)])
    placement, tries = Placement(pipe, GPU, "resident", sharing), []

    def work() -> str:
        tries.append(placement.mode)
        if len(tries) < 5:
            raise torch.OutOfMemoryError("no")
        return "done"

    assert placement.retry(work, "painting") == "done"
    assert tries == ["resident", "swap", "swap", "offload", "sequential"]
    assert pipe.log == ["tiles", "offload", "sequential but ['vae']"]
    assert [note.split(": ")[1].split(" (")[0] for note in placement.notes] == [
        "the finder's models now leave the accelerator while painting",
        "pictures are now encoded and decoded in tiles",
        "one pipeline component at a time is now on the accelerator",
        "one layer at a time is now on the accelerator",
    ]
    assert sharing.exclusive

    def never() -> str:
        raise torch.OutOfMemoryError("no")

    with pytest.raises(OutOfMemoryError, match="out of memory painting; .*memory='sequential'"):
        placement.retry(never, "painting")
    assert len(placement.notes) == 4


def test_a_painter_that_is_away_needs_room_for_its_weights(monkeypatch):
    """How many pictures fit does not depend on who was on the accelerator last."""
    pipe, sharing = FakePipe(), DeviceSharing(torch.device("cpu"))
    sharing.add("finder", [part(1_200_000)])
    placement = Placement(pipe, GPU, "resident", sharing)
    placement.switch("swap")
    free = 3_700_000  # beside the painter 2,700,000: six pictures of 400,000
    counts = []
    for who, left in ((memory.GROUP, free - 1_000_000), ("finder", free - 1_200_000)):
        with sharing.use(who):
            pass
        monkeypatch.setattr(memory, "free_bytes", lambda device, left=left: left)
        counts.append(placement.at_once(1000, 8))
    assert counts == [6, 6]


def test_what_was_asked_for_is_not_given_up_again():
    pipe = FakePipe()
    placement, tries = place(pipe, GPU, "offload"), []

    def never() -> None:
        tries.append(placement.mode)
        raise torch.OutOfMemoryError("no")

    with pytest.raises(OutOfMemoryError):
        placement.retry(never, "painting")
    assert tries == ["offload", "offload", "sequential"]


def test_memory_of_a_failed_try_is_free_before_the_next():
    placement, held = Placement(FakePipe(), GPU), []

    def work() -> bool:
        mine = torch.zeros(3)
        if not held:
            held.append(weakref.ref(mine))
            raise torch.OutOfMemoryError("no")
        return held[0]() is None

    assert placement.retry(work, "painting")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("no"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"), True),
        (RuntimeError("shape mismatch"), False),
    ],
)
def test_running_out_is_told_from_other_failures(error, expected):
    assert is_out_of_memory(error) is expected


def test_unknown_modes_are_explained():
    with pytest.raises(InpaintError, match="memory: got 'swop' .did you mean 'swap'"):
        place(FakePipe(), GPU, "swop")


gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@gpu
@pytest.mark.gpu
@pytest.mark.parametrize("mode", MODES[1:])
def test_every_mode_paints_on_a_gpu(tiny_folder, mode, picture, hole, quick):
    inpainter = load_inpainter(
        tiny_folder, offline=True, device="cuda", dtype="float32", memory=mode
    )
    first = fill(inpainter, picture, hole, "red", seed=3, settings=quick)
    again = fill(inpainter, picture, hole, "red", seed=3, settings=quick)
    assert first.image.tobytes() == again.image.tobytes()
    assert inpainter.placement.mode == mode
