"""Settings of one repainting, and the checks of all arguments. It does not know models."""

from __future__ import annotations

import dataclasses
import difflib
import math
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import InpaintError

SCHEDULERS = {
    "ddim": "DDIMScheduler",
    "euler": "EulerDiscreteScheduler",
    "euler_a": "EulerAncestralDiscreteScheduler",
    "dpm++": "DPMSolverMultistepScheduler",
    "unipc": "UniPCMultistepScheduler",
    "lcm": "LCMScheduler",
    "tcd": "TCDScheduler",
}
CHOICES = {
    "buckets": ("sdxl", "square", "native"),
    "prefill": ("blur", "telea", "grey", "none"),
    "blend": ("feather", "poisson", "laplacian"),
    "control": ("picture", "surroundings"),
    "shape": ("outline", "hull", "box"),
}
NUMBERS = {
    "guidance": (0, 50),
    "strength": (0, 1),
    "context": (1, 8),
    "dilate": (0, 512),
    "control_scale": (0, 2),
    "fill_holes": (0, 1),
}
WHOLE = {
    "steps": (1, 1000),
    "min_context": (0, 4096),
    "feather": (0, 512),
    "differential": (0, 1024),
}


@dataclass(frozen=True)
class InpaintSettings:
    """Settings of one repainting. The defaults suit SDXL inpainting 0.1.

    Parameters
    ----------
    steps : Denoising steps of the schedule, 1 to 1000; about ``steps * strength`` are executed.
    guidance : Classifier-free guidance scale, 0 to 50; 1 or less turns it off.
    strength : Noise put on the picture, in (0, 1]. SDXL inpainting 0.1 degrades at exactly 1.0
        (diffusers#8450); a model trained with a zero-terminal-SNR schedule needs exactly 1.0.
    negative_prompt : What not to paint.
    scheduler : One of `SCHEDULERS`, or None for the model's own.
    size : The model's own side in pixels, a multiple of 8 (64 with the "sdxl" buckets), 64 to 2048.
    buckets : {"sdxl", "square", "native"}. Canvas shapes: 64-multiples of about ``size**2`` pixels,
        ``size x size`` only, or the window's own size, at most `size` on a side (for a painter
        without a size of its own).
    context : The crop's sides over the support's, 1 to 8.
    min_context : Least pixels shown on each side of the support (tiny masks), 0 to 4096.
    dilate : How far the mask grows into the support: below 1 a fraction of the square root of the
        mask's area, from 1 on whole pixels, up to 512.
    shape : {"outline", "hull", "box"}. The support's shape: the mask's outline, the convex hull of
        each part, or its box. A model tends to fill its hole: a new thing in the old outline still
        resembles the old one, while a wider hole covers more of what is beside it.
    spare : Whether the support avoids `fill`'s `spare`, things beside the mask.
    feather : Width in pixels of the inward ramp, 0 to 512.
    fill_holes : Holes up to this fraction of the mask's area are closed, 0 to 1.
    prefill : {"blur", "telea", "grey", "none"}. What the hole shows before noise is put on it;
        "none" leaves the old object.
    colour_match : Correct the colour cast, fitted on the crop's unmasked pixels.
    blend : {"feather", "poisson", "laplacian"}. How the painting meets the picture. Laplacian
        blends low frequencies more widely than the ramp (on eight miniature edits the seam error
        fell from 2.2 to 0.4 grey levels and the ring colour error from 14 to 8); Poisson bends the
        colours until they meet at the border, which bleeds into the thing (0.6 and 10); both end in
        the ramp.
    differential : Differential diffusion (Levin and Fried, 2023): width in canvas pixels, 0 to
        1024, over which the hole opens step by step from its middle to its edge; 0 paints all of it
        from the first step. Only for 4-channel UNets without a ControlNet.
    control : {"picture", "surroundings"}. What a ControlNet follows: the whole original crop, or
        only the part outside the hole.
    control_scale : The ControlNet's conditioning scale, 0 to 2.

    Raises InpaintError, naming the field, the value and what was expected.

    Examples
    --------
    >>> InpaintSettings(steps=20).as_dict()["steps"]
    20
    >>> InpaintSettings.from_dict({"size": 128, "buckets": "square"}).size
    128
    """

    steps: int = 30
    guidance: float = 8.0
    strength: float = 0.99
    negative_prompt: str = ""
    scheduler: str | None = None
    size: int = 1024
    buckets: str = "sdxl"
    context: float = 1.4
    min_context: int = 32
    dilate: float = 0.06
    shape: str = "outline"
    spare: bool = True
    feather: int = 8
    fill_holes: float = 0.05
    prefill: str = "blur"
    colour_match: bool = True
    blend: str = "laplacian"
    differential: int = 0
    control: str = "picture"
    control_scale: float = 0.5

    def __post_init__(self) -> None:
        for name, (low, high) in WHOLE.items():
            check_whole(name, getattr(self, name), low, high)
        for name, limits in NUMBERS.items():
            _check_number(name, getattr(self, name), *limits)
        for name, known in CHOICES.items():
            check_choice(name, getattr(self, name), known)
        for name in ("colour_match", "spare"):
            if not isinstance(value := getattr(self, name), bool):
                raise InpaintError(f"{name}: got {value!r}; expected true or false.")
        if int(self.steps * self.strength) < 1:
            raise InpaintError(
                f"strength: got {self.strength} with {self.steps} steps, which leaves none to "
                f"execute; expected at least {1 / self.steps:.3g}, or more steps."
            )
        check_text("negative_prompt", self.negative_prompt)
        if self.scheduler is not None:
            check_choice("scheduler", self.scheduler, tuple(SCHEDULERS))
        check_whole("size", self.size, 64, 2048, multiple=64 if self.buckets == "sdxl" else 8)
        if self.dilate >= 1 and self.dilate != int(self.dilate):
            raise InpaintError(
                f"dilate: got {self.dilate}; expected a fraction below 1 or whole pixels."
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> InpaintSettings:
        """Build from a mapping (a preset's or recipe's JSON); absent fields keep defaults."""
        if not isinstance(values, Mapping):
            raise InpaintError(
                f"inpaint settings: got {type(values).__name__} {values!r}; "
                'expected a mapping such as {"steps": 30}.'
            )
        names = [field.name for field in dataclasses.fields(cls)]
        for key in values:
            if key not in names:
                raise InpaintError(
                    f"inpaint settings: got the unknown name {key!r}{close_match(key, names)}; "
                    f"expected some of {', '.join(names)}."
                )
        return cls(**values)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain values that survive JSON; `from_dict` reads them back."""
        return dataclasses.asdict(self)


def describe(value: Any) -> str:
    """Return a short description of a value for an error message."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    return f"{type(value).__name__} {value!r}"[:120]


def check_text(name: str, value: Any) -> None:
    """Raise unless `value` is a string that can be written as UTF-8: no half a character."""
    try:
        value.encode()
    except (AttributeError, UnicodeEncodeError):
        raise InpaintError(
            f"{name}: got {describe(value)}; expected a string of whole Unicode characters."
        ) from None


def check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Raise unless `value` is one of `choices`; suggest a close one."""
    if not isinstance(value, str) or value not in choices:
        raise InpaintError(
            f"{name}: got {value!r}{close_match(value, choices)}; "
            f"expected one of {', '.join(choices)}."
        )


def _check_number(name: str, value: Any, low: float, high: float) -> None:
    """Raise unless `value` is a finite number from `low` to `high`."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not low <= value <= high:
        raise InpaintError(f"{name}: got {value!r}; expected a number from {low} to {high}.")


def check_whole(name: str, value: Any, low: int, high: int, multiple: int = 1) -> None:
    """Raise unless `value` is an int from `low` to `high` and a multiple of `multiple`."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or not low <= value <= high or value % multiple:
        step = f", a multiple of {multiple}" if multiple > 1 else ""
        raise InpaintError(
            f"{name}: got {value!r}; expected a whole number from {low} to {high}{step}."
        )


def close_match(value: Any, names: Iterable[str]) -> str:
    """Return " (did you mean 'x'?)" for a close name, or ""."""
    near = difflib.get_close_matches(str(value), list(names), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def check_input(image: Any, mask: Any, prompt: Any, seeds: Iterable[Any]) -> tuple[int, ...]:
    """Raise InpaintError for what cannot be painted; return the seeds as ints."""
    _check_picture(image, mask)
    _check_prompt(prompt)
    return tuple(map(_checked_seed, seeds))


def _check_picture(image: Any, mask: Any) -> None:
    """Raise unless `image` is a picture, and `mask` belongs to it and marks at least one pixel."""
    good = isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[2] == 3
    if not good or image.dtype != np.uint8 or image.size == 0:
        raise InpaintError(
            f"image: got {describe(image)}; expected (H, W, 3) uint8 RGB. "
            "Convert a picture with np.asarray(picture.convert('RGB'))."
        )
    if not isinstance(mask, np.ndarray) or mask.ndim != 2 or mask.dtype != np.bool_:
        raise InpaintError(
            f"mask: got {describe(mask)}; expected (H, W) bool. "
            "Convert a grey mask with `mask > 127`, a 0/1 mask with `mask > 0`."
        )
    if image.shape[:2] != mask.shape:
        raise InpaintError(
            f"mask: got (height, width) {mask.shape} for an image of {image.shape[:2]}; "
            "expected the same. Resize the mask to the image (nearest neighbour)."
        )
    if not mask.any():
        raise InpaintError(
            "mask: no pixel is marked; expected at least one. "
            "Ground another phrase, or draw the mask by hand."
        )


def _check_prompt(prompt: Any) -> None:
    """Raise unless `prompt` says something, or is exactly "" (paint without words)."""
    if not isinstance(prompt, str) or (prompt and not prompt.strip()):
        raise InpaintError(
            f"prompt: got {describe(prompt)}; expected words, such as 'a green pear', "
            'or exactly "" to paint without words (removal).'
        )
    check_text("prompt", prompt)


def _checked_seed(seed: Any) -> int:
    """Return `seed` as an int in 0 ... 2**63 - 1 (numpy integers welcome, bools not)."""
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if isinstance(seed, (bool, np.bool_)) or not 0 <= number < 2**63:
        raise InpaintError(
            f"seed: got {describe(seed)}; expected a whole number from 0 to 2**63 - 1, such as 7."
        )
    return number
