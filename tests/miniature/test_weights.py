"""The weights in the package: real classes, safetensors, small; rows equal to eager attention."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from groundbrush import Editor
from groundbrush.editor.models.presets import load_preset, resolve
from groundbrush.grounding import box_iou
from groundbrush.miniature.phrases import expressions
from groundbrush.miniature.scenes import compose

ROOT = Path(__file__).parents[2]
WEIGHTS = ROOT / "miniature" / "weights"
# Any use of the network or of torchvision ends the program.
CUT_OFF = """
import socket, sys
def refuse(*args, **kwargs):
    raise SystemExit("the network was asked for")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
sys.modules["torchvision"] = None
from groundbrush import Editor
edit = Editor.load("miniature", device="cpu").edit(
    "examples/demo.png", "the red apple", "a frog", settings={"steps": 2})
print(edit.done, edit.checks["preserved"])
"""


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
    rows = lvlm.head_rows(encoded, [phrase], [(i, h) for i in range(8) for h in range(12)])[0]

    spec = load_preset("miniature").lvlm
    folder = resolve(spec["path"], "test")
    eager = LlavaForConditionalGeneration.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", local_files_only=True
    ).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    text = spec["prompt"].replace("<image>", "<image>" * 576).format(phrase=phrase)
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    pixels = torch.from_numpy(lvlm.family.prepare(scene.image).inputs["pixel_values"])
    with torch.inference_mode():
        out = eager(input_ids=ids, pixel_values=pixels, output_attentions=True)
    image = ids[0] == eager.config.image_token_id
    wanted = torch.stack([a[0, :, -1, image] for a in out.attentions])  # the last prompt token
    assert wanted.shape[-1] == 24 * 24
    assert torch.allclose(torch.from_numpy(rows).reshape(wanted.shape), wanted, atol=1e-5)


def test_an_edit_needs_neither_the_network_nor_torchvision() -> None:
    free = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    done = subprocess.run(
        [sys.executable, "-c", CUT_OFF], cwd=ROOT, env=free, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True", "True"]


def test_the_examples_show_what_they_promise(miniature: Editor) -> None:
    """Every phrase of the examples is found where it is, every absent one is called absent."""
    wrong = []
    for row in json.loads((ROOT / "examples" / "examples.json").read_text("utf-8")):
        image = ROOT / "examples" / row["image"]
        for asked in row["find"]:
            found = miniature.ground(image, asked["phrase"])
            if found.box is None or box_iou(found.box, asked["box"]) <= 0.5:
                wrong.append((row["name"], asked["phrase"], found.status))
        wrong += [
            (row["name"], phrase, "found")
            for phrase in row["absent"]
            if miniature.ground(image, phrase).found
        ]
    assert not wrong
