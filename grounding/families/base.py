"""The base of all families: one picture, then the phrase, on a known grid of image tokens.

A family knows how one kind of vision-language model prepares its picture and writes its prompt, and
which part of the picture each image token covers. It runs no network and holds no weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..checks import check_image
from ..errors import GroundingError
from .geometry import (
    ImageTokens,
    PreparedImage,
    Region,
    crop_region,
    pad_to_square,
    squash_region,
    tile_places,
    tiled_region,
)
from .prompts import PromptBuilder

_MAX_ASPECT = 50


class Family:
    """Base of the adapters, registered in :data:`grounding.families.FAMILIES`.

    A family states the class attributes and :meth:`_layout`, and, unless its picture is one square
    view, :meth:`prepare`.

    Parameters
    ----------
    config : The model's own config.
    tokenizer, image_processor : Its fast tokenizer and its (PIL) image processor.
    prompt : Grounding prompt template, ``<image>`` for the picture; None = the family's.
    padding : One of the family's `paddings`; None = its `default_padding`.
    query : One of :data:`grounding.families.prompts.QUERY_MODES`.
    tiles : One of the family's `tilings`; None = its default.

    Raises GroundingError for a config or settings it cannot work with.

    Attributes
    ----------
    name : The registry's name.
    model_types : The ``model_type`` values of configs it can read.
    packs_phrases : Whether several phrases in one row with a 4D mask give the same numbers as one
        by one.
    shares_prefix : Whether the picture is read without knowing the phrase. False for prefix
        language models: their picture tokens attend to the text, so each phrase runs the whole
        prompt, with ``token_type_ids`` of zeros, and only the vision tower's output is shared.
    paddings : Treatments of the picture's shape it offers, see :mod:`grounding.families.geometry`.
    switched_off : Steps of the processor that would change the picture's shape once more.
    tilings : Which of :data:`grounding.families.geometry.TILES` it offers, the default first.
    image_token : The repeated token, as text.
    picture : The text for a picture, with that token once; None = the token alone.
    adds_special : Whether the tokenizer adds its opening token.
    grid_hw : Rows and columns of image tokens (the usual ones, if they vary with the picture).
    query : Which token attention is read from, one of the query modes.
    prompts : The :class:`PromptBuilder`, which tokenises a phrase.
    prefix_ids : The tokens up to and including the picture, the same for every phrase.
    """

    name = ""
    model_types: tuple[str, ...] = ()
    packs_phrases = True
    shares_prefix = True
    default_prompt = ""
    default_padding = "squash"
    paddings: tuple[str, ...] = ("pad", "squash")
    switched_off: tuple[str, ...] = ()
    tilings: tuple[str, ...] = ("off",)
    image_token = "<image>"
    picture: str | None = None
    adds_special = True

    def __init__(
        self,
        config: Any,
        tokenizer: Any,
        image_processor: Any,
        *,
        prompt: str | None = None,
        padding: str | None = None,
        query: str = "stop",
        tiles: str | None = None,
    ) -> None:
        padding = self.default_padding if padding is None else padding
        self.padding = self._offered("padding", padding, self.paddings)
        self.tiles = self._offered("tiles", tiles or self._usual_tiles(), self.tilings)
        self.config = config
        self.image_processor = image_processor
        self.image_size, self.grid_hw, leading = self._layout(config)
        self._covered = covered_share(config.vision_config)
        rows, columns = self.grid_hw
        self.prompts = PromptBuilder(
            tokenizer,
            template=self.default_prompt if prompt is None else prompt,
            image_token_id=image_token_id(config),
            image_length=rows * columns + leading,
            query=query,
            image_token=self.image_token,
            picture=self.picture,
            special=self.adds_special,
        )
        self.query = query
        self.prefix_ids = self.prompts.prefix_ids
        self._first_patch = self.prompts.image_start + leading

    def _layout(self, config: Any) -> tuple[int, tuple[int, int], int]:
        """Side of a view in pixels, its token grid, and how many image tokens precede it."""
        raise NotImplementedError

    @classmethod
    def register(cls) -> None:
        """Make transformers' auto classes know the family's model; they do, where it is theirs."""

    def _usual_tiles(self) -> str:
        """The default of `tiles`."""
        return self.tilings[0]

    def _offered(self, setting: str, given: str, known: tuple[str, ...]) -> str:
        """A setting's value, refused if the family does not offer it."""
        if given not in known:
            raise GroundingError(
                f"{setting}={given!r}; expected one of {', '.join(known)} for the "
                f"{self.name} family"
            )
        return given

    def prepare(self, image: np.ndarray) -> PreparedImage:
        """Prepare an (H, W, 3) uint8 RGB image as one square view.

        Inputs: ``pixel_values`` (1, 3, S, S) float32, S the vision tower's side.
        """
        side = self.image_size
        size = {"height": side, "width": side}
        how: dict[str, Any] = {"size": size}
        if self.padding == "crop":
            check_image(image)
            check_aspect(image, "crop")
            shaped, region = image, crop_region(image.shape[1], image.shape[0], side)
            how = {"size": {"shortest_edge": side}, "do_center_crop": True, "crop_size": size}
        else:
            shaped, region = self._shaped(image)
        switched_off = [name for name in self.switched_off if hasattr(self.image_processor, name)]
        out = self._process(shaped, **{**dict.fromkeys(switched_off, False), **how})
        return self._one_view(out, region)

    def _one_view(self, out: Any, region: Region) -> PreparedImage:
        """The processor's one square view and the part of the picture it covers."""
        side = self.image_size
        pixels = np.asarray(out["pixel_values"], dtype=np.float32).reshape(1, 3, side, side)
        return PreparedImage({"pixel_values": pixels}, self._tokens(region))

    def _tokens(self, region: Region) -> ImageTokens:
        """The tokens of one view of a region, without the rest that no patch covers."""
        return ImageTokens.covering(self._first_patch, self.grid_hw, region, self._covered)

    def _tiled_tokens(
        self, prefix: tuple[int, ...], tiles_hw: tuple[int, int], region: Region
    ) -> ImageTokens:
        """The tokens to read: those of the tiles, or of the overview that follows them."""
        at = np.flatnonzero(np.asarray(prefix) == self.prompts.image_token_id)
        rows, columns = self.grid_hw
        down, across = tiles_hw
        if len(at) != (down * across + 1) * rows * columns:
            raise GroundingError(
                f"the prompt holds {len(at)} image tokens; expected {rows} x {columns} for each "
                f"of {down} x {across} tiles and an overview: use the processor saved with the "
                "model"
            )
        if self.tiles == "overview":
            start = int(at[-rows * columns])
            return ImageTokens.covering(start, self.grid_hw, region, self._covered)
        places = tile_places(at[: -rows * columns], tiles_hw, self.grid_hw)
        seen = tiled_region(region, tiles_hw, self._covered)
        return ImageTokens(places[0], (down * rows, across * columns), seen, places)

    def _shaped(self, image: np.ndarray) -> tuple[np.ndarray, Region]:
        """The image, padded to a square if `padding` says so, and its region."""
        check_image(image)
        if self.padding == "pad":
            r, g, b = (int(255 * m) for m in self.image_processor.image_mean)  # as original LLaVA
            return pad_to_square(image, (r, g, b))
        return image, squash_region(image.shape[1], image.shape[0])

    def _process(self, image: np.ndarray, **settings: Any) -> Any:
        """The image through the checkpoint's processor, as numpy arrays."""
        from PIL import Image

        # A PIL image, because a 3-pixel-high array could be read as channels first.
        picture = Image.fromarray(np.ascontiguousarray(image))
        return self.image_processor(images=picture, return_tensors="np", do_resize=True, **settings)


