"""A loaded LVLM: read a picture once, then read attention rows and presence phrase by phrase.

The picture and everything before the phrase go through the network once (:meth:`LVLM.encode`);
each phrase then costs its own few tokens over that cache. Several phrases share one row, kept
apart by a 4D mask, where the family allows it. One forward for the picture and a single phrase was
left out: it would save a twentieth (`benchmarks.phrases`), and nothing where presence is read too
with another prompt. It loads nothing; see `grounding.attention.load`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import DynamicCache

from ..errors import GroundingError
from ..families.base import Family
from ..families.prompts import TokenizedPrompt
from .capture import RowRequest, attach, capture
from .reading import (
    AnswerTokens,
    EncodedImage,
    HeadSelection,
    Presence,
    Reading,
    Suffix,
    span_tokens,
    suffix_inputs,
)

_PACK_TOKENS = 1024
"""Most suffix tokens in one packed forward: bounds the mask, (n, prefix + n)."""


class LVLM:
    """A loaded model with its family; safe to read from several threads.

    Parameters
    ----------
    model : The loaded model, whole (with its language head) or only its base; it is put in eval
        mode and attached to :mod:`grounding.attention.capture`.
    family : The adapter, which holds the tokenizer and the image processor.
    heads : The (layer, head) pairs usually read, 0-based; None = unknown, so every layer reads the
        picture.
    presence : The question whether a phrase is in the picture; None = no presence answers.

    Raises GroundingError for heads that the model lacks, or presence without a language head.
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
        self._selection = HeadSelection.of(heads, self.n_layers, self.n_heads)
        self.heads = self._selection.pairs
        self._model = model.eval().requires_grad_(False)
        whole = getattr(model, "lm_head", None) is not None
        self._base: nn.Module = model.model if whole else model  # type: ignore[assignment]
        if presence is not None and not whole:
            raise GroundingError(
                "presence answers need the language head; load with full=True or without presence"
            )
        self._answers = None if presence is None else AnswerTokens.of(family, presence)
        # Whether the presence question is the grounding prompt itself: both are then one suffix.
        self._one_prompt = presence is not None and (
            family.prompts.build("object").ids
            == family.prompts.build("object", presence.template).ids
        )
        attach(model)

    def with_heads(self, heads: Iterable[tuple[int, int]], presence: Presence | None) -> LVLM:
        """The same loaded model, read at other heads, with another presence query."""
        return LVLM(self._model, self.family, heads=heads, presence=presence)

    @property
    def device(self) -> torch.device:
        """Where tokens go in: of a model on several devices, its first layer's."""
        return self._model.get_input_embeddings().weight.device  # type: ignore[operator]

    @property
    def dtype(self) -> torch.dtype:
        """The weights' floating type."""
        return next(self._model.parameters()).dtype

    @property
    def network(self) -> nn.Module:
        """The loaded transformers model."""
        return self._model

    @property
    def base(self) -> nn.Module:
        """The model without its language head."""
        return self._base

    @property
    def grid_hw(self) -> tuple[int, int]:
        """Usual rows and columns of image tokens; `EncodedImage.tokens` has the picture's own."""
        return self.family.grid_hw

    def unknown_words(self, phrase: str) -> tuple[str, ...]:
        """Words of the phrase that the tokenizer has no token for, in order."""
        return self.family.prompts.unknown_words(phrase)

    def encode(self, image: np.ndarray, *, all_layers: bool = False) -> EncodedImage:
        """Read a picture: one forward of the prompt up to and including it.

        `image` is (H, W, 3) uint8 RGB; with `all_layers` every layer reads it, even if `heads`
        needs fewer.

        Raises GroundingError when the image has another shape or dtype.
        """
        prepared = self.family.prepare(image)
        inputs = {name: self.tensor(a) for name, a in prepared.inputs.items()}
        prefix = prepared.prefix_ids or self.family.prefix_ids
        following = prepared.next_position
        known: dict[str, Any] = {
            "size_wh": (image.shape[1], image.shape[0]),
            "tokens": prepared.tokens,
            "prefix_ids": prefix,
            "next_position": len(prefix) if following is None else following,
        }
        # Without a config: sliding layers would drop old keys and shift the positions.
        cache = DynamicCache()
        if not self.family.shares_prefix:
            with torch.inference_mode():
                features = {"image": self._base.get_image_features(**inputs)}  # type: ignore[operator]
            return EncodedImage(cache=cache, layers=None, features=features, **known)
        inputs["input_ids"] = torch.tensor([prefix], device=self.device)
        shallow = self.heads is not None and self.presence_settings is None and not all_layers
        deepest = max(i for i, _ in self.heads) if shallow and self.heads else self.n_layers - 1
        with torch.inference_mode(), capture(RowRequest({deepest: ()}, keys=slice(None))):
            # Stops inside the deepest layer, with its keys and values cached by then.
            self._base(**inputs, past_key_values=cache, use_cache=True)
        return EncodedImage(cache=cache, layers=len(cache.layers), **known)

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

    def head_rows(
        self,
        encoded: EncodedImage,
        phrases: Sequence[str],
        heads: Iterable[tuple[int, int]] | None = None,
    ) -> list[np.ndarray]:
        """Attention of each phrase's query token over the image tokens.

        Parameters
        ----------
        encoded : A picture from :meth:`encode`.
        phrases : Referring expressions.
        heads : (layer, head) pairs, 0-based; None = all heads of all layers.

        Returns, per phrase, (k, P, Q) float32, or (L, H, P, Q) for all heads: softmax weights, not
        renormalised over the picture.

        Raises GroundingError for an empty or overlong phrase, heads that the model lacks, or layers
        that have not read the picture.
        """
        readings = self._read(encoded, phrases, heads, rows=True, presence=False)
        return [r.rows for r in readings if r.rows is not None]

    def presence(self, encoded: EncodedImage, phrases: Sequence[str]) -> list[float]:
        """Probability that each phrase is in the picture, from the language model's answer.

        Raises GroundingError for an empty or overlong phrase, or when the model was loaded without
        presence.
        """
        readings = self._read(encoded, phrases, None, rows=False, presence=True)
        return [r.presence for r in readings if r.presence is not None]

    def token_rows(
        self,
        encoded: EncodedImage,
        text: str,
        spans: Sequence[tuple[int, int]],
        heads: Iterable[tuple[int, int]] | None = None,
    ) -> list[np.ndarray]:
        """Attention of the tokens inside a text over the image tokens, from one forward of it.

        A token's row depends only on the words before it.

        Parameters
        ----------
        encoded, heads : As for :meth:`head_rows`.
        text : Takes the place of a phrase.
        spans : Half-open character offsets in `text`.

        Returns, per span, (T, k, P, Q) float32, or (T, L, H, P, Q) for all heads: one map for each
        token that covers some of its characters.

        Raises GroundingError as :meth:`head_rows`, and for a span that is not in the text or
        without a token.
        """
        selection = self._select(heads)
        self.check_depth(encoded, 1 + selection.deepest)
        prompt = self._prompt(encoded, text)
        inside = span_tokens(text, prompt.offsets, spans)
        if not inside:
            return []
        start = self._start(encoded)
        wanted = sorted({token for tokens in inside for token in tokens})
        queries = [prompt.expression[0] - start + token for token in wanted]
        inputs = suffix_inputs(encoded, [Suffix(prompt.ids[start:])], self.device)
        found, _ = self._forward(encoded, inputs, queries, [], selection)
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
        """Plan the suffixes, run them in as few forwards as allowed, and join each phrase's."""
        if isinstance(phrases, str):
            raise GroundingError(f"phrases is the text {phrases!r}; expected a list: [{phrases!r}]")
        selection = self._select(heads)
        self.check_depth(encoded, self.n_layers if presence else 1 + selection.deepest)
        plans = [self._suffixes(encoded, p, rows=rows, presence=presence) for p in phrases]
        limit = _PACK_TOKENS if self.family.packs_phrases else 0
        results: list[Reading] = []
        for chunk in chunks([s for plan in plans for s in plan], limit):
            results.extend(self._run(encoded, chunk, selection))
        left = iter(results)
        return [_joined([next(left) for _ in plan]) for plan in plans]

    def _suffixes(
        self, encoded: EncodedImage, phrase: str, *, rows: bool, presence: bool
    ) -> list[Suffix]:
        """One suffix per distinct prompt of a phrase, for its rows, its presence, or both."""
        start = self._start(encoded)
        plan: list[Suffix] = []
        if rows:
            prompt = self._prompt(encoded, phrase)
            both = presence and self._one_prompt
            plan.append(Suffix(prompt.ids[start:], query=prompt.query - start, answer=both))
        if presence and not (rows and self._one_prompt):
            if self.presence_settings is None:
                raise GroundingError(
                    "presence was not configured; load the model with presence=Presence(...)"
                )
            prompt = self._prompt(encoded, phrase, self.presence_settings.template)
            plan.append(Suffix(prompt.ids[start:], answer=True))
        return plan

    def _prompt(
        self, encoded: EncodedImage, phrase: str, template: str | None = None
    ) -> TokenizedPrompt:
        """A phrase's prompt, refused if it does not fit the context behind this picture.

        Prompts are built with the family's usual picture; what follows it is the same for all.
        """
        prompt = self.family.prompts.build(phrase, template)
        prefix = len(encoded.prefix_ids)
        total = len(prompt.ids) - len(self.family.prefix_ids) + prefix
        if self.context_length is not None and total > self.context_length:
            words = len(prompt.phrase.split())
            raise GroundingError(
                f"the phrase has {words} words; with the picture's {prefix} tokens the prompt "
                f"has {total}, but the model reads at most {self.context_length}; shorten the "
                f"phrase by at least {total - self.context_length} tokens"
            )
        return prompt

    def suffix(self, encoded: EncodedImage, phrase: str, template: str) -> tuple[int, ...]:
        """The tokens of another prompt that were not read with the picture."""
        return self._prompt(encoded, phrase, template).ids[self._start(encoded) :]

    def _start(self, encoded: EncodedImage) -> int:
        """Position in a prompt of the first token that was not read with the picture."""
        return 0 if encoded.features is not None else len(self.family.prefix_ids)

    def _run(
        self, encoded: EncodedImage, suffixes: Sequence[Suffix], selection: HeadSelection
    ) -> list[Reading]:
        """The readings of suffixes packed in one row."""
        ends = list(accumulate(len(s.ids) for s in suffixes))
        starts = [end - len(s.ids) for s, end in zip(suffixes, ends, strict=True)]
        queries = [
            a + s.query for s, a in zip(suffixes, starts, strict=True) if s.query is not None
        ]
        answers = [end - 1 for s, end in zip(suffixes, ends, strict=True) if s.answer]
        inputs = suffix_inputs(encoded, suffixes, self.device)
        found, logits = self._forward(encoded, inputs, queries, answers, selection)
        maps = iter(found)
        scores = iter(self._answers.scores(logits) if self._answers and logits is not None else ())
        return [
            Reading(None if s.query is None else next(maps), next(scores) if s.answer else None)
            for s in suffixes
        ]

    @torch.inference_mode()
    def _forward(
        self,
        encoded: EncodedImage,
        inputs: dict[str, Any],
        queries: Sequence[int],
        answers: Sequence[int],
        selection: HeadSelection,
    ) -> tuple[list[np.ndarray], Tensor | None]:
        """Maps at some positions, and next-token logits after others, (n, vocabulary) float32."""

        def logits() -> Tensor:
            # A list, because the last layer may be on another device than a tensor would be.
            return self._model(**inputs, logits_to_keep=list(answers)).logits[0].float()

        if not queries:
            return [], logits()
        tokens = encoded.tokens
        span = tokens.span
        keys = torch.from_numpy(tokens.positions) if span is None else span
        query = torch.tensor([queries])
        request = RowRequest(selection.by_layer, keys=keys, query=query, stop=not answers)
        found = None
        with capture(request) as rows:
            if answers:
                found = logits()
            else:
                self._base(**inputs)
        return selection.maps(rows, tokens.grid_hw), found

    def tensor(self, array: np.ndarray) -> Tensor:
        """A vision input on the model's device, floats in its type."""
        tensor = torch.from_numpy(array).to(self.device)
        return tensor.to(self.dtype) if tensor.is_floating_point() else tensor

    def _select(self, heads: Iterable[tuple[int, int]] | None) -> HeadSelection:
        if heads is self.heads:
            return self._selection
        return HeadSelection.of(heads, self.n_layers, self.n_heads)

    def check_depth(self, encoded: EncodedImage, needed: int) -> None:
        """Refuse layers that have not read the picture."""
        layers = encoded.layers
        if layers is not None and needed > layers:
            raise GroundingError(
                f"{needed} layers are needed, but the picture was read by {layers}; "
                "call encode(image, all_layers=True)"
            )


def chunks(suffixes: Sequence[Suffix], limit: int) -> list[list[Suffix]]:
    """Consecutive runs of suffixes of at most `limit` tokens together (or one longer suffix)."""
    runs: list[list[Suffix]] = []
    size = 0
    for suffix in suffixes:
        size += len(suffix.ids)
        if runs and size <= limit:
            runs[-1].append(suffix)
        else:
            runs.append([suffix])
            size = len(suffix.ids)
    return runs


def _joined(parts: Sequence[Reading]) -> Reading:
    """The readings of one phrase's suffixes as one."""
    rows = next((part.rows for part in parts if part.rows is not None), None)
    presence = next((part.presence for part in parts if part.presence is not None), None)
    return Reading(rows, presence)
