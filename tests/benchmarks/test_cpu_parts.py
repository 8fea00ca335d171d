"""Parts of an edit on a CPU: what is run again, what memory refuses, what an edit adds up to."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import pytest
import torch

from benchmarks import common, cpu_parts, page


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The parts that were run, each with one second and one gigabyte."""
    names: list[str] = []

    def fresh(_module: str, case: dict, *_: object) -> dict:
        names.append(case["part"])
        if case["part"] == "SAM 3":
            raise SystemExit("exit 1")
        return {"seconds": 1.0, "floor_s": 0.5, "peak_gb": 1.0, "parameters": 10**6}

    monkeypatch.setattr(common, "fresh", fresh)
    monkeypatch.setattr(common, "free_memory", lambda: 10e9)
    return names


def test_an_interrupted_run_continues_and_memory_is_checked(ran: list[str], tmp_path: Path) -> None:
    every = Namespace(out=tmp_path, again=False, parts=None)
    cpu_parts.measure_parts(Namespace(out=tmp_path, again=False, parts=["SAM ViT-B"]))
    assert ran == ["SAM ViT-B"]
    found = cpu_parts.measure_parts(every)
    large = "LLaVA-1.5-7B, 15 layers"
    assert ran.count("SAM ViT-B") == 1
    assert large not in ran
    rows = {row["part"]: row for row in found["parts"]}
    assert rows[large]["failed"] == "10 GB free, 12 needed"
    assert list(rows) == list(cpu_parts.PARTS)
    cpu_parts.measure_parts(every)
    assert rows["SAM 3"]["failed"] == "exit 1"
    assert ran.count("SAM 3") == 2  # what failed is tried again
    assert ran.count("SDXL UNet") == 1
    kept = json.loads((tmp_path / "full_size_parts.json").read_text("utf-8"))
    assert {row["edit with"] for row in kept["edits"]} == {
        "photo-light",
        "Grounding DINO and SAM ViT-B, with SD 1.5",
    }
    text = page.page({"full_size_parts": kept})
    assert text.index("## What one edit costs") < text.index("## How cost grows")
    assert "| photo-light | 2 | 20 | 4 |" in text
    assert "10 GB free, 12 needed" in page.appendix({"full_size_parts": kept})


def test_networks_are_made_without_drawing_and_filled() -> None:
    with cpu_parts._drawing_nothing(torch.bfloat16):
        made = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.LayerNorm(8))
    cpu_parts._fill([made])
    weight, bias = made[0].weight, made[0].bias
    assert weight.dtype == torch.bfloat16
    assert 0 < weight.float().abs().mean() < 0.1
    assert bias.float().abs().max() < 0.2
    assert (made[1].weight.float() - 1).abs().max() < 0.2
    assert torch.get_default_dtype() == torch.float32
    assert torch.empty(1000).uniform_(1, 2).min() >= 1  # drawing works again
