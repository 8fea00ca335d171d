"""Downloads through the hub's own library, from a server that speaks its protocol."""

from __future__ import annotations

import argparse
import dataclasses
import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from groundbrush.__main__ import main
from groundbrush.editor.api import Editor
from groundbrush.editor.cli.options import allow_download
from groundbrush.editor.errors import GroundbrushError
from groundbrush.editor.models import downloads
from groundbrush.editor.models.downloads import (
    Download,
    Listing,
    Repository,
    download,
    plan_download,
)
from groundbrush.editor.models.models import Models
from groundbrush.editor.models.presets import Preset, load_preset
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from fake_hub import SHA, FakeHub, folder_files, serving

WEIGHTS = Path(__file__).parents[3] / "miniature" / "weights"
PARTS = {"lvlm": "tiny/lvlm", "segmenter": "tiny/segmenter", "inpainter": "tiny/inpainter"}
UNREAD = {
    "README.md": b"#",
    "pytorch_model.bin": b"x" * 5000,
    "tf_model.h5": b"x" * 5000,
    "onnx/config.json": b"{}",
}


@pytest.fixture(scope="module")
def contents() -> dict[str, dict[str, bytes]]:
    return {repo: folder_files(WEIGHTS / part) | UNREAD for part, repo in PARTS.items()}


@pytest.fixture
def hub(
    contents: dict[str, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[FakeHub]:
    from huggingface_hub import constants

    with serving(contents) as server:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        files = "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + files)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "no-token"))
        yield server


def on_hub(**changes: dict) -> Preset:
    """The miniature with its models on the hub."""
    preset = load_preset("miniature")
    parts = {
        part: {**getattr(preset, part), "path": repo, **changes.get(part, {})}
        for part, repo in PARTS.items()
    }
    return dataclasses.replace(preset, name="tiny", **parts)


def size(contents: dict[str, bytes]) -> int:
    return sum(len(value) for name, value in contents.items() if name not in UNREAD)


def test_the_plan_names_what_is_read_and_no_more(hub: FakeHub) -> None:
    plan = plan_download(on_hub())
    assert [one.repository.name for one in plan.listings] == list(PARTS.values())
    assert [sum(one.files.values()) for one in plan.listings] == [
        size(hub.repos[repo]) for repo in PARTS.values()
    ]
    small = plan.listings[2].files["model_index.json"]
    assert plan.bytes_left == sum(map(size, hub.repos.values())) - small  # read for the plan
    assert not any(set(one.files) & set(UNREAD) for one in plan.listings)
    text = "\n".join(plan.lines())
    assert str(plan.folder) in text
    assert "GB free" in text
    assert all(repo in text for repo in PARTS.values())
    assert not any(path.endswith(".safetensors") for path in hub.files_got())


def test_everything_is_fetched_before_the_first_model_loads(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    models = Models(on_hub(), device="cpu", on_load=said.append)
    monkeypatch.setattr(Models, "_load_grounder", lambda _: said.append("loaded"))
    models.grounder()
    assert said[-1] == "loaded"
    assert "to download" in said[0]
    assert "find" in said[-2]
    assert "memory mode 'resident'" in said[-2]
    plan = models.fetch()
    wanted = {f"{one.repository.name}/{name}" for one in plan.listings for name in one.files}
    paths = (path[1:].replace(f"resolve/{SHA}/", "") for path in hub.files_got())
    got = {path.replace("resolve/main/", "") for path in paths}
    assert got <= wanted  # two tokenizers are the same file
    assert not plan_download(on_hub(), refresh=True).incomplete


def test_complete_models_need_no_network(hub: FakeHub) -> None:
    download(plan_download(on_hub()))
    hub.log.clear()
    assert not plan_download(on_hub()).incomplete
    assert not plan_download(on_hub(), offline=True).incomplete
    assert hub.log == []
    assert not plan_download(on_hub(), refresh=True).incomplete
    assert hub.files_got() == []
    assert hub.log


def test_refused_downloads_download_nothing(hub: FakeHub) -> None:
    seen: list[Download] = []
    models = Models(on_hub(), device="cpu", on_download=lambda plan: bool(seen.append(plan)))
    with pytest.raises(GroundbrushError, match=r"not downloaded; `groundbrush fetch tiny --yes`"):
        models.grounder()
    assert seen[0].bytes_left > 0
    whole = [path for method, path, part in hub.log if method == "GET" and not part]
    assert not any(path.endswith(".safetensors") for path in whole)  # headers only


def test_a_broken_connection_goes_on_where_it_stopped(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 10_000)
    hub.cut["model.safetensors"] = 100_000
    download(plan_download(on_hub()))
    ranges = [asked for _, path, asked in hub.log if path.endswith("/model.safetensors") and asked]
    assert any(int(asked[6:].partition("-")[0]) > 50_000 for asked in ranges), ranges
    assert not plan_download(on_hub(), refresh=True).incomplete


def test_an_interrupted_download_fetches_only_the_rest(hub: FakeHub) -> None:
    plan = plan_download(on_hub())
    download(dataclasses.replace(plan, listings=plan.listings[:1]))
    rest = plan_download(on_hub())
    assert rest.bytes_left == plan.bytes_left - plan.listings[0].bytes_left
    assert not rest.listings[0].missing


def test_gated_is_told_before_anything_large_comes(hub: FakeHub) -> None:
    hub.gated.add("tiny/segmenter")
    with pytest.raises(
        GroundbrushError,
        match=r"^tiny/segmenter, the segmenter of preset 'tiny', is gated: .* "
        r"https://huggingface.co/tiny/segmenter, then run `hf auth login`",
    ):
        plan_download(on_hub())
    assert not any(path.endswith(".safetensors") for path in hub.files_got())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"path": "tiny/lvmm"}, r"tiny/lvmm, the vision.* is not on the hub, .*check its spelling"),
        ({"revision": "v9"}, r"has no revision 'v9'; expected a branch, tag or commit"),
    ],
)
def test_what_is_misspelt_is_named(hub: FakeHub, changes: dict, words: str) -> None:
    with pytest.raises(GroundbrushError, match=words):
        plan_download(on_hub(lvlm=changes))


