"""The segmenter's training: a short run keeps a checkpoint, and a longer one continues from it."""

from __future__ import annotations

import time
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from groundbrush.miniature.train import __main__ as entry
from groundbrush.miniature.train import loop
from groundbrush.miniature.train.loop import Run
from groundbrush.miniature.train.segmenter import train

CPU = torch.device("cpu")


def test_a_longer_run_goes_on_from_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = count()  # one passes between a look at the clock and the next
    clock = SimpleNamespace(monotonic=lambda: next(seconds), strftime=time.strftime)
    monkeypatch.setattr(loop, "time", clock)
    train(1.5 / 60, 1, Run(tmp_path, CPU))
    first = torch.load(tmp_path / "state.pt", weights_only=True)
    assert first["step"] == 1
    longer = (first["elapsed"] + 1.5) / 60
    model = train(longer, 1, Run(tmp_path, CPU))
    second = torch.load(tmp_path / "state.pt", weights_only=True)
    assert second["step"] == 2 and second["elapsed"] > first["elapsed"]
    name = "mask_decoder.iou_token.weight"
    assert torch.equal(model.state_dict()[name], second["model"][name])
    assert not torch.equal(first["model"][name], second["model"][name])


@pytest.mark.parametrize("argv", [[], ["sam"], ["all", "--minutes", "3"]])
def test_wrong_usage_is_told_and_nothing_is_trained(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert entry.main(argv) == 2
    assert "usage: python -m groundbrush.miniature.train all" in capsys.readouterr().err


@pytest.mark.parametrize("model", entry.MODELS)
def test_every_model_is_trained_by_one_command(
    model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        entry.main([model, "--help"])
    assert stopped.value.code == 0
    assert "--minutes" in capsys.readouterr().out
