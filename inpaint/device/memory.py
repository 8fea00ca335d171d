"""Memory: where a model's parts stay, what fits, and what is given up when it runs out."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..errors import InpaintError, OutOfMemoryError
from ..settings import check_choice
from .sharing import Turns

T = TypeVar("T")
MODES = ("auto", "resident", "swap", "offload", "sequential")
"""From fast to frugal: all parts stay on the accelerator; the models that look and the one that
paints take turns on it; so do the painter's parts (diffusers' model offload); so do its layers
(sequential offload). "auto" takes the first that fits the free memory."""

GROUP = "inpainter"
MOST_AT_ONCE = 8
# Values held at once for each pixel of the canvas: SDXL's layers hold 158 for a guided picture
# while denoising and 768 while decoding one (added up by benchmarks/full_size.py), and kernels want
# room to work in. Not measured on a GPU: what is missing, running out and stepping down repairs.
_DENOISE, _DECODE, _TILED = 200, 1000, 150
_HEADROOM = 1.1


def free_bytes(device: Any) -> int:
    """Memory that a torch.device could still hand out: the free, and what torch keeps in reserve.

    Examples
    --------
    >>> import torch
    >>> free_bytes(torch.device("cpu")) > 0
    True
    """
    import torch

    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0] + kept)
    if device.type == "mps":
        most = torch.mps.recommended_max_memory()
        return max(0, int(most - torch.mps.current_allocated_memory()))
    import psutil

    return int(psutil.virtual_memory().available)


def weight_bytes(network: Any) -> int:
    """Bytes of a network's parameters and buffers."""
    tensors = [*network.parameters(), *network.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def part_bytes(pipe: Any) -> dict[str, int]:
    """Bytes of each network of a pipeline, by its name."""
    return {n: weight_bytes(p) for n, p in pipe.components.items() if hasattr(p, "parameters")}


def denoise_bytes(pixels: int, itemsize: int, variants: int = 1) -> int:
    """About how much denoising takes beside the weights, for `variants` pictures at once.

    `pixels` are those of the canvas, `itemsize` the bytes of a number: 2 in half precision.
    """
    return pixels * itemsize * _DENOISE * variants


def decode_bytes(pixels: int, itemsize: int, tiled: bool = False) -> int:
    """About how much decoding a picture takes beside the weights; variants come one by one."""
    return pixels * itemsize * (_TILED if tiled else _DECODE)


def choose_mode(
    free: int, parts: Mapping[str, int], others: int, denoising: int, decoding: int
) -> str:
    """Return the fastest of `MODES` that fits.

    Parameters
    ----------
    free
        Bytes free on the accelerator.
    parts
        Bytes of each part of the painter, none of them there yet; "vae" decodes.
    others
        Bytes that other models would give up.
    denoising, decoding
        Bytes for the work itself.

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
    largest = max(
        (
            size * _HEADROOM + (decoding if name == "vae" else denoising)
            for name, size in parts.items()
        ),
        default=0,
    )
    return "offload" if largest <= free + others else "sequential"


def place(pipe: Any, device: Any, mode: str, turns: Turns | None = None) -> Placement:
    """Move a pipeline to its device as a mode says.

    Parameters
    ----------
    pipe : DiffusionPipeline
        On the CPU.
    device : torch.device
    mode : str
        One of `MODES`.
    turns : Turns, optional
        Shared with the models that look.

    Raises
    ------
    InpaintError
        For an unknown mode, or one that needs an accelerator on the CPU.
    """
    check_choice("memory", mode, MODES)
    placement = Placement(pipe, device, "resident", turns)
    if device.type == "cpu":
        if mode not in ("auto", "resident"):
            raise InpaintError(
                f"memory: got {mode!r} with device 'cpu', where all share one memory; expected "
                "'auto' or 'resident'. Leave memory out, or use device='cuda'."
            )
        pipe.to(device)
        return placement
    if mode == "auto":
        pixels = own_pixels(pipe)
        work = denoise_bytes(pixels, pipe.dtype.itemsize), decode_bytes(pixels, vae_itemsize(pipe))
        others = turns.weight(GROUP) if turns else 0
        mode = choose_mode(free_bytes(device), part_bytes(pipe), others, *work)
    placement.go(mode)
    return placement


def own_pixels(pipe: Any) -> int:
    """Pixels of the canvas that a pipeline was trained at; SDXL's where it does not say."""
    unet = getattr(pipe, "unet", None)
    side = getattr(getattr(unet, "config", None), "sample_size", None)
    return (side * pipe.vae_scale_factor) ** 2 if isinstance(side, int) else 1024**2


def vae_itemsize(pipe: Any) -> int:
    """Bytes of a number while decoding: UNets' autoencoders that overflow do it in float32."""
    upcast = hasattr(pipe, "unet") and getattr(pipe.vae.config, "force_upcast", False)
    return max(4 if upcast else 0, int(pipe.dtype.itemsize))


@dataclass(eq=False)
class Placement:
    """Where a pipeline's parts are, and what was given up when memory ran out; only ever more.

    Attributes
    ----------
    pipe : DiffusionPipeline
    device : torch.device
        Where it computes.
    mode : str
        One of `MODES` but "auto".
    turns : Turns, optional
        Shared with the models that look.
    words : tuple of str
        One sentence for each thing given up.
    compile_for : callable, optional
        What `inpaint.painter.speed.hasten` gave.
    """

    pipe: Any
    device: Any
    mode: str = "resident"
    turns: Turns | None = None
    words: tuple[str, ...] = ()
    compile_for: Callable[[bool], None] | None = None
    _done: set[str] = field(default_factory=set)

    def go(self, mode: str) -> None:
        """Arrange the parts as a mode says."""
        if self.turns is not None:
            if mode != "resident":
                self.turns.share()
            whole = mode in ("resident", "swap")
            parts = [p for p in self.pipe.components.values() if hasattr(p, "parameters")]
            with self.turns.use(GROUP):  # the others leave first, where they must
                self._arrange(mode)
            self.turns.add(GROUP, parts if whole else ())
        else:
            self._arrange(mode)
        self.mode = mode

    def _arrange(self, mode: str) -> None:
        if mode == "offload":
            self.pipe.enable_model_cpu_offload(device=self.device)
        elif mode == "sequential":
            # Small, and asked to change its precision where half of it overflows.
            self.pipe._exclude_from_cpu_offload = [*self.pipe._exclude_from_cpu_offload, "vae"]
            self.pipe.enable_sequential_cpu_offload(device=self.device)
            _tile(self.pipe)
        else:
            self.pipe.to(self.device)

    def fits(self, pixels: int, variants: int = 1) -> bool:
        """Whether a canvas would fit the free memory, as far as one can tell before."""
        free = free_bytes(self.device)
        if self.mode == "offload":
            # Between two paintings nothing of it is there; the largest part will be.
            free -= max(part_bytes(self.pipe).values(), default=0)
        elif self.turns is not None and self.turns.away(GROUP):
            free -= sum(part_bytes(self.pipe).values())
        if self.turns is not None and self.turns.exclusive:
            free += self.turns.weight(GROUP)
        tiled = bool(getattr(self.pipe.vae, "use_tiling", False))
        # What can be tiled will be, when it must; a batch is not worth it.
        decoding = decode_bytes(pixels, vae_itemsize(self.pipe), tiled or variants == 1)
        denoising = denoise_bytes(pixels, self.pipe.dtype.itemsize, variants)
        return max(denoising, decoding) <= free

    def at_once(self, pixels: int, wanted: int) -> int:
        """How many pictures of so many pixels fit in one batch, 1 to `wanted`."""
        most = min(wanted, MOST_AT_ONCE)
        return next((n for n in range(most, 1, -1) if self.fits(pixels, n)), 1)

    def retry(self, work: Callable[[], T], what: str, *, step_down: bool = True) -> T:
        """Do `work`; on torch's out-of-memory error save memory and do it again.

        Parameters
        ----------
        work : callable
            Must be repeatable.
        what : str
            What it does, for the error: "painting 1024x1024 pixels".
        step_down : bool
            False: give up at once, for the caller knows something better.

        Raises
        ------
        OutOfMemoryError
            When nothing more can be saved.
        """
        while True:
            if self.compile_for is not None:
                shared = self.turns is not None and self.turns.exclusive
                self.compile_for(shared or self.mode != "resident")
            try:
                return work()
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                # The traceback holds the tensors of the failed try.
                error.__traceback__ = None
            free_memory()
            if not step_down or not self._save():
                raise OutOfMemoryError(
                    f"out of memory {what}; expected it to fit. Load the model with "
                    "memory='sequential', or choose a smaller size in the settings."
                )

    def _save(self) -> bool:
        """Give up one more thing; False when there is none."""
        for name in ("room", "tiles", "offload", "sequential"):
            if name not in self._done:
                self._done.add(name)
                words = getattr(self, f"_{name}")()
                if words:
                    self.words = (*self.words, f"Memory ran out: {words}")
                    return True
        return False

    def _room(self) -> str:
        if self.turns is None or not self.turns.make_room(GROUP):
            return ""
        if self.mode == "resident":
            self.mode = "swap"
        return "the models that look now leave the accelerator while painting (slower)."

    def _tiles(self) -> str:
        if not _tile(self.pipe):
            return ""
        return "pictures are now encoded and decoded in tiles (faint seams possible)."

    def _offload(self) -> str:
        if self.device.type == "cpu" or self.mode not in ("resident", "swap"):
            return ""
        self.go("offload")
        return "the model's parts now take turns on the accelerator (slower)."

    def _sequential(self) -> str:
        if self.device.type == "cpu" or self.mode == "sequential":
            return ""
        self.go("sequential")
        return "the model's layers now take turns on the accelerator (much slower)."


def is_out_of_memory(error: BaseException | None) -> bool:
    """CUDA has a class for it; MPS and the CPU only say it in words."""
    import torch

    words = str(error).lower()
    said = "out of memory" in words or "can't allocate memory" in words
    return isinstance(error, torch.OutOfMemoryError) or said


def free_memory() -> None:
    """Hand cached memory back to the accelerator."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()


def _tile(pipe: Any) -> bool:
    """Let the autoencoder work in tiles; False where it does already, or cannot."""
    vae = pipe.vae
    if getattr(vae, "use_tiling", False) or not hasattr(vae, "enable_tiling"):
        return False
    vae.enable_slicing()
    vae.enable_tiling()
    return True