def test_offline_names_the_command(hub: FakeHub) -> None:
    with pytest.raises(
        GroundbrushError, match=r"tiny/lvlm.* offline is set; .*`groundbrush fetch tiny`"
    ):
        Models(on_hub(), device="cpu", offline=True).grounder()
    assert hub.log == []


def test_a_hub_out_of_reach(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(GroundbrushError, match=r"hub cannot be reached for tiny/lvlm.*network"):
        plan_download(on_hub())


def test_what_another_program_downloaded_is_used_without_the_hub(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    download(plan_download(on_hub()))
    for file in Path(constants.HF_HUB_CACHE).glob("*/trees/*.json"):
        file.unlink()
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert not plan_download(on_hub()).incomplete


def test_a_small_disk_is_told_before_the_download(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "free_disk", lambda _: 1000)
    with pytest.raises(GroundbrushError, match=r"needs 0\.0\d GB more in .*HF_HOME"):
        download(plan_download(on_hub()))
    assert not any(path.endswith(".safetensors") for path in hub.files_got())


def test_a_disk_that_fills_up(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    plan = plan_download(on_hub())
    monkeypatch.setattr(huggingface_hub, "snapshot_download", full)
    with pytest.raises(GroundbrushError, match=r"disk is full: tiny/lvlm.*resumes where it stop"):
        download(plan)


def test_too_little_memory_is_told_before_loading(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from groundbrush.editor.models import memory

    monkeypatch.setattr(memory, "free_bytes", lambda _: 1_000_000)
    with pytest.raises(
        GroundbrushError, match=r"takes 0\.0 GB on cpu, and 0\.0 GB are free; .*auto"
    ):
        Models(on_hub(), device="cpu").grounder()


def pipeline_like_the_published() -> dict[str, bytes]:
    """File names of SDXL's inpainting repository, and an index with its components."""
    index = {"_class_name": "StableDiffusionXLInpaintPipeline", "force_zeros": True}
    index |= {
        "scheduler": ["diffusers", "EulerDiscreteScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    names = ["scheduler/scheduler_config.json", "README.md", "inpaint-examples-min.png"]
    names += [f"tokenizer/{n}" for n in ("merges.txt", "vocab.json", "tokenizer_config.json")]
    for folder, stem in (
        ("text_encoder", "model"),
        ("text_encoder_2", "model"),
        ("unet", "diffusion_pytorch_model"),
        ("vae", "diffusion_pytorch_model"),
    ):
        names.append(f"{folder}/config.json")
        names += [f"{folder}/{stem}{variant}.safetensors" for variant in ("", ".fp16")]
    return dict.fromkeys(names, b"{}") | {"model_index.json": json.dumps(index).encode()}


@pytest.mark.parametrize("variant", [None, "fp16"])
@pytest.mark.parametrize("vae", [None, "someone/vae"])
def test_a_pipelines_files_are_those_that_diffusers_reads(
    hub: FakeHub, variant: str | None, vae: str | None
) -> None:
    from diffusers import DiffusionPipeline

    hub.repos["some/sdxl"] = pipeline_like_the_published()
    hub.repos["someone/vae"] = {
        "config.json": b"{}",
        "diffusion_pytorch_model.safetensors": b"x",
        "sdxl_vae.safetensors": b"x" * 9,
    }
    changes = {"path": "some/sdxl", "variant": variant, "vae": vae}
    plan = plan_download(on_hub(inpainter=changes))
    download(plan)
    hub.log.clear()
    from huggingface_hub import constants

    options = {"vae": None} if vae else {}
    folder = DiffusionPipeline.download(
        "some/sdxl",
        variant=variant,
        use_safetensors=True,
        local_files_only=True,
        cache_dir=constants.HF_HUB_CACHE,
        **options,
    )
    assert Path(folder).is_dir()
    assert hub.log == []
    unet = {name for one in plan.listings for name in one.files if name.startswith("unet/diff")}
    assert unet == {f"unet/diffusion_pytorch_model{'.fp16' if variant else ''}.safetensors"}
    assert not any("sdxl_vae" in name for one in plan.listings for name in one.files)


def test_the_towers_of_an_original_layout(hub: FakeHub) -> None:
    config = {"mm_vision_tower": "some/clip", "model_type": "llava"}
    index = {"weight_map": {"model.layers.0.x": "pytorch_model-1.bin"}}
    hub.repos["some/llava"] = {
        "config.json": json.dumps(config).encode(),
        "pytorch_model.bin.index.json": json.dumps(index).encode(),
        "pytorch_model-1.bin": b"x" * 20,
        "tokenizer.model": b"x",
        "training_args.bin": b"x",
    }
    hub.repos["some/clip"] = {"config.json": b"{}", "pytorch_model.bin": b"x" * 30}
    plan = plan_download(on_hub(lvlm={"path": "some/llava"}))
    files = {one.repository.name: set(one.files) for one in plan.listings}
    assert files["some/llava"] == set(hub.repos["some/llava"]) - {"training_args.bin"}
    assert files["some/clip"] == {"config.json", "pytorch_model.bin"}
    # where the checkpoint holds the tower's weights, only the tower's settings are needed
    index["weight_map"]["model.vision_tower.x"] = "pytorch_model-1.bin"
    hub.repos["some/other"] = hub.repos["some/llava"] | {
        "pytorch_model.bin.index.json": json.dumps(index).encode()
    }
    given = {"path": "some/other", "vision": "some/clip"}
    plan = plan_download(on_hub(lvlm=given))
    assert {tuple(one.files) for one in plan.listings if one.repository.name == "some/clip"} == {
        ("config.json",)
    }


def test_safetensors_make_pickled_weights_unneeded(hub: FakeHub) -> None:
    both = {"config.json": b'{"mm_vision_tower": "./vit/clip"}', "model-1.safetensors": b"x"}
    tower = {"vit/clip/config.json": b"{}", "vit/clip/pytorch_model.bin": b"x"}
    hub.repos["01/yi"] = both | tower | {"pytorch_model-1.bin": b"x" * 99}
    plan = plan_download(on_hub(lvlm={"path": "01/yi"}))
    assert set(plan.listings[0].files) == set(both) | set(tower)


@pytest.mark.parametrize(
    ("typed", "terminal", "yes", "answer"),
    [
        ("y\n", True, False, True),
        ("\n", True, False, False),
        ("", False, False, True),
        ("", True, True, True),
    ],
)
def test_a_terminal_is_asked_before_a_large_download(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    typed: str,
    terminal: bool,
    yes: bool,
    answer: bool,
) -> None:
    for stream in (sys.stdin, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr(sys.stdin, "readline", lambda: typed, raising=False)
    large = Listing(
        Repository("segmenter", "a/b"), {"model.safetensors": 3 * 10**9}, ("model.safetensors",)
    )
    plan = Download("own", (large,), Path("/models"), 10**12)
    assert allow_download(argparse.Namespace(yes=yes), plan) is answer
    said = capsys.readouterr().err
    assert "to download 3.00 GB to /models" in said
    assert ("download? [y/N]" in said) is (terminal and not yes)
    small = dataclasses.replace(large, missing=())
    assert allow_download(
        argparse.Namespace(yes=False), dataclasses.replace(plan, listings=(small,))
    )


@pytest.mark.parametrize("words", [["calibrate"], ["evaluate", "refcoco", "--data", "."]])
def test_long_runs_ask_before_they_download(
    hub: FakeHub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
) -> None:
    raw = json.loads(load_preset("miniature").source.read_text())
    for part, repo in PARTS.items():
        raw[part]["path"] = repo
    preset = tmp_path / "tiny.json"
    preset.write_text(json.dumps(raw | {"name": "tiny"}))
    monkeypatch.setattr(downloads, "ASK_ABOVE", 0)
    for stream in (sys.stdin, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stdin, "readline", lambda: "n\n", raising=False)
    named = [str(preset)] if words == ["calibrate"] else ["--preset", str(preset)]
    assert main([*words, *named, "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert "download? [y/N]" in said
    assert "were not downloaded" in said
    assert ("tiny/inpainter" in said) is (words != ["calibrate"])
    # headers are read for the memory that the weights will take
    whole = [path for method, path, part in hub.log if method == "GET" and not part]
    assert not [path for path in whole if path.endswith(".safetensors")]


def command(hub: FakeHub, home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(home)}
    return subprocess.run(
        [sys.executable, "-m", "groundbrush", *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_fetch_then_edit_offline_gives_the_miniatures_picture(
    hub: FakeHub, tmp_path: Path, scene_file: tuple, miniature: Editor
) -> None:
    """The whole path in processes of their own: fetched, loaded from the cache, same pixels."""
    picture, _, expression = scene_file
    raw = json.loads(load_preset("miniature").source.read_text())
    for part, repo in PARTS.items():
        raw[part]["path"] = repo
    preset = tmp_path / "tiny.json"
    preset.write_text(json.dumps(raw | {"name": "tiny"}))
    home = tmp_path / "home"
    planned = command(hub, home, "fetch", str(preset), "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert "to download" in planned.stdout
    fetched = command(hub, home, "fetch", str(preset))
    assert fetched.returncode == 0, fetched.stderr
    assert "GB downloaded; preset 'tiny' is on this machine" in fetched.stdout
    assert "100%" in fetched.stderr  # the hub's own bars
    hub.log.clear()
    out, phrase = tmp_path / "out", expression.text
    words = [
        "edit",
        str(picture),
        "--find",
        phrase,
        "--paint",
        "a cupcake",
        "--preset",
        str(preset),
    ]
    done = command(hub, home, *words, "--out", str(out), "--steps", "2", "--json")
    assert done.returncode == 0, done.stderr
    assert not any("tiny/" in path for _, path, _ in hub.log)
    edit = miniature.edit(picture, phrase, "a cupcake", settings={"steps": 2})
    painted = [np.asarray(Image.open(file)) for file in out.glob("*.png")]
    assert any(np.array_equal(one, np.asarray(edit.image)) for one in painted)
