"""Memory modes of a pipeline: which one fits, and stepping down when memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..errors import InpaintError, OutOfMemoryError
from ..settings import check_choice
from .sharing import DeviceSharing, release_cached_memory, weight_bytes

T = TypeVar("T")
MODES = ("auto", "resident", "swap", "offload", "sequential")
"""From fast to frugal. `resident`: everything stays on the accelerator. `swap`: finder and
inpainter alternate on it. `offload`: one pipeline component at a time. `sequential`: one layer at a
time. `auto`: the first of these that fits the free memory."""

GROUP = "inpainter"
MOST_AT_ONCE = 8
# Values held at once for each pixel of the canvas: SDXL's layers hold 158 for a guided picture
# while denoising and 768 while decoding one (added up by benchmarks/full_size.py), plus workspace
# for kernels. Not measured on a GPU; an estimate that is too low is repaired by stepping down.
_DENOISE, _DECODE, _TILED = 200, 1000, 150
_HEADROOM = 1.1


def part_bytes(pipe: Any) -> dict[str, int]:
    """Return the bytes of each network of a pipeline, by its name."""
    return {n: weight_bytes(p) for n, p in pipe.components.items() if hasattr(p, "parameters")}


def denoise_bytes(pixels: int, itemsize: int, variants: int = 1) -> int:
    """Estimate the bytes of denoising, without weights, for a canvas of so many pixels."""
    return pixels * itemsize * _DENOISE * variants


def decode_bytes(pixels: int, itemsize: int, tiled: bool = False) -> int:
    """Estimate the bytes of decoding one canvas, without weights."""
    return pixels * itemsize * (_TILED if tiled else _DECODE)


def choose_mode(
    free: int, parts: Mapping[str, int], others: int, denoising: int, decoding: int
) -> str:
    """Return the fastest of `MODES` that fits; all arguments are bytes.

    `parts` are the weights of each pipeline component, none on the accelerator yet ("vae" decodes);
    `others` is what other models on it could give up.

    Examples
    --------
    >>> parts = {"unet": 50, "text_encoder": 20, "vae": 10}
    >>> [choose_mode(free, parts, 40, 5, 20) for free in (120, 80, 50, 10)]
    ['resident', 'swap', 'offload', 'sequential']
    """
    whole = sum(parts.values()) * _HEADROOM + max(denoising, decoding)
    if whole <= free:
        return "resident"
    if whole <= free + others:
        return "swap"
    needs = (
        size * _HEADROOM + (decoding if name == "vae" else denoising)
        for name, size in parts.items()
    )
    return "offload" if max(needs, default=0) <= free + others else "sequential"


def place(pipe: Any, device: Any, mode: str, sharing: DeviceSharing | None = None) -> Placement:
    """Move a pipeline from the CPU to a torch.device, in one of `MODES`.

    Raises InpaintError for an unknown mode, or one that needs an accelerator on the CPU. Raises
    OutOfMemoryError where not even the most frugal mode fits.
    """
    check_choice("memory", mode, MODES)
    placement = Placement(pipe, device, "resident", sharing)
    if device.type == "cpu":
        if mode not in ("auto", "resident"):
            raise InpaintError(
                f"memory: got {mode!r} with device 'cpu', where all share one memory; expected "
                "'auto' or 'resident'. Leave memory out, or use device='cuda'."
            )
        pipe.to(device)
        return placement
    if mode == "auto":
        pixels = trained_pixels(pipe)
        work = denoise_bytes(pixels, pipe.dtype.itemsize), decode_bytes(pixels, vae_itemsize(pipe))
        others = sharing.other_bytes(GROUP) if sharing else 0
        mode = choose_mode(free_bytes(device), part_bytes(pipe), others, *work)
    _switch_stepping_down(placement, mode)
    return placement


def _switch_stepping_down(placement: Placement, wanted: str) -> None:
    """Arrange the components as `wanted`, or as the first more frugal mode that fits."""
    for mode in MODES[MODES.index(wanted) :]:
        try:
            placement.switch(mode)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            error.__traceback__ = None  # it holds what was placed already
        else:
            if mode != wanted:
                note = f"Memory ran out: placed in mode {mode!r} instead of {wanted!r}."
                placement.notes = (*placement.notes, note)
            return
        placement.pipe.to("cpu")
        release_cached_memory()
    raise OutOfMemoryError(
        "out of memory while the inpainter was placed; expected one layer at a time to fit. Close "
        "other programs, or use device='cpu'."
    )


def trained_pixels(pipe: Any) -> int:
    """Return the pixels of the canvas a pipeline was trained at; SDXL's where it does not say."""
    unet = getattr(pipe, "unet", None)
    side = getattr(getattr(unet, "config", None), "sample_size", None)
    return (side * pipe.vae_scale_factor) ** 2 if isinstance(side, int) else 1024**2


def vae_itemsize(pipe: Any) -> int:
    """Return the bytes of a number while decoding; UNets' VAEs that overflow use float32."""
    upcast = hasattr(pipe, "unet") and getattr(pipe.vae.config, "force_upcast", False)
    return max(4 if upcast else 0, int(pipe.dtype.itemsize))


