"""The weights in the package: real classes, safetensors, small; rows equal to eager attention."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from editor import Editor
from editor.presets import load_preset, resolve
from miniature.phrases import expressions
from miniature.scenes import compose

WEIGHTS = Path(__file__).parents[2] / "miniature" / "weights"


def test_all_together_at_most_60_megabytes_and_nothing_pickled() -> None:
    files = [p for p in WEIGHTS.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) <= 60e6
    assert {p.suffix for p in files} <= {".safetensors", ".json", ".jinja", ".txt"}


def test_they_are_the_real_classes(miniature: Editor) -> None:
    grounder = miniature.models.grounder()
    names = {
        type(grounder.lvlm._model).__name__,
        type(grounder.segmenter._model).__name__,
        type(miniature.models.inpainter().pipe).__name__,
    }
    assert names == {
        *("LlavaForConditionalGeneration", "SamModel", "StableDiffusionXLInpaintPipeline")
    }


@pytest.mark.parametrize("seed", [1, 2])
def test_rows_equal_transformers_eager_attention(miniature: Editor, seed: int) -> None:
    from transformers import AutoTokenizer, LlavaForConditionalGeneration

    lvlm = miniature.models.grounder().lvlm
    scene = compose("heldout", seed)
    phrase = expressions(scene, 0)[0].text
    encoded = lvlm.encode(scene.image, all_layers=True)
    rows = lvlm.head_rows(encoded, [phrase], [(i, h) for i in range(6) for h in range(12)])[0]

    spec = load_preset("miniature").lvlm
    folder = resolve(spec["path"], "test")
    eager = LlavaForConditionalGeneration.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", local_files_only=True
    ).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    text = spec["prompt"].replace("<image>", "<image>" * 256).format(phrase=phrase)
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    pixels = torch.from_numpy(lvlm.family.prepare(scene.image).inputs["pixel_values"])
    with torch.inference_mode():
        out = eager(input_ids=ids, pixel_values=pixels, output_attentions=True)
    image = ids[0] == eager.config.image_token_id
    wanted = torch.stack([a[0, :, -1, image] for a in out.attentions])  # the last prompt token
    assert wanted.shape[-1] == 256
    assert torch.allclose(torch.from_numpy(rows).reshape(wanted.shape), wanted, atol=1e-5)
