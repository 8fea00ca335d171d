"""A vision-language model as this project needs one: read a picture once, then ask by phrase.

The picture and everything before the phrase go through the network once (:meth:`LVLM.encode`);
each phrase then costs its own few tokens over that cache. Several phrases share one row, kept
apart by a 4D mask, where the family allows it. What comes back are attention rows on the
image-token grid and, if asked for, the language model's own opinion on whether the phrase is there
at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import DynamicCache

from grounding.capture import RowRequest, attach, capture
from grounding.errors import GroundingError
from grounding.families import Family, Presence, Prompt
from grounding.loading import load_parts
from grounding.presence import AnswerTokens
from grounding.reading import EncodedImage, Reading
from grounding.suffixes import Suffix, chunks, packed_inputs

__all__ = ["LVLM", "EncodedImage", "Presence", "Reading", "load_lvlm"]

_PACK_TOKENS = 1024
"""Most suffix tokens in one packed forward: bounds the mask, (n, prefix + n)."""


class LVLM:
    """A loaded model with its family; safe to read from several threads.

    Parameters
    ----------
    model
        The loaded model, whole (with its language head) or only its base; it is put in eval mode
        and attached to :mod:`grounding.capture`.
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
        self.heads = None if heads is None else self._checked_heads(heads)
        self._model = model.eval().requires_grad_(False)
        whole = getattr(model, "lm_head", None) is not None
        self._base: nn.Module = model.model if whole else model  # type: ignore[assignment]
        self._answers: AnswerTokens | None = None
        if presence is not None:
            if not whole:
                raise GroundingError(
                    "presence answers need the language head; load with full=True or without "
                    "presence"
                )
            self._answers = AnswerTokens.of(family, presence)
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
        pairs = None if heads is None else self._checked_heads(heads)
        self._check_depth(encoded, pairs, rows=rows, presence=presence)
        plans = [self._plan(encoded, p, rows=rows, presence=presence) for p in phrases]
        suffixes = [s for plan in plans for s in plan]
        results: list[tuple[np.ndarray | None, float | None]] = []
        limit = _PACK_TOKENS if self.family.packs_phrases else 0
        for chunk in chunks(suffixes, limit):
            results.extend(self._forward(encoded, chunk, pairs))
        readings, done = [], 0
        for plan in plans:
            own = results[done : done + len(plan)]
            done += len(plan)
            found = next((r for r, _ in own if r is not None), None)
            answer = next((p for _, p in own if p is not None), None)
            readings.append(Reading(found, answer))
        return readings

    def _plan(
        self, encoded: EncodedImage, phrase: str, *, rows: bool, presence: bool
    ) -> list[Suffix]:
        """One suffix per distinct prompt of the phrase."""
        plan: list[Suffix] = []
        # Prompts are built with the family's usual picture; what follows it is the same for all.
        usual, prefix = len(self.family.prefix_ids), len(encoded.prefix_ids)
        start = 0 if encoded.features is not None else usual
        if rows:
            prompt = self.family.prompt(phrase)
            self._check_length(prompt, usual, prefix)
            plan.append(Suffix(prompt.ids[start:], query=prompt.query - start))
        if presence:
            if self.presence_settings is None:
                raise GroundingError(
                    "presence was not configured; load the model with presence=Presence(...)"
                )
            prompt = self.family.prompt(phrase, self.presence_settings.template)
            self._check_length(prompt, usual, prefix)
            if plan and plan[0].ids == prompt.ids[start:]:
                plan[0].answer = True
            else:
                plan.append(Suffix(prompt.ids[start:], answer=True))
        return plan

    def _forward(
        self,
        encoded: EncodedImage,
        suffixes: list[Suffix],
        pairs: tuple[tuple[int, int], ...] | None,
    ) -> list[tuple[np.ndarray | None, float | None]]:
        """Run some suffixes over the picture in one row: (rows, presence) of each."""
        ends = list(accumulate(len(s.ids) for s in suffixes))
        starts = [end - len(s.ids) for s, end in zip(suffixes, ends, strict=True)]
        queries = [
            a + s.query for s, a in zip(suffixes, starts, strict=True) if s.query is not None
        ]
        answers = [end - 1 for s, end in zip(suffixes, ends, strict=True) if s.answer]
        inputs = self._suffix_inputs(encoded, suffixes)
        rows: dict[int, Tensor] = {}
        logits = None
        with torch.inference_mode():
            if not queries:
                logits = self._logits(inputs, answers)
            else:
                request = RowRequest(
                    self._by_layer(pairs),
                    keys=encoded.tokens.span,
                    query=torch.tensor([queries]),
                    stop=not answers,
                )
                with capture(request) as rows:
                    if answers:
                        logits = self._logits(inputs, answers)
                    else:
                        self._base(**inputs)
        grid = encoded.tokens.grid_hw
        maps = iter(self._maps(rows, pairs, grid) if queries else ())
        scores = iter(self._answers.scores(logits) if self._answers and logits is not None else ())
        return [
            (None if s.query is None else next(maps), next(scores) if s.answer else None)
            for s in suffixes
        ]

    def _suffix_inputs(self, encoded: EncodedImage, suffixes: list[Suffix]) -> dict[str, Any]:
        """Forward arguments of some suffixes over a picture."""
        if encoded.features is None:
            return packed_inputs(encoded.cache, encoded.next_position, suffixes, self.device)
        (suffix,) = suffixes  # such a family packs nothing
        ids = torch.tensor([suffix.ids], device=self.device)
        return {
            "input_ids": ids,
            "past_key_values": DynamicCache(),
            "use_cache": True,
            "mm_encoder_outputs": dict(encoded.features),
            # All of it is the prefix of a prefix language model: every token sees every other.
            "token_type_ids": torch.zeros_like(ids),
        }

    def _logits(self, inputs: dict[str, Any], at: list[int]) -> Tensor:
        """Next-token logits after some positions, (len(at), vocabulary) float32."""
        keep = torch.tensor(at, device=self.device)
        return self._model(**inputs, logits_to_keep=keep).logits[0].float()

    def _by_layer(self, pairs: tuple[tuple[int, int], ...] | None) -> dict[int, list[int] | None]:
        """Layer -> sorted heads, or None for all heads."""
        if pairs is None:
            return dict.fromkeys(range(self.n_layers))
        layers = sorted({layer for layer, _ in pairs})
        return {i: sorted({h for layer, h in pairs if layer == i}) for i in layers}

    def _maps(
        self,
        rows: dict[int, Tensor],
        pairs: tuple[tuple[int, int], ...] | None,
        grid_hw: tuple[int, int],
    ) -> list[np.ndarray]:
        """Per query, its rows folded onto the grid in the order the heads were asked for."""
        arrays = {layer: r[0].cpu().numpy() for layer, r in rows.items()}  # (h, R, n)
        if pairs is None:
            stack = np.stack([arrays[layer] for layer in range(self.n_layers)])
        else:
            order = self._by_layer(pairs)
            stack = np.stack([arrays[i][(order[i] or []).index(h)] for i, h in pairs])
        folded = stack.reshape(*stack.shape[:-1], *grid_hw)
        return [np.ascontiguousarray(folded[..., r, :, :]) for r in range(folded.shape[-3])]

    def _tensor(self, array: np.ndarray) -> Tensor:
        """A vision input on the model's device, floats in its type."""
        tensor = torch.from_numpy(array).to(self.device)
        return tensor.to(self.dtype) if tensor.is_floating_point() else tensor

    def _checked_heads(self, heads: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
        """Heads as a tuple of pairs that the model has."""
        try:
            pairs = tuple((int(layer), int(head)) for layer, head in heads)
        except (TypeError, ValueError) as error:
            raise GroundingError(
                f"heads is {heads!r}; expected (layer, head) pairs, e.g. [(14, 24), (14, 13)]"
            ) from error
        if not pairs:
            raise GroundingError("heads is empty; give at least one (layer, head) pair, or None")
        for layer, head in pairs:
            if not (0 <= layer < self.n_layers and 0 <= head < self.n_heads):
                raise GroundingError(
                    f"head ({layer}, {head}) is not in the loaded model, which has layers 0 to "
                    f"{self.n_layers - 1} with heads 0 to {self.n_heads - 1}; numbers are 0-based"
                )
        return pairs

    def _check_depth(
        self,
        encoded: EncodedImage,
        pairs: tuple[tuple[int, int], ...] | None,
        *,
        rows: bool,
        presence: bool,
    ) -> None:
        """Refuse layers that have not read the picture."""
        everything = presence or (rows and pairs is None)
        needed = self.n_layers if everything else 1 + max(i for i, _ in pairs or ())
        if encoded.layers is not None and needed > encoded.layers:
            raise GroundingError(
                f"{needed} layers are needed, but the picture was read by {encoded.layers}; "
                "call encode(image, all_layers=True)"
            )

    def _check_length(self, prompt: Prompt, usual: int, prefix: int) -> None:
        """Refuse prompts longer than the context window, with the picture's own prefix."""
        total, limit = len(prompt.ids) - usual + prefix, self.context_length
        if limit is not None and total > limit:
            words = len(prompt.phrase.split())
            raise GroundingError(
                f"the phrase has {words} words; with the picture's {prefix} tokens the prompt "
                f"has {total}, but the model reads at most {limit}; shorten the phrase by at "
                f"least {total - limit} tokens"
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
    vision: str | None = None,
    tokenizer: str | None = None,
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
    vision
        Folder or repository of the vision tower, for original checkpoints that lack it and name
        none that can be reached.
    tokenizer
        Folder or repository of a fast tokenizer, for checkpoints without a ``tokenizer.json``.

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
        path, family, revision=revision, device=device, dtype=dtype, offline=offline,
        deepest_layer=deepest, vision=vision, tokenizer=tokenizer,
    )  # fmt: skip
    adapter = parts.family(
        parts.model.config,
        parts.tokenizer,
        parts.image_processor,
        prompt=prompt,
        padding=padding,
        query=query,
    )
    return LVLM(parts.model, adapter, heads=pairs, presence=presence)
