"""What a family must show of a model, whichever way it was loaded."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from groundbrush.grounding.attention.capture import ATTENTION_NAME
from groundbrush.grounding.attention.model import LVLM

OUTPUTS = ("out_proj", "attn.proj", "attention.projection_layer")


def make_local(model: Any) -> None:
    """Let the features of a patch depend on that patch alone."""
    language = {id(m) for m in language_model(model).modules()}
    zeroed = 0
    with torch.no_grad():
        for key, module in model.model.named_modules():
            if id(module) not in language and key.endswith(OUTPUTS):
                module.weight.zero_()
                module.bias.zero_()
                zeroed += 1
        for key, weight in model.model.named_parameters():
            # Wide convolutions of second towers, and stages that see wide squares.
            if re.search(r"high_res_vision_proj|dwconv|downsampling_layer", key):
                weight.zero_()
    assert zeroed >= 2, "no attention outputs found in the tower"


def language_model(model):
    return getattr(model.model, "language_model", None) or model.model.text_model


def image_embeddings(model, family, prepared) -> np.ndarray:
    """What the language model is given at the grid's tokens, (P, Q, width)."""
    caught = []

    def catch(_module, _args, kwargs):
        caught.append(kwargs["inputs_embeds"])
        raise StopIteration

    hook = language_model(model).register_forward_pre_hook(catch, with_kwargs=True)
    ids = torch.tensor([prepared.prefix_ids or family.prefix_ids])
    inputs = {k: torch.from_numpy(v) for k, v in prepared.inputs.items()}
    try:
        with torch.inference_mode(), pytest.raises(StopIteration):
            model.model(input_ids=ids, **inputs)
    finally:
        hook.remove()
    grid = caught[0][0, prepared.tokens.positions].numpy()
    return grid.reshape(*prepared.tokens.grid_hw, -1)


def block_comes_back(model, family, size):
    """A block painted into a picture is found at its pixels by what the language model is given."""
    height, width = size
    plain = np.full((height, width, 3), 90, np.uint8)
    prepared = family.prepare(plain)
    ground = image_embeddings(model, family, prepared)
    rows, columns = prepared.tokens.grid_hw
    rx0, ry0, rx1, ry1 = prepared.tokens.region_xyxy
    cell_w, cell_h = (rx1 - rx0) / columns, (ry1 - ry0) / rows
    # At most a cell wide: inside a larger block the features need not be the strongest.
    side = min(14, 2 * int(min(cell_w, cell_h) / 2))
    for cy, cx in [(0.42, 0.62), (0.6, 0.38)]:
        image = plain.copy()
        y, x = int(cy * height), int(cx * width)
        half = side // 2
        image[y - half : y + half, x - half : x + half] = 255
        change = np.abs(image_embeddings(model, family, family.prepare(image)) - ground).mean(-1)
        ys, xs = np.mgrid[:rows, :columns] + 0.5
        # Resampling leaves faint rings around the block, and a convolution mixes neighbours.
        weight = np.where(change > 0.3 * change.max(), change, 0)
        found_x = rx0 + (weight * xs).sum() / weight.sum() * cell_w
        found_y = ry0 + (weight * ys).sum() / weight.sum() * cell_h
        assert abs(found_x - x) < 0.5 * cell_w, (found_x, x, cell_w)
        assert abs(found_y - y) < 0.5 * cell_h, (found_y, y, cell_h)
        # Far from the block nothing changes: the tower is local and the order is right.
        near = (abs(rx0 + xs * cell_w - x) < half + 3 * cell_w) & (
            abs(ry0 + ys * cell_h - y) < half + 3 * cell_h
        )
        assert change[~near].max(initial=0) < 0.25 * change.max()


def whole_prompt(lvlm: LVLM, prepared, phrase: str) -> tuple[tuple[int, ...], int]:
    """Ids with as many image tokens as the picture takes, and the query's position."""
    prompt, usual = lvlm.family.prompts.build(phrase), len(lvlm.family.prefix_ids)
    prefix = prepared.prefix_ids or lvlm.family.prefix_ids
    return prefix + prompt.ids[usual:], prompt.query - usual + len(prefix)


def eager_rows(lvlm: LVLM, image: np.ndarray, phrase: str) -> np.ndarray:
    """(L, H, P, Q) of one plain uncached forward; the model counts its own positions."""
    prepared = lvlm.family.prepare(image)
    ids, query = whole_prompt(lvlm, prepared, phrase)
    inputs = {k: torch.from_numpy(v) for k, v in prepared.inputs.items() if k != "position_ids"}
    inputs["input_ids"] = torch.tensor([ids])
    kinds = (inputs["input_ids"] == lvlm.family.prompts.image_token_id).long()
    if "image_grid_thw" in inputs:
        inputs["mm_token_type_ids"] = kinds
    if "gemma" in lvlm.family.name:
        inputs["token_type_ids"] = kinds if lvlm.family.shares_prefix else torch.zeros_like(kinds)
    model = lvlm._model
    model.set_attn_implementation({"text_config": "eager"})
    with torch.inference_mode():
        out = model(**inputs, output_attentions=True, use_cache=False)
    model.set_attn_implementation({"text_config": ATTENTION_NAME})
    rows = torch.stack(out.attentions)[:, 0, :, query, prepared.tokens.positions]
    return rows.reshape(*rows.shape[:2], *prepared.tokens.grid_hw).numpy()