@dataclass(eq=False)
class Placement:
    """Where a pipeline's components are, and the memory savings made so far.

    `mode` is one of `MODES` but "auto"; `notes` has a sentence for each saving made since loading;
    `compile_for` is the result of `inpaint.painter.speed.apply_speed`.
    """

    pipe: Any
    device: Any
    mode: str = "resident"
    sharing: DeviceSharing | None = None
    notes: tuple[str, ...] = ()
    compile_for: Callable[[bool], None] | None = None
    _savings: Iterator[Callable[[], str]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._savings = iter((self._make_room, self._use_tiles, self._offload, self._sequential))

    def switch(self, mode: str) -> None:
        """Arrange the components as a mode says."""
        if self.sharing is None:
            self._arrange(mode)
        else:
            if mode != "resident":
                self.sharing.share()
            whole = mode in ("resident", "swap")
            parts = [p for p in self.pipe.components.values() if hasattr(p, "parameters")]
            with self.sharing.use(GROUP):  # the other groups leave first, if they must
                self._arrange(mode)
            self.sharing.add(GROUP, parts if whole else ())
        self.mode = mode

    def _arrange(self, mode: str) -> None:
        if mode == "offload":
            self.pipe.enable_model_cpu_offload(device=self.device)
        elif mode == "sequential":
            # The VAE is small, and its precision is changed where half of it overflows.
            self.pipe._exclude_from_cpu_offload = [*self.pipe._exclude_from_cpu_offload, "vae"]
            self.pipe.enable_sequential_cpu_offload(device=self.device)
            enable_tiling(self.pipe)
        else:
            self.pipe.to(self.device)

    def fits(self, pixels: int, variants: int = 1) -> bool:
        """Estimate whether the free memory holds a canvas of so many pixels."""
        free = free_bytes(self.device)
        if self.mode == "offload":
            # Between two calls no component is there; the largest one will be.
            free -= max(part_bytes(self.pipe).values(), default=0)
        elif self.sharing is not None and self.sharing.away(GROUP):
            free -= sum(part_bytes(self.pipe).values())
        if self.sharing is not None and self.sharing.exclusive:
            free += self.sharing.other_bytes(GROUP)
        tiled = bool(getattr(self.pipe.vae, "use_tiling", False))
        # A single picture can still step down to tiles; a batch is painted one by one instead.
        decoding = decode_bytes(pixels, vae_itemsize(self.pipe), tiled or variants == 1)
        denoising = denoise_bytes(pixels, self.pipe.dtype.itemsize, variants)
        return max(denoising, decoding) <= free

    def at_once(self, pixels: int, wanted: int) -> int:
        """Return how many canvases of so many pixels fit in one batch, 1 to `wanted`."""
        most = min(wanted, MOST_AT_ONCE)
        return next((n for n in range(most, 1, -1) if self.fits(pixels, n)), 1)

    def retry(self, work: Callable[[], T], what: str, *, step_down: bool = True) -> T:
        """Run `work`, which must be repeatable; when memory runs out, save memory and run it again.

        `what` names the work in the error: "painting 1024x1024 pixels". Raises OutOfMemoryError if
        no saving is left, or, without `step_down`, at once.
        """
        while True:
            if self.compile_for is not None:
                shared = self.sharing is not None and self.sharing.exclusive
                self.compile_for(shared or self.mode != "resident")
            try:
                return work()
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                error.__traceback__ = None  # it holds the tensors of the failed try
            release_cached_memory()
            if not step_down or not self._save():
                raise OutOfMemoryError(
                    f"out of memory {what}; expected it to fit. Load the model with "
                    "memory='sequential', or choose a smaller size in the settings."
                )

    def _save(self) -> bool:
        """Make the next saving that changes something; False when none is left."""
        note = next(filter(None, (saving() for saving in self._savings)), "")
        if note:
            self.notes = (*self.notes, f"Memory ran out: {note}")
        return bool(note)

    def _make_room(self) -> str:
        if self.sharing is None or not self.sharing.make_room(GROUP):
            return ""
        if self.mode == "resident":
            self.mode = "swap"
        return "the finder's models now leave the accelerator while painting (slower)."

    def _use_tiles(self) -> str:
        if not enable_tiling(self.pipe):
            return ""
        return "pictures are now encoded and decoded in tiles (faint seams possible)."

    def _offload(self) -> str:
        if self.device.type == "cpu" or self.mode not in ("resident", "swap"):
            return ""
        self.switch("offload")
        return "one pipeline component at a time is now on the accelerator (slower)."

    def _sequential(self) -> str:
        if self.device.type == "cpu" or self.mode == "sequential":
            return ""
        self.switch("sequential")
        return "one layer at a time is now on the accelerator (much slower)."


def enable_tiling(pipe: Any) -> bool:
    """Make the VAE work in slices and tiles; False if it does already, or cannot."""
    vae = pipe.vae
    if getattr(vae, "use_tiling", False) or not hasattr(vae, "enable_tiling"):
        return False
    vae.enable_slicing()
    vae.enable_tiling()
    return True


def free_bytes(device: Any) -> int:
    """Return the free memory of a torch.device, torch's own reserve included.

    Examples
    --------
    >>> import torch
    >>> free_bytes(torch.device("cpu")) > 0
    True
    """
    import torch

    if device.type == "cuda":
        reserve = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0] + reserve)
    if device.type == "mps":
        limit = torch.mps.recommended_max_memory()
        return max(0, int(limit - torch.mps.current_allocated_memory()))
    import psutil

    return int(psutil.virtual_memory().available)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Return whether memory ran out; CUDA has a class for it, MPS and the CPU only a message."""
    import torch

    message = str(error).lower()
    in_message = "out of memory" in message or "can't allocate memory" in message
    return isinstance(error, torch.OutOfMemoryError) or in_message
