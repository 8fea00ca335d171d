"""Rows captured under SDPA against transformers' own eager attention."""

from __future__ import annotations

import json
import subprocess
import sys
import threading

import pytest
import torch
from groundbrush.grounding.attention.capture import (
    ATTENTION_NAME,
    RowRequest,
    attach,
    attention_rows,
    capture,
)
from groundbrush.grounding.errors import GroundingError

IMAGE = 4  # image token id of the tiny models
ALL_LAYERS = dict.fromkeys(range(4))


def inputs(tail: list[int], seed: int = 0) -> dict[str, torch.Tensor]:
    pixels = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
    ids = [2, 5, 6, 7, *[IMAGE] * 16, *tail]
    return {"input_ids": torch.tensor([ids]), "pixel_values": pixels}


def eager(model, **kwargs) -> torch.Tensor:
    """(L, B, H, Lq, Lk) attention of the eager path; the model is left attached."""
    model.set_attn_implementation({"text_config": "eager"})
    with torch.inference_mode():
        out = model(**kwargs, output_attentions=True, use_cache=False)
    attach(model)
    return torch.stack(out.attentions)


@pytest.mark.parametrize("kv_heads", [4, 2, 1])
def test_rows_equal_eager_attention(make_llava, kv_heads):
    model = make_llava(kv_heads=kv_heads)
    batch = inputs([9, 11, 8])
    truth = eager(model, **batch)
    assert truth[..., -1, 4:20].max() > 0.2  # peaked, so that a wrong head or mask shows

    with torch.inference_mode(), capture(RowRequest(ALL_LAYERS, keys=slice(4, 20))) as rows:
        model.model(**batch, use_cache=False)
    for layer in range(4):
        assert rows[layer].dtype == torch.float32
        torch.testing.assert_close(rows[layer], truth[layer, :, :, -1, 4:20], atol=1e-5, rtol=0)