def image_token_id(config: Any) -> int:
    """The id that stands for image features, under either of its names."""
    found = getattr(config, "image_token_id", None)
    return int(config.image_token_index if found is None else found)


def check_aspect(image: np.ndarray, what: str) -> None:
    """Refuse strips too thin to enlarge their shorter side within reason."""
    height, width = image.shape[:2]
    if max(width, height) > _MAX_ASPECT * min(width, height):
        raise GroundingError(
            f"image of {width} x {height} is too thin to {what} (longest over shortest side above "
            f"{_MAX_ASPECT}); use padding='pad' or cut the picture"
        )


def square_grid(vision: Any, merge: int = 1) -> tuple[int, tuple[int, int]]:
    """The tower's input side in pixels and its token grid, `merge` x `merge` patches a token."""
    size, patch = _one(vision.image_size), _one(vision.patch_size)
    if size is None or patch is None or size < patch or size // patch % merge:
        raise GroundingError(
            f"vision tower with image_size={vision.image_size!r}, patch_size="
            f"{vision.patch_size!r}, {merge} x {merge} patches a token; expected a square input "
            "and a whole number of tokens"
        )
    return size, (size // patch // merge, size // patch // merge)


def covered_share(vision: Any) -> float:
    """Share of a view's side that whole patches cover.

    SigLIP at 384 pixels has 27 patches of 14: no patch covers the last 6 pixels.
    """
    size, patch = _one(getattr(vision, "image_size", None)), _one(vision.patch_size)
    return 1.0 if size is None or patch is None else size // patch * patch / size


def leading_tokens(config: Any) -> int:
    """How many image tokens precede the first patch (CLIP's class token, if it is kept)."""
    kept = config.vision_feature_select_strategy == "full"
    has_class_token = config.vision_config.model_type in ("clip_vision_model", "internvl_vision")
    if not kept and not has_class_token:
        raise GroundingError(
            f"vision tower {config.vision_config.model_type!r} has no class token, but the config "
            "drops the first token; set vision_feature_select_strategy='full'"
        )
    return int(kept and has_class_token)


def _one(value: Any) -> int | None:
    """A side given as a number or as two equal ones."""
    if isinstance(value, int):
        return value
    sides = list(value) if isinstance(value, list | tuple) else []
    return sides[0] if len(sides) == 2 and sides[0] == sides[1] else None
