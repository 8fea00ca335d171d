"""When memory runs out: give up speed in steps, free what is held, try again, and say so."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from inpaint.errors import OutOfMemoryError

T = TypeVar("T")


@dataclass(eq=False)
class Savings:
    """What a pipeline has given up so far; it only ever gives up more.

    Attributes
    ----------
    words : tuple of str
        One sentence for each.
    """

    words: tuple[str, ...] = ()
    _done: set[str] = field(default_factory=set)

    def retry(self, pipe: Any, work: Callable[[], T], what: str) -> T:
        """Do `work`; on torch's out-of-memory error save memory and do it again.

        Parameters
        ----------
        pipe : DiffusionPipeline
        work : callable
            Must be repeatable.
        what : str
            What it does, for the error: "painting 1024x1024 pixels".

        Raises
        ------
        OutOfMemoryError
            When nothing more can be saved.
        """
        while True:
            try:
                return work()
            except RuntimeError as error:
                if not _is_out_of_memory(error):
                    raise
                # The traceback holds the tensors of the failed try.
                error.__traceback__ = None
            free_memory()
            if not self._save(pipe):
                raise OutOfMemoryError(
                    f"out of memory {what}; expected it to fit. Load the model with offload=True "
                    "or tiling=True, or choose a smaller size in the settings."
                )

    def _save(self, pipe: Any) -> bool:
        """Give up one more thing; False when there is none."""
        for name, saving in (("tiling", _tile), ("offload", _offload)):
            if name not in self._done:
                self._done.add(name)
                words = saving(pipe)
                if words:
                    self.words = (*self.words, words)
                    return True
        return False


def _is_out_of_memory(error: RuntimeError) -> bool:
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


def _tile(pipe: Any) -> str:
    """Let the autoencoder work in tiles; "" where it does already."""
    vae = pipe.vae
    if getattr(vae, "use_tiling", False) or not hasattr(vae, "enable_tiling"):
        return ""
    vae.enable_slicing()
    vae.enable_tiling()
    return "Memory ran out: pictures are now encoded and decoded in tiles (faint seams possible)."


def _offload(pipe: Any) -> str:
    """Keep only the part in use on the accelerator; "" where it is so already, or on the CPU."""
    device = pipe.device
    hooked = any(getattr(part, "_hf_hook", None) for part in pipe.components.values())
    if device.type == "cpu" or hooked:
        return ""
    pipe.enable_model_cpu_offload(device=device)
    return "Memory ran out: the model's parts now take turns on the accelerator (slower)."
