"""What libraries raise while a model loads becomes one line with the remedy."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from groundbrush.grounding.checkpoints.checkpoint import Checkpoint, loading
from groundbrush.grounding.checkpoints.files import checkpoint_files
from groundbrush.grounding.errors import GroundingError


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
            "^out of memory while the model 'a/b' was loaded; expected its weights to fit",
        ),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "^out of memory while"),
        (MemoryError(), "^out of memory while"),
        (
            OSError(
                "You are trying to access a gated repo.\nMake sure to have access to it at "
                "https://huggingface.co/google/gemma-3-4b-it.\n401 Client Error."
            ),
            r"is gated; accept its licence at https://huggingface.co/google/gemma-3-4b-it, then "
            r"run `hf auth login`$",
        ),
        (
            ImportError("LlamaTokenizer requires the SentencePiece library"),
            r"pip install 'groundbrush\[sentencepiece\]'",
        ),
        (OSError("no file named model.safetensors\nmore"), "model.safetensors; expected config"),
    ],
)
def test_reasons(error: Exception, words: str) -> None:
    with pytest.raises(GroundingError, match=words), loading("a/b"):
        raise error


def test_weights_stream_to_accelerators_only(tmp_path) -> None:
    (tmp_path / "config.json").write_text("{}")
    held = Checkpoint.of(tmp_path)
    assert held.streaming == {}
    card = Checkpoint(held.given, held.where, torch.device("cuda:1"), held.dtype, held.options)
    assert card.streaming == {"device_map": {"": torch.device("cuda:1")}}
    assert replace(card, spread="balanced_low_0").streaming == {"device_map": "balanced_low_0"}
    with pytest.raises(GroundingError, match="device_map='two'; expected one of auto, balanced"):
        Checkpoint.of(tmp_path, spread="two")


@pytest.mark.parametrize("places", [(1, 1), (0, 1), (0, "cpu")])
def test_a_spread_model_stays_where_its_layers_are(tmp_path, places) -> None:
    """Loaded by a stand-in for a machine with two cards."""
    (tmp_path / "config.json").write_text("{}")
    network = torch.nn.Linear(1, 1)
    network.hf_device_map = dict(zip(("a", "b"), places, strict=True))
    loader = SimpleNamespace(
        from_pretrained=lambda *_, **__: (network, {"missing_keys": [], "mismatched_keys": []})
    )
    card = replace(Checkpoint.of(tmp_path, spread="balanced_low_0"), device=torch.device("cuda"))
    if "cpu" in places:
        with pytest.raises(GroundingError, match="does not fit on all accelerators together"):
            card.weights(loader, None)
    else:  # a move to "cuda" would fail here
        assert card.weights(loader, None) is network


def test_yi_vls_tower_is_taken_once() -> None:
    names = ["vit/open_clip_pytorch_model.bin", "vit/pytorch_model.bin", "vit/config.json"]
    assert checkpoint_files(names, original=True) == sorted(names[1:])
    assert checkpoint_files(names[::2], original=True) == sorted(names[::2])
