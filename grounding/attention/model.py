"""A vision-language model as this project needs one: read a picture once, then ask by phrase.

The picture and everything before the phrase go through the network once (:meth:`LVLM.encode`);
each phrase then costs its own few tokens over that cache. Several phrases share one row, kept
apart by a 4D mask, where the family allows it. What comes back are attention rows on the
image-token grid and, if asked for, the language model's own opinion on whether the phrase is there
at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import DynamicCache

from ..checkpoints.loading import load_parts
from ..errors import GroundingError
from ..families import Family, Presence
from .capture import RowRequest, attach, capture
from .forwards import Forwards
from .head_choice import HeadChoice
from .planning import Planner
from .presence import AnswerTokens
from .suffixes import chunks, span_tokens
from .types import EncodedImage, Reading

__all__ = ["LVLM", "EncodedImage", "Presence", "Reading", "load_lvlm"]

_PACK_TOKENS = 1024
"""Most suffix tokens in one packed forward: bounds the mask, (n, prefix + n)."""


class LVLM:
    """A loaded model with its family; safe to read from several threads.

    Parameters
    ----------
    model
        The loaded model, whole (with its language head) or only its base; it is put in eval mode
        and attached to :mod:`grounding.attention.capture`.
    family
        The adapter, which holds the tokenizer and the image processor.
    heads
        The (layer, head) pairs usually asked for, 0-based; None = unknown, so every layer reads
        the picture.
    presence
        How to ask whether a phrase is there; None = never asked.

    Raises
    ------
    GroundingError
        For heads the model lacks, or presence without a language head.
    """

    def __init__(
        self,
        model: nn.Module,
        family: Family,
        *,
        heads: Iterable[tuple[int, int]] | None = None,
        presence: Presence | None = None,
    ) -> None:
        self.family = family
        self.presence_settings = presence
        text: Any = model.config.text_config  # type: ignore[union-attr]
        self.n_layers: int = text.num_hidden_layers
        self.n_heads: int = text.num_attention_heads
        self.context_length: int | None = getattr(text, "max_position_embeddings", None)
        self.heads = (
            None if heads is None else HeadChoice.of(heads, self.n_layers, self.n_heads).pairs
        )
        self._model = model.eval().requires_grad_(False)
        whole = getattr(model, "lm_head", None) is not None
        self._base: nn.Module = model.model if whole else model  # type: ignore[assignment]
        answers: AnswerTokens | None = None
        if presence is not None:
            if not whole:
                raise GroundingError(
                    "presence answers need the language head; load with full=True or without "
                    "presence"
                )
            answers = AnswerTokens.of(family, presence)
        self._forwards = Forwards(self._model, self._base, answers)
        self._planner = Planner.of(family, presence, self.context_length)
        attach(model)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self._model.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The weights' floating type."""
        return next(self._model.parameters()).dtype

    @property
    def grid_hw(self) -> tuple[int, int]:
        """Rows and columns of the image-token grid (usual ones; `EncodedImage.tokens` has the
        picture's own)."""
        return self.family.grid_hw

    def unknown_words(self, phrase: str) -> tuple[str, ...]:
        """Words of the phrase that the tokenizer has no token for, in order."""
        return self.family.unknown_words(phrase)

    def encode(self, image: np.ndarray, *, all_layers: bool = False) -> EncodedImage:
        """Read a picture: one forward of the prompt up to and including it.

        Parameters
        ----------
        image
            (H, W, 3) uint8 RGB.
        all_layers
            Let every layer read it, even if `heads` needs fewer.

        Raises
        ------
        GroundingError
            When the image has another shape or dtype.
        """
        prepared = self.family.prepare(image)
        inputs = {name: self._tensor(a) for name, a in prepared.inputs.items()}
        prefix = prepared.prefix_ids or self.family.prefix_ids
        following = prepared.next_position
        found: dict[str, Any] = {
            "size_wh": (image.shape[1], image.shape[0]),
            "tokens": prepared.tokens,
            "prefix_ids": prefix,
            "next_position": len(prefix) if following is None else following,
        }
        if not self.family.shares_prefix:
            with torch.inference_mode():
                features = {"image": self._base.get_image_features(**inputs)}  # type: ignore[operator]
            return EncodedImage(cache=DynamicCache(), features=features, **found)
        inputs["input_ids"] = torch.tensor([prefix], device=self.device)
        # Without a config: sliding layers would drop old keys and shift the positions.
        cache = DynamicCache()
        shallow = self.heads is not None and self.presence_settings is None and not all_layers
        deepest = max(i for i, _ in self.heads) if shallow and self.heads else self.n_layers - 1
        with torch.inference_mode(), capture(RowRequest({deepest: ()}, keys=slice(None))):
            # Stops inside the deepest layer, whose keys and values are cached by then.
            self._base(**inputs, past_key_values=cache, use_cache=True)
        return EncodedImage(cache=cache, **found)

    def head_rows(
        self,
        encoded: EncodedImage,
        phrases: Sequence[str],
        heads: Iterable[tuple[int, int]] | None = None,
    ) -> list[np.ndarray]:
        """Attention of each phrase's query token over the image tokens.

        Parameters
        ----------
        encoded
            A picture from :meth:`encode`.
        phrases
            Referring expressions.
        heads
            (layer, head) pairs, 0-based; None = all heads of all layers.

        Returns
        -------
        list of ndarray
            Per phrase (k, P, Q) float32, or (L, H, P, Q) for all heads; softmax weights, not
            renormalised over the picture.

        Raises
        ------
        GroundingError
            For an empty or overlong phrase, heads the model lacks, or layers that have not read
            the picture.
        """
        readings = self._read(encoded, phrases, heads, rows=True, presence=False)
        return [r.rows for r in readings if r.rows is not None]

    def presence(self, encoded: EncodedImage, phrases: Sequence[str]) -> list[float]:
        """Probability that each phrase is in the picture, from the language model's answer.

        Raises
        ------
        GroundingError
            For an empty or overlong phrase, or when the model was loaded without presence.
        """
        readings = self._read(encoded, phrases, None, rows=False, presence=True)
        return [r.presence for r in readings if r.presence is not None]

    def read(
        self,
        encoded: EncodedImage,
        phrases: Sequence[str],
        heads: Iterable[tuple[int, int]] | None = None,
    ) -> list[Reading]:
        """Rows and, if configured, presence of each phrase in one forward pass.

        Arguments and errors as for :meth:`head_rows`. Where the presence template is the
        grounding prompt, its tokens run once for both.
        """
        configured = self.presence_settings is not None
        return self._read(encoded, phrases, heads, rows=True, presence=configured)

    def token_rows(
        self,
        encoded: EncodedImage,
        text: str,
        spans: Sequence[tuple[int, int]],
        heads: Iterable[tuple[int, int]] | None = None,
    ) -> list[np.ndarray]:
        """Attention of the tokens inside a text over the image tokens, from one forward of it.

        A token's row knows only the words before it.

        Parameters
        ----------
        encoded
            A picture from :meth:`encode`.
        text
            What stands where a phrase would.
        spans
            Half-open character offsets in `text`.
        heads
            As for :meth:`head_rows`.

        Returns
        -------
        list of ndarray
            Per span (T, k, P, Q) float32, or (T, L, H, P, Q) for all heads: one for each token
            that stands for some of its characters.

        Raises
        ------
        GroundingError
            As :meth:`head_rows`, and for a span that is not in the text or without a token.
        """
        choice = self._choice(heads)
        self._check_depth(encoded, 1 + choice.deepest)
        prompt = self._planner.prompt(encoded, text)
        inside = span_tokens(text, prompt.offsets, spans)
        if not inside:
            return []
        start = self._planner.start(encoded)
        wanted = sorted({token for tokens in inside for token in tokens})
        queries = [prompt.expression[0] - start + token for token in wanted]
        found = self._forwards.token_maps(encoded, prompt.ids[start:], queries, choice)
        maps = dict(zip(wanted, found, strict=True))
        return [np.stack([maps[token] for token in tokens]) for tokens in inside]

    def _read(
        self,
        encoded: EncodedImage,
        phrases: Sequence[str],
        heads: Iterable[tuple[int, int]] | None,
        *,
        rows: bool,
        presence: bool,
    ) -> list[Reading]:
        """Plan the suffixes, run them in as few forwards as allowed, hand out the results."""
        if isinstance(phrases, str):
            raise GroundingError(f"phrases is the text {phrases!r}; expected a list: [{phrases!r}]")
        choice = self._choice(heads)
        self._check_depth(encoded, self.n_layers if presence else 1 + choice.deepest)
        plans = [self._planner.suffixes(encoded, p, rows=rows, presence=presence) for p in phrases]
        suffixes = [s for plan in plans for s in plan]
        results: list[tuple[np.ndarray | None, float | None]] = []
        limit = _PACK_TOKENS if self.family.packs_phrases else 0
        for chunk in chunks(suffixes, limit):
            results.extend(self._forwards.run(encoded, chunk, choice))
        readings, done = [], 0
        for plan in plans:
            own = results[done : done + len(plan)]
            done += len(plan)
            found = next((r for r, _ in own if r is not None), None)
            answer = next((p for _, p in own if p is not None), None)
            readings.append(Reading(found, answer))
        return readings

    def _tensor(self, array: np.ndarray) -> Tensor:
        """A vision input on the model's device, floats in its type."""
        tensor = torch.from_numpy(array).to(self.device)
        return tensor.to(self.dtype) if tensor.is_floating_point() else tensor

    def _choice(self, heads: Iterable[tuple[int, int]] | None) -> HeadChoice:
        """The heads asked for, all of which the model has."""
        return HeadChoice.of(heads, self.n_layers, self.n_heads)

    def _check_depth(self, encoded: EncodedImage, needed: int) -> None:
        """Refuse layers that have not read the picture."""
        if encoded.layers is not None and needed > encoded.layers:
            raise GroundingError(
                f"{needed} layers are needed, but the picture was read by {encoded.layers}; "
                "call encode(image, all_layers=True)"
            )


