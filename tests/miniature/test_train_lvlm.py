"""The LVLM's training: packing changes nothing, both stages run, resume and export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from groundbrush.grounding import load_lvlm
from groundbrush.miniature.composer import compose_wide
from groundbrush.miniature.tokenizer import build_tokenizer
from groundbrush.miniature.train import lvlm as script
from groundbrush.miniature.train.lvlm_data import (
    GRID,
    IGNORE,
    PATCH,
    SIDE,
    Packed,
    label_groups,
    language_batch,
    patch_labels,
    square_view,
    tower_batch,
)
from groundbrush.miniature.train.lvlm_model import (
    HEADS,
    LAYERS,
    build_model,
    image_features,
    language_loss,
    packed_mask,
    prefix_ids,
)
from groundbrush.miniature.train.price import priced
from safetensors.torch import load_file

TOKENIZER = build_tokenizer()


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model(TOKENIZER).eval()


def loss_of(model: torch.nn.Module, batch: Packed) -> float:
    with torch.no_grad():
        features = image_features(model, batch.pixels)
        loss, _, _ = language_loss(
            model, features, batch, prefix_ids(TOKENIZER), GRID**2, torch.Generator()
        )
    return float(loss.detach())


def test_packed_exchanges_lose_as_much_as_one_by_one(model: torch.nn.Module) -> None:
    whole = language_batch("train", [5], TOKENIZER, 4)
    total, words = 0.0, 0
    for number in range(4):
        pick = whole.segment[0] == number
        alone = Packed(
            whole.pixels,
            *(
                t[:, pick]
                for t in (whole.ids, whole.targets, torch.zeros_like(whole.segment), whole.offset)
            ),
            whole.labels,
        )
        count = int((alone.targets != IGNORE).sum())
        total, words = total + loss_of(model, alone) * count, words + count
    assert loss_of(model, whole) == pytest.approx(total / words, abs=1e-5)


def test_mask_lets_a_word_see_the_picture_and_its_own_exchange_only() -> None:
    segment = torch.tensor([[0, 0, 1, 1]])
    mask, front = packed_mask(segment, prefix=2, kept=torch.tensor([[0, 3]]), total=9)
    assert front.tolist() == [[0, 1, 2, 5]]
    seen = (mask[0, 0] == 0).int().tolist()
    assert seen[5] == [1, 1, 1, 1, 1, 1, 0, 0]
    assert seen[6] == [1, 1, 1, 1, 0, 0, 1, 0]


@pytest.mark.parametrize("seed", range(4))
def test_patch_labels_agree_with_the_scene(seed: int) -> None:
    scene = compose_wide("train", seed)
    image, owner = square_view(scene)
    assert image.shape == (SIDE, SIDE, 3)
    labels, groups = patch_labels(owner, scene.objects), label_groups()
    assert labels.shape == (GRID**2, len(groups))
    cells = owner.reshape(GRID, PATCH, GRID, PATCH)
    for number, item in enumerate(scene.objects):
        inside = (cells == number + 1).mean((1, 3)).ravel() > 0.9
        assert {groups["thing"][i] for i in labels[inside, 0]} <= {item.noun}
    padding = (cells < 0).all((1, 3)).ravel()
    assert (labels[padding, 0] == 0).all()
    rows = labels[:, list(groups).index("row")]
    assert (rows[padding] == IGNORE).all()
    assert set(rows[~padding]) - {IGNORE} == {0, 1, 2}


def test_mirrored_pictures_come_with_mirrored_labels() -> None:
    pixels, labels = tower_batch("train", [3])
    assert torch.equal(pixels[0].flip(-1), pixels[1])
    things = labels[..., 0].reshape(2, GRID, GRID)
    assert torch.equal(things[0].flip(-1), things[1])


def test_both_stages_run_resume_and_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "early_signs", lambda *a: {})
    command = ["--run", str(tmp_path / "run"), "--out", str(tmp_path / "weights")]
    command += ["--batch", "1"]
    script.main([*command, "--minutes-tower", "0.01", "--minutes", "0.01"])
    first = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
    assert first["stage"] == "language"
    assert first["step"] >= 1
    script.main([*command, "--minutes-tower", "0.01", "--minutes", "0.2"])
    assert torch.load(tmp_path / "run" / "state.pt", weights_only=True)["step"] > first["step"]
    lvlm = load_lvlm(tmp_path / "weights", prompt="a picture : <image> {phrase} .", offline=True)
    encoded = lvlm.encode(np.zeros((64, 96, 3), np.uint8))
    assert lvlm.head_rows(encoded, ["the dog"])[0].shape == (LAYERS, HEADS, GRID, GRID)
    again = ["--start", str(tmp_path / "weights"), "--run", str(tmp_path / "more"), "--batch", "1"]
    script.main([*again, "--minutes", "0.01", "--out", str(tmp_path / "out")])
    state = torch.load(tmp_path / "more" / "state.pt", weights_only=True)
    assert state["stage"] == "language"  # no tower stage, and close to where it began
    before, name = load_file(tmp_path / "weights" / "model.safetensors"), "lm_head.weight"
    after = state["model"][f"model.{name}"]
    kept = next(value for key, value in before.items() if key.endswith("embed_tokens.weight"))
    assert (after - kept.float()).abs().max() < 0.1 * kept.float().abs().max()


def test_price_is_the_share_of_attention_that_eager_attention_gives_to_the_picture() -> None:
    torch.manual_seed(0)
    text = build_model(TOKENIZER).eval().model.language_model
    flags = torch.tensor([0.0, 1, 1, 0, 1, 0, 0, 0])
    words = torch.tensor([[True, True, False]])
    call = {"inputs_embeds": torch.randn(1, 8, text.config.hidden_size), "use_cache": False}
    call["attention_mask"] = torch.zeros(1, 1, 8, 8).masked_fill(
        ~torch.ones(8, 8).tril().bool(), -1e9
    )
    with torch.no_grad(), priced(text, flags) as ledger:
        told = text(**call).last_hidden_state
    text.set_attn_implementation("eager")
    with torch.no_grad():
        eager = text(**call, output_attentions=True)
    weights = torch.stack(eager.attentions)[:, 0, :, 5:7]  # (layers, heads, the two words, keys)
    assert torch.allclose(told, eager.last_hidden_state, atol=1e-5)
    assert float(ledger.mean(words)) == pytest.approx(
        float((weights * flags).sum(-1).mean()), abs=1e-5
    )
