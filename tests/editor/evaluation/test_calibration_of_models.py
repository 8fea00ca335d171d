"""A model folder that is no preset: calibrated, then evaluated, through the real loaders."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from groundbrush.editor.evaluation.arms import PRESET, Arm, Greedy
from groundbrush.editor.evaluation.calibration import ablations_of, preset_for, run_calibration
from groundbrush.editor.evaluation.job import EvaluationJob, run_evaluation, with_trained_heads
from groundbrush.editor.models.presets import load_preset
from groundbrush.grounding.families import FAMILIES
from groundbrush.grounding.heads.discovery import DiscoverySettings
from PIL import Image

BUILDERS = Path(__file__).parents[2] / "grounding" / "conftest.py"
TINY = BUILDERS.with_name("tiny_families.py")


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random LLaVA of 4 layers and 4 heads, saved as `save_pretrained` saves it."""
    spec = importlib.util.spec_from_file_location("tiny_llava_builders", BUILDERS)
    builders = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(builders)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    builders.build_llava(kv_heads=2).save_pretrained(folder)
    builders.build_tokenizer().save_pretrained(folder)
    builders.build_processor().save_pretrained(folder)
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Landscape pictures, so that there is padding."""
    rng, rows = np.random.default_rng(5), []
    for number in range(4):
        pixels = rng.integers(0, 255, (40, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        rows.append(
            {
                "image": f"{number}.png",
                "phrase": ("the red cup", "a big dog")[number % 2],
                "box": [5, 5, 30, 35],
            }
        )
    (tmp_path / "examples.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


def test_a_folder_becomes_a_preset_that_finds_things(
    tiny_model: Path, pictures: Path, tmp_path: Path
) -> None:
    preset = preset_for(str(tiny_model), like="miniature")
    settings = DiscoverySettings(samples=4, trials=2, lowest=4, skip_layers=1)
    out = tmp_path / "calibration"
    done = run_calibration(preset, out, settings, data=pictures, device="cpu", offline=True)
    assert len(done.found.measured) == 4
    assert {"attention-sums", "head-grid", "frequency-and-iou"} <= set(done.files)
    made = load_preset(str(done.files["preset"]))
    assert len(made.lvlm["heads"]) == 3
    assert all(layer >= 1 for layer, _ in made.lvlm["heads"])
    # without presence only the layers that are needed are loaded; the greedy arm needs them all
    made = dataclasses.replace(made, lvlm={**made.lvlm, "heads": [[1, 0]]})
    arms = [
        PRESET,
        Arm("greedy", heads=Greedy(2, skip_layers=1)),
        Arm("deep", heads=((3, 1),)),
        Arm("prompt", lvlm={"query": "prompt"}),
        Arm("squash", lvlm={"padding": "squash"}),
    ]
    job = EvaluationJob(benchmark="scenes", data=pictures, out=tmp_path / "out", arms=arms)
    scored = run_evaluation(job, made, device="cpu", offline=True)
    assert {
        name: (s["count"], s["failed"]) for name, s in scored.scores["arms"].items()
    } == dict.fromkeys(("preset", "greedy", "deep", "prompt", "squash"), (4, 0))
    used = {r["arm"]: r["heads"] for r in scored.records}
    assert (used["preset"], used["deep"]) == ([[1, 0]], [[3, 1]])
    names = [arm.name for arm in ablations_of(made, out, out=tmp_path)]
    assert names[0] == "preset"
    assert len(set(names)) == len(names) > 25


def test_the_same_pairs_give_the_same_heads(
    tiny_model: Path, pictures: Path, tmp_path: Path
) -> None:
    preset = preset_for(str(tiny_model), like="miniature")
    settings = DiscoverySettings(samples=4, trials=2, lowest=4, skip_layers=1)
    runs = [
        run_calibration(
            preset,
            tmp_path / name,
            settings,
            data=pictures,
            device="cpu",
            offline=True,
            figures=False,
        )
        for name in "ab"
    ]
    assert runs[0].found.heads == runs[1].found.heads
    assert (runs[0].found.measured.sums == runs[1].found.measured.sums).all()


@pytest.fixture(scope="module")
def save_family() -> Callable[[str, Path], Path]:
    """Saves a tiny random model of a family, its own tokenizer and processor beside it."""
    spec = importlib.util.spec_from_file_location("tiny_families_saver", TINY)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.save_family


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_calibrated_from_its_folder(
    family: str, save_family: Callable, pictures: Path, tmp_path: Path
) -> None:
    preset = preset_for(str(save_family(family, tmp_path / "model")))
    assert preset.lvlm["family"] == family
    settings = DiscoverySettings(samples=4, trials=2, lowest=4, skip_layers=0, threshold=0.0)
    done = run_calibration(
        preset, tmp_path / "out", settings, data=pictures, device="cpu", offline=True, figures=False
    )
    assert len(done.found.measured) == 4
    assert done.found.measured.skipped == ()
    assert len(load_preset(str(done.files["preset"])).lvlm["heads"]) == 3


def test_evaluation_finds_heads_on_the_training_split(refcoco_root: Path, tmp_path: Path) -> None:
    preset = load_preset("miniature")
    settings = {"samples": 4, "trials": 1, "skip_layers": 1, "lowest": 3}
    bare = dataclasses.replace(
        preset, lvlm={**preset.lvlm, "heads": [], "provenance": "x", "calibration": settings}
    )
    # The fixture's words are unknown to the miniature; its tokenizer reads them all the same.
    made = with_trained_heads(bare, refcoco_root, tmp_path / "c", device="cpu", offline=True)
    assert len(made.lvlm["heads"]) == 3
    assert "RefCOCO's training split: 1 pairs" in made.lvlm["provenance"]
    again = with_trained_heads(bare, refcoco_root, tmp_path / "c", device="cpu", offline=True)
    assert again == made, "a resumed evaluation has the same header"
    assert with_trained_heads(preset, refcoco_root, tmp_path) is preset
    said: list[str] = []
    assert with_trained_heads(bare, tmp_path, tmp_path, on_load=said.append) is bare
    assert "COMPOSED SCENES are used instead" in said[0]