def load_lvlm(
    path: str | Path,
    *,
    family: str = "llava",
    revision: str | None = None,
    device: str | torch.device = "cpu",
    dtype: str | torch.dtype = "float32",
    heads: Iterable[tuple[int, int]] | None = None,
    offline: bool = False,
    full: bool = True,
    prompt: str | None = None,
    padding: str | None = None,
    query: str = "expression",
    presence: Presence | None = None,
    tiles: str | None = None,
    vision: str | Sequence[str] | None = None,
    tokenizer: str | None = None,
    quantization: str | None = None,
) -> LVLM:
    """Load a vision-language model from a folder or a hub repository.

    No code of the checkpoint is run, and weights are read from safetensors; only checkpoints in
    the original LLaVA layout, which are renamed on load, may also hold PyTorch files, read as
    plain data.

    Parameters
    ----------
    path
        A folder written by `save_pretrained` (with tokenizer and image processor), or a
        repository name such as ``"llava-hf/llava-1.5-7b-hf"``.
    family
        A name in :data:`grounding.families.FAMILIES`.
    revision
        Branch, tag or commit of a repository.
    device, dtype
        Where and in which floating type to hold the weights, e.g. ``"cuda"``, ``"float16"``.
    heads
        The (layer, head) pairs that will be asked for, 0-based.
    offline
        Never ask the network; a repository must then be in the local cache.
    full
        False: load only the layers up to the deepest of `heads`, without the language head. The
        rows are the same; for LLaVA-1.5-7B up to layer 14 it halves the memory.
    prompt, padding, query
        Prompt template, treatment of the picture's shape and choice of the query token; see the
        family, whose usual ones stand for None.
    presence
        How to ask whether a phrase is there.
    tiles
        Whether the picture is also cut into tiles, and whether these are read (``"fine"``) or the
        overview; see :data:`grounding.families.base.TILES` and the family.
    vision
        Folder or repository of the vision tower (of both, for Mini-Gemini), for original
        checkpoints that lack it and name none that can be reached.
    tokenizer
        Folder or repository of a fast tokenizer, for checkpoints without a ``tokenizer.json``.
    quantization
        "4bit" keeps the language model's weights in 4 bits; needs bitsandbytes.

    Raises
    ------
    GroundingError
        When nothing loadable is there, weights are missing, or the settings do not fit.

    Examples
    --------
    >>> lvlm = load_lvlm("llava-hf/llava-1.5-7b-hf", heads=[(14, 24), (14, 13)])  # doctest: +SKIP
    >>> lvlm.head_rows(lvlm.encode(image), ["the red mug"], lvlm.heads)[0].shape  # doctest: +SKIP
    (2, 24, 24)
    """
    pairs = None if heads is None else tuple(heads)
    if not full and (not pairs or presence is not None):
        raise GroundingError(
            "full=False loads only the layers that heads need: give heads=[(layer, head), ...] and "
            "no presence, or load with full=True"
        )
    deepest = None if full or not pairs else max(int(layer) for layer, _ in pairs)
    parts = load_parts(
        path,
        family,
        revision=revision,
        device=device,
        dtype=dtype,
        offline=offline,
        deepest_layer=deepest,
        vision=vision,
        tokenizer=tokenizer,
        quantization=quantization,
    )
    adapter = parts.family(
        parts.model.config,
        parts.tokenizer,
        parts.image_processor,
        prompt=prompt,
        padding=padding,
        query=query,
        tiles=tiles,
    )
    return LVLM(parts.model, adapter, heads=pairs, presence=presence)
