"""Capture attention rows from a transformers model that keeps running under SDPA.

`output_attentions=True` forces the eager path and stores every layer's full L x L matrix; a
localization head needs one row of it. Here an attention function is registered with transformers
that *is* SDPA, plus the one row when a request is active. It knows nothing of images or phrases.

A request lives in a `ContextVar`, not in forward's keyword arguments: some families hand those to
their vision tower too, where layer numbers would collide.

Source: https://huggingface.co/docs/transformers/attention_interface
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import GroundingError

ATTENTION_NAME = "attention_rows"
"""The name under which the attention function is registered with transformers. Without "sdpa" in
it, which transformers refuses for models with a soft cap (Gemma 2)."""


@dataclass(frozen=True, eq=False)
class RowRequest:
    """Which attention rows one forward pass should leave behind.

    Parameters
    ----------
    heads : Layer -> heads of that layer, both 0-based; ``None`` means all heads, an empty sequence
        means no row of that layer (useful only to stop there).
    keys : Key positions to keep, counted from the start of the cache: a slice, or an int64 tensor
        of shape (n,) or, for a padded batch, (B, n).
    query : Query positions within the tokens of *this* forward: an int (negative counts from the
        end), or an int64 tensor of shape (B,) or (B, R). A right-padded batch needs a tensor.
    stop : End the forward pass at the deepest requested layer, right after its row: the rest of
        that layer, the layers above, the norm and the language head are never computed. The layer's
        keys and values are in the cache by then.

    """

    heads: Mapping[int, Sequence[int] | None]
    keys: Tensor | slice
    query: int | Tensor = -1
    stop: bool = True

    @property
    def deepest(self) -> int:
        """The deepest layer named, 0-based."""
        return max(self.heads)

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers that yield rows, ascending."""
        return tuple(sorted(i for i, h in self.heads.items() if h is None or len(h) > 0))


class _Stop(Exception):
    """Ends a forward pass once its rows are complete; never leaves `capture`."""


_active: ContextVar[tuple[RowRequest, dict[int, Tensor]] | None] = ContextVar(
    "grounding_row_request", default=None
)
_install_lock = threading.Lock()


@contextmanager
def capture(request: RowRequest) -> Iterator[dict[int, Tensor]]:
    """Collect the requested rows of the forward pass run inside the block.

    The model must have been given to :func:`attach`. Requests are per thread (and per task), so
    several threads may read one model at once.

    Yields
    ------
    dict of int to Tensor
        Filled while the block runs: layer -> float32 rows of shape (B, heads, n), or
        (B, heads, R, n) when `request.query` has two dimensions. Softmax over *all* keys comes
        first, so a row over the image tokens sums to the paper's attention sum, not to one.

    Raises GroundingError when the request names no layer, or the block ended and a layer's rows are
    missing: the model is not attached, has fewer layers, or nothing was run.

    Examples
    --------
    >>> with torch.inference_mode(), capture(RowRequest({14: [24, 13]}, keys=image)) as rows:
    ...     model(**inputs)                                                    # doctest: +SKIP
    >>> rows[14].shape                                                         # doctest: +SKIP
    torch.Size([1, 2, 576])
    """
    if not request.heads:
        raise GroundingError(
            "RowRequest.heads names no layer; give at least one, e.g. {14: [24, 13]}"
        )
    rows: dict[int, Tensor] = {}
    token = _active.set((request, rows))
    try:
        yield rows
    except _Stop:
        pass
    finally:
        _active.reset(token)
    missing = [i for i in request.layers if i not in rows]
    if missing:
        raise GroundingError(
            f"no attention rows came from layers {missing}; expected a forward pass, inside the "
            "capture block, of a model with those layers: call grounding.capture.attach(model) "
            "before and check the layer numbers (0-based)"
        )


def attach(model: nn.Module) -> None:
    """Let a loaded transformers model answer row requests in its language model only.

    The vision tower keeps its own attention. With no active request the model computes exactly
    what it did under SDPA, and `save_pretrained` does not write the name.
    """
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    with _install_lock:
        AttentionInterface.register(ATTENTION_NAME, _attention_with_rows)
        # Without a mask of the same name transformers silently passes no mask at all, and
        # padding, sliding windows and cached prefixes come out wrong.
        AttentionMaskInterface.register(ATTENTION_NAME, sdpa_mask)
    model.set_attn_implementation({"text_config": ATTENTION_NAME})  # type: ignore[operator]