@pytest.mark.parametrize("kv_heads", [4, 2])
def test_selected_heads_layers_queries_and_keys(make_llava, kv_heads):
    model = make_llava(kv_heads=kv_heads)
    batch = inputs([9, 11, 8])
    truth = eager(model, **batch)
    keys = torch.tensor([5, 19, 4])
    request = RowRequest({1: [3, 0], 2: [2]}, keys=keys, query=torch.tensor([[20, 22, 21]]))
    with torch.inference_mode(), capture(request) as rows:
        model.model(**batch, use_cache=False)

    assert set(rows) == {1, 2}
    assert rows[1].shape == (1, 2, 3, 3)
    queries = torch.tensor([20, 22, 21])[:, None]
    for place, head in enumerate([3, 0]):
        expected = truth[1, 0, head][queries, keys]
        torch.testing.assert_close(rows[1][0, place], expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(rows[2][0, 0], truth[2, 0, 2][queries, keys], atol=1e-5, rtol=0)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kv_heads", [4, 2])
def test_padded_batches_equal_eager_and_solo(make_llava, side, kv_heads):
    model = make_llava(kv_heads=kv_heads)
    short, long = inputs([9, 8], seed=1), inputs([9, 13, 12, 11, 8], seed=2)
    pad = torch.zeros(1, 3, dtype=torch.long)
    pieces = [pad, short["input_ids"]] if side == "left" else [short["input_ids"], pad]
    attends = torch.ones(2, 25, dtype=torch.long)
    attends[0, slice(0, 3) if side == "left" else slice(22, 25)] = 0
    batch = {
        "input_ids": torch.cat([torch.cat(pieces, 1), long["input_ids"]]),
        "pixel_values": torch.cat([short["pixel_values"], long["pixel_values"]]),
        "attention_mask": attends,
        "position_ids": (attends.cumsum(1) - 1).clamp(min=0),
    }
    truth = eager(model, **batch)
    start = torch.tensor([7 if side == "left" else 4, 4])
    last = torch.tensor([24 if side == "left" else 21, 24])
    request = RowRequest(ALL_LAYERS, keys=start[:, None] + torch.arange(16), query=last)
    with torch.inference_mode(), capture(request) as rows:
        model.model(**batch, use_cache=False)

    for layer in range(4):
        for i, solo in enumerate((short, long)):
            own = truth[layer, i, :, last[i], start[i] : start[i] + 16]
            torch.testing.assert_close(rows[layer][i], own, atol=1e-5, rtol=0)
            alone = eager(model, **solo)[layer, 0, :, -1, 4:20]
            torch.testing.assert_close(rows[layer][i], alone, atol=1e-5, rtol=0)


def test_hand_worked_row():
    # Two query heads share one key head. Scores of the last query: head 0 (0, ln 3), head 1 (0, 0).
    q = torch.zeros(1, 2, 2, 1)
    q[0, 0, 1] = 1.0
    k = torch.tensor([0.0, float(torch.log(torch.tensor(3.0)))]).view(1, 1, 2, 1)
    request = RowRequest({0: None}, keys=slice(None))
    rows = attention_rows(q, k, None, request, scaling=1.0)
    torch.testing.assert_close(rows, torch.tensor([[[0.25, 0.75], [0.5, 0.5]]]))
    first = RowRequest({0: None}, keys=slice(None), query=0)
    seen = attention_rows(q, k, None, first, scaling=1.0)
    torch.testing.assert_close(seen, torch.tensor([[[1.0, 0.0], [1.0, 0.0]]]))
    free = attention_rows(q, k, None, first, scaling=1.0, causal=False)
    torch.testing.assert_close(free, torch.full((1, 2, 2), 0.5))
    # Additive and boolean masks that hide the second key; per-head masks follow the head picked.
    hide = torch.tensor([[True, True], [True, False]])[None, None]
    additive = torch.zeros(1, 2, 2, 2)
    additive[0, 1, 1, 1] = -torch.inf
    hidden = attention_rows(q, k, hide, request, heads=[0], scaling=1.0)
    torch.testing.assert_close(hidden, torch.tensor([[[1.0, 0.0]]]))
    per_head = attention_rows(q, k, additive, request, heads=[1, 0], scaling=1.0)
    torch.testing.assert_close(per_head, torch.tensor([[[1.0, 0.0], [0.25, 0.75]]]))


def test_stop_skips_the_layers_above(make_llava):
    model = make_llava()
    attach(model)
    reached: list[int] = []
    for i, layer in enumerate(model.model.language_model.layers):
        layer.mlp.register_forward_hook(lambda *_, i=i: reached.append(i))
    request = RowRequest({1: [0]}, keys=slice(4, 20))
    with torch.inference_mode(), capture(request):
        model(**inputs([9, 8]))
    assert reached == [0]

    reached.clear()
    with torch.inference_mode(), capture(RowRequest({1: [0]}, keys=slice(4, 20), stop=False)) as r:
        logits = model(**inputs([9, 8])).logits
    assert reached == [0, 1, 2, 3]
    assert set(r) == {1}
    with torch.inference_mode():
        torch.testing.assert_close(logits, model(**inputs([9, 8])).logits, atol=1e-5, rtol=1e-5)


def test_without_a_request_the_model_is_plain_sdpa(make_llava, tmp_path):
    model = make_llava(kv_heads=2)
    with torch.inference_mode():
        before = model(**inputs([9, 8])).logits
    vision = model.model.vision_tower.config._attn_implementation
    attach(model)
    with torch.inference_mode():
        torch.testing.assert_close(model(**inputs([9, 8])).logits, before, atol=1e-5, rtol=1e-5)
    assert model.model.vision_tower.config._attn_implementation == vision == "sdpa"
    model.save_pretrained(tmp_path)
    assert ATTENTION_NAME not in json.dumps(json.loads((tmp_path / "config.json").read_text()))


def test_threads_do_not_see_each_others_requests(make_llava):
    model = make_llava()
    tails = [[9, 8], [10, 11, 8], [13, 12, 11, 8], [14, 8]]
    truths = [eager(model, **inputs(t)) for t in tails]
    wrong: list[str] = []
    ready = threading.Barrier(len(tails))

    def work(i: int) -> None:
        ready.wait()
        for _ in range(3):
            with torch.inference_mode(), capture(RowRequest({i: None}, slice(4, 20))) as rows:
                model.model(**inputs(tails[i]), use_cache=False)
            gap = (rows[i] - truths[i][i, :, :, -1, 4:20]).abs().max()
            if set(rows) != {i} or gap > 1e-5:
                wrong.append(f"thread {i}: layers {set(rows)}, gap {gap}")

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(tails))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_missing_rows_are_an_error(make_llava):
    model = make_llava()  # not attached
    request = RowRequest({1: None, 3: [0]}, keys=slice(4, 20))
    with pytest.raises(GroundingError, match=r"layers \[1, 3\].*attach\(model\)"):
        with torch.inference_mode(), capture(request):
            model.model(**inputs([9, 8]))
    with pytest.raises(GroundingError, match="names no layer"):
        with capture(RowRequest({}, keys=slice(None))):
            model.model(**inputs([9, 8]))


def test_errors_inside_the_block_pass_and_clear_the_request(make_llava):
    model = make_llava()
    attach(model)
    with pytest.raises(ZeroDivisionError), capture(RowRequest({0: None}, keys=slice(None))):
        raise ZeroDivisionError
    with torch.inference_mode():
        logits = model(**inputs([9, 8])).logits  # no stale _Stop
    assert logits.shape == (1, 22, model.config.text_config.vocab_size)


def test_import_registers_nothing():
    code = (
        "import sys, groundbrush.grounding.attention.capture\n"
        "assert 'transformers' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