@torch.no_grad()
def attention_rows(
    query: Tensor,
    key: Tensor,
    mask: Tensor | None,
    request: RowRequest,
    *,
    heads: Sequence[int] | None = None,
    scaling: float | None = None,
    softcap: float | None = None,
    causal: bool = True,
) -> Tensor:
    """Softmax attention of some query tokens over some keys, in float32.

    Parameters
    ----------
    query, key : After rotary embedding: (B, H, Lq, D) and (B, KV, Lk, D); H is a multiple of KV
        (grouped heads share keys; they are never repeated here).
    mask : None, or broadcastable to (B, H, Lq, Lk): bool with True = attend, or additive.
    request : Gives the query and key positions.
    heads : Heads to compute, 0-based; None = all.
    scaling : Factor on the scores; None = D ** -0.5.
    softcap : Bound that the scores approach (Gemma 2: ``softcap * tanh(score / softcap)``).
    causal : Whether a query must not see later keys when `mask` is None.

    Returns Tensor: (B, heads, n), or (B, heads, R, n) when `request.query` is (B, R).
    """
    batch, n_heads, length, width = query.shape
    wanted = torch.arange(n_heads) if heads is None else torch.as_tensor(heads, dtype=torch.long)
    wanted = wanted.to(query.device)
    index, single = _query_index(request.query, batch, length, query.device)
    sample = torch.arange(batch, device=query.device)[:, None]

    # Float32 from here on: nearer to the truth than a half-precision eager pass, and only R rows.
    picked = query.transpose(1, 2)[sample, index][:, :, wanted].transpose(1, 2).float()
    scores = _grouped_scores(picked, key, wanted, n_heads, all_heads=heads is None)
    scores = scores * (width**-0.5 if scaling is None else scaling)
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if mask is not None:
        scores = _apply_mask(scores, mask, sample, index, wanted)
    elif causal and length > 1:
        later = torch.arange(key.shape[2], device=key.device) > index[:, None, :, None]
        scores = scores.masked_fill(later, -torch.inf)
    rows = _select_keys(torch.softmax(scores, dim=-1), request.keys)
    # A copy, so that the scores over all keys are freed.
    return (rows[:, :, 0] if single else rows).clone()


def _query_index(
    query: int | Tensor, batch: int, length: int, device: torch.device
) -> tuple[Tensor, bool]:
    """Query positions as (B, R), and whether the R dimension is to be dropped again."""
    index = torch.as_tensor(query, device=device)
    single = index.dim() < 2
    if index.dim() == 0:
        index = index.expand(batch)
    return index.reshape(batch, -1) % length, single


def _grouped_scores(
    picked: Tensor, key: Tensor, wanted: Tensor, n_heads: int, *, all_heads: bool
) -> Tensor:
    """Unscaled q.k of (B, h, R, D) against (B, KV, Lk, D), without repeating the keys."""
    batch, _, n_rows, width = picked.shape
    n_kv = key.shape[1]
    group = n_heads // n_kv
    if all_heads:
        grouped = picked.reshape(batch, n_kv, group * n_rows, width)
        return (grouped @ key.float().transpose(2, 3)).view(batch, n_heads, n_rows, -1)
    return picked @ key[:, wanted // group].float().transpose(2, 3)


def _apply_mask(
    scores: Tensor, mask: Tensor, sample: Tensor, index: Tensor, wanted: Tensor
) -> Tensor:
    """Add the layer's own mask, at the picked queries and heads, to the scores."""
    rows = mask.expand(scores.shape[0], -1, -1, -1).transpose(1, 2)[sample, index].transpose(1, 2)
    rows = rows[..., : scores.shape[-1]]
    if rows.shape[1] != 1:
        rows = rows[:, wanted]
    if rows.dtype == torch.bool:
        return scores.masked_fill(~rows, -torch.inf)
    return scores + rows.float()


def _select_keys(rows: Tensor, keys: Tensor | slice) -> Tensor:
    """The wanted key positions of (B, h, R, Lk)."""
    if isinstance(keys, slice):
        return rows[..., keys]
    keys = keys.to(rows.device)
    if keys.dim() == 1:
        return rows[..., keys]
    return rows.gather(-1, keys[:, None, None].expand(-1, rows.shape[1], rows.shape[2], -1))


def _attention_with_rows(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """The registered attention function: SDPA, and the rows when a request is active."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    active = _active.get()
    layer: int = getattr(module, "layer_idx", -1)
    if active is not None and layer in active[0].heads:
        request, rows = active
        heads = request.heads[layer]
        if heads is None or len(heads) > 0:
            causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
            rows[layer] = attention_rows(
                query,
                key,
                attention_mask,
                request,
                heads=heads,
                scaling=scaling,
                softcap=kwargs.get("softcap"),
                causal=causal,
            )
        if request.stop and layer == request.deepest:
            raise _Stop
    kwargs.pop("output_attentions", None)
    if kwargs.get("softcap") is not None:
        # SDPA knows no soft cap and would drop it without a word.
        return _capped_attention(query, key, value, attention_mask, scaling, kwargs["softcap"])
    return sdpa_attention_forward(
        module,
        query,
        key,
        value,
        attention_mask,
        dropout=dropout,
        scaling=scaling,
        is_causal=is_causal,
        **kwargs,
    )


def _capped_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    scaling: float | None,
    softcap: float,
) -> tuple[Tensor, None]:
    """Attention with soft-capped scores, (B, Lq, H, D); grouped keys are never repeated."""
    batch, n_heads, length, width = query.shape
    n_kv = key.shape[1]
    grouped = query.reshape(batch, n_kv, n_heads // n_kv, length, width)
    scores = grouped @ key[:, :, None].transpose(3, 4)
    scores = scores * (width**-0.5 if scaling is None else scaling)
    scores = softcap * torch.tanh(scores / softcap)
    if mask is None:
        past = key.shape[2] - length
        mask = torch.ones(length, key.shape[2], dtype=torch.bool, device=key.device).tril(past)
        mask = mask[None, None]
    mask = mask[:, :, None, :, : key.shape[2]]
    scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(value.dtype)
    out = (weights @ value[:, :, None]).reshape(batch, n_heads, length, -1)
    return out.transpose(1, 2).contiguous(), None
